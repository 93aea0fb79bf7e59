"""What the tests of look-ups share: people in a real store, questions about them, and what must come back."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import redis
import redis.asyncio

from segments.bitsets import bits_from_flags
from segments.location import caps_key, location
from segments.lookup import UserLookup, Values
from segments.store import SegmentStore
from tests.waiting import SECONDS_MAX

PATIENT_MS = 20_000
USERS = [number * 0x0123_4567_89AB_CDEF % 2**64 for number in range(1, 301)]


Answer = tuple[Values, list[int]]
"""The values, and the positions of the users who are missing."""


async def ask(lookup: UserLookup, users: list[int]) -> Answer:
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    lookup.fetch(users, lambda values, missing: answered.set_result((values, list(missing))))
    async with asyncio.timeout(SECONDS_MAX):
        return await answered


def strangers(users: list[int]) -> Answer:
    """The answer when nothing is learnt of anybody."""
    return [None] * (2 * len(users)), list(range(len(users)))


async def fill(client: redis.asyncio.Redis) -> dict[int, tuple[bytes | None, bytes | None]]:
    """Give two in three users segments and one in five caps; return what plain reads say."""
    rng = np.random.default_rng(8)
    bits = bits_from_flags(rng.random((len(USERS), 256)) < 0.05)
    await SegmentStore(client).write(np.array(USERS, np.uint64)[::3], bits[::3], 20_000)
    await SegmentStore(client).write(np.array(USERS, np.uint64)[1::3], bits[1::3], 20_500)
    for user in USERS[::5]:
        await client.set(caps_key(user), rng.bytes(int(rng.integers(0, 768))))
    pipeline: Any = client.pipeline(transaction=False)
    for user in USERS:
        pipeline.hget(*location(user)).get(caps_key(user))
    replies = await pipeline.execute()
    return dict(zip(USERS, zip(replies[::2], replies[1::2], strict=True), strict=True))


def flat(users: list[int], expected: dict[int, tuple[bytes | None, bytes | None]]) -> Answer:
    return [value for user in users for value in expected[user]], []


def faults(lookup: UserLookup) -> dict[str, int]:
    return {fault.value: count for fault, count in lookup.tally.faults.items()}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not condition():  # noqa: ASYNC110 what is waited for announces itself to nobody
            await asyncio.sleep(0.002)
