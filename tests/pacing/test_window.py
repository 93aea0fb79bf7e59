"""Which money is spent now, and for how long."""

import msgspec
import pytest

from config.calendar import epoch_s, local_day
from config.money import CpmMicros, Money
from config.schema import Budget, Campaign, Flight, LineItem, When, code_of
from pacing.account import Account
from pacing.curve import plan_curve
from pacing.pace import Observation
from pacing.window import observe, window

ZONE = "America/Chicago"
ALWAYS = Flight()


def campaign(total: int, daily: int | None, flight: Flight = ALWAYS) -> Campaign:
    bids = [CpmMicros(2_000_000), CpmMicros(5_000_000)]
    return Campaign(
        id="c1",
        time_zone=ZONE,
        budget=Budget(total=Money(total), daily=None if daily is None else Money(daily)),
        flight=flight,
        line_items=tuple(
            LineItem(id=f"l{index}", bid_cpm=bid, creatives=("x",)) for index, bid in enumerate(bids)
        ),
    )


def an_account(now_s: int, spent: int, spent_day: int, days_ago: int = 0) -> Account:
    return Account(
        code=code_of("c1"),
        campaign_id="c1",
        time_zone=ZONE,
        total=0,
        daily=None,
        spent=spent,
        day=local_day(now_s, ZONE) - days_ago,
        spent_day=spent_day,
        leased=7,
        late=0,
        paused=False,
        ceiling=None,
        ceiling_day=None,
        leases={1: 7},
    )


def observed(of: Campaign, account: Account, outcomes: int, now_s: float) -> Observation:
    return observe(of, account, plan_curve(of, *window(of, now_s)), outcomes, now_s)


NOON_S = epoch_s(When("2026-10-20 12:00"), ZONE)


@pytest.mark.parametrize(
    ("total", "spent", "spent_day", "budget"),
    [(1_000, 300, 40, 100), (1_000, 980, 40, 60), (1_000, 1_200, 40, 0)],
    ids=["daily", "rest of the total", "overdrawn"],
)
def test_todays_money_is_the_daily_budget_or_what_was_left(
    total: int, spent: int, spent_day: int, budget: int
) -> None:
    seen = observed(campaign(total, 100), an_account(NOON_S, spent, spent_day), 3, NOON_S)
    assert (seen.budget, seen.spent, seen.spent_today) == (budget, spent_day, spent_day)
    assert (seen.price, seen.leased, seen.outcomes) == (3_500_000, 7, 3)


def test_yesterdays_spend_is_not_todays() -> None:
    seen = observed(campaign(1_000, 100), an_account(NOON_S, 300, 100, days_ago=1), 0, NOON_S)
    assert (seen.budget, seen.spent) == (100, 0)


def test_a_flight_has_the_total() -> None:
    flight = Flight(start=When("2026-10-01"), end=When("2026-11-03"))
    seen = observed(campaign(1_000, None, flight), an_account(NOON_S, 300, 40), 0, NOON_S)
    assert (seen.budget, seen.spent, seen.spent_today) == (1_000, 300, 40)


def test_an_hourly_budget_bounds_what_the_rest_of_the_day_can_cost() -> None:
    half_spent = an_account(NOON_S, 300, 40)
    paced = msgspec.structs.replace(
        campaign(1_000, 100), budget=Budget(total=Money(1_000), daily=Money(100), hourly=Money(2))
    )
    assert observed(paced, half_spent, 0, NOON_S).budget == 40 + 12 * 2


def test_a_correction_by_hand_is_no_spend_of_a_tick() -> None:
    corrected = msgspec.structs.replace(an_account(NOON_S, 300, 40), adjusted=-50)
    assert observed(campaign(1_000, 100), corrected, 0, NOON_S).spent_ever == 350


def moment(text: str) -> int:
    return epoch_s(When(text), ZONE)


def spread(daily: Money | None = None, start: str | None = None, end: str | None = None) -> Campaign:
    flight = Flight(start=When(start) if start else None, end=When(end) if end else None)
    return campaign(10**12, daily, flight)


def test_daily_window_is_the_local_day() -> None:
    noon = moment("2026-10-20 12:00")
    assert window(spread(daily=Money(1)), noon) == (moment("2026-10-20"), moment("2026-10-21"))


def test_daily_window_of_a_long_day_has_25_hours() -> None:
    start_s, end_s = window(spread(daily=Money(1)), moment("2026-11-01 12:00"))
    assert end_s - start_s == 25 * 3_600


def test_daily_window_is_cut_by_the_flight() -> None:
    short = spread(daily=Money(1), start="2026-10-20 08:00", end="2026-10-21 20:00")
    assert window(short, moment("2026-10-20 12:00")) == (moment("2026-10-20 08:00"), moment("2026-10-21"))
    assert window(short, moment("2026-10-21 12:00")) == (moment("2026-10-21"), moment("2026-10-21 20:00"))


def test_total_without_daily_is_for_the_flight() -> None:
    flight = spread(start="2026-10-01", end="2026-11-03 20:00")
    assert window(flight, moment("2026-10-20 12:00")) == (moment("2026-10-01"), moment("2026-11-03 20:00"))


def test_open_flight_without_daily_is_for_the_day() -> None:
    assert window(spread(), moment("2026-10-20 12:00")) == (moment("2026-10-20"), moment("2026-10-21"))
    started = spread(start="2026-10-20 08:00")
    assert window(started, moment("2026-10-20 12:00")) == (moment("2026-10-20 08:00"), moment("2026-10-21"))


def test_flight_without_start_is_spread_from_this_morning() -> None:
    ending = spread(end="2026-11-03")
    assert window(ending, moment("2026-10-20 12:00")) == (moment("2026-10-20"), moment("2026-11-03"))
