"""`bidder.admin.counts`: against values counted by hand, and quantiles against the values themselves."""

import bisect

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram

from bidder.admin.counts import buckets, quantile, split, total

BOUNDS = (1.0, 2.0, 5.0, 10.0)


def test_counters_are_split_by_one_label_and_filtered_by_another() -> None:
    registry = CollectorRegistry()
    notices = Counter("n", "n", ["kind", "outcome"], registry=registry)
    notices.labels("win", "ok").inc(3)
    notices.labels("win", "forged").inc(2)
    notices.labels("bill", "ok").inc(1)
    metrics = list(registry.collect())
    assert split(metrics, "n", "kind") == {"win": 5, "bill": 1}
    assert split(metrics, "n", "outcome", kind="win") == {"ok": 3, "forged": 2}
    assert total(metrics, "n") == 6
    assert total(metrics, "n", outcome="ok") == 4
    assert (split(metrics, "absent", "kind"), total(metrics, "absent")) == ({}, 0)


@given(st.lists(st.floats(0, 20), min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_lies_in_the_bucket_of_the_observation_of_that_rank(
    values: list[float], share: float
) -> None:
    registry = CollectorRegistry()
    histogram = Histogram("h", "h", buckets=BOUNDS, registry=registry)
    for value in values:
        histogram.observe(value)
    estimate = quantile(buckets(registry.collect(), "h"), share)
    assert estimate is not None
    rank = share * len(values)
    of_that_rank = sorted(values)[max(-int(-rank // 1), 1) - 1]
    bucket = bisect.bisect_left(BOUNDS, of_that_rank)
    low = BOUNDS[bucket - 1] if bucket else 0.0
    high = BOUNDS[min(bucket, len(BOUNDS) - 1)]
    assert low <= estimate <= high or estimate == BOUNDS[-1] == low


def test_a_median_is_interpolated_and_an_empty_histogram_has_none() -> None:
    assert quantile([(1.0, 0.0), (2.0, 10.0), (float("inf"), 10.0)], 0.5) == 1.5
    assert quantile([(1.0, 0.0), (float("inf"), 4.0)], 0.5) == 1.0
    assert quantile([(1.0, 0.0), (float("inf"), 0.0)], 0.5) is None
    assert quantile([], 0.5) is None
