"""The store against a plain dictionary, in a real server."""

import numpy as np
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from config import redis_keys
from segments.store import SCAN_CHUNKS, SegmentStore, caps_key, location

WORDS = 3
TODAY = 20_000
hashes = st.integers(1, 2**64 - 1)


@given(hashes)
def test_a_location_holds_the_whole_hash(user_hash: int) -> None:
    key, field = location(user_hash)
    assert key == redis_keys.segment_bucket(user_hash >> 48)
    assert int(key.removeprefix(b"s:"), 16) << 48 | int.from_bytes(field, "big") == user_hash
    assert caps_key(user_hash) == redis_keys.caps(user_hash.to_bytes(8, "big"))


async def all_users(store: SegmentStore, today: int) -> list[tuple[int, ...]]:
    chunks = [users async for users in store.scan(WORDS, today)]
    assert len(chunks) == SCAN_CHUNKS
    return sorted(tuple(row) for row in np.concatenate(chunks).tolist())


def random_users(rng: np.random.Generator, n: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    bits = rng.integers(0, 2**64, (n, WORDS), np.uint64) * rng.integers(0, 2, (n, WORDS), np.uint64)
    # Few buckets, so that several users share one.
    return rng.integers(1, 40, n, np.uint64) << np.uint64(48) | rng.integers(1, 200, n, np.uint64), bits


async def test_random_writes_reads_and_forgets_equal_a_dictionary(redis_client: redis.asyncio.Redis) -> None:
    rng = np.random.default_rng(11)
    store = SegmentStore(redis_client)
    model: dict[int, tuple[list[int], int]] = {}
    for _ in range(15):
        user_hashes, bits = random_users(rng, int(rng.integers(0, 200)))
        expiry_day = int(rng.integers(TODAY - 2, TODAY + 3))
        await store.write(user_hashes, bits, expiry_day)
        model.update(
            {user: (row, expiry_day) for user, row in zip(user_hashes.tolist(), bits.tolist(), strict=True)}
        )
        for user in rng.choice(user_hashes, min(5, len(user_hashes))).tolist():
            assert await store.forget(user) == (model.pop(user, None) is not None)
        for user in random_users(rng, 20)[0].tolist():
            found = await store.read(user, WORDS, TODAY)
            expected = model.get(user)
            if expected is None or expected[1] < TODAY:
                assert found is None
            else:
                assert found is not None
                assert (found[0].tolist(), found[1]) == expected

    def live() -> list[tuple[int, ...]]:
        return sorted(tuple(bits) for bits, expiry_day in model.values() if expiry_day >= TODAY)

    assert await all_users(store, TODAY) == live()
    expired = sum(expiry_day < TODAY for _, expiry_day in model.values())
    assert expired > 0
    assert await store.sweep(TODAY) == expired
    left = [await redis_client.hlen(bucket) for bucket in await redis_client.keys("s:*")]
    assert sum(left) == len(live())


async def test_forgetting_takes_the_caps_too(redis_client: redis.asyncio.Redis) -> None:
    store = SegmentStore(redis_client)
    await redis_client.set(caps_key(77), b"record")
    assert await store.forget(77)
    assert not await redis_client.exists(caps_key(77))
    assert not await store.forget(77)


async def test_the_size_is_about_what_the_documentation_says(redis_client: redis.asyncio.Redis) -> None:
    store = SegmentStore(redis_client)
    assert await store.cookies_bytes() == 0
    n = 20_000
    # One bucket in sixteen, the measured ones, 512 cookies each.
    buckets = np.arange(n, dtype=np.uint64) // np.uint64(512) * np.uint64(16)
    bits = np.full((n, 4), 2**63, np.uint64)
    await store.write(buckets << np.uint64(48) | np.arange(1, n + 1, dtype=np.uint64), bits, TODAY)
    assert 40 < await store.cookies_bytes() / 16 / n < 50
