"""The shape of a plan: traffic, schedules, weights, modes."""

import time
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.calendar import WEEKDAYS, daypart_hours, epoch_s, flight_bounds_s, utc_offset_s
from config.money import CpmMicros, Money
from config.schema import (
    Budget,
    Campaign,
    Daypart,
    Flight,
    LineItem,
    Pacing,
    PacingWeight,
    Targeting,
    When,
)
from pacing.curve import AHEAD_SHARE, CLOSING_SECONDS, EVEN_HOURS, QUARTER_S, PlanCurve, plan_curve

CHICAGO = "America/Chicago"
KATHMANDU = "Asia/Kathmandu"
"""5:45 ahead of UTC."""
DAY_S = 86_400


def line_item(id_: str, dayparts: Sequence[Daypart] = (), flight: Flight = Flight()) -> LineItem:  # noqa: B008
    targeting = Targeting(dayparts=tuple(dayparts))
    return LineItem(
        id=id_, bid_cpm=CpmMicros(1_000_000), creatives=("x",), targeting=targeting, flight=flight
    )


def campaign(
    *line_items: LineItem,
    zone: str = CHICAGO,
    pacing: Pacing = "even",
    weights: Sequence[PacingWeight] = (),
) -> Campaign:
    return Campaign(
        id="c1",
        time_zone=zone,
        budget=Budget(total=Money(10**12)),
        pacing=pacing,
        pacing_weights=tuple(weights),
        line_items=line_items or (line_item("always"),),
    )


def moment(text: str, zone: str = CHICAGO) -> int:
    return epoch_s(When(text), zone)


def of_day(of: Campaign, day: str = "2026-10-20", traffic: np.ndarray = EVEN_HOURS) -> list[float]:
    """A at every full hour of a local day, 0:00 to 24:00, over its value a little before it closes."""
    start_s = moment(day, of.time_zone)
    curve = plan_curve(of, start_s, start_s + DAY_S, traffic)
    return [curve.share(start_s + hour * 3_600) for hour in range(25)]


def test_without_traffic_or_schedule_a_plan_is_even_in_time_and_complete_a_minute_early() -> None:
    curve = PlanCurve(1_000, 1_000 + DAY_S)
    assert [curve.share(at_s) for at_s in (0, 1_000, 1_000 + DAY_S)] == [0, 0, 1]
    assert curve.share(1_000 + DAY_S - CLOSING_SECONDS) == pytest.approx(1)
    assert curve.share(1_000 + DAY_S - CLOSING_SECONDS - 60) < 1
    assert curve.share(1_000 + DAY_S / 2) == pytest.approx(0.5, abs=1e-3)


def test_a_short_window_closes_in_its_last_fiftieth() -> None:
    curve = PlanCurve(0, 100)
    assert curve.share(97.9) < 1
    assert curve.share(98.1) == 1


def test_the_slope_follows_the_traffic_of_the_hour() -> None:
    traffic = np.ones(168)
    # Tuesday 20:00 in Chicago is Wednesday 1:00 in London: hour 49 of the week.
    traffic[49] = 5.0
    shares = of_day(campaign(), traffic=traffic)
    steps = np.diff(shares)
    assert steps[20] == pytest.approx(5 * steps[12])
    assert steps[19] == pytest.approx(steps[12])


def test_nothing_is_planned_where_the_schedule_is_closed() -> None:
    morning, evening = Daypart(from_hour=6, to_hour=9), Daypart(from_hour=18, to_hour=22)
    shares = of_day(campaign(line_item("a", [morning]), line_item("b", [evening])))
    assert shares[6] == 0
    assert shares[9] == shares[18] == pytest.approx(3 / 7, rel=0.02)
    assert shares[22] == 1


def test_a_line_item_that_ends_takes_its_hours_along() -> None:
    ending = line_item("ends", flight=Flight(end=When("2026-10-20 06:00")))
    evening = line_item("evening", [Daypart(from_hour=18)])
    shares = of_day(campaign(ending, evening))
    assert shares[6] == shares[18] == pytest.approx(0.5, rel=0.02)
    assert shares[21] == pytest.approx(0.75, rel=0.02)


def test_a_paused_line_item_opens_no_hour() -> None:
    paused = msgspec.structs.replace(line_item("always"), paused=True)
    shares = of_day(campaign(paused, line_item("noon", [Daypart(from_hour=12)])))
    assert shares[12] == 0


def test_weights_shift_money_between_hours_and_the_last_one_counts() -> None:
    weights = [PacingWeight(percent=50), PacingWeight(from_hour=18, to_hour=20, percent=200)]
    steps = np.diff(of_day(campaign(weights=weights)))
    assert steps[18] == pytest.approx(4 * steps[3])
    assert steps[20] == pytest.approx(steps[3])


def test_ahead_spends_half_as_fast_again_at_first_and_half_as_fast_at_last() -> None:
    even, ahead = of_day(campaign()), of_day(campaign(pacing="ahead"))
    assert ahead[12] == pytest.approx(0.5 + AHEAD_SHARE / 4, abs=1e-3)
    assert ahead[24] == 1
    assert ahead[1] / even[1] == pytest.approx(1 + AHEAD_SHARE, rel=0.05)
    assert (ahead[23] - ahead[22]) / (even[23] - even[22]) == pytest.approx(1 - AHEAD_SHARE, rel=0.15)


def test_a_campaign_that_can_never_run_is_planned_evenly() -> None:
    never = campaign(line_item("gone", flight=Flight(end=When("2026-01-01"))))
    assert of_day(never)[12] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(("at_s", "share"), [(-1, 0.0), (50, 0.0), (101, 1.0)])
def test_an_empty_window_is_before_or_after(at_s: int, share: float) -> None:
    assert PlanCurve(100, 100).share(at_s) == share


HOURS = st.tuples(st.integers(0, 23), st.integers(1, 24)).filter(lambda pair: pair[0] < pair[1])
DAYPARTS = st.lists(
    st.builds(lambda hours, days: Daypart(from_hour=hours[0], to_hour=hours[1], days=days), HOURS,
              st.sets(st.sampled_from(("mon", "wed", "sat", "sun")), min_size=1).map(tuple)),
    max_size=2,
)  # fmt: skip


@given(
    dayparts=st.lists(DAYPARTS, min_size=1, max_size=2),
    weights=st.lists(
        st.builds(
            lambda hours, percent: PacingWeight(from_hour=hours[0], to_hour=hours[1], percent=percent),
            HOURS,
            st.integers(1, 400),
        ),
        max_size=2,
    ),
    zone=st.sampled_from([CHICAGO, KATHMANDU, "UTC"]),
    seed=st.integers(0, 1_000),
    quarters=st.tuples(st.integers(0, 700), st.integers(1, 1_500)),
    place=st.floats(0, 1),
    cut=st.integers(0, 200),
)
def test_the_curve_is_the_sum_of_its_quarters(
    dayparts: list[list[Daypart]],
    weights: list[PacingWeight],
    zone: str,
    seed: int,
    quarters: tuple[int, int],
    place: float,
    cut: int,
) -> None:
    """Against a naive model that walks through every quarter of an hour, some past a change of clocks."""
    begin_s = moment("2026-10-29", "UTC")
    start_s, end_s = begin_s + quarters[0] * QUARTER_S, begin_s + (quarters[0] + quarters[1]) * QUARTER_S
    bounded = Flight(end=When("2026-11-02 12:00"))
    items = [
        line_item(f"i{index}", parts, bounded if index else Flight()) for index, parts in enumerate(dayparts)
    ]
    traffic = np.random.default_rng(seed).uniform(0.1, 2, 168)
    of = campaign(*items, zone=zone, weights=weights)
    curve = plan_curve(of, start_s, end_s, traffic)
    slopes = []
    for quarter_s in range(start_s, end_s, QUARTER_S):
        local_hour = (quarter_s + utc_offset_s(quarter_s, zone) - 4 * DAY_S) // 3_600 % 168
        weight = 1.0
        for each in weights:
            if local_hour in daypart_hours((each.hours,)):
                weight = each.percent / 100
        is_open = any(
            local_hour in daypart_hours(item.targeting.dayparts)
            and quarter_s < flight_bounds_s(item.flight, zone)[1]
            for item in items
        )
        slopes.append(traffic[(quarter_s - 4 * DAY_S) // 3_600 % 168] * weight * is_open)
    whole = sum(slopes)
    if whole > 0:
        at = int(place * (len(slopes) - 1))
        # The closing is known by the peak of the weeks touched, so only the shape is compared.
        gone, total = curve.share(start_s + at * QUARTER_S), curve.share(end_s - 1)
        assert gone * whole * (1 - 0.02) <= sum(slopes[:at]) * (1 + 1e-9)
        assert gone >= min(sum(slopes[:at]) / whole, total) - 1e-9


@pytest.mark.parametrize(
    ("start", "end", "change"),
    [("2026-10-20", "2026-11-20", "2026-11-01"), ("2026-03-01", "2026-04-01", "2026-03-08")],
)
def test_a_flight_over_a_change_of_clocks_keeps_its_dayparts(start: str, end: str, change: str) -> None:
    evenings = Daypart(days=WEEKDAYS, from_hour=18, to_hour=22)
    start_s, end_s, change_s = (moment(text) for text in (start, end, change))
    curve = plan_curve(campaign(line_item("evenings", [evenings])), start_s, end_s)
    # Days before the change, of it, and long after.
    for day in (change_s - 5 * DAY_S, change_s, change_s + 10 * DAY_S):
        date = time.strftime("%Y-%m-%d", time.gmtime(day))
        hours = ("00:00", "18:00", "22:00", "23:59")
        midnight, six, ten, night = (curve.share(moment(f"{date} {hour}")) for hour in hours)
        assert midnight == six < ten == night
