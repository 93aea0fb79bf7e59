"""The store against a plain dictionary, in a real server."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import redis
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from redis.crc import key_slot

import segments.bulk
from config import redis_keys
from config.audience import holds, parse_audience, to_clauses
from config.embedded_server import EmbeddedServer
from segments.bitsets import bits_from_flags, indices_from_bits
from segments.expressions import compile_clauses
from segments.kernels import count_matching
from segments.location import BUCKET_SHIFT, BUCKETS, FIELD_BYTES, caps_key, location
from segments.slot_map import slot_of
from segments.store import SCAN_CHUNKS, SegmentStore

WORDS = 3
TODAY = 20_000
hashes = st.integers(1, 2**64 - 1)


@given(hashes)
def test_a_location_holds_the_whole_hash(user_hash: int) -> None:
    key, field = location(user_hash)
    bucket = int(key.removeprefix(b"s:"), 16)
    assert key == redis_keys.segment_bucket(bucket)
    assert bucket < BUCKETS
    assert len(field) == FIELD_BYTES
    assert bucket << BUCKET_SHIFT | int.from_bytes(field, "big") & (1 << BUCKET_SHIFT) - 1 == user_hash


@given(hashes)
def test_all_there_is_of_a_person_is_in_one_cluster_slot(user_hash: int) -> None:
    bucket, caps = location(user_hash)[0], caps_key(user_hash)
    assert caps == redis_keys.caps(user_hash.to_bytes(8, "big"))
    tag = caps[caps.index(b"{") + 1 : caps.index(b"}")]
    assert slot_of(tag) == slot_of(bucket) == key_slot(caps)


async def all_users(store: SegmentStore, today: int) -> list[tuple[int, ...]]:
    chunks = [users async for users in store.scan(WORDS, today)]
    assert len(chunks) == SCAN_CHUNKS
    return sorted(tuple(row) for row in np.concatenate(chunks).tolist())


def random_users(rng: np.random.Generator, n: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    bits = rng.integers(0, 2**64, (n, WORDS), np.uint64) * rng.integers(0, 2, (n, WORDS), np.uint64)
    # Few buckets, so that several users share one.
    buckets = rng.integers(1, 40, n, np.uint64) << np.uint64(BUCKET_SHIFT)
    return buckets | rng.integers(1, 200, n, np.uint64), bits


async def test_random_writes_and_reads_equal_a_dictionary(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small chunks, so that one write takes many.
    monkeypatch.setattr(segments.bulk, "BULK_CHUNK_BYTES_MAX", 4_096)
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
        for user in random_users(rng, 20)[0].tolist():
            found = await store.read(user, WORDS, TODAY)
            expected = model.get(user)
            if expected is None or expected[1] < TODAY:
                assert found is None
            else:
                assert found is not None
                assert (found[0].tolist(), found[1]) == expected
    live = sorted(tuple(bits) for bits, expiry_day in model.values() if expiry_day >= TODAY)
    assert 0 < len(live) < len(model)
    assert await all_users(store, TODAY) == live


async def test_cookies_come_back_exactly_and_the_kernel_counts_what_sets_do(
    redis_client: redis.asyncio.Redis,
) -> None:
    rng = np.random.default_rng(3)
    n, segment_count = 20_000, 64 * WORDS
    flags = rng.random((n, segment_count)) < 0.1
    bits = bits_from_flags(flags)
    people = rng.integers(1, 2**64, n, np.uint64)
    store = SegmentStore(redis_client)
    await store.write(people, bits, TODAY)
    stored = np.concatenate([users async for users in store.scan(WORDS, TODAY)])
    assert sorted(map(tuple, stored.tolist())) == sorted(map(tuple, bits.tolist()))
    names = [f"s{index}" for index in range(segment_count)]
    node = parse_audience("s3 and (s70 or not s130) and not (s191 and s64)")
    assert node is not None
    masks = compile_clauses(to_clauses(node), {name: index for index, name in enumerate(names)}, WORDS)
    members = [frozenset(names[index] for index in indices_from_bits(row)) for row in bits]
    assert count_matching(stored, masks) == sum(holds(node, person) for person in members) > 0


async def test_the_size_is_about_what_the_documentation_says(redis_client: redis.asyncio.Redis) -> None:
    n = 20_000
    buckets = np.arange(n, dtype=np.uint64) // np.uint64(64)
    bits = np.full((n, 4), 2**63, np.uint64)
    people = buckets << np.uint64(BUCKET_SHIFT) | np.arange(1, n + 1, dtype=np.uint64)
    before = (await redis_client.info("memory"))["used_memory_dataset"]
    await SegmentStore(redis_client).write(people, bits, TODAY)
    after = (await redis_client.info("memory"))["used_memory_dataset"]
    assert 40 < (after - before) / n < 50


async def test_a_full_server_is_told_and_what_was_written_stays(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path / "full", durable=False) as server:
        async with redis.asyncio.Redis.from_url(server.url) as client:
            store = SegmentStore(client)
            rng = np.random.default_rng(1)
            people, bits = rng.integers(1, 2**64, 5_000, np.uint64), np.full((5_000, WORDS), 2**63, np.uint64)
            await store.write(people[:1_000], bits[:1_000], TODAY)
            await client.config_set("maxmemory", 1)
            with pytest.raises(redis.OutOfMemoryError):
                await store.write(people, bits, TODAY)
            await client.config_set("maxmemory", 0)
            assert await store.read(int(people[999]), WORDS, TODAY) is not None
            await store.write(people, bits, TODAY)
            assert len(await all_users(store, TODAY)) == len(people)


async def test_a_server_that_is_gone_is_told(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path / "gone", durable=False) as server:
        client = redis.asyncio.Redis.from_url(server.url)
        await asyncio.to_thread(server.kill)
        with pytest.raises(redis.ConnectionError):
            await SegmentStore(client).write(np.ones(1, np.uint64), np.ones((1, WORDS), np.uint64), TODAY)
        await client.aclose()
