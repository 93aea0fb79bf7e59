"""Segment names and their bits, in a real server."""

import asyncio

import pytest
import redis.asyncio

from config.limits import SEGMENTS_MAX
from segments.registry import RegistryError, SegmentRegistry


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
