"""The floors that exchanges ask, as sampled by the workers: whether a price has a chance at all.

    seen = FloorsSeen()
    seen.count("plain", 1_250_000)                       # one floor of one sampled request
    await seen.send(client, today)
    floors = await floors_seen(client, today)            # {"plain": {1_200_000: 311, ...}}

A floor is counted under its first two digits (1.25 under 1.2), so that an exchange has some hundred of them,
and what is counted never exceeds what was asked. Counts are kept by day, for FLOOR_DAYS days.
"""

from collections import Counter
from typing import Any

import redis.asyncio

from config import redis_keys
from config.calendar import SECONDS_PER_DAY
from config.limits import FLOOR_DAYS


class FloorsSeen:
    """What one worker has counted since it last sent."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, int]] = Counter()

    def count(self, exchange_id: str, floor_cpm_micros: int) -> None:
        self._counts[exchange_id, two_digits(floor_cpm_micros)] += 1

    async def send(self, client: "redis.asyncio.Redis", today: int) -> None:
        """Add what was counted to the sums of a day. Raises redis.RedisError, and it is lost."""
        if not self._counts:
            return
        counts, self._counts = self._counts, Counter()
        key = redis_keys.floors(today)
        async with client.pipeline(transaction=False) as pipe:
            for (exchange_id, floor), times in counts.items():
                pipe.hincrby(key, f"{exchange_id}:{floor}", times)
            pipe.expire(key, (FLOOR_DAYS + 1) * SECONDS_PER_DAY)
            await pipe.execute()


def two_digits(floor_cpm_micros: int) -> int:
    """Round a floor down to its first two digits."""
    digits = len(str(floor_cpm_micros))
    unit: int = 10 ** max(digits - 2, 0)
    return floor_cpm_micros // unit * unit


async def floors_seen(client: "redis.asyncio.Redis", today: int) -> dict[str, dict[int, int]]:
    """Return how often each floor was seen at each exchange, in FLOOR_DAYS days. Raises redis.RedisError."""
    found: dict[str, dict[int, int]] = {}
    for day in range(today - FLOOR_DAYS + 1, today + 1):
        reply: Any = await client.hgetall(redis_keys.floors(day))
        for field, times in reply.items():
            exchange_id, _, floor = field.decode().rpartition(":")
            counts = found.setdefault(exchange_id, {})
            counts[int(floor)] = counts.get(int(floor), 0) + int(times)
    return found
