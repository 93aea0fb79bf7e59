"""The pacing plan: what the elected controller decides and every worker reads.

A `Plan` is one JSON value under one key, replaced whole every few seconds: for each campaign the
bid multiplier, and which shaded prices belong to it (`pacing.shading`). Nothing in it can spend
money by itself: a worker that misses a plan, or reads an old one, still bids only from its leases.

A worker takes no plan for live that is older than PLAN_STALE_SECONDS_MAX: see `is_stale`.
"""

from typing import Annotated, Final

import msgspec
import redis.asyncio

from config.limits import PLAN_STALE_SECONDS_MAX
from config.redis_keys import PLAN

MULTIPLIER_ONE_Q16: Final = 1 << 16
"""A multiplier of 1: multipliers are 16-bit binary fractions, so that the kernel needs no floats."""


MultiplierQ16 = Annotated[int, msgspec.Meta(ge=1, le=MULTIPLIER_ONE_Q16)]
"""A plan with another number is of no controller, and would bid more than an impression is worth."""


class CampaignPlan(msgspec.Struct, frozen=True, array_like=True):
    """What the controller decided for one campaign. In JSON a list: workers read thousands twice a second."""

    multiplier_q16: MultiplierQ16
    """What bids are multiplied by, 1 to MULTIPLIER_ONE_Q16: the lower of the next two."""
    budget_q16: MultiplierQ16 = MULTIPLIER_ONE_Q16
    """What the budget allows."""
    goal_q16: MultiplierQ16 = MULTIPLIER_ONE_Q16
    """What the goal allows; without a goal, MULTIPLIER_ONE_Q16."""
    share_millionths: int = 0
    """How much of the window's money should be spent by now."""
    budget: int = 0
    """The window's money, billionths."""
    spent: int = 0
    """What of it was spent."""
    window_s: int = 0
    """When the window began, unix seconds."""

    @property
    def planned(self) -> int:
        """What of the window's money should be spent by now, billionths."""
        return self.budget * self.share_millionths // 1_000_000


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


def is_stale(plan: Plan, now_s: float) -> bool:
    """Tell whether a plan is older than a worker may go by; both times are unix seconds."""
    return now_s - plan.made_at_s > PLAN_STALE_SECONDS_MAX
