"""Why a candidate was not bid on. No-bid is a normal answer: these are counted, not raised.

`Reason` is what the hot path can afford to say: how far the furthest ad came. `Mismatch` is what
`hustings explain` says of a single ad that the targeting stopped.
"""

from enum import IntEnum, StrEnum


class Reason(IntEnum):
    """One value per candidate, in the order an ad is examined: a larger one came further."""

    BID = 0
    NO_MATCH = 1
    """Targeting, blocks or the media offer left no ad."""
    BELOW_FLOOR = 2
    OUT_OF_AUDIENCE = 3
    CAPPED = 4
    """Frequency cap reached, or the ad is capped and the person can't be recognised."""
    NO_BUDGET = 5
    IMP_TAKEN = 6
    """The imp, or the whole response, has as many bids as the exchange takes; deals go first."""

    # Decided before any ad is looked at.
    TEST = 16
    """`test` is 1: nothing may be spent."""
    TOO_LATE = 17
    """`tmax` leaves no time, or the request waited too long."""
    CURRENCY = 18
    """The request takes no currency we bid in, or states the floor in another."""
    TWO_CHANNELS = 19
    """More than one of site, app and dooh."""
    FAULT = 20
    """A fault of ours; the log has it."""
    OVERLOAD = 21
    """More requests came than the worker could decide in time; this one was not read."""
    EXCHANGE_PAUSED = 22
    """The exchange is paused in the config."""
    CRAWLER = 23
    """The user agent is that of a known crawler. This and those below: `bidder.openrtb.suspicion`."""
    NOT_HUMAN = 24
    """The request names no user agent."""
    DATA_CENTRE = 25
    """The address is in a data centre."""
    SELLERS_UNKNOWN = 26
    """Nothing says who may sell the site or app."""
    SELLER_UNLISTED = 27
    """Whoever sells the site or app is not among those who may."""
    CHAIN_INCOMPLETE = 28
    """The supply chain is missing or incomplete."""
    CHAIN_BLOCKED = 29
    """The supply chain has a node we don't buy from."""
    STOPPED = 30
    """All bidding is stopped by hand (`pacing.stop`)."""


class Mismatch(StrEnum):
    """The first targeting rule that stopped an ad, in the order they are examined."""

    PAUSED = "the line item or its campaign is paused in the config"
    FLIGHT = "outside the flight"
    DAYPART = "outside the dayparts"
    AUDIENCE_SMALL = "fewer people than audience_size_min are in the audience, or nobody has counted them yet"
    EXCHANGE = "another exchange"
    DEVICE = "another kind of device"
    CREATIVE_DISAPPROVED = "the exchange disapproved the creative (approvals)"
    CREATIVE_UNAPPROVED = "the exchange has not approved the creative (approvals)"
    CREATIVE_UNREGISTERED = "the exchange takes registered creatives only, and has no id for this (approvals)"
    PREVIEW_MISSING = "the exchange requires a picture of the creative, and it has none (preview_url)"
    LANGUAGE_MISSING = "the exchange requires the creative's language, and it has none (language)"
    BILLING_ID_MISSING = "the exchange requires a billing id, and the advertiser has none there (billing_ids)"
    SEAT_MISSING = "the exchange requires a seat of its own, and the advertiser has none there (seats)"
    SEAT_NOT_NUMERIC = "the exchange requires a numeric seat, and the advertiser's is not (seats)"
    NOT_SECURE_HERE = "the exchange requires https and the creative has http"
    POLITICAL_UNDECLARED = "politics, and nothing says who paid for it (political)"
    POLITICAL_AUDIENCE = "the exchange bars audiences for political ads"
    POLITICAL_PLACE = "the exchange shows no such political ads in this place"
    DSA_MISSING = "the request requires a DSA declaration, and the advertiser has none (dsa)"
    DSA_RENDERING = "the request's DSA terms would have both sides show the notice, or neither"
    OPERATING_SYSTEM = "another operating system"
    INVENTORY = "the site or app is not in the list"
    INVENTORY_EXCLUDED = "the site or app is excluded"
    DEAL = "the deal is not the line item's"
    PLACE = "outside the places"
    PLACE_EXCLUDED = "in an excluded place"
    CATEGORY_BLOCKED = "the exchange blocks the advertiser's category (bcat)"
    CATEGORY_NOT_ALLOWED = "the advertiser's category is not among those allowed (acat)"
    ADVERTISER_BLOCKED = "the exchange blocks the advertiser's domain (badv)"
    APP_BLOCKED = "the exchange blocks the app that the creative is for (bapp)"
    LANGUAGE = "the creative's language is not among those allowed (wlang, wlangb)"
    SEAT = "the advertiser's seat may not buy this (wseat, bseat)"
    DEAL_ADVERTISER = "the deal is for other advertisers (wadomain)"
    BILLING_ID = "the slot lists other billing ids (imp.ext.billing_id)"
    RESTRICTED_CATEGORY = "the slot does not allow the creative's restricted category"
    FORMAT = "the slot does not take the creative's format"
    SIZE = "the slot does not take the creative's size"
    MIME = "the slot takes none of the creative's media types"
    DURATION = "the creative's duration is not allowed"
    SKIP = "the player has a skip button, and so has the creative"
    PROTOCOL = "the slot takes no VAST version we can serve"
    ATTRIBUTE = "the slot blocks the creative's type or an attribute"
    API = "the slot does not support an API that the creative needs (api)"
    NATIVE_ASSET = "the creative lacks a required native asset"
    SLOT = "another kind of place than the line item asks for (targeting.slot)"
    SAME_CREATIVE = "the creative bids on the slot already"
    POD_TIME = "the break has too little time left for it (poddur)"
    POD_TWICE = "the break has its domain, category, creative or file already (poddedupe)"
    NOT_SECURE = "the slot needs https and the creative has http"
