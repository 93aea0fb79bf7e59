"""Arrivals are Poisson and fixed beforehand; the histogram knows percentiles to two percent."""

import math
import random
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.histogram import LatencyHistogram
from loadtest.schedule import arrivals


def test_a_seed_gives_the_same_moments() -> None:
    assert list(arrivals(100, 2, random.Random(3))) == list(arrivals(100, 2, random.Random(3)))


def test_moments_ascend_and_end_before_the_last_second() -> None:
    moments = list(arrivals(500, 20, random.Random(1)))
    assert all(a < b for a, b in pairwise(moments))
    assert moments[-1] < 20


def test_gaps_are_exponential_at_the_rate() -> None:
    moments = list(arrivals(500, 40, random.Random(5)))
    gaps = [b - a for a, b in pairwise(moments)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(1 / 500, rel=0.03)
    assert deviation == pytest.approx(mean, rel=0.05)


def test_a_schedule_may_have_no_end() -> None:
    assert len(list(islice(arrivals(10, math.inf, random.Random(1)), 1_000))) == 1_000


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        next(arrivals(0, 1, random.Random(1)))


@given(st.lists(st.floats(1e-6, 90), min_size=1, max_size=300), st.sampled_from([1, 50, 90, 99, 99.9, 100]))
def test_percentiles_agree_with_sorting(durations: list[float], percent: float) -> None:
    histogram = LatencyHistogram()
    for duration in durations:
        histogram.record(duration)
    exact_ms = sorted(durations)[math.ceil(len(durations) * percent / 100) - 1] * 1e3
    assert exact_ms * (1 - 1e-9) <= histogram.percentile_ms(percent) <= exact_ms * 1.0201
    assert histogram.max_ms == pytest.approx(max(durations) * 1e3)


def test_the_curve_ends_at_all_of_them_and_the_longest() -> None:
    histogram = LatencyHistogram()
    for duration in (0.001, 0.002, 0.004, 500.0, -1.0):
        histogram.record(duration)
    curve = histogram.curve()
    assert curve[-1] == (100.0, 500_000.0)
    assert [ms for _, ms in curve] == sorted(ms for _, ms in curve)


def test_an_empty_histogram_says_zero() -> None:
    assert LatencyHistogram().percentile_ms(99) == 0
    assert LatencyHistogram().curve() == []
