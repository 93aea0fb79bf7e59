"""The multiplier of a goal, against a simulated market, and what it reads of the real one."""

import numpy as np
import pytest
import redis.asyncio

from config.money import BILLION, Money
from config.redis_keys import delivered
from config.schema import Goal
from pacing.goal import GOAL_INTERVAL_S, Delivered, GoalState, fetch_delivered, resolve_goal
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


async def test_what_was_delivered_is_read_of_two_days(redis_client: redis.asyncio.Redis) -> None:
    await redis_client.hset(delivered(7, 19), mapping={"spent": 5, "clicks": 1, "conversions": 9})
    await redis_client.hset(delivered(7, 20), mapping={"spent": 6})
    assert await fetch_delivered(redis_client, 7, GOAL, 20) == Delivered({19: 5, 20: 6}, {19: 1, 20: 0})
    conversions = Goal(type="cpa", target=Money(1))
    assert (await fetch_delivered(redis_client, 7, conversions, 20)).events == {19: 9, 20: 0}
