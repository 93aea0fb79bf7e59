"""What a worker counts, in plain numbers, handed to the metrics once a second.

A prometheus-client increment costs about a microsecond in multiprocess mode; a dict increment a
twentieth of that. So the path of a request only touches this.
"""

from collections import Counter

import numpy as np
import numpy.typing as npt

from bidder import metrics
from bidder.decision.reasons import Reason
from bidder.decision.snapshot import BidLabel

# Begun at 0, as an alert waits for the first: Prometheus sees no increase in a series that begins at 1.
metrics.NO_BIDS.labels(Reason.FAULT.name.lower())


class Tally:
    """Counts since the last `export`."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """By (exchange id, outcome): bid, no_bid, invalid, unknown_exchange."""
        self.bids: Counter[tuple[str, BidLabel]] = Counter()
        """By exchange id, and what the ad is."""
        self.no_bids: Counter[int] = Counter()
        """By `Reason`."""
        self.latencies_ns: list[int] = []
        self.batches: list[int] = []
        self.queue_ages_ns: list[int] = []
        self.loop_lags_ns: list[int] = []
        self.gc_pauses_ns: list[int] = []
        self.users_known = 0
        self.users_unknown = 0
        self.users_unanswered = 0

    def export(self) -> Counter[tuple[int, int]]:
        """Add everything to the metrics and start again from nothing.

        Returns the bids by campaign and line item code, for `bidder.port.bid_reports`.
        """
        for (exchange, outcome), count in self.outcomes.items():
            metrics.BID_REQUESTS.labels(exchange, outcome).inc(count)
        bids: Counter[tuple[int, int]] = Counter()
        for (exchange, label), count in self.bids.items():
            metrics.BIDS.labels(exchange, label.format).inc(count)
            bids[label.campaign_code, label.line_item_code] += count
        for reason, count in self.no_bids.items():
            metrics.NO_BIDS.labels(Reason(reason).name.lower()).inc(count)
        _observe_ns(metrics.BID_LATENCY, self.latencies_ns, metrics.LATENCY_BOUNDS_SECONDS)
        _observe_ns(metrics.QUEUE_AGE, self.queue_ages_ns, metrics.STALL_BOUNDS_SECONDS)
        _observe_ns(metrics.LOOP_LAG, self.loop_lags_ns, metrics.STALL_BOUNDS_SECONDS)
        _observe_ns(metrics.GC_PAUSE, self.gc_pauses_ns, metrics.STALL_BOUNDS_SECONDS)
        if self.batches:
            _observe(metrics.BATCH_REQUESTS, np.array(self.batches, float), metrics.BATCH_BOUNDS_REQUESTS)
        if self.users_known:
            metrics.LOOKUP_USERS.labels("known").inc(self.users_known)
        if self.users_unknown:
            metrics.LOOKUP_USERS.labels("unknown").inc(self.users_unknown)
        if self.users_unanswered:
            metrics.LOOKUP_USERS.labels("unanswered").inc(self.users_unanswered)
        Tally.__init__(self)
        return bids


def _observe_ns(
    histogram: metrics.BatchHistogram, values_ns: list[int], bounds_seconds: tuple[float, ...]
) -> None:
    if values_ns:
        _observe(histogram, np.array(values_ns) / 1e9, bounds_seconds)


def _observe(
    histogram: metrics.BatchHistogram, values: npt.NDArray[np.float64], bounds: tuple[float, ...]
) -> None:
    # A value equal to a bound belongs to that bound's bucket: `le` is "less or equal".
    buckets = np.searchsorted(bounds, values, side="left")
    histogram.observe_counts(np.bincount(buckets, minlength=len(bounds) + 1).tolist(), float(values.sum()))
