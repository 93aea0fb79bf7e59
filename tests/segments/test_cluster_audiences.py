"""Audiences on a real Cluster: what loaders, owners, events and the keeper do to people on any node."""

from pathlib import Path
from typing import Any

import numpy as np
import redis.asyncio

from bidder.forget import forget
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

WORDS = 4
TODAY = 20_000
USERS = [number * 0x0123_4567_89AB_CDEF % 2**64 for number in range(1, 1_001)]


async def test_bits_change_one_by_one_on_every_node(cluster_client: redis.asyncio.Redis) -> None:
    users, store = UserBits(cluster_client), SegmentStore(cluster_client)
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
    cluster_client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    registry, identity = SegmentRegistry(cluster_client), Identity(b"k" * 32)
    await registry.define({"mine": ""}, owner="oak")
    await registry.define({"shared": ""})
    path = tmp_path / "people.csv"
    path.write_text("id,segments\n" + "".join(f"c{number},mine|shared\n" for number in range(300)))
    options = LoadOptions()
    report = await load(
        path, StoreSink(cluster_client, options, TODAY), identity, options, lambda rows, done: None
    )
    assert report.cookies == 300
    path.write_text("id,segments\n" + "".join(f"c{number},mine\n" for number in range(300)))
    options = LoadOptions(mode="remove", owner="oak")
    report = await load(
        path, StoreSink(cluster_client, options, TODAY), identity, options, lambda rows, done: None
    )
    assert report.cookies == 300
    entry: Any = {"users": identity.hash(COOKIE, "c7").to_bytes(8, "big"), "segments": "mine"}
    await cluster_client.xadd(redis_keys.inbox("oak"), entry)
    reader = InboxReader(cluster_client)
    assert await reader.waiting(["oak", "elm"]) == ["oak"]
    assert (await reader.drain("oak", TODAY, 0)).cookies == 1
    counts = await count_segments(SegmentStore(cluster_client), await registry.describe(), TODAY, 0)
    assert (counts.cookies, counts.sizes) == (300, {"mine": 1, "shared": 300})
    digest = audience_digest("mine")
    assert digest is not None
    await publish_audience_sizes(cluster_client, {digest: 1})
    sizes = AudienceSizes()
    assert await sizes.read(cluster_client)
    assert sizes.counts == {digest: 1}
    await registry.rename("shared", "everybodys")
    await registry.retire("everybodys")
    assert (await forget(cluster_client, identity.hash(COOKIE, "c7"), TODAY * 86_400)).segments
    swept = await sweep(cluster_client, (TODAY + 60) * 86_400)
    assert swept.deleted == 299
