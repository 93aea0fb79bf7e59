import msgspec
import pytest
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st

from config.calendar import epoch_s
from config.money import Money
from config.redis_keys import PLAN
from config.schema import Budget, Campaign, Flight, When
from pacing.plan import (
    MULTIPLIER_ONE_Q16,
    PLAN_COMPLETE_SHARE,
    CampaignPlan,
    Plan,
    decode,
    encode,
    fetch,
    planned_share,
    publish,
    window,
)

CHICAGO = "America/Chicago"
DAY_S = 86_400


def moment(text: str) -> int:
    return epoch_s(When(text), CHICAGO)


def campaign(daily: Money | None = None, start: str | None = None, end: str | None = None) -> Campaign:
    return Campaign(
        id="c1",
        time_zone=CHICAGO,
        budget=Budget(total=Money(10**12), daily=daily),
        flight=Flight(start=When(start) if start else None, end=When(end) if end else None),
        line_items=(),
    )


PLAN_OF_TWO = Plan(
    made_at_s=1_790_000_000.25,
    version=7,
    campaigns={0xFFFFFFFF: CampaignPlan(MULTIPLIER_ONE_Q16), 1: CampaignPlan(1)},
    shading_version=5,
)


def test_plan_survives_json() -> None:
    assert decode(encode(PLAN_OF_TWO)) == PLAN_OF_TWO
    assert decode(encode(Plan(made_at_s=0.0, version=1))).campaigns == {}


@pytest.mark.parametrize("data", [b"", b"[]", b'{"made_at_s":1}', b'{"made_at_s":1,"version":"x"}'])
def test_decode_refuses_what_is_no_plan(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(data)


async def test_published_plan_is_fetched(redis_client: redis.asyncio.Redis) -> None:
    assert await fetch(redis_client) is None
    await publish(redis_client, PLAN_OF_TWO)
    assert await fetch(redis_client) == PLAN_OF_TWO


async def test_plan_of_another_version_is_none(redis_client: redis.asyncio.Redis) -> None:
    await redis_client.set(PLAN, b'{"epoch":3}')
    assert await fetch(redis_client) is None


def test_share_is_even_and_complete_early() -> None:
    assert planned_share(999, 1_000, 2_000) == 0
    assert planned_share(1_000, 1_000, 2_000) == 0
    assert planned_share(1_490, 1_000, 2_000) == pytest.approx(0.5)
    assert planned_share(1_000 + 1_000 * PLAN_COMPLETE_SHARE, 1_000, 2_000) == 1
    assert planned_share(2_000, 1_000, 2_000) == 1


@given(st.floats(0, 4e9), st.floats(0, 4e9), st.integers(0, 4 * 10**9), st.integers(0, 4 * 10**9))
def test_share_never_falls_in_time(now_s: float, later_s: float, start_s: int, end_s: int) -> None:
    early, late = sorted((now_s, later_s))
    assert 0 <= planned_share(early, start_s, end_s) <= planned_share(late, start_s, end_s) <= 1


def test_daily_window_is_the_local_day() -> None:
    noon = moment("2026-10-20 12:00")
    assert window(campaign(daily=Money(1)), noon) == (moment("2026-10-20"), moment("2026-10-21"))


def test_daily_window_of_a_long_day_has_25_hours() -> None:
    start_s, end_s = window(campaign(daily=Money(1)), moment("2026-11-01 12:00"))
    assert end_s - start_s == 25 * 3_600


def test_daily_window_is_cut_by_the_flight() -> None:
    short = campaign(daily=Money(1), start="2026-10-20 08:00", end="2026-10-21 20:00")
    assert window(short, moment("2026-10-20 12:00")) == (moment("2026-10-20 08:00"), moment("2026-10-21"))
    assert window(short, moment("2026-10-21 12:00")) == (moment("2026-10-21"), moment("2026-10-21 20:00"))


def test_total_without_daily_is_for_the_flight() -> None:
    flight = campaign(start="2026-10-01", end="2026-11-03 20:00")
    assert window(flight, moment("2026-10-20 12:00")) == (moment("2026-10-01"), moment("2026-11-03 20:00"))


def test_open_flight_without_daily_is_for_the_day() -> None:
    assert window(campaign(), moment("2026-10-20 12:00")) == (moment("2026-10-20"), moment("2026-10-21"))
    started = campaign(start="2026-10-20 08:00")
    assert window(started, moment("2026-10-20 12:00")) == (moment("2026-10-20 08:00"), moment("2026-10-21"))


def test_flight_without_start_is_spread_from_this_morning() -> None:
    ending = campaign(end="2026-11-03")
    assert window(ending, moment("2026-10-20 12:00")) == (moment("2026-10-20"), moment("2026-11-03"))


@pytest.mark.parametrize(("now", "share"), [("2026-10-18 12:00", 0.0), ("2026-10-25 12:00", 1.0)])
def test_nothing_is_due_before_the_flight_and_all_after(now: str, share: float) -> None:
    flight = campaign(daily=Money(1), start="2026-10-20", end="2026-10-22")
    assert planned_share(moment(now), *window(flight, moment(now))) == share
