"""How many people audiences have, against plain sets; and who has too few."""

import asyncio
from pathlib import Path

import msgspec
import numpy as np
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st

from bidder.decision.crowds import compile_crowds, large_enough
from bidder.decision.snapshot import compile_snapshot
from config.audience import holds, parse_audience, to_clauses
from config.schema import Engine
from segments.bitsets import bits_from_indices
from segments.registry import Definition
from segments.sizes import (
    AudienceSizes,
    audience_digest,
    audiences_of,
    count_audiences,
    count_segments,
    publish_audience_sizes,
    too_small,
)
from segments.store import SCAN_CHUNKS, SegmentStore
from tests.factories import advertiser, bid_request, bundle, campaign, line_item
from tests.running import running_worker
from tests.waiting import SECONDS_MAX

TODAY = 20_000
NAMES = ("a", "b", "c", "d")
INDICES = {name: 60 + number for number, name in enumerate(NAMES)}
AUDIENCES = ["a", "a and b", "a and not b", "(a or b) and (c or d)", "a and b and c and d"]


async def crowd(client: redis.asyncio.Redis, cookies: int) -> list[set[str]]:
    rng = np.random.default_rng(3)
    people = [{name for name in NAMES if rng.random() < 0.4} for _ in range(cookies)]
    bits = np.array([bits_from_indices([INDICES[name] for name in members], 2) for members in people])
    await SegmentStore(client).write(rng.integers(1, 2**64, cookies, np.uint64), bits, TODAY)
    return people


async def test_an_audience_is_counted_until_it_has_enough(redis_client: redis.asyncio.Redis) -> None:
    people = await crowd(redis_client, 400)
    nodes = {text: parse_audience(text) for text in AUDIENCES}
    sizes = {text: sum(node is not None and holds(node, p) for p in people) for text, node in nodes.items()}
    assert 0 < min(sizes.values()) < 30 < max(sizes.values())
    clauses = {text: to_clauses(node) for text, node in nodes.items() if node is not None}
    store = SegmentStore(redis_client)
    for enough in (30, 1_000):
        counted = await count_audiences(store, clauses, INDICES, enough, TODAY)
        assert counted == {text: min(size, enough) for text, size in sizes.items()}
    assert await count_audiences(store, clauses, INDICES, 30, TODAY + 1) == dict.fromkeys(AUDIENCES, 0)
    assert await count_audiences(store, {}, {}, 30, TODAY) == {}


async def test_every_segment_is_counted(redis_client: redis.asyncio.Redis) -> None:
    people = await crowd(redis_client, 300)
    definitions = [Definition(name, index) for name, index in INDICES.items()]
    steps: list[None] = []
    counts = await count_segments(
        SegmentStore(redis_client), definitions, TODAY, 77, lambda: steps.append(None)
    )
    assert counts.sizes == {name: sum(name in members for members in people) for name in NAMES}
    assert (counts.cookies, counts.at_s, len(steps)) == (300, 77, SCAN_CHUNKS)


@given(st.permutations(["a", "b", "c"]), st.booleans())
def test_the_digest_is_of_the_meaning_not_of_the_words(order: list[str], as_text: bool) -> None:
    audience = " or ".join(order) if as_text else {"any": order}
    assert audience_digest(audience) == audience_digest("a or b or c")
    assert audience_digest(audience) != audience_digest("a or b")


def test_strangers_are_never_too_few() -> None:
    assert audience_digest(None) is None
    assert audience_digest("not a") is None
    assert audience_digest("a or not b") is None
    assert audience_digest("not a and b") is not None


async def test_too_small_and_uncounted_audiences_wait(redis_client: redis.asyncio.Redis) -> None:
    items = [
        line_item("large", 4, audience="a"),
        line_item("small", 3, audience="a and b"),
        line_item("uncounted", 2, audience="c"),
        line_item("for-all", 1),
        line_item("strangers-too", 1, audience="not d"),
    ]
    config = bundle(advertiser(campaigns=[campaign(line_items=items)]), segments=NAMES)
    config = msgspec.structs.replace(config, engine=Engine(audience_size_min=50))
    assert len(audiences_of(config)) == 3
    sizes = AudienceSizes()
    await sizes.read(redis_client)
    assert sizes.counts == {}
    large, small = audience_digest("a"), audience_digest("a and b")
    assert large is not None
    assert small is not None
    await publish_audience_sizes(redis_client, {large: 50, small: 49})
    assert await sizes.read(redis_client)
    assert not await sizes.read(redis_client)
    assert too_small(config, sizes.counts) == {"small": 49, "uncounted": None}

    snapshot = compile_snapshot(config, dict.fromkeys(NAMES, 0) | INDICES)
    row = large_enough(snapshot.crowds, sizes.counts)
    may = [ad.line_item.id for i, ad in enumerate(snapshot.ads) if int(row[i // 64]) >> i % 64 & 1]
    assert sorted(may) == ["for-all", "large", "strangers-too"]

    nobody_asks = compile_crowds(snapshot.ads, 0)
    assert int(large_enough(nobody_asks, {})[0]) == 2 ** len(snapshot.ads) - 1
    # What was published is replaced whole: an audience that left the config is forgotten.
    await publish_audience_sizes(redis_client, {})
    assert await sizes.read(redis_client)
    assert sizes.counts == {}


async def test_a_line_item_with_too_few_people_does_not_bid_until_it_has_enough(
    redis_url: str, tmp_path: Path
) -> None:
    config = bundle(advertiser(campaigns=[campaign(line_items=[line_item(audience="a")])]), segments=["a"])
    config = msgspec.structs.replace(config, engine=Engine(audience_size_min=2))
    request = bid_request(user={"buyeruid": "ann"})
    digest = audience_digest("a")
    assert digest is not None
    async with running_worker(redis_url, config, tmp_path) as worker:
        await worker.put_in_segments("ann", "a")
        assert await worker.bids(request) == []
        await publish_audience_sizes(worker.redis, {digest: 2})
        async with asyncio.timeout(SECONDS_MAX):
            while not await worker.bids(request):  # noqa: ASYNC110 - the worker tells nobody
                await asyncio.sleep(0.02)
        await publish_audience_sizes(worker.redis, {digest: 1})
        async with asyncio.timeout(SECONDS_MAX):
            while await worker.bids(request):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
