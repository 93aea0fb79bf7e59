"""The sizes of all segments as they were counted, so that one sees them grow.

    await remember_counts(client, counts)
    earlier = await counts_history(client)            # the newest first

Whoever counts everybody remembers it: `hustings segments count` and `report`, and the keeper of audiences
after loads and every day. A loader that runs each five minutes must not push last month out. So the latest
SEGMENT_COUNTS_RECENT_MAX countings are kept, and of each day (UTC) before them the last; SEGMENT_COUNTS_MAX
in all, more than a year.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
import redis.asyncio

from config import redis_keys
from config.calendar import SECONDS_PER_DAY
from config.limits import SEGMENT_COUNTS_MAX, SEGMENT_COUNTS_RECENT_MAX

assert 0 < SEGMENT_COUNTS_RECENT_MAX < SEGMENT_COUNTS_MAX


class SegmentCounts(msgspec.Struct, frozen=True):
    """One counting of everybody."""

    at_s: int
    cookies: int
    sizes: dict[str, int]
    """By the name the segment had then."""


_COUNTS = msgspec.json.Decoder(SegmentCounts)


async def remember_counts(client: "redis.asyncio.Redis", counts: SegmentCounts) -> None:
    """Add to the history. Raises redis.RedisError."""
    key = redis_keys.SEGMENT_COUNTS
    await client.hset(key, str(counts.at_s), msgspec.json.encode(counts))
    times = [int(field) for field in await client.hkeys(key)]
    if dropped := superseded(times):
        await client.hdel(key, *map(str, dropped))


async def counts_history(
    client: "redis.asyncio.Redis", most: int = SEGMENT_COUNTS_MAX
) -> list[SegmentCounts]:
    """Return the last countings, the newest first. Raises redis.RedisError."""
    key = redis_keys.SEGMENT_COUNTS
    times = sorted((int(field) for field in await client.hkeys(key)), reverse=True)[:most]
    if not times:
        return []
    # One that somebody dropped meanwhile is None.
    texts: Any = await client.hmget(key, [str(at_s) for at_s in times])
    return [_COUNTS.decode(text) for text in texts if text is not None]


def superseded(times_s: Iterable[int]) -> list[int]:
    """Return those of the countings' times, epoch seconds, that need not be remembered any more."""
    newest_first = sorted(set(times_s), reverse=True)
    last_of_day: dict[int, int] = {}
    for at_s in newest_first[SEGMENT_COUNTS_RECENT_MAX:]:
        last_of_day.setdefault(at_s // SECONDS_PER_DAY, at_s)
    kept = [*newest_first[:SEGMENT_COUNTS_RECENT_MAX], *last_of_day.values()][:SEGMENT_COUNTS_MAX]
    return sorted(set(newest_first) - set(kept))
