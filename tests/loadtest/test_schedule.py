"""Arrivals are Poisson and fixed beforehand; the histogram knows percentiles to two percent."""

import asyncio
import math
import random
import time
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.histogram import LatencyHistogram
from loadtest.precise_loop import new_precise_loop
from loadtest.schedule import arrivals, arrivals_after_warm_up, peak_per_s


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


WEIGHTS = st.lists(st.floats(0, 100), min_size=1, max_size=24).filter(lambda weights: sum(weights) > 1e-3)


@given(WEIGHTS, st.floats(1, 200), st.floats(0.5, 10), st.integers(0, 2**32))
def test_a_shaped_run_is_the_unshaped_one_with_time_stretched(
    weights: list[float], rate: float, seconds: float, seed: int
) -> None:
    """The naive twin: the requests expected up to each moment are those of a Poisson process at rate one."""
    moments = list(arrivals(rate, seconds, random.Random(seed), weights))
    chance, expected, passed = random.Random(seed), [], 0.0
    while (passed := passed + chance.expovariate(1.0)) < rate * seconds * (1 - 1e-9):
        expected.append(passed)
    part_s = seconds / len(weights)
    per_weight = rate * len(weights) / sum(weights)

    def expected_until(moment_s: float) -> float:
        part = min(int(moment_s / part_s), len(weights) - 1)
        return per_weight * part_s * sum(weights[:part]) + per_weight * weights[part] * (
            moment_s - part * part_s
        )

    assert all(a <= b for a, b in pairwise(moments))
    assert all(0 <= moment < seconds * (1 + 1e-9) for moment in moments)
    assert len(moments) - len(expected) in (0, 1)
    for moment, wanted in zip(moments, expected, strict=False):
        assert expected_until(moment) == pytest.approx(wanted, rel=1e-6, abs=1e-5 * rate * seconds)


def test_an_hour_without_traffic_sends_nothing() -> None:
    moments = list(arrivals(300, 9, random.Random(2), [1.0, 0.0, 2.0]))
    assert not any(3 <= moment < 6 for moment in moments)
    assert sum(moment < 3 for moment in moments) == pytest.approx(900, rel=0.1)
    assert sum(moment >= 6 for moment in moments) == pytest.approx(1_800, rel=0.1)


def test_the_peak_is_the_rate_of_the_heaviest_part() -> None:
    assert peak_per_s(100, [1.0]) == 100
    assert peak_per_s(100, [1.0, 3.0]) == 150


@pytest.mark.parametrize("weights", [[0.0], [-1.0, 2.0], [math.nan], [math.inf]])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="not all 0"):
        next(arrivals(1, 1, random.Random(1), weights))


def test_a_warm_up_comes_first_at_the_rate_the_run_begins_with() -> None:
    moments = list(arrivals_after_warm_up(100, 20, 20, random.Random(1), [1.0, 3.0]))
    assert all(a <= b for a, b in pairwise(moments))
    assert sum(moment < 20 for moment in moments) == pytest.approx(1_000, rel=0.1)
    assert sum(20 <= moment < 30 for moment in moments) == pytest.approx(500, rel=0.1)
    assert sum(moment >= 30 for moment in moments) == pytest.approx(1_500, rel=0.1)
    without = list(arrivals_after_warm_up(100, 0, 20, random.Random(1)))
    assert without == list(arrivals(100, 20, random.Random(1)))


def test_the_precise_loop_never_wakes_early_and_hears_its_sockets() -> None:
    def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        writer.close()

    async def main() -> str:
        begun = time.perf_counter()
        await asyncio.sleep(0.0123)
        assert time.perf_counter() - begun >= 0.0123 - 1e-3
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            line = await reader.readline()
            writer.close()
            return line.decode() + await asyncio.to_thread(str, "from a thread")

    with asyncio.Runner(loop_factory=new_precise_loop) as runner:
        assert runner.run(main()) == "hello\nfrom a thread"


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
