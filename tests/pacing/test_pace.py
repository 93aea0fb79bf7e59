"""The rule of pacing, in virtual time against a simulated market."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.money import BILLION
from pacing.curve import PlanCurve
from pacing.pace import (
    INTERVAL_S,
    MULTIPLIER_MIN,
    SILENCE_S_MAX,
    SLACK_SHARE,
    STEP_MAX_FIRST,
    CampaignState,
    Observation,
    resolve,
)
from pacing.plan import MULTIPLIER_ONE_Q16

DAY_S = 86_400
TICK_S = 10.0
BID = 4_500_000
BUDGET = 200 * BILLION
DAY = PlanCurve(0, DAY_S)


def market(hour_rate: Callable[[float], float], seed: int) -> Callable[[float, float], tuple[int, int]]:
    """Return (time, bid) -> (auctions, wins) of one tick: noisy traffic, log-normal rival bids."""
    draws = np.random.default_rng(seed)

    def tick(now_s: float, bid: float) -> tuple[int, int]:
        rate = hour_rate(now_s / 3_600) * draws.lognormal(0, 0.3)
        auctions = int(draws.poisson(rate * TICK_S))
        chance = 0.5 * math.erfc(-math.log(bid / (0.4 * BID)) / (0.5 * math.sqrt(2)))
        return auctions, int(draws.binomial(auctions, chance))

    return tick


def a_day(
    traffic: Callable[[float, float], tuple[int, int]], pacing: str = "even"
) -> list[tuple[float, int, int]]:
    """Run one campaign from midnight to midnight; return (time, spent, multiplier) of each tick.

    The market grants like the ledger, within the ceiling, and bills one tick late.
    """
    state = CampaignState(at_s=0.0, spent=0)
    spent = unbilled = 0
    multiplier_q16 = MULTIPLIER_ONE_Q16
    ceiling: int | None = 0
    log = []
    for index in range(1, int(DAY_S / TICK_S) + 1):
        now_s = index * TICK_S
        bid = BID * multiplier_q16 // MULTIPLIER_ONE_Q16
        auctions, wins = traffic(now_s, bid)
        spent += unbilled
        within = BUDGET if ceiling is None else ceiling
        unbilled = min(wins, max(within - spent, 0) // bid) * bid
        observed = Observation(
            pacing="even" if pacing == "even" else "asap",
            curve=DAY,
            budget=BUDGET,
            spent=spent,
            spent_today=spent,
            spent_ever=spent,
            leased=max(within - spent, 0),
            price=BID,
            outcomes=auctions,
        )
        state, multiplier_q16, ceiling = resolve(state, observed, now_s)
        log.append((now_s, spent, multiplier_q16))
        if pacing == "even":
            assert ceiling is not None
            planned = BUDGET * DAY.share(now_s + INTERVAL_S)
            assert ceiling <= min(BUDGET, planned + SLACK_SHARE * BUDGET)
    return log


def working_day(hour: float) -> float:
    return 10 * (1 + 0.8 * math.sin(math.pi * (hour - 9) / 12))


def observed(
    budget: int = BUDGET,
    spent: int = 0,
    leased: int = BILLION,
    outcomes: int = 10,
    paused: bool = False,
    spent_before_today: int = 0,
) -> Observation:
    return Observation(
        curve=DAY,
        budget=budget,
        spent=spent,
        spent_today=spent - spent_before_today,
        spent_ever=spent,
        leased=leased,
        paused=paused,
        price=BID,
        outcomes=outcomes,
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_even_campaign_follows_the_plan_all_day(seed: int) -> None:
    log = a_day(market(working_day, seed))
    for now_s, spent, _ in log:
        assert abs(spent / BUDGET - DAY.share(now_s)) < 0.02
    assert log[-1][1] > 0.995 * BUDGET


def test_even_campaign_lowers_its_price_instead_of_leaning_on_the_ceiling() -> None:
    log = a_day(market(working_day, 1))
    noon = [multiplier for now_s, _, multiplier in log if 12 <= now_s / 3_600 < 14]
    assert max(noon) < 0.6 * MULTIPLIER_ONE_Q16


def test_small_budget_is_spread_over_the_day() -> None:
    """A win every few minutes: the share between wins is far below an impression's price."""
    scarce = market(lambda hour: 50 * working_day(hour), 4)
    log = a_day(scarce)
    assert all(abs(spent / BUDGET - DAY.share(now_s)) < 0.02 for now_s, spent, _ in log)


def test_asap_campaign_spends_at_full_price_until_its_budget_is_gone() -> None:
    log = a_day(market(lambda _: 30.0, 1), "asap")
    assert {multiplier for _, _, multiplier in log} == {MULTIPLIER_ONE_Q16}
    gone_s = next(now_s for now_s, spent, _ in log if spent > 0.99 * BUDGET)
    assert gone_s < DAY_S / 4


def test_an_outage_is_made_up_over_the_rest_of_the_day() -> None:
    from_h, to_h = 8, 10
    log = a_day(market(lambda hour: 0.0 if from_h <= hour < to_h else 10.0, 5))
    assert log[-1][1] > 0.995 * BUDGET
    spent_at = {now_s: spent for now_s, spent, _ in log}
    missing = (to_h - from_h) * 3_600 / DAY_S
    quarter = 900.0
    # No rush: a quarter of an hour costs what it does in an even rest of the day; the first one more,
    # since the silence has raised the multiplier to 1.
    rest = (BUDGET - spent_at[to_h * 3_600.0]) / ((0.98 * 24 - to_h) * 4)
    for index in range(4 * (23 - to_h)):
        begin = to_h * 3_600 + index * quarter
        assert spent_at[begin + quarter] - spent_at[begin] < (1.5 if index == 0 else 1.15) * rest
    behind = DAY.share(to_h * 3_600) - spent_at[to_h * 3_600.0] / BUDGET
    assert behind == pytest.approx(missing, abs=0.02)


AMOUNTS = st.integers(0, 10**18)


@given(
    multiplier=st.floats(MULTIPLIER_MIN, 1),
    at_s=st.floats(0, 2 * DAY_S),
    elapsed_s=st.floats(0, 5_000),
    spent=st.tuples(AMOUNTS, AMOUNTS),
    budget=AMOUNTS,
    leased=AMOUNTS,
    price=st.integers(0, 10**11),
    outcomes=st.integers(0, 10),
    paused=st.booleans(),
)
def test_whatever_is_observed_multiplier_and_ceiling_stay_in_bounds(
    multiplier: float,
    at_s: float,
    elapsed_s: float,
    spent: tuple[int, int],
    budget: int,
    leased: int,
    price: int,
    outcomes: int,
    paused: bool,
) -> None:
    before, now = sorted(spent)
    state = CampaignState(at_s=at_s, spent=before, level=multiplier)
    seen = Observation(
        curve=PlanCurve(3_600, DAY_S),
        budget=budget,
        spent=now,
        spent_today=now - before,
        spent_ever=now,
        leased=leased,
        paused=paused,
        price=price,
        outcomes=outcomes,
    )
    after, multiplier_q16, ceiling = resolve(state, seen, at_s + elapsed_s)
    assert MULTIPLIER_MIN <= after.level <= 1
    assert 1 <= multiplier_q16 <= MULTIPLIER_ONE_Q16
    assert ceiling is not None
    assert 0 <= ceiling <= budget
    assert abs(math.log(after.level / multiplier)) <= STEP_MAX_FIRST + 1e-9


@pytest.mark.parametrize(
    "nothing_to_spend",
    [observed(leased=0), observed(leased=BID // 4), observed(outcomes=0), observed(paused=True)],
    ids=["no lease", "lease below a bid", "no supply", "paused"],
)
def test_a_campaign_that_could_not_spend_does_not_wind_up(nothing_to_spend: Observation) -> None:
    state = CampaignState(at_s=40_000, spent=0, level=0.5)
    after, _, _ = resolve(state, nothing_to_spend, 40_000 + INTERVAL_S)
    assert after.level == 0.5
    after, _, _ = resolve(state, observed(), 40_000 + INTERVAL_S)
    assert after.level > 0.5


def test_a_campaign_at_its_ceiling_still_comes_down() -> None:
    state = CampaignState(at_s=40_000, spent=0, level=0.5)
    after, _, _ = resolve(state, observed(spent=BILLION, leased=0), 40_000 + INTERVAL_S)
    assert after.level < 0.5


def test_long_silence_raises_the_bid_and_one_outcome_ends_it() -> None:
    state = CampaignState(at_s=40_000, spent=0, level=0.5)
    while state.silent_s <= SILENCE_S_MAX:
        assert state.level == 0.5
        state, _, _ = resolve(state, observed(outcomes=0), state.at_s + INTERVAL_S)
    assert state.level > 0.5
    state, _, _ = resolve(state, observed(outcomes=1), state.at_s + INTERVAL_S)
    assert state.silent_s == 0


def test_ceiling_is_the_plan_ahead_in_todays_money() -> None:
    at_s = 0.49 * DAY_S
    seen = observed(spent=BUDGET // 4, spent_before_today=BUDGET // 8)
    _, _, ceiling = resolve(CampaignState(at_s=at_s, spent=0), seen, at_s)
    expected = BUDGET * (DAY.share(at_s + INTERVAL_S) + SLACK_SHARE) - BUDGET // 8
    assert ceiling == pytest.approx(expected)
