"""Audiences on a real Cluster: what loaders, owners, events and the keeper do to people on any node."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import redis.asyncio

from bidder.forget import forget
from bidder.redis_client import redis_client
from config import redis_keys
from segments.bit_days import UserBits
from segments.bitsets import bits_from_flags
from segments.identity import COOKIE, Identity
from segments.inbox import InboxReader
from segments.loader import LoadOptions, load
from segments.registry import SegmentRegistry
from segments.retention import sweep
from segments.sizes import AudienceSizes, audience_digest, count_segments, publish_audience_sizes
from segments.store import SegmentStore
from segments.store_sink import StoreSink
from tests.segments.cluster import Cluster

WORDS = 4
TODAY = 20_000
USERS = [number * 0x0123_4567_89AB_CDEF % 2**64 for number in range(1, 1_001)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.start(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest_asyncio.fixture
async def client(cluster: Cluster) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis_client(cluster.url) as client:
        yield client
        for node in range(len(cluster.nodes)):
            await asyncio.to_thread(cluster.call, node, "FLUSHALL")


async def test_bits_change_one_by_one_on_every_node(client: redis.asyncio.Redis) -> None:
    users, store = UserBits(client), SegmentStore(client)
    hashes = np.array(USERS, np.uint64)
    bits = bits_from_flags(np.random.default_rng(8).random((len(USERS), 64 * WORDS)) < 0.05)
    nothing = np.zeros(WORDS, np.uint64)
    everything = np.full_like(bits, ~np.uint64(0))
    await users.merge(hashes, bits, bits, nothing, expiry_day=TODAY + 1, today=TODAY)
    known, stored = await users.read_many(hashes, WORDS, TODAY)
    assert known.all()
    assert np.array_equal(stored, bits)
    await users.touch(USERS[0], {0: TODAY + 5}, TODAY)
    await users.merge(hashes, everything, ~everything, nothing, expiry_day=0, today=TODAY)
    assert not (await users.read_many(hashes[1:], WORDS, TODAY))[1].any()
    deleted, _ = await users.sweep(nothing, TODAY + 2)
    assert deleted == len(USERS)
    assert await store.read(USERS[0], WORDS, TODAY + 2) is None


async def test_loads_inboxes_sizes_and_sweeps_work_on_a_cluster(
    client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    registry, identity = SegmentRegistry(client), Identity(b"k" * 32)
    await registry.define({"mine": ""}, owner="oak")
    await registry.define({"shared": ""})
    path = tmp_path / "people.csv"
    path.write_text("id,segments\n" + "".join(f"c{number},mine|shared\n" for number in range(300)))
    options = LoadOptions()
    report = await load(path, StoreSink(client, options, TODAY), identity, options, lambda rows, done: None)
    assert report.cookies == 300
    path.write_text("id,segments\n" + "".join(f"c{number},mine\n" for number in range(300)))
    options = LoadOptions(mode="remove", owner="oak")
    report = await load(path, StoreSink(client, options, TODAY), identity, options, lambda rows, done: None)
    assert report.cookies == 300
    entry: Any = {"users": identity.hash(COOKIE, "c7").to_bytes(8, "big"), "segments": "mine"}
    await client.xadd(redis_keys.inbox("oak"), entry)
    reader = InboxReader(client)
    assert await reader.waiting(["oak", "elm"]) == ["oak"]
    assert (await reader.drain("oak", TODAY, 0)).cookies == 1
    counts = await count_segments(SegmentStore(client), await registry.describe(), TODAY, 0)
    assert (counts.cookies, counts.sizes) == (300, {"mine": 1, "shared": 300})
    digest = audience_digest("mine")
    assert digest is not None
    await publish_audience_sizes(client, {digest: 1})
    sizes = AudienceSizes()
    assert await sizes.read(client)
    assert sizes.counts == {digest: 1}
    await registry.rename("shared", "everybodys")
    await registry.retire("everybodys")
    assert (await forget(client, identity.hash(COOKIE, "c7"), TODAY * 86_400)).segments
    swept = await sweep(client, (TODAY + 60) * 86_400)
    assert swept.deleted == 299
