"""Segment names and their bits, in a real server."""

import asyncio

import pytest
import redis.asyncio

from config import redis_keys
from config.limits import RETIRED_SETTLE_SECONDS, SEGMENTS_MAX
from config.schema import Segment, SegmentRule
from segments.registry import Load, RegistryError, SegmentRegistry, words_of


async def test_indices_are_dense_and_keep(redis_client: redis.asyncio.Redis) -> None:
    registry = SegmentRegistry(redis_client)
    assert await registry.define({"b": "", "a": ""}) == {"b": 0, "a": 1}
    assert await registry.define({"c": "", "a": "", "b": ""}) == {"b": 0, "a": 1, "c": 2}
    assert await registry.indices() == {"b": 0, "a": 1, "c": 2}


async def test_a_new_description_replaces_and_none_does_not(redis_client: redis.asyncio.Redis) -> None:
    registry = SegmentRegistry(redis_client)
    await registry.define({"gardeners": "Grow things", "hikers": ""})
    await registry.define({"gardeners": "", "hikers": "Walk far"})
    assert [(segment.name, segment.index, segment.description) for segment in await registry.describe()] == [
        ("gardeners", 0, "Grow things"),
        ("hikers", 1, "Walk far"),
    ]


async def test_past_the_limit_nothing_is_defined(redis_client: redis.asyncio.Redis) -> None:
    registry = SegmentRegistry(redis_client)
    everything = {f"s{number}": "" for number in range(SEGMENTS_MAX)}
    with pytest.raises(RegistryError, match="these would be 2 too many"):
        await registry.define({**everything, "x": "", "y": ""})
    assert await registry.indices() == {}
    assert len(await registry.define(everything)) == SEGMENTS_MAX
    assert len(await registry.define({"s7": "known already"})) == SEGMENTS_MAX
    with pytest.raises(RegistryError, match="these would be 1 too many"):
        await registry.define({"s7": "", "x": ""})


async def test_many_definers_at_once_agree(redis_client: redis.asyncio.Redis) -> None:
    registry = SegmentRegistry(redis_client)
    rounds = [{f"s{number}": "" for number in range(start, start + 20)} for start in range(0, 100, 5)]
    await asyncio.gather(*map(registry.define, rounds))
    indices = await registry.indices()
    assert sorted(indices.values()) == list(range(len(indices)))


@pytest.mark.parametrize("name", ["", "and", "NOT", "two words", "-dash", "a|b", "é", "line\n", "x" * 65])
async def test_a_name_no_expression_can_use_is_refused(redis_client: redis.asyncio.Redis, name: str) -> None:
    registry = SegmentRegistry(redis_client)
    with pytest.raises(RegistryError, match="can't be a segment's name"):
        await registry.define({"fine": "", name: ""})
    assert await registry.indices() == {}


async def test_owners_are_claimed_and_not_taken(redis_client: redis.asyncio.Redis) -> None:
    registry = SegmentRegistry(redis_client)
    await registry.define({"free": "", "mine": ""})
    await registry.define({"mine": ""}, owner="oak", source="the shop's till")
    with pytest.raises(RegistryError, match="segment mine belongs to oak; none was defined"):
        await registry.define({"fresh": "", "mine": ""}, owner="elm")
    assert "fresh" not in await registry.indices()
    # Who says nothing of owners may describe it.
    await registry.define({"mine": "Buyers"})
    (free, mine) = await registry.describe()
    assert (free.owner, mine.owner, mine.source, mine.description) == ("", "oak", "the shop's till", "Buyers")
    assert mine.created_s > 1_700_000_000
    await registry.give("mine", "elm")
    await registry.define({"mine": ""}, owner="elm")
    await registry.give("mine", "")
    assert (await registry.describe())[1].owner == ""
    with pytest.raises(RegistryError, match="segment nobody is not defined; `hustings segments list` shows"):
        await registry.give("nobody", "oak")


async def test_a_config_declares_owners_and_rules(redis_client: redis.asyncio.Redis) -> None:
    registry = SegmentRegistry(redis_client)
    rule = SegmentRule(event="click", days=7)
    indices = await registry.declare(
        [Segment(name="a", description="A", owner="oak"), Segment(name="b", rule=rule), Segment(name="c")]
    )
    assert indices == {"a": 0, "b": 1, "c": 2}
    a, b, c = await registry.describe()
    assert (a.owner, a.description, a.ruled) == ("oak", "A", False)
    assert (b.owner, b.ruled, b.was_ruled, c.was_ruled) == ("", True, True, False)
    # A config that shares what is oak's would hand oak's cookies to everybody.
    with pytest.raises(RegistryError, match=r"segment a belongs to oak.*hustings segments give a"):
        await registry.declare([Segment(name="a")])
    await registry.declare([Segment(name="b")])
    assert [(d.ruled, d.was_ruled) for d in await registry.describe()][1] == (False, True)


async def test_a_renamed_segment_keeps_its_bit_and_its_old_name(redis_client: redis.asyncio.Redis) -> None:
    registry = SegmentRegistry(redis_client)
    await registry.define({"old": "", "other": ""})
    await registry.rename("old", "new")
    assert await registry.indices() == {"old": 0, "new": 0, "other": 1}
    # A process with the config of yesterday finds it, and defines nothing.
    assert await registry.define({"old": "", "other": ""}) == {"old": 0, "new": 0, "other": 1}
    (renamed, _) = await registry.describe()
    assert (renamed.name, renamed.former_names) == ("new", ("old",))
    assert await registry.retire("old") == "name"
    assert await registry.indices() == {"new": 0, "other": 1}
    with pytest.raises(RegistryError, match="other is the name of another segment"):
        await registry.rename("new", "other")
    for change in (registry.rename("othr", "somebody"), registry.retire("othr")):
        with pytest.raises(RegistryError, match=r"segment othr is not defined; did you mean `other`\?"):
            await change
    with pytest.raises(RegistryError, match="can't be a segment's name"):
        await registry.rename("new", "not")


async def test_a_retired_bit_is_not_given_away_before_a_sweep_proves_it_free(
    redis_client: redis.asyncio.Redis,
) -> None:
    registry = SegmentRegistry(redis_client)
    await registry.define(dict.fromkeys("abc", ""))
    await registry.rename("b", "bb")
    assert await registry.retire("bb") == "segment"
    assert await registry.indices() == {"a": 0, "c": 2}
    assert await registry.retired() == [1]
    assert (await registry.define({"d": ""}))["d"] == 3
    now_s = int((await redis_client.time())[0])
    assert await registry.release([1], now_s + RETIRED_SETTLE_SECONDS - 60) == 0
    assert await registry.release([0, 2, 3], now_s + 10 * RETIRED_SETTLE_SECONDS) == 0
    assert (await registry.define({"e": ""}))["e"] == 4
    assert await registry.release([1], now_s + RETIRED_SETTLE_SECONDS + 60) == 1
    assert await registry.retired() == []
    assert await registry.define({"f": "", "g": ""}) == {"a": 0, "f": 1, "c": 2, "d": 3, "e": 4, "g": 5}


async def test_a_freed_bit_makes_room_at_the_limit(redis_client: redis.asyncio.Redis) -> None:
    registry = SegmentRegistry(redis_client)
    await registry.define({f"s{number}": "" for number in range(SEGMENTS_MAX)})
    await registry.retire("s7")
    with pytest.raises(RegistryError, match=r"these would be 1 too many.*hustings segments retire"):
        await registry.define({"x": ""})
    await registry.release([7], int((await redis_client.time())[0]) + 10 * RETIRED_SETTLE_SECONDS)
    assert (await registry.define({"x": ""}))["x"] == 7


async def test_the_last_load_goes_with_the_segment(redis_client: redis.asyncio.Redis) -> None:
    registry = SegmentRegistry(redis_client)
    await registry.define({"a": "", "b": ""})
    await registry.note_load([0], Load(1_800_000_000, "people.csv"))
    await registry.note_load([], Load(1_800_000_001, "empty.csv"))
    assert [d.load for d in await registry.describe()] == [Load(1_800_000_000, "people.csv"), None]
    assert await registry.loads() == 2
    await registry.retire("a")
    assert not await redis_client.hexists(redis_keys.SEGMENT_LOADS.decode(), "0")


def test_words_follow_the_highest_bit() -> None:
    assert [words_of(indices) for indices in ({}, {"a": 63}, {"a": 64}, {"a": 5, "b": 4_095})] == [
        1,
        1,
        2,
        64,
    ]
