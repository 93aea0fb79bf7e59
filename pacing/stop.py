"""The global stop: one key that holds all bidding of an installation until it is removed.

    await put(client, Stop(by="ops@host", at_s=now_s, reason="wrong creative"))
    async for stop in watch(client, seen): ...        # in every worker
    await lift(client)

Workers look at the key several times a second instead of being told: a message can be lost with its
connection, a key can't, and four small reads a second cost a worker nothing. The key has no expiry, so
an installation that was stopped stays so through restarts of anything. A worker that can't reach Redis
does not see the key; it has stopped by itself when its lease is stale (LEASE_STALE_SECONDS_MAX).

A stop withholds bids only. Notices are taken and booked as ever, and leases stay as they are.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Final

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from config.limits import STOP_SECONDS_MAX
from config.redis_keys import STOP

POLL_SECONDS: Final = 0.25

assert POLL_SECONDS < STOP_SECONDS_MAX / 2


class Stop(msgspec.Struct, frozen=True):
    """Who stopped the installation, when, and why."""

    by: str
    at_s: float
    reason: str = ""


UNREADABLE: Final = Stop("another release of Hustings", 0.0)
"""Whatever the key holds, there is a stop."""


async def put(client: redis.asyncio.Redis, stop: Stop) -> None:
    """Hold all bidding. Raises redis.RedisError."""
    await client.set(STOP, msgspec.json.encode(stop))


async def lift(client: redis.asyncio.Redis) -> None:
    """Allow bidding again. Raises redis.RedisError."""
    await client.delete(STOP)


async def fetch(client: redis.asyncio.Redis) -> Stop | None:
    """Return the stop that holds, None when there is none. Raises redis.RedisError."""
    data = await client.get(STOP)
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=Stop)
    except msgspec.DecodeError:
        return UNREADABLE


async def watch(client: redis.asyncio.Redis, seen: Stop | None) -> AsyncGenerator[Stop | None, None]:
    """Yield the stop, or None, whenever it is another than was seen; never ends, whatever Redis does."""
    while True:
        with contextlib.suppress(RedisError):
            found = await fetch(client)
            if found != seen:
                seen = found
                yield seen
        await asyncio.sleep(POLL_SECONDS)
