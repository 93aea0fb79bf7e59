"""The pacing plan: what the elected controller decides and every worker reads.

A `Plan` is one JSON value under one key, replaced whole every few seconds: for each campaign the
bid multiplier, and which shaded prices belong to it (`pacing.shading`). Nothing in it can spend
money by itself: a worker that misses a plan, or reads an old one, still bids only from its leases.

Beside it are the two pure questions pacing asks about time. `window` says which stretch of time a
campaign's current money is meant for; `planned_share` says how much of it should be spent by now:

    start_s, end_s = window(campaign, now_s)
    should_be_spent = money_of_the_window * planned_share(now_s, start_s, end_s)

The money of a window is the daily budget where there is one; else what was left of the total when
the window began (`pacing.controller.observe`).
"""

from typing import Final

import msgspec
import redis.asyncio

from config.calendar import OPEN_END_S, day_bounds_s, flight_bounds_s
from config.redis_keys import PLAN
from config.schema import Campaign

MULTIPLIER_ONE_Q16: Final = 1 << 16
"""A multiplier of 1: multipliers are 16-bit binary fractions, so that the kernel needs no floats."""
PLAN_COMPLETE_SHARE: Final = 0.98
"""The plan is complete when this much of its window has passed, so that the last impressions are
billed before the money's window closes."""


class CampaignPlan(msgspec.Struct, frozen=True):
    """What the controller decided for one campaign: `multiplier_q16` in (0, MULTIPLIER_ONE_Q16]."""

    multiplier_q16: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One decision of the controller. `version` grows by at least one with each plan."""

    made_at_s: float
    version: int
    campaigns: dict[int, CampaignPlan] = {}
    """By campaign code (`config.schema.code_of`). A campaign that is not here bids unmultiplied."""
    shading_version: int = 0
    """Which `pacing.shading.Shading` to bid by: a value of its own, as it is larger and changes less."""


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Plan)


def encode(plan: Plan) -> bytes:
    """Write a plan as JSON."""
    return _ENCODER.encode(plan)


def decode(data: bytes | str) -> Plan:
    """Read what `encode` wrote; raises msgspec.DecodeError or its ValidationError on anything else."""
    return _DECODER.decode(data)


async def publish(client: redis.asyncio.Redis, plan: Plan) -> None:
    """Make this the live plan. Raises redis.RedisError."""
    await client.set(PLAN, encode(plan))


async def fetch(client: redis.asyncio.Redis) -> Plan | None:
    """Return the live plan, or None when there is none that this version can read.

    An unreadable plan is another version's: its controller or ours replaces it within seconds, and
    until then the reader goes on with the plan it has. Raises redis.RedisError.
    """
    data = await client.get(PLAN)
    if data is None:
        return None
    try:
        return decode(data)
    except msgspec.DecodeError:
        return None


def planned_share(now_s: float, start_s: float, end_s: float) -> float:
    """Return how much of a window's money, from 0 to 1, should be spent by `now_s`.

    Even in time from the window's start until PLAN_COMPLETE_SHARE of it has passed. Nothing is due
    before the start, everything after the end.
    """
    if now_s < start_s:
        return 0.0
    if now_s >= end_s:
        return 1.0
    return min(max((now_s - start_s) / ((end_s - start_s) * PLAN_COMPLETE_SHARE), 0.0), 1.0)


def window(campaign: Campaign, now_s: float) -> tuple[int, int]:
    """Return the start and end, in unix seconds, of the time the campaign's current money is for.

    With a daily budget: today, in the campaign's time zone, as far as the flight covers it. With
    only a total: the flight; where the flight has no start, from this midnight on, so that what is
    left is spread again each day; where it has no end, today. A flight that does not touch today
    gives an empty window, whose start is not before its end.
    """
    day_start_s, day_end_s = day_bounds_s(int(now_s), campaign.time_zone)
    flight_start_s, flight_end_s = flight_bounds_s(campaign.flight, campaign.time_zone)
    if campaign.budget.daily is not None or flight_end_s == OPEN_END_S:
        return max(day_start_s, flight_start_s), min(day_end_s, flight_end_s)
    return flight_start_s or day_start_s, flight_end_s
