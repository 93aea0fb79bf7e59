"""The multiplier of a goal: bids are lowered until clicks, or conversions, cost what they may.

    state = resolve_goal(state, goal, await fetch_delivered(client, code, goal, day), now_s)

Every GOAL_INTERVAL_S the controller looks at what a campaign was billed and how many clicks or conversions it
got, and moves its goal's multiplier:

    g := g · exp(-GOAL_GAIN · (spent since / target - events since)),  MULTIPLIER_MIN <= g <= 1

The bracket is how many events are missing for what was paid. At the target it is 0 on average; an event too
many raises g by 5 %, one too few lowers it as much, whatever an event costs and however rare it is. One look
moves g by STEP_MAX at most.

A bracket of nothing, where nothing was spent and nothing came, says nothing of the goal. If it was the goal
that kept the campaign from buying (`idle`), g rises by 5 % a look until it buys again. Else a campaign whose
clicks were not counted for an afternoon would stay below every floor for ever.

The goal and the budget are followed each by itself, and the lower multiplier holds ("Budget pacing and ROS",
Balseiro et al. 2023: one after the other could violate both badly, the minimum comes out as well as solving
for both at once). A conversion counts when it is reported, hours or weeks after the money: a campaign that
begins is lowered too far at first, and comes back with them. Sums are by the day of the bid, so those of all
days are read whose conversions may still come (GOAL_DAYS).
"""

import math
from collections.abc import Mapping
from typing import Final

import msgspec
import redis.asyncio

from config import redis_keys
from config.calendar import SECONDS_PER_DAY
from config.limits import CONVERSION_MEMORY_SECONDS_MAX
from config.schema import Goal
from pacing.pace import MULTIPLIER_MIN, STEP_MAX

GOAL_INTERVAL_S: Final = 300.0
GOAL_GAIN: Final = 0.05
GOAL_DAYS: Final = CONVERSION_MEMORY_SECONDS_MAX // SECONDS_PER_DAY + 1
"""Today, and the days before it whose bids may still bring a conversion."""


class Delivered(msgspec.Struct, frozen=True):
    """What a campaign was billed, in billionths, and the events it got, by local day of the bid."""

    spent: Mapping[int, int]
    events: Mapping[int, int]


class GoalState(msgspec.Struct, frozen=True, kw_only=True):
    """What the controller remembers of one goal."""

    at_s: float
    delivered: Delivered
    multiplier: float = 1.0


def resolve_goal(
    state: GoalState, goal: Goal, delivered: Delivered, now_s: float, *, idle: bool = False
) -> GoalState:
    """Move a goal's multiplier by what was delivered since the last look.

    idle: it had money and auctions, and its goal's multiplier was the lower one: if it spent nothing, that is
    why.
    """
    spent = _since(state.delivered.spent, delivered.spent)
    events = _since(state.delivered.events, delivered.events)
    step = GOAL_GAIN * (spent / max(int(goal.target), 1) - events)
    if idle and not spent and not events:
        step = -GOAL_GAIN
    step = min(max(step, -STEP_MAX), STEP_MAX)
    multiplier = min(max(state.multiplier * math.exp(-step), MULTIPLIER_MIN), 1.0)
    return GoalState(at_s=now_s, delivered=delivered, multiplier=multiplier)


def _since(before: Mapping[int, int], now: Mapping[int, int]) -> int:
    """Return what was added to the sums of the days that are known now."""
    return sum(max(total - before.get(day, 0), 0) for day, total in now.items())


async def fetch_delivered(client: redis.asyncio.Redis, code: int, goal: Goal, day: int) -> Delivered:
    """Read the sums of a local day and those before it (`pacing.delivery`). Raises redis.RedisError."""
    events_name = "clicks" if goal.type == "cpc" else "conversions"
    days = range(day - GOAL_DAYS + 1, day + 1)
    async with client.pipeline(transaction=False) as pipe:
        for each in days:
            pipe.hmget(redis_keys.delivered(code, each), ["spent", events_name])
        replies = await pipe.execute()
    sums = {
        each: tuple(int(value or 0) for value in values)
        for each, values in zip(days, replies, strict=True)
        if any(values)
    }
    return Delivered(
        {each: spent for each, (spent, _) in sums.items()}, {each: n for each, (_, n) in sums.items()}
    )
