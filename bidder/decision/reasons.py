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
    """Another candidate of the same imp (a deal) already bids."""

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


class Mismatch(StrEnum):
    """The first targeting rule that stopped an ad, in the order they are examined."""

    PAUSED = "the line item or its campaign is paused in the config"
    FLIGHT = "outside the flight"
    DAYPART = "outside the dayparts"
    EXCHANGE = "another exchange"
    DEVICE = "another kind of device"
    OPERATING_SYSTEM = "another operating system"
    INVENTORY = "the site or app is not in the list"
    INVENTORY_EXCLUDED = "the site or app is excluded"
    DEAL = "the deal is not the line item's"
    PLACE = "outside the places"
    PLACE_EXCLUDED = "in an excluded place"
    CATEGORY_BLOCKED = "the exchange blocks the advertiser's category (bcat)"
    ADVERTISER_BLOCKED = "the exchange blocks the advertiser's domain (badv)"
    SEAT = "the advertiser's seat may not buy this (wseat, bseat)"
    FORMAT = "the imp does not offer the creative's format"
    SIZE = "the imp does not offer the creative's size"
    MIME = "the imp takes none of the creative's media types"
    DURATION = "the creative's duration is not allowed"
    PROTOCOL = "the imp takes no VAST version we can serve"
    ATTRIBUTE = "the imp blocks the creative's type or an attribute"
    NATIVE_ASSET = "the creative lacks a required native asset"
    NOT_SECURE = "the imp needs https and the creative has http"
