"""The daily sweep: what is over goes, and what nobody means any more.

    swept = await sweep(client, now_s)

Readers ignore a cookie past its day, so the sweep gives memory back. It is what ends a bit with a day of
its own (`segments.bit_days`), and what makes the bit of a retired segment free for another
(`segments.registry`). The keeper of audiences runs it after midnight UTC; `hustings segments sweep` runs
it at any time.
"""

from collections.abc import Callable

import msgspec
import redis.asyncio

from config import redis_keys
from config.calendar import SECONDS_PER_DAY
from segments.bit_days import UserBits
from segments.bitsets import bits_from_indices
from segments.expressions import words_for
from segments.links import LinkStore
from segments.registry import SegmentRegistry


class Swept(msgspec.Struct, frozen=True):
    """What a sweep did."""

    deleted: int
    """Cookies of which nothing is left."""
    changed: int
    """Cookies that lost a segment and stay."""
    freed: int
    """Bits of retired segments that may be given to others."""


async def sweep(
    client: "redis.asyncio.Redis", now_s: int, progress: Callable[[], None] = lambda: None
) -> Swept:
    """Sweep every bucket. progress is called `bit_days.SWEEP_STEPS` times. Raises redis.RedisError."""
    registry, today = SegmentRegistry(client), now_s // SECONDS_PER_DAY
    retired = await registry.retired()
    mask = bits_from_indices(retired, words_for(max(retired, default=0) + 1))
    deleted, changed = await UserBits(client).sweep(mask, today, progress)
    freed = await registry.release(retired, now_s) if retired else 0
    await LinkStore(client).sweep(today)
    await client.set(redis_keys.AUDIENCE_SWEPT, today)
    return Swept(deleted, changed, freed)
