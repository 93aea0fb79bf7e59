"""Every metric the engine's processes write, by name, with its labels and what bounds them.

prometheus-client keeps the values in one memory-mapped file for each process when
PROMETHEUS_MULTIPROC_DIR is set; the supervisor sets it before a child imports this module, and the
admin process merges the files at scrape time (`bidder.admin.app`). Without the variable the values
stay in the process, which is what a unit test wants.

    BID_REQUESTS.labels("plain", "bid").inc(12)               # once for a batch, not for a request
    BID_LATENCY.observe_counts(counts_per_bucket, seconds_in_all)

An increment costs about a microsecond in multiprocess mode, and `labels` as much again, so the bid
port counts a whole batch in plain integers and keeps the labelled children it uses.

Label values are bounded: an exchange, a campaign, a format or a config part comes from the config
(ids that are not in it are written UNKNOWN), a reason or an outcome from a fixed list in the code.
What is known only to Redis (budgets, spend to the unit) is not here: the admin process reads the
ledger when it is asked (`bidder.admin.collector`).
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt
from prometheus_client import Counter, Gauge, Histogram

from config.notice_keys import Keyring

UNKNOWN: Final = "unknown"
"""The label of an exchange, campaign or other id that the config does not (or no longer) know."""

LATENCY_BOUNDS_SECONDS: Final = (
    *(0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075),
    *(0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25),
)
"""Upper bounds of BID_LATENCY's buckets; slower requests go into one more, unbounded bucket."""
STALL_BOUNDS_SECONDS: Final = (0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Upper bounds of the buckets of QUEUE_AGE, LOOP_LAG and GC_PAUSE."""
BATCH_BOUNDS_REQUESTS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Upper bounds of BATCH_REQUESTS's buckets; the last is `config.limits.BATCH_REQUESTS_MAX`."""


class BatchHistogram(Histogram):
    """A histogram that takes a batch of observations already sorted into its buckets."""

    # `observe` finds the bucket and takes two locks for each observation, which for a batch of 64
    # requests is most of the time left to decide them. There is no public way to add to a bucket,
    # so this method, and nothing else, uses the two private attributes that `Histogram._metric_init`
    # makes: one value for each bucket (not cumulative) and one for the sum.
    def observe_counts(self, counts: Sequence[int] | npt.NDArray[np.int64], total: float) -> None:
        """Add `counts[i]` observations to bucket i, and the sum of them all in the metric's unit.

        `counts` has one entry more than the bounds, the last for what exceeds them; ints or an
        int64 array. Raises ValueError when the length is another.
        """
        if len(counts) != len(self._buckets):
            raise ValueError(f"{len(counts)} counts for {len(self._buckets)} buckets")
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(int(count))
        self._sum.inc(float(total))


# The bid port.
BID_REQUESTS = Counter(
    "hustings_bid_requests",
    "Bid requests answered, by exchange and outcome (bid, no_bid, invalid, ...).",
    ["exchange", "outcome"],
)
BIDS = Counter("hustings_bids", "Bids made, by exchange and format.", ["exchange", "format"])
NO_BIDS = Counter("hustings_no_bids", "Requests without a bid, by the reason that went furthest.", ["reason"])
BID_LATENCY = BatchHistogram(
    "hustings_bid_latency_seconds",
    "From the last byte of a bid request to its answer being handed to the socket.",
    buckets=LATENCY_BOUNDS_SECONDS,
)
BATCH_REQUESTS = BatchHistogram(
    "hustings_batch_requests", "Requests decided together in one batch.", buckets=BATCH_BOUNDS_REQUESTS
)
QUEUE_AGE = BatchHistogram(
    "hustings_queue_age_seconds",
    "How long the oldest request of a batch waited for the batch, from its last byte.",
    buckets=STALL_BOUNDS_SECONDS,
)
LOOP_LAG = BatchHistogram(
    "hustings_loop_lag_seconds",
    "How late a worker's event loop was for a timer, measured every few milliseconds.",
    buckets=STALL_BOUNDS_SECONDS,
)
GC_PAUSE = BatchHistogram(
    "hustings_gc_pause_seconds",
    "How long a worker's garbage collector stopped it, each time.",
    buckets=STALL_BOUNDS_SECONDS,
)
LOOKUP_FAILURES = Counter(
    "hustings_lookup_failures",
    "Look-ups, or a node's part of one, without an answer for everybody: timeout, down, breaker or error.",
    ["kind"],
)
LOOKUP_USERS = Counter(
    "hustings_lookup_users",
    "Users looked up: known, unknown, or unanswered (no look-up told anything of them).",
    ["found"],
)
LOOKUP_REDIRECTS = Counter(
    "hustings_lookup_redirects", "Keys that a Cluster's node said are at another, asked for again there."
)
LOOKUP_NODES_OUT = Gauge(
    "hustings_lookup_nodes_out",
    "Redis nodes that a live worker does not ask now: lost, or too slow. Of the worst worker.",
    multiprocess_mode="livemax",
)
CAP_BIDS_CROWDED_OUT = Counter(
    "hustings_cap_bids_crowded_out",
    "Bids that frequency caps stopped counting before their notice timeout, because their table was full.",
)
CAP_RECORDS_DROPPED = Counter(
    "hustings_cap_records_dropped",
    "Frequency-cap records in force that had to make room, because their person has seen too much else.",
)
LEASE_AVAILABLE = Gauge(
    "hustings_lease_available",
    "Leased budget that live workers can still bid with, in currency units.",
    ["campaign"],
    multiprocess_mode="livesum",
)
SYNC_SECONDS = Histogram(
    "hustings_sync_seconds",
    "How long a worker's exchange of leases with the ledger takes.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
SYNC_FAILURES = Counter("hustings_sync_failures", "Exchanges of leases with the ledger that failed.")

STOPPED = Gauge(
    "hustings_stopped",
    "1 while `hustings budget stop` holds this host's bids.",
    multiprocess_mode="livemax",
)

# Every process.
CONFIG_VERSION = Gauge(
    "hustings_config_version",
    "The config a live process works with, as a number (`config_number`): equal numbers, same config.",
    ["part"],
    multiprocess_mode="liveall",
)
WORKERS_WANTED = Gauge(
    "hustings_workers_wanted",
    "Bid workers this host is told to run; 0 where it only takes notices, or only paces.",
    multiprocess_mode="livemax",
)
NOTICE_KEYS = Gauge(
    "hustings_notice_keys",
    "The notice keys a live process knows, as a number: equal numbers, same keys.",
    ["part"],
    multiprocess_mode="liveall",
)
CONFIGS_REFUSED = Counter(
    "hustings_configs_refused",
    "New configs that a process would not take, by reason (unsigned, forged, unreadable, unusable).",
    ["reason"],
)

MODEL_MADE = Gauge(
    "hustings_model_made_timestamp_seconds",
    "When the model was made that a live process predicts with, in seconds since 1970. The oldest, by part.",
    ["part"],
    multiprocess_mode="livemin",
)

# The training process.
PREDICTED_EVENTS = Counter(
    "hustings_predicted_events",
    "Clicks, conversions and whole plays that bids' rates expected of the impressions there were.",
    ["campaign", "event"],
)
ACTUAL_EVENTS = Counter(
    "hustings_actual_events", "Clicks, conversions and whole plays that came of them.", ["campaign", "event"]
)
MODEL_REVIEWS = Counter(
    "hustings_model_reviews",
    "Reviews of the predictions by outcome (promoted, rolled_back, kept, waiting).",
    ["event", "outcome"],
)

# The events process.
NOTICES = Counter(
    "hustings_notices",
    "Notices, pixels and clicks by kind (win, bill, loss, impression, click, conversion, completion) and "
    "outcome.",
    ["kind", "outcome"],
)
SPOOL_ENTRIES = Gauge(
    "hustings_spool_entries",
    "Notices on this host's disk that wait for Redis.",
    multiprocess_mode="livesum",
)
SPOOL_AGE = Gauge(
    "hustings_spool_age_seconds",
    "How long the oldest notice on this host's disk has waited.",
    multiprocess_mode="livemax",
)
SPOOL_REPLAYED = Counter(
    "hustings_spool_replayed",
    "Notices that waited on this host's disk and are done; hustings_notices has their outcome.",
)
SPEND = Counter(
    "hustings_spend",
    "Money booked by this engine since it started, in currency units. For display: the ledger is exact.",
    ["campaign"],
)
BILLED_BIDS = Counter(
    "hustings_billed_bids", "Bids that were billed, by exchange: what was won of hustings_bids.", ["exchange"]
)
BILLED_OFFERED = Counter(
    "hustings_billed_offered", "What the billed bids offered, by exchange, in currency units.", ["exchange"]
)
BILLED_PAID = Counter(
    "hustings_billed_paid", "What was paid for them, by exchange, in currency units.", ["exchange"]
)
LOSS_REASONS = Counter(
    "hustings_losses", "Lost auctions by the exchange's loss reason code; other: not a known code.", ["code"]
)
INBOX_COOKIES = Counter(
    "hustings_inbox_cookies",
    "Changes of cookies that came through advertisers' inboxes, by outcome (applied, refused).",
    ["outcome"],
)
INBOX_DROPPED = Counter(
    "hustings_inbox_dropped",
    "Entries of advertisers' inboxes that were dropped unread, because too much was waiting.",
)
SEGMENT_EVENTS = Counter(
    "hustings_segment_events",
    "Events for which a rule put a person into segments (filled), or did not, because the person asked to be "
    "forgotten (forgotten).",
    ["event", "outcome"],
)
SYNCS = Counter(
    "hustings_cookie_syncs",
    "Cookie sync calls by outcome (redirected, pixel, no_consent, unknown_exchange, foreign_redirect).",
    ["outcome"],
)
LINKS = Counter(
    "hustings_links",
    "Partners' ids for a person that a sync brought, by outcome (linked, known, unavailable).",
    ["outcome"],
)

# The admin process.
LEDGER_MISMATCH = Gauge(
    "hustings_ledger_mismatch",
    "What the ledger says is spent less the bills and adjustments it was made of, in currency units.",
    ["campaign"],
    multiprocess_mode="livesum",
)
LEDGER_AUDITED = Gauge(
    "hustings_ledger_audited_timestamp_seconds",
    "When every account was last held against its bills, in seconds since 1970.",
    multiprocess_mode="livemax",
)


for _reason in ("unsigned", "forged", "unreadable", "unusable"):
    # Begun at 0: Prometheus sees no increase in a series that begins at 1.
    CONFIGS_REFUSED.labels(_reason)


def note_refusal(reason: str) -> None:
    """Count a config that was not taken; the one before it stays live."""
    CONFIGS_REFUSED.labels(reason).inc()


def notice_keys_number(ring: Keyring) -> int:
    """Return 48 bits that stand for a set of keys, and tell nothing of them."""
    said = b"".join(key.key + bytes([key.id]) for key in ring.keys)
    return int.from_bytes(blake2b(said, digest_size=6, person=b"keys-shown").digest(), "big")


def config_number(version: str) -> int:
    """Return 48 bits that stand for a bundle's version: a gauge holds a number, and exactly to 2**53."""
    return int.from_bytes(blake2b(version.encode(), digest_size=6).digest(), "big")
