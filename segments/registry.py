"""Which bit is which audience: names, their indices and descriptions, shared through Redis.

A segment gets the next free index when it is first defined and keeps it for good: stored bitsets
mean nothing without it. Indices are dense, from 0, and never given to another name.

    registry = SegmentRegistry(redis.asyncio.Redis.from_url(url))
    indices = await registry.define({"polk-county": "Registered in Polk County", "gardeners": ""})
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import redis.asyncio

from config import redis_keys
from config.audience import RESERVED_WORDS
from config.limits import ID_CHARS_MAX, SEGMENTS_MAX
from config.schema import Id

_DEFINE = (Path(__file__).parent / "lua" / "define_segments.lua").read_text()


class RegistryError(Exception):
    """Segments can't be defined; the message says which and why."""


class Definition(msgspec.Struct, frozen=True):
    """One defined segment."""

    name: str
    index: int
    description: str


class SegmentRegistry:
    """The defined segments of one Redis."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client
        self._define = client.register_script(_DEFINE)

    async def define(self, descriptions: Mapping[str, str]) -> dict[str, int]:
        """Define these segments, names to descriptions, and return every name's index.

        Atomic and idempotent: a name that is defined keeps its index, and its description unless
        a new one is given. Raises RegistryError for a name that no expression could use, and
        when there would be more than SEGMENTS_MAX.
        """
        for name in descriptions:
            fault = name_fault(name)
            if fault:
                raise RegistryError(fault)
        keys = [redis_keys.SEGMENT_INDICES, redis_keys.SEGMENT_NEXT, redis_keys.SEGMENT_DESCRIPTIONS]
        pairs = [text for pair in descriptions.items() for text in pair]
        excess: Any = await self._define(keys=keys, args=[SEGMENTS_MAX, *pairs])
        if excess:
            raise RegistryError(
                f"there is room for {SEGMENTS_MAX} segments, and these would be {excess} too many; "
                "none of them was defined"
            )
        return await self.indices()

    async def indices(self) -> dict[str, int]:
        """Return every defined segment's index, by name."""
        reply: Any = await self._client.hgetall(redis_keys.SEGMENT_INDICES)
        return {name.decode(): int(index) for name, index in reply.items()}

    async def describe(self) -> list[Definition]:
        """Return every defined segment, by index."""
        indices = await self.indices()
        reply: Any = await self._client.hgetall(redis_keys.SEGMENT_DESCRIPTIONS)
        texts = {name.decode(): text.decode() for name, text in reply.items()}
        return [
            Definition(name, index, texts.get(name, ""))
            for name, index in sorted(indices.items(), key=lambda item: item[1])
        ]


def name_fault(name: str) -> str | None:
    """Say why a segment can't have this name, or None when it can."""
    if name.lower() in RESERVED_WORDS:
        return f"{name!r} can't be a segment's name: audiences use the word"
    try:
        msgspec.convert(name, Id)
    except msgspec.ValidationError:
        pass
    else:
        # A pattern's `$` lets a line end through.
        if not name.endswith("\n"):
            return None
    return (
        f"{name[:ID_CHARS_MAX]!r} can't be a segment's name: use letters, digits, dots, dashes and "
        f"underscores, a letter or digit first, at most {ID_CHARS_MAX}"
    )
