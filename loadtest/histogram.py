"""Latencies by the million in a few kilobytes.

Buckets grow by 2 %, from a microsecond up, so any percentile is known to 2 % of its value:

    bucket 0        up to 1 us
    bucket k        from 1.02^(k-1) to 1.02^k us
    last bucket     everything above about 100 s

A percentile is reported as the upper edge of its bucket, never above the largest value seen: the
figure errs on the side of the bidder's critics.
"""

import math

_GROWTH = 1.02
_PER_LOG = 1 / math.log(_GROWTH)
_BUCKETS = int(math.log(100e6) * _PER_LOG) + 2


class LatencyHistogram:
    """Counts of durations in logarithmic buckets."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self._max_us = 0.0

    def record(self, seconds: float) -> None:
        """Add one duration; a negative one counts as zero."""
        us = max(seconds * 1e6, 0.0)
        bucket = min(math.ceil(math.log(us) * _PER_LOG), _BUCKETS - 1) if us > 1 else 0
        self._counts[bucket] += 1
        self.count += 1
        self._max_us = max(self._max_us, us)

    @property
    def max_ms(self) -> float:
        return self._max_us / 1e3

    def percentile_ms(self, percent: float) -> float:
        """Return the duration that `percent` of all stay at or under, in ms; 0 when there is none."""
        rank = max(math.ceil(self.count * percent / 100), 1)
        passed = 0
        for bucket, count in enumerate(self._counts):
            passed += count
            if passed >= rank:
                return self._edge_ms(bucket)
        return 0.0

    def curve(self) -> list[tuple[float, float]]:
        """Return (percent at or under, ms) for every bucket that holds something, ascending."""
        points = []
        passed = 0
        for bucket, count in enumerate(self._counts):
            if count:
                passed += count
                points.append((100 * passed / self.count, self._edge_ms(bucket)))
        return points

    def _edge_ms(self, bucket: int) -> float:
        if bucket == _BUCKETS - 1:
            return self.max_ms
        return min(_GROWTH**bucket, self._max_us) / 1e3
