"""The name of every key in Redis, in one place.

`{c:<code>}` is a hash tag: everything the ledger touches in one script lives in one cluster slot.
A code is `config.schema.code_of` as eight hex digits. An account's code is that of its campaign; or, for a
line item with a budget of its own, made of both (`config.schema.account_code`). User hashes are the keyed
64-bit hashes of `segments.identity`, as eight raw bytes: an id is never stored in clear.
"""

from config.limits import SEGMENT_BUCKET_BITS

BUNDLE = b"hustings:bundle"
"""String: the MessagePack of the live `config.schema.Bundle`."""
BUNDLE_VERSION = b"{hustings:bundle}:version"
"""String: the version of BUNDLE, for a glance; the tag puts it in BUNDLE's cluster slot."""
BUNDLE_SEAL = b"{hustings:bundle}:seal"
"""String: JSON of BUNDLE's `config.bundle_store.Seal`: who published it, when, and the signature."""
BUNDLE_HISTORY = b"{hustings:bundle}:history"
"""List: the seals of the bundles that were live, the newest first; its head is that of BUNDLE."""
BUNDLES_KEPT = b"{hustings:bundle}:kept"
"""Hash: version -> the compressed bundle, of every seal in BUNDLE_HISTORY."""
BUNDLE_NUMBER = b"{hustings:bundle}:number"
"""Integer: how many publications there were."""
BUNDLE_CHANNEL = b"hustings:bundle:changed"
"""Channel: the version of a bundle just written to BUNDLE."""
REFUSED_EDITS = b"hustings:refused-edits"
"""Hash: host and folder -> JSON of a `config.refused_edit.RefusedEdit`."""
PLAN = b"hustings:plan"
"""String: the JSON of the live `pacing.plan.Plan`."""
MODEL = b"hustings:model"
"""String: the MessagePack of the live `pacing.prediction.Model`."""
MODEL_VERSION = b"hustings:model:version"
"""Integer: the version of MODEL, for a glance."""
MODEL_SUMMARY = b"hustings:model:summary"
"""String: the JSON of MODEL's `pacing.prediction.ModelSummary`, for people."""
TRAINING = b"hustings:training"
"""Hash: event -> what its learner knows; `read`: how far the streams were read (`bidder.training`)."""
TRAINER_LEASE = b"hustings:trainer"
"""String with a TTL: the owner of the elected trainer."""
SHADING = b"hustings:shading"
"""String: the MessagePack of the live `pacing.shading.Shading`."""
LANDSCAPE = b"hustings:landscape"
"""Hash: name of a cell and band -> what was counted there; and how far the streams were read, see
`pacing.outcomes`."""
TRAFFIC_CLOSED = b"{hustings:traffic}:closed"
"""String: the last hour, in hours since 1970, that traffic was learned from, see `pacing.traffic`."""
TRAFFIC_COVERED = b"covered"
"""The field of `traffic_counts` with the milliseconds of the hour in which workers were alive."""
CONTROLLER_LEASE = b"hustings:controller"
"""String with a TTL: the owner of the elected pacing controller."""
CAMPAIGNS = b"hustings:campaigns"
"""Set: the code of every campaign that has an account, in the config or not."""
LINE_ITEM_ACCOUNTS = b"hustings:line-item-accounts"
"""Set: likewise the account code of every line item that ever had a budget of its own."""
BUDGET_CHANGES = b"hustings:budget-changes"
"""Integer: grows with every change of a budget, pause and correction, so that workers look at once."""
SHORT_ACCOUNTS = b"hustings:short-accounts"
"""Sorted set: account code -> the server's time, in seconds, of the last refusal of a worker that has bids to
make, while others held money of the account (`pacing.lease`). It expires."""
WORKERS = b"hustings:workers"
"""Sorted set: owner number -> the server's time, in seconds, of the worker's last sync."""
SEGMENT_INDICES = b"{hustings:segments}:indices"
"""Hash: segment name -> bit index. SEGMENT_NEXT is the next free index."""
SEGMENT_NEXT = b"{hustings:segments}:next"
SEGMENT_DEFINITIONS = b"{hustings:segments}:definitions"
"""Hash: bit index -> JSON of the segment's name, owner and so on, see `segments.registry`."""
SEGMENT_RETIRED = b"{hustings:segments}:retired"
"""Hash: bit index -> when it was retired, in epoch seconds; cookies may still hold the bit."""
SEGMENT_FREE = b"{hustings:segments}:free"
"""Set: bit indices that were retired and that no cookie holds any more."""
SEGMENT_LOADS = b"{hustings:segments}:loads"
"""Hash: bit index -> JSON of when and from what it was last loaded. The field `all` counts loads."""
SEGMENT_COUNTS = b"{hustings:segments}:counts"
"""Hash: epoch second -> JSON of the sizes of all segments then, see `segments.counts_history`."""
AUDIENCE_SIZES = b"{hustings:segments}:audiences"
"""Hash: digest of an audience -> how many people are in it, see `segments.sizes`."""
AUDIENCE_SIZES_VERSION = b"{hustings:segments}:audiences:version"
"""Integer: how often AUDIENCE_SIZES was replaced."""
AUDIENCE_KEEPER = b"hustings:audience-keeper"
"""String with a TTL: the owner of the elected keeper of audiences."""
AUDIENCE_SWEPT = b"hustings:audience-keeper:swept"
"""String: the last day whose sweep was finished, days since 1970-01-01."""
INBOX = b"hustings:inbox:"
"""The beginning of the name of every advertiser's inbox."""
SEGMENT_BUCKET = b"s:%05x"
"""The pattern of `segment_bucket`, for whoever formats whole commands at once."""
CAPS = b"f:{s:%05x}%b"
"""The pattern of `caps`: the user's bucket, and the rest of the hash. The tag puts a user's caps in the
cluster slot of the user's segments, so that one node knows all there is of a person."""

STOP = b"hustings:stop"
"""String: the JSON of the `pacing.stop.Stop` that holds all bidding; none while bidding is allowed."""
CHANGES = b"hustings:changes"
"""Stream: changes of budgets, pauses, flights and stops, see `pacing.change_log`."""
STREAM_WINS = b"hustings:wins"
STREAM_IMPRESSIONS = b"hustings:impressions"
STREAM_CLICKS = b"hustings:clicks"
STREAM_CONVERSIONS = b"hustings:conversions"
STREAM_COMPLETIONS = b"hustings:completions"
STREAM_LOSSES = b"hustings:losses"
STREAM_REFUSED = b"hustings:refused"
"""Notices whose token was genuine but whose charge was refused: overpriced or unpriced."""


def traffic_counts(hour: int) -> bytes:
    """Hash: campaign code -> candidates it matched in that hour since 1970, from a sample of them."""
    return b"{hustings:traffic}:counts:%d" % hour


def traffic_week(hour_of_week: int) -> bytes:
    """Hash: campaign code -> the mean count of that hour of the week, and of how many weeks."""
    return b"{hustings:traffic}:week:%d" % hour_of_week


def floors(day: int) -> bytes:
    """Hash: exchange and floor in CPM micros -> how often it was seen on a day since 1970-01-01."""
    return b"hustings:floors:%d" % day


def ledger(account_code: int) -> bytes:
    """Hash: the account, see `pacing/lua/`."""
    return _account(account_code) + b":ledger"


def leases(account_code: int) -> bytes:
    """Hash: owner number -> money leased to it and not yet settled or returned."""
    return _account(account_code) + b":leases"


def returns(account_code: int) -> bytes:
    """Hash: owner number -> all it has ever given back of its lease, see `pacing/lua/release.lua`."""
    return _account(account_code) + b":returns"


def settled(account_code: int, owner: int) -> bytes:
    """Hash: second of expiry -> sum of the highest prices of the bids of this owner, expiring then, that
    are settled, see `pacing.lease`."""
    return _account(account_code) + b":settled:%d" % owner


def _account(account_code: int) -> bytes:
    line_item_code, campaign_code = account_code >> 32, account_code & 0xFFFFFFFF
    if not line_item_code:
        return b"{c:%08x}" % campaign_code
    return b"{c:%08x}:i:%08x" % (campaign_code, line_item_code)


def spent_by_line_item(campaign_code: int) -> bytes:
    """Hash: line item code -> all it has ever spent, whether or not it has a budget of its own."""
    return b"{c:%08x}:items" % campaign_code


def adjustments(campaign_code: int) -> bytes:
    """Hash: id of a correction of what is spent -> its amount."""
    return b"{c:%08x}:adjustments" % campaign_code


def delivered(campaign_code: int, day: int) -> bytes:
    """Hash: what was delivered on a local day (days since 1970), see `pacing.delivery`."""
    return b"{c:%08x}:delivered:%d" % (campaign_code, day)


def delivered_hours(campaign_code: int, day: int) -> bytes:
    """Hash: likewise in each hour of the day."""
    return b"{c:%08x}:delivered:%d:hours" % (campaign_code, day)


def predicted(campaign_code: int, day: int) -> bytes:
    """Hash: what was predicted of a local day's impressions, and what came, see `pacing.track_record`."""
    return b"{c:%08x}:predicted:%d" % (campaign_code, day)


def reach(campaign_code: int, line_item_code: int = 0) -> bytes:
    """HyperLogLog: the people a campaign, or one of its line items, was shown to."""
    return b"{c:%08x}:reach:%08x" % (campaign_code, line_item_code)


def frequencies(campaign_code: int) -> bytes:
    """Hash: rank of a sampled person -> impressions of the campaign, see `pacing.delivery`."""
    return b"{c:%08x}:frequencies" % campaign_code


def bills(campaign_code: int) -> bytes:
    """Stream: one entry for each settled bill."""
    return b"{c:%08x}:bills" % campaign_code


def audited(campaign_code: int) -> bytes:
    """Hash: up to which bill an account was held against its bills, and their sum, see `pacing.reconcile`."""
    return b"{c:%08x}:audited" % campaign_code


def seen(campaign_code: int, owner: int, minute: int) -> bytes:
    """Bit string: four bits for each bid of that minute, at 4 x its sequence number: billed, shown,
    won, clicked. A bit that is already set makes the notice a repeat."""
    return b"{c:%08x}:seen:%d:%d" % (campaign_code, owner, minute)


def lost(campaign_code: int, owner: int, minute: int) -> bytes:
    """Bit string: one bit for each bid of that minute, at its sequence number: a loss was reported."""
    return b"{c:%08x}:lost:%d:%d" % (campaign_code, owner, minute)


def completed(campaign_code: int, owner: int, minute: int) -> bytes:
    """Bit string: likewise that an ad was played to its end."""
    return b"{c:%08x}:completed:%d:%d" % (campaign_code, owner, minute)


def converted(campaign_code: int, owner: int, minute: int, sequence: int) -> bytes:
    """Empty string that exists once this bid's conversion was reported. A key, not a bit: few bids
    have one, and it must be remembered for weeks."""
    return b"{c:%08x}:converted:%d:%d:%d" % (campaign_code, owner, minute, sequence)


def segment_bucket(bucket: int) -> bytes:
    """Hash: the rest of a user's hash -> bitset and expiry day, for the users of one bucket."""
    return b"s:%05x" % bucket


def segment_days(bucket: int) -> bytes:
    """Hash: the rest of a user's hash -> the last days of bits that go before the others do. It is in
    the cluster slot of `segment_bucket`, so that one script may change both."""
    return b"{s:%05x}:d" % bucket


def kin(bucket: int) -> bytes:
    """Hash: the rest of a person's hash -> the hashes of the partners' ids linked to it. In the cluster
    slot of `segment_bucket`."""
    return b"{s:%05x}:k" % bucket


def inbox(advertiser_id: str) -> bytes:
    """Stream: changes of who is in the advertiser's segments, as `segments.inbox` reads them."""
    return INBOX + advertiser_id.encode()


def inbox_faults(advertiser_id: str) -> bytes:
    """Stream: what of an advertiser's inbox was refused, and why."""
    return inbox(advertiser_id) + b":faults"


def caps(user_hash: bytes) -> bytes:
    """String: the packed frequency-cap records of one user; or, of a partner's id that is linked to a
    person, the letter L and the eight bytes of the person's hash (`segments.links`)."""
    bucket = int.from_bytes(user_hash, "big") >> (64 - SEGMENT_BUCKET_BITS)
    return CAPS % (bucket, user_hash[SEGMENT_BUCKET_BITS // 8 :])


def moving_caps(user_hash: bytes) -> bytes:
    """String: the cap records that a partner's id had when it was linked, until they are counted for the
    person. In the cluster slot of `caps`."""
    return b"m:" + caps(user_hash)[2:]
