"""What a worker counts, in plain numbers, handed to the metrics once a second.

A prometheus-client increment costs about a microsecond in multiprocess mode; a dict increment a
twentieth of that. So the path of a request only touches this.
"""

from collections import Counter

import numpy as np
import numpy.typing as npt

from bidder import metrics
from bidder.decision.reasons import Reason


class Tally:
    """Counts since the last `export`."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """By (exchange id, outcome): bid, no_bid, invalid, unknown_exchange."""
        self.bids: Counter[tuple[str, str]] = Counter()
        """By (exchange id, format)."""
        self.no_bids: Counter[Reason] = Counter()
        self.latencies_ns: list[int] = []
        self.batches: list[int] = []
        self.users_known = 0
        self.users_unknown = 0

    def export(self) -> None:
        """Add everything to the metrics and start again from nothing."""
        for (exchange, outcome), count in self.outcomes.items():
            metrics.BID_REQUESTS.labels(exchange, outcome).inc(count)
        for (exchange, format_), count in self.bids.items():
            metrics.BIDS.labels(exchange, format_).inc(count)
        for reason, count in self.no_bids.items():
            metrics.NO_BIDS.labels(reason.name.lower()).inc(count)
        if self.latencies_ns:
            seconds = np.array(self.latencies_ns) / 1e9
            _observe(metrics.BID_LATENCY, seconds, metrics.LATENCY_BOUNDS_SECONDS)
        if self.batches:
            _observe(metrics.BATCH_REQUESTS, np.array(self.batches, float), metrics.BATCH_BOUNDS_REQUESTS)
        if self.users_known:
            metrics.LOOKUP_USERS.labels("known").inc(self.users_known)
        if self.users_unknown:
            metrics.LOOKUP_USERS.labels("unknown").inc(self.users_unknown)
        Tally.__init__(self)


def _observe(
    histogram: metrics.BatchHistogram, values: npt.NDArray[np.float64], bounds: tuple[float, ...]
) -> None:
    # A value equal to a bound belongs to that bound's bucket: `le` is "less or equal".
    buckets = np.searchsorted(bounds, values, side="left")
    histogram.observe_counts(np.bincount(buckets, minlength=len(bounds) + 1).tolist(), float(values.sum()))
