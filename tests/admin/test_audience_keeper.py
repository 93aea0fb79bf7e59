"""The keeper of audiences over a real Redis: what it does when, and that one of several does it."""

import asyncio
from typing import Any

import msgspec
import numpy as np
import pytest
import redis.asyncio
from prometheus_client import REGISTRY

from bidder.admin.audience_keeper import AudienceKeeper
from config import redis_keys
from config.schema import Bundle, Engine, Segment, SegmentRule
from segments.bit_days import UserBits
from segments.counts_history import counts_history
from segments.registry import Load, SegmentRegistry
from segments.sizes import AudienceSizes, audience_digest, too_small
from segments.store import SegmentStore
from tests.factories import advertiser, bundle, campaign, line_item
from tests.waiting import SECONDS_MAX

TODAY = 20_000
NOW_S = TODAY * 86_400 + 60


def config(version: str = "v1", audience: str = "a") -> Bundle:
    items = [line_item("line-1", audience=audience), line_item("line-2", audience="b")]
    made = bundle(advertiser("oak", [campaign(line_items=items)]), segments=["a", "b"], version=version)
    return msgspec.structs.replace(made, engine=Engine(audience_size_min=20))


async def put(client: redis.asyncio.Redis, people: range, bits: int) -> None:
    """Write people, and say so as a loader does."""
    hashes = np.array([n << 40 for n in people], np.uint64)
    await SegmentStore(client).write(hashes, np.full((len(people), 1), bits, np.uint64), TODAY + 5)
    await SegmentRegistry(client).note_load([0], Load(NOW_S, "people.csv"))


async def published(client: redis.asyncio.Redis, bundle: Bundle) -> set[str]:
    """The line items that must not bid."""
    sizes = AudienceSizes()
    await sizes.read(client)
    return set(too_small(bundle, sizes.counts))


async def test_audiences_are_counted_after_a_config_a_load_and_a_day(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bidder.admin.audience_keeper.PAUSE_SECONDS_MIN", 0.0)
    monkeypatch.setattr("bidder.admin.audience_keeper.PAUSE_TIMES", 0)
    keeper = AudienceKeeper(redis_client, "here")
    # Published a moment ago, its segments defined by nobody.
    assert not await keeper.count_audiences(config(), NOW_S)
    assert await published(redis_client, config()) == {"line-1", "line-2"}
    await SegmentRegistry(redis_client).declare([Segment(name="a"), Segment(name="b")])
    await put(redis_client, range(1, 31), 1)
    assert await keeper.count_audiences(config(), NOW_S)
    assert await published(redis_client, config()) == {"line-2"}
    assert not await keeper.count_audiences(config(), NOW_S)

    await put(redis_client, range(101, 131), 2)
    assert await keeper.count_audiences(config(), NOW_S)
    assert await published(redis_client, config()) == set()
    assert await keeper.count_audiences(config("v2", "a and b"), NOW_S)
    assert await published(redis_client, config("v2", "a and b")) == {"line-1"}
    # Everybody expires.
    assert await keeper.count_audiences(config("v2"), NOW_S + 6 * 86_400)
    assert await published(redis_client, config("v2")) == {"line-1", "line-2"}


async def test_people_whom_events_bring_are_counted_without_a_load(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bidder.admin.audience_keeper.PAUSE_SECONDS_MIN", 0.0)
    monkeypatch.setattr("bidder.admin.audience_keeper.PAUSE_TIMES", 0)
    ruled = Segment(name="a", rule=SegmentRule(event="click"))
    made = msgspec.structs.replace(config(), segments=(ruled, Segment(name="b")))
    await SegmentRegistry(redis_client).declare(made.segments)
    keeper = AudienceKeeper(redis_client, "here")
    assert await keeper.count_audiences(made, NOW_S)
    for person in range(1, 21):
        await UserBits(redis_client).touch(person << 40, {0: TODAY + 3}, TODAY)
    assert await keeper.count_audiences(made, NOW_S + 60)
    assert await published(redis_client, made) == {"line-2"}


async def test_a_load_alone_does_not_make_it_count_all_the_time(redis_client: redis.asyncio.Redis) -> None:
    keeper = AudienceKeeper(redis_client, "here")
    await SegmentRegistry(redis_client).declare([Segment(name="a"), Segment(name="b")])
    assert await keeper.count_audiences(config(), NOW_S)
    assert await keeper.count_segments(NOW_S)
    await put(redis_client, range(1, 31), 3)
    assert not await keeper.count_audiences(config(), NOW_S)
    assert not await keeper.count_segments(NOW_S)
    # A config is waited for by a manager.
    assert await keeper.count_audiences(config("v2"), NOW_S)
    assert await published(redis_client, config("v2")) == set()
    assert await keeper.count_segments(NOW_S + 86_400)
    counts = await counts_history(redis_client)
    assert [count.cookies for count in counts] == [30, 0]
    assert [count.sizes for count in counts] == [{"a": 30, "b": 30}, {"a": 0, "b": 0}]


async def test_a_day_is_swept_once_and_frees_what_was_retired(redis_client: redis.asyncio.Redis) -> None:
    registry, keeper = SegmentRegistry(redis_client), AudienceKeeper(redis_client, "here")
    await registry.define({"a": "", "b": ""})
    await put(redis_client, range(1, 6), 3)
    await UserBits(redis_client).touch(7 << 40, {5: TODAY + 1}, TODAY)
    await registry.retire("b")
    server_s = int((await redis_client.time())[0])
    assert await keeper.sweep(NOW_S)
    assert not await keeper.sweep(NOW_S + 3_600)
    assert not await AudienceKeeper(redis_client, "there").sweep(NOW_S)
    found = await SegmentStore(redis_client).read(1 << 40, 1, TODAY)
    assert found is not None
    assert found[0].tolist() == [1]
    # `retire` went by the server's clock, and the sweep by ours: another age.
    assert await registry.retired() == ([1] if server_s > NOW_S else [])


async def test_inboxes_of_the_config_are_drained(redis_client: redis.asyncio.Redis) -> None:
    await SegmentRegistry(redis_client).define({"mine": ""}, owner="oak")
    keeper = AudienceKeeper(redis_client, "here")
    entry: Any = {"users": (5).to_bytes(8, "big"), "segments": "mine"}
    await redis_client.xadd(redis_keys.inbox("oak"), entry)
    await redis_client.xadd(redis_keys.inbox("stranger"), entry)
    assert await keeper.drain(config(), NOW_S) == 1
    assert await redis_client.xlen(redis_keys.inbox("stranger")) == 1
    assert await SegmentStore(redis_client).read(5, 1, TODAY) is not None


async def test_what_is_too_much_for_an_inbox_is_dropped_and_counted(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segments.inbox.INBOX_ENTRIES_MAX", 2)
    keeper = AudienceKeeper(redis_client, "here")
    before = dropped_entries()
    entry: Any = {"users": (5).to_bytes(8, "big"), "segments": "mine"}
    for drop in (keeper.bound(config()), keeper.drain(config(), NOW_S)):
        for _ in range(5):
            await redis_client.xadd(redis_keys.inbox("oak"), entry)
        await drop
    assert dropped_entries() - before == 3 + 5


def dropped_entries() -> float:
    return REGISTRY.get_sample_value("hustings_inbox_dropped_total") or 0.0


async def test_of_two_keepers_one_works_and_the_other_takes_over(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bidder.admin.audience_keeper.INBOX_SECONDS", 0.02)
    monkeypatch.setattr("bidder.admin.audience_keeper.UPKEEP_SECONDS", 0.02)
    await SegmentRegistry(redis_client).declare([Segment(name="a"), Segment(name="b")])

    async def holder() -> str:
        value: Any = await redis_client.get(redis_keys.AUDIENCE_KEEPER)
        return value.decode().split()[0] if value else ""

    async def until(name: str) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while await holder() != name:  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(0.01)

    stops = [asyncio.Event(), asyncio.Event()]
    first = asyncio.create_task(AudienceKeeper(redis_client, "first").run(stops[0], config))
    await until("first")
    second = asyncio.create_task(AudienceKeeper(redis_client, "second").run(stops[1], config))
    async with asyncio.timeout(SECONDS_MAX):
        while audience_digest("a") not in await sizes_of(redis_client):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await holder() == "first"
    stops[0].set()
    await first
    await until("second")
    stops[1].set()
    await second
    assert await holder() == ""


async def sizes_of(client: redis.asyncio.Redis) -> set[str]:
    sizes = AudienceSizes()
    await sizes.read(client)
    return set(sizes.counts)
