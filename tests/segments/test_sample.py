"""The made-up audience."""

import numpy as np
import redis.asyncio

from segments.bitsets import indices_from_bits
from segments.identity import COOKIE, Identity
from segments.registry import SegmentRegistry
from segments.sample import SEGMENTS_PER_COOKIE, cookie_id, load_sample, sample_audience
from segments.store import SegmentStore

NAMES = [f"s{number}" for number in range(168)]
INDICES = {name: index for index, name in enumerate(NAMES)}


def flags(seed: int, cookies: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    chunks = [bits for _, bits in sample_audience(np.random.default_rng(seed), cookies, INDICES)]
    octets = np.concatenate(chunks).view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little")[:, : len(NAMES)]


def test_a_seed_makes_one_audience() -> None:
    assert np.array_equal(flags(1, 20_000), flags(1, 20_000))
    assert not np.array_equal(flags(1, 20_000), flags(2, 20_000))


def test_ids_are_numbers_in_order() -> None:
    ids = [one for ids, _ in sample_audience(np.random.default_rng(1), 40_000, INDICES) for one in ids]
    assert ids == [cookie_id(number) for number in range(40_000)]
    assert ids[123] == "demo-000000123"


def test_sizes_are_skewed_and_memberships_go_together() -> None:
    members = flags(3, 40_000).astype(np.float64)
    assert abs(members.sum(axis=1).mean() - SEGMENTS_PER_COOKIE) < 1
    sizes = np.sort(members.mean(axis=0))
    assert sizes[0] > 0.002
    assert sizes[-1] > 4 * np.median(sizes)
    # Between independent segments of 40,000 cookies, one pair in a hundred would pass 0.013.
    correlations = np.atleast_2d(np.corrcoef(members, rowvar=False))[np.triu_indices(len(NAMES), 1)]
    assert np.quantile(correlations, 0.99) > 0.05


async def test_the_store_holds_the_sample_at_the_bits_the_registry_gave(
    redis_client: redis.asyncio.Redis,
) -> None:
    registry, store, identity = SegmentRegistry(redis_client), SegmentStore(redis_client), Identity(b"k" * 32)
    await registry.define({"older-one": "", "s7": ""})
    done: list[int] = []
    await load_sample(
        np.random.default_rng(5),
        1_000,
        NAMES,
        store=store,
        registry=registry,
        identity=identity,
        expiry_day=20_000,
        progress=done.append,
    )
    assert done == [1_000]
    names = {index: name for name, index in (await registry.indices()).items()}
    expected = flags(5, 1_000)
    for number in range(0, 1_000, 50):
        found = await store.read(identity.hash(COOKIE, cookie_id(number)), 3, 20_000)
        assert found is not None
        members = {names[index] for index in indices_from_bits(found[0])}
        assert members == {NAMES[index] for index in np.flatnonzero(expected[number])}
