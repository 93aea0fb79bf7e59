"""What happened between two looks at the counters."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidder.admin.pulse import PAUSE_SECONDS_MAX, PULSES_MAX, Counts, Pulses, pause_s, pulse

NOTHING = Counts(10.0, 0, 0, 0, 0, 0, 0, {}, [])


def counts(at_s: float, requests: int, slow: int = 0, **no_bids: int) -> Counts:
    latency = [(0.001, float(requests - slow)), (0.01, float(requests)), (float("inf"), float(requests))]
    return Counts(at_s, requests, requests - sum(no_bids.values()), 0, 0, 0, 0, no_bids, latency)


def test_a_pulse_is_the_difference_and_its_percentiles_are_of_the_interval() -> None:
    before, after = counts(10.0, 1_000, capped=5), counts(12.0, 1_100, slow=60, capped=5, overload=2)
    found = pulse(before, after)
    assert found is not None
    assert (found.seconds, found.requests, found.answers) == (2.0, 100, 98)
    assert found.no_bids == {"overload": 2}
    # 40 of the 100 were faster than a millisecond, though most of all requests ever were.
    assert found.p50_ms == pytest.approx(1 + 9 * 10 / 60, abs=0.01)
    assert found.p99_ms is not None
    assert found.p50_ms is not None
    assert found.p50_ms < found.p99_ms <= 10


def test_without_requests_there_are_no_percentiles() -> None:
    found = pulse(counts(10.0, 7), counts(11.0, 7))
    assert found is not None
    assert (found.requests, found.p50_ms, found.p99_ms, found.no_bids) == (0, None, None, {})


def test_counters_that_fall_or_a_clock_that_stands_make_no_pulse() -> None:
    assert pulse(counts(10.0, 7), counts(11.0, 6)) is None
    assert pulse(counts(10.0, 7), counts(10.0, 9)) is None


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), min_size=2, max_size=12))
def test_pulses_add_up_to_what_the_counters_grew_by(steps: list[tuple[int, int]]) -> None:
    moments = [NOTHING]
    for requests, seconds in steps:
        last = moments[-1]
        moments.append(
            msgspec.structs.replace(last, at_s=last.at_s + seconds, requests=last.requests + requests)
        )
    found = [pulse(before, after) for before, after in itertools.pairwise(moments)]
    assert sum(one.requests for one in found if one) == moments[-1].requests
    assert sum(one.seconds for one in found if one) == moments[-1].at_s - moments[0].at_s


async def test_only_the_last_minutes_are_remembered() -> None:
    async def metrics() -> list[object]:
        return []

    ticks = iter(range(PULSES_MAX + 10))
    pulses = Pulses(metrics, clock=lambda: float(next(ticks)))  # type: ignore[arg-type] # an empty list
    for _ in range(PULSES_MAX + 5):
        await pulses.look()
    assert len(pulses.recent) == PULSES_MAX
    assert pulses.recent[-1].at_s == PULSES_MAX + 4


def test_what_takes_long_is_done_less_often_but_still_done() -> None:
    assert pause_s(2.0, 0.01) == 1.99
    assert pause_s(2.0, 0.5) == 5.0
    assert pause_s(2.0, 60.0) == PAUSE_SECONDS_MAX
