"""The multiplier of a goal, against a simulated market, and what it reads of the real one."""

import numpy as np
import pytest
import redis.asyncio

from config.money import BILLION, Money
from config.redis_keys import delivered
from config.schema import Goal
from pacing.goal import GOAL_DAYS, GOAL_INTERVAL_S, Delivered, GoalState, fetch_delivered, resolve_goal
from pacing.pace import MULTIPLIER_MIN, STEP_MAX

GOAL = Goal(type="cpc", target=Money(2 * BILLION))
NOTHING = Delivered({}, {})


def after(spent: int, events: int, multiplier: float = 0.5) -> float:
    state = GoalState(at_s=0.0, delivered=Delivered({9: 100}, {9: 4}), multiplier=multiplier)
    now = Delivered({9: 100 + spent}, {9: 4 + events})
    return resolve_goal(state, GOAL, now, GOAL_INTERVAL_S).multiplier


def test_at_its_target_it_stands_still() -> None:
    assert after(3 * GOAL.target, 3) == pytest.approx(0.5)


def test_it_falls_when_events_cost_more_and_rises_when_they_cost_less() -> None:
    assert after(3 * GOAL.target, 2) < 0.5 < after(3 * GOAL.target, 4)


def test_one_look_moves_it_by_a_bounded_step_within_its_bounds() -> None:
    assert after(1_000 * GOAL.target, 0) == pytest.approx(0.5 * np.exp(-STEP_MAX))
    assert after(0, 1_000, multiplier=0.99) == 1.0
    assert after(1_000 * GOAL.target, 0, multiplier=MULTIPLIER_MIN) == MULTIPLIER_MIN


def test_a_day_that_is_over_takes_nothing_back() -> None:
    state = GoalState(at_s=0.0, delivered=Delivered({8: 500, 9: 100}, {8: 7, 9: 4}), multiplier=0.5)
    now = Delivered({9: 100 + 2 * GOAL.target, 10: 0}, {9: 4, 10: 2})
    assert resolve_goal(state, GOAL, now, 1.0).multiplier == pytest.approx(0.5)


@pytest.mark.parametrize("cost_at_full_bid", [3.0, 8.0])
def test_a_market_that_is_too_dear_is_brought_to_the_target(cost_at_full_bid: float) -> None:
    """A click costs in proportion to the bid; clicks come by chance."""
    draws = np.random.default_rng(5)
    state = GoalState(at_s=0.0, delivered=NOTHING)
    spent = events = 0
    late_spent = late_events = 0
    for look in range(1, 600):
        clicks = int(draws.poisson(4 * state.multiplier))
        cost = int(4 * state.multiplier * state.multiplier * cost_at_full_bid * BILLION)
        spent, events = spent + cost, events + clicks
        if look > 200:
            late_spent, late_events = late_spent + cost, late_events + clicks
        state = resolve_goal(state, GOAL, Delivered({9: spent}, {9: events}), look * GOAL_INTERVAL_S)
    assert late_spent / late_events == pytest.approx(int(GOAL.target), rel=0.1)


def test_a_goal_that_keeps_a_campaign_from_buying_lets_go_until_it_buys() -> None:
    state = GoalState(at_s=0.0, delivered=NOTHING, multiplier=MULTIPLIER_MIN)
    stuck = resolve_goal(state, GOAL, NOTHING, GOAL_INTERVAL_S)
    assert stuck.multiplier == MULTIPLIER_MIN, "who could not have bought anything learns nothing"
    for look in range(1, 101):
        state = resolve_goal(state, GOAL, NOTHING, look * GOAL_INTERVAL_S, idle=True)
    assert state.multiplier == 1.0, "within nine hours"
    spent = resolve_goal(state, GOAL, Delivered({9: 2 * GOAL.target}, {}), 0.0, idle=True)
    assert spent.multiplier < 1.0


async def test_a_conversion_counts_for_the_goal_a_month_after_its_bid(
    redis_client: redis.asyncio.Redis,
) -> None:
    goal = Goal(type="cpa", target=Money(2 * BILLION))
    for day in range(1, 61):
        await redis_client.hset(delivered(7, day), mapping={"spent": 5, "clicks": 1})
    before = await fetch_delivered(redis_client, 7, goal, 60)
    await redis_client.hincrby(delivered(7, 30), "conversions", 2)
    state = GoalState(at_s=0.0, delivered=before, multiplier=0.5)
    now = await fetch_delivered(redis_client, 7, goal, 60)
    assert resolve_goal(state, goal, now, GOAL_INTERVAL_S).multiplier == pytest.approx(0.5 * np.exp(0.1))
    assert (min(now.spent), max(now.spent)) == (60 - GOAL_DAYS + 1, 60)


async def test_what_was_delivered_is_read_by_day(redis_client: redis.asyncio.Redis) -> None:
    await redis_client.hset(delivered(7, 19), mapping={"spent": 5, "clicks": 1, "conversions": 9})
    await redis_client.hset(delivered(7, 20), mapping={"spent": 6})
    assert await fetch_delivered(redis_client, 7, GOAL, 20) == Delivered({19: 5, 20: 6}, {19: 1, 20: 0})
    conversions = Goal(type="cpa", target=Money(1))
    assert (await fetch_delivered(redis_client, 7, conversions, 20)).events == {19: 9, 20: 0}
