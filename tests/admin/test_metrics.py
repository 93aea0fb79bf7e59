"""`bidder.metrics`: the batch histogram, and the numbers of several processes on one page."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from bidder import metrics
from bidder.metrics import LATENCY_BOUNDS_SECONDS, BatchHistogram
from config.limits import BATCH_REQUESTS_MAX


def shown(histogram: Histogram) -> list[tuple[str, dict[str, str], float]]:
    return [
        (sample.name, dict(sample.labels), sample.value)
        for family in histogram.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


# Quarters, so that sums are exact in whatever order they are added.
@given(st.lists(st.integers(0, 60).map(lambda quarters: quarters / 4), max_size=40))
def test_a_batch_of_counts_is_the_same_as_its_observations_one_by_one(seconds: list[float]) -> None:
    bounds = (0.5, 1.0, 5.0, 10.0)
    one_by_one = Histogram("h", "h", buckets=bounds, registry=CollectorRegistry())
    for value in seconds:
        one_by_one.observe(value)
    batch = BatchHistogram("h", "h", buckets=bounds, registry=CollectorRegistry())
    counts = np.bincount(np.searchsorted(bounds, seconds), minlength=len(bounds) + 1)
    batch.observe_counts(counts, sum(seconds))
    assert shown(batch) == shown(one_by_one)


def test_counts_of_the_wrong_length_add_nothing() -> None:
    batch = BatchHistogram("h", "h", buckets=(1.0,), registry=CollectorRegistry())
    before = shown(batch)
    for counts in ([1], [1, 1, 1]):
        with pytest.raises(ValueError, match="2 buckets"):
            batch.observe_counts(counts, 1.0)
    assert shown(batch) == before


def test_a_labelled_batch_histogram_has_batch_children() -> None:
    batch = BatchHistogram("h", "h", ["exchange"], buckets=(1.0,), registry=CollectorRegistry())
    batch.labels("plain").observe_counts([2, 0], 1.5)
    assert ("h_sum", {"exchange": "plain"}, 1.5) in shown(batch)


def test_the_largest_batch_has_a_bucket_and_the_bounds_ascend() -> None:
    assert metrics.BATCH_BOUNDS_REQUESTS[-1] == BATCH_REQUESTS_MAX
    assert list(LATENCY_BOUNDS_SECONDS) == sorted(set(LATENCY_BOUNDS_SECONDS))
    assert (LATENCY_BOUNDS_SECONDS[0], LATENCY_BOUNDS_SECONDS[-1]) == (0.0005, 0.25)


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_config_number_is_exact_in_a_gauge_and_tells_versions_apart(one: str, other: str) -> None:
    assert int(float(metrics.config_number(one))) == metrics.config_number(one)
    assert (metrics.config_number(one) == metrics.config_number(other)) == (one == other)
