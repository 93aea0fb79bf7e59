"""Users changed bit by bit in a real server, against a plain model of bits that each have a day."""

import asyncio
import random

import numpy as np
import pytest
import redis.asyncio
from numpy.typing import NDArray

from config import redis_keys
from config.limits import RULE_DAYS_PER_USER_MAX
from segments.bit_days import SWEEP_STEPS, UserBits
from segments.bitsets import bits_from_indices, indices_from_bits
from segments.bucket_script import BucketScript
from segments.location import BUCKET_SHIFT, location
from segments.store import SegmentStore

WORDS = 3
TODAY = 20_000
RULED = (7, 90, 130)
LOADED = (0, 3, 31, 32, 64, 100, 191)
BUCKETS_USED = (1, 2, 77)
SWEEP = BucketScript("sweep_users")
NONE = np.zeros(WORDS, np.uint64)


def mask(*bits: int) -> NDArray[np.uint64]:
    return bits_from_indices(bits, WORDS)


class Model:
    """Who is in what until when: loaded bits share a day, each ruled bit has its own."""

    def __init__(self) -> None:
        self.loaded: dict[int, tuple[set[int], int]] = {}
        self.ruled: dict[int, dict[int, int]] = {}
        self.forgotten: dict[int, int] = {}

    def bits(self, user: int, today: int) -> set[int]:
        loaded, day = self.loaded.get(user, (set(), 0))
        bits = set(loaded) if day >= today else set()
        return bits | {bit for bit, last in self.ruled.get(user, {}).items() if last >= today}

    def lives(self, user: int, today: int) -> bool:
        _, day = self.loaded.get(user, (set(), 0))
        return day >= today or any(last >= today for last in self.ruled.get(user, {}).values())

    def merge(self, user: int, clear: set[int], set_: set[int], day: int, today: int) -> None:
        loaded, last = self.loaded.get(user, (set(), 0))
        if last < today:
            loaded, last = set(), 0
        left = loaded - clear
        if day:
            last = max(last, day) if left else day
            left |= set_
        if last:
            self.loaded[user] = (left, last)

    def touch(self, user: int, days: dict[int, int], today: int) -> bool:
        if self.forgotten.get(user, 0) >= today:
            return False
        own = {bit: last for bit, last in self.ruled.get(user, {}).items() if last >= today}
        self.ruled[user] = own | {bit: max(own.get(bit, 0), last) for bit, last in days.items()}
        return True


@pytest.mark.parametrize("seed", range(4))
async def test_random_changes_equal_the_model(redis_client: redis.asyncio.Redis, seed: int) -> None:
    rng = random.Random(seed)
    users, store, model = UserBits(redis_client), SegmentStore(redis_client), Model()
    # Few buckets, so that users share them.
    people = [BUCKETS_USED[number % 3] << BUCKET_SHIFT | number for number in range(1, 13)]
    today = TODAY
    for _ in range(40):
        step = rng.randrange(5)
        if step == 0:
            chosen = [rng.choice(people) for _ in range(rng.randrange(1, 8))]
            clear = [set(rng.sample(LOADED, rng.randrange(4))) for _ in chosen]
            put = [set(rng.sample(LOADED, rng.randrange(4))) for _ in chosen]
            common = rng.choice([set(), set(LOADED), {0, 3}])
            day = rng.choice([0, today + 1, today + 5])
            await users.merge(
                np.array(chosen, np.uint64),
                np.array([mask(*bits) for bits in clear]),
                np.array([mask(*bits) for bits in put]),
                mask(*common),
                expiry_day=day,
                today=today,
            )
            for user, cleared, added in zip(chosen, clear, put, strict=True):
                model.merge(user, cleared | common, added, day, today)
        elif step == 1:
            user = rng.choice(people)
            days = {bit: today + rng.randrange(4) for bit in rng.sample(RULED, rng.randrange(1, 3))}
            assert await users.touch(user, days, today) == model.touch(user, days, today)
        elif step == 2:
            user = rng.choice(people)
            held = model.lives(user, today)
            assert await users.forget(user, today) >= held
            model.loaded.pop(user, None)
            model.ruled.pop(user, None)
            model.forgotten[user] = today + 1
        elif step == 3:
            today += rng.randrange(2)
        # A bit with a day of its own goes with the sweep, whatever else there is.
        for bucket in BUCKETS_USED:
            await SWEEP.run(redis_client, bucket, today, b"")
        for user in people:
            found = await store.read(user, WORDS, today)
            assert (found is not None) == model.lives(user, today)
            if found is not None:
                assert set(indices_from_bits(found[0])) == model.bits(user, today)
    for bucket in BUCKETS_USED:
        await SWEEP.run(redis_client, bucket, today + 1_000, b"")
    assert await redis_client.dbsize() == 0


async def test_a_value_ends_on_its_last_day_without_a_sweep(
    redis_client: redis.asyncio.Redis,
) -> None:
    users, store = UserBits(redis_client), SegmentStore(redis_client)
    await users.touch(5, {7: TODAY + 2}, TODAY)
    assert await store.read(5, WORDS, TODAY + 2) is not None
    assert await store.read(5, WORDS, TODAY + 3) is None


async def test_loaded_bits_do_not_outlive_their_day_on_an_event(redis_client: redis.asyncio.Redis) -> None:
    users, store = UserBits(redis_client), SegmentStore(redis_client)
    await store.write(np.array([5], np.uint64), mask(0, 3)[None, :], TODAY + 1)
    await users.touch(5, {7: TODAY + 9}, TODAY)
    await SWEEP.run(redis_client, 0, TODAY + 2, b"")
    found = await store.read(5, WORDS, TODAY + 2)
    assert found is not None
    assert indices_from_bits(found[0]) == [7]


async def test_a_mask_takes_a_bit_from_everybody_and_only_it(redis_client: redis.asyncio.Redis) -> None:
    users, store = UserBits(redis_client), SegmentStore(redis_client)
    people = np.arange(1, 400, dtype=np.uint64) << np.uint64(BUCKET_SHIFT - 3)
    await store.write(people, np.array([mask(0, 64, int(n) % 60 + 1) for n in range(len(people))]), TODAY)
    await users.touch(int(people[0]), {130: TODAY + 5}, TODAY)
    steps: list[None] = []
    deleted, changed = await users.sweep(mask(64, 130), TODAY, lambda: steps.append(None))
    assert (deleted, changed, len(steps)) == (0, len(people), SWEEP_STEPS)
    for place, user in enumerate(people.tolist()):
        found = await store.read(user, WORDS, TODAY)
        assert found is not None
        assert set(indices_from_bits(found[0])) == {0, place % 60 + 1}
    # With its only day gone, the record beside the bucket is gone, too.
    assert not await redis_client.exists(redis_keys.segment_days(int(people[0]) >> BUCKET_SHIFT))


async def test_too_many_days_make_room_for_those_that_end_last(redis_client: redis.asyncio.Redis) -> None:
    users, store = UserBits(redis_client), SegmentStore(redis_client)
    words = RULE_DAYS_PER_USER_MAX // 64 + 1
    for bit in range(RULE_DAYS_PER_USER_MAX + 2):
        await users.touch(5, {bit: TODAY + 1 + bit // 2}, TODAY)
    found = await store.read(5, words, TODAY)
    assert found is not None
    assert indices_from_bits(found[0]) == list(range(2, RULE_DAYS_PER_USER_MAX + 2))


async def test_a_hundred_writers_at_once_lose_nothing(redis_client: redis.asyncio.Redis) -> None:

    users, store = UserBits(redis_client), SegmentStore(redis_client)
    one = np.array([5], np.uint64)

    async def add(bit: int) -> None:
        await users.merge(one, NONE[None, :], mask(bit)[None, :], NONE, expiry_day=TODAY + 1, today=TODAY)

    touches = [users.touch(5, {bit: TODAY + 2}, TODAY) for bit in range(50, 100)]
    await asyncio.gather(*map(add, range(50)), *touches)
    found = await store.read(5, WORDS, TODAY)
    assert found is not None
    assert indices_from_bits(found[0]) == list(range(100))


async def test_forgetting_leaves_a_mark_that_ends(redis_client: redis.asyncio.Redis) -> None:
    users = UserBits(redis_client)
    await users.touch(5, {7: TODAY + 3}, TODAY)
    assert await users.forget(5, TODAY)
    assert not await users.forget(5, TODAY)
    assert not await users.touch(5, {7: TODAY + 3}, TODAY + 1)
    key, field = location(5)
    assert not await redis_client.hexists(key.decode(), field.decode("latin-1"))
    assert await users.touch(5, {7: TODAY + 9}, TODAY + 2)


async def test_many_are_read_at_once(redis_client: redis.asyncio.Redis) -> None:
    users, store = UserBits(redis_client), SegmentStore(redis_client)
    await store.write(np.array([5, 6], np.uint64), np.array([mask(1), mask(2)]), TODAY)
    known, bits = await users.read_many(np.array([4, 5, 6], np.uint64), WORDS, TODAY)
    assert known.tolist() == [False, True, True]
    assert bits.tolist() == [NONE.tolist(), mask(1).tolist(), mask(2).tolist()]
    known, _ = await users.read_many(np.array([5], np.uint64), WORDS, TODAY + 1)
    assert known.tolist() == [False]
