"""Which bit is which audience: names, owners and what else is known of a segment, shared through Redis.

    registry = SegmentRegistry(client)
    indices = await registry.define({"polk-county": "Registered in Polk County", "gardeners": ""})
    await registry.declare(bundle.segments)          # what segments.yaml says, owners and all

Stored bitsets mean nothing without the index a segment got when it was defined, so an index outlives
everything said about it:

    defined ──rename──► the same index; the old name goes on meaning it until it is retired
       │
    retired             no name has the index; cookies still hold the bit
       │  a whole sweep that began RETIRED_SETTLE_SECONDS later has taken the bit from every cookie
    free                the next segment defined gets it

The pause lets those finish who read the registry before: a loader reads it anew for each batch, and
gives up on a batch older than that. Waiting for the longest expiry instead would prove nothing, for a
cookie that is written again lives on, with every bit it has.

An owner is an advertiser's id; a segment without one is everybody's. Nobody's segment may become an
advertiser's, but what is an advertiser's becomes another's only by `give`: its cookies are theirs, and
a slip in a config must not hand them over.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import redis.asyncio

from config import redis_keys
from config.audience import RESERVED_WORDS
from config.limits import ID_CHARS_MAX, RETIRED_SETTLE_SECONDS, SEGMENTS_MAX
from config.schema import Id, Segment
from segments.expressions import undefined, words_for

_LUA = Path(__file__).parent / "lua"
_DEFINE_KEYS = (
    redis_keys.SEGMENT_INDICES,
    redis_keys.SEGMENT_NEXT,
    redis_keys.SEGMENT_DEFINITIONS,
    redis_keys.SEGMENT_FREE,
)
_RETIRE_KEYS = (
    redis_keys.SEGMENT_INDICES,
    redis_keys.SEGMENT_DEFINITIONS,
    redis_keys.SEGMENT_RETIRED,
    redis_keys.SEGMENT_LOADS,
)
_ALL_LOADS = b"all"


class RegistryError(Exception):
    """Segments can't be defined or changed; the message says which and why."""


class Load(msgspec.Struct, frozen=True):
    """The last time a segment was loaded."""

    at_s: int
    source: str
    """A file's name, or what the loader called itself."""


class Definition(msgspec.Struct, frozen=True):
    """One defined segment."""

    name: str
    index: int
    description: str = ""
    owner: str = ""
    """An advertiser's id; empty: shared by all."""
    source: str = ""
    """Where its cookies come from, in words."""
    ruled: bool = False
    """Events put people in (`config.schema.SegmentRule`), and no file may."""
    was_ruled: bool = False
    """It is, or once was."""
    created_s: int = 0
    former_names: tuple[str, ...] = ()
    load: Load | None = None


class _Stored(msgspec.Struct, frozen=True):
    name: str
    owner: str = ""
    description: str = ""
    source: str = ""
    ruled: bool = False
    was_ruled: bool = False
    created_s: int = 0


_Patch = dict[str, str | bool]
"""Fields of a definition to set."""
_STORED = msgspec.json.Decoder(_Stored)
_LOAD = msgspec.json.Decoder(Load)


class SegmentRegistry:
    """The defined segments of one Redis."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client

    async def define(
        self, descriptions: Mapping[str, str], *, owner: str | None = None, source: str = ""
    ) -> dict[str, int]:
        """Define these segments, names to descriptions, and return every name's index.

        Atomic and idempotent: a name that is defined keeps its index, and what is not said anew. `owner`
        claims them for an advertiser. Raises RegistryError for a name that no expression could use,
        for one that belongs to another owner, and when there would be more than SEGMENTS_MAX.
        """
        patch: _Patch = {"source": source} if source else {}
        if owner is not None:
            patch["owner"] = owner
        return await self._apply(
            {name: {**patch, "description": text} if text else patch for name, text in descriptions.items()}
        )

    async def declare(self, segments: Iterable[Segment]) -> dict[str, int]:
        """Define the segments of a config and return every name's index.

        The config is right about descriptions, rules, and the owners of what nobody owns. Raises
        RegistryError as `define` does; a segment that the config shares is then not another's either.
        """
        patches: dict[str, _Patch] = {}
        for segment in segments:
            patch: _Patch = {"owner": segment.owner or "", "ruled": segment.rule is not None}
            if segment.description:
                patch["description"] = segment.description
            patches[segment.name] = patch
        return await self._apply(patches)

    async def indices(self) -> dict[str, int]:
        """Return the index of every name, former names included."""
        reply: Any = await self._client.hgetall(redis_keys.SEGMENT_INDICES)
        return {name.decode(): int(index) for name, index in reply.items()}

    async def describe(self) -> list[Definition]:
        """Return every defined segment, by index."""
        indices = await self.indices()
        definitions: Any = await self._client.hgetall(redis_keys.SEGMENT_DEFINITIONS)
        loads: Any = await self._client.hgetall(redis_keys.SEGMENT_LOADS)
        names: dict[int, list[str]] = {}
        for name, index in sorted(indices.items()):
            names.setdefault(index, []).append(name)
        found = []
        for field, text in definitions.items():
            stored = _STORED.decode(text)
            load = loads.get(field)
            former = tuple(name for name in names.get(int(field), ()) if name != stored.name)
            found.append(
                Definition(
                    index=int(field),
                    former_names=former,
                    load=_LOAD.decode(load) if load else None,
                    **msgspec.structs.asdict(stored),
                )
            )
        return sorted(found, key=lambda definition: definition.index)

    async def rename(self, name: str, new_name: str) -> None:
        """Give a segment a new name; no cookie is touched, and the old name goes on meaning it.

        Raises RegistryError when there is no such segment, or the new name can't be had.
        """
        if fault := name_fault(new_name):
            raise RegistryError(fault)
        keys = (redis_keys.SEGMENT_INDICES, redis_keys.SEGMENT_DEFINITIONS)
        outcome = await self._run("rename_segment", keys, name, new_name)
        if outcome == b"unknown":
            raise RegistryError(undefined(name, await self.indices()))
        if outcome == b"taken":
            raise RegistryError(f"{new_name} is the name of another segment; retire that one first")

    async def give(self, name: str, owner: str) -> None:
        """Make a segment another owner's; an empty `owner` shares it. Raises RegistryError."""
        indices = await self.indices()
        index = indices.get(name)
        if index is None:
            raise RegistryError(undefined(name, indices))
        text: Any = await self._client.hget(redis_keys.SEGMENT_DEFINITIONS, str(index))
        changed = msgspec.structs.replace(_STORED.decode(text), owner=owner)
        await self._client.hset(redis_keys.SEGMENT_DEFINITIONS, str(index), msgspec.json.encode(changed))

    async def retire(self, name: str) -> str:
        """Take away a former name ("name"), or a segment with all its names ("segment"); say which.

        Raises RegistryError when there is no such name.
        """
        outcome = await self._run("retire_segment", _RETIRE_KEYS, name)
        if outcome == b"unknown":
            raise RegistryError(undefined(name, await self.indices()))
        return str(outcome.decode())

    async def retired(self) -> list[int]:
        """Return the bits that no segment has and that cookies may still hold."""
        reply: Any = await self._client.hkeys(redis_keys.SEGMENT_RETIRED)
        return sorted(map(int, reply))

    async def release(self, bits: Iterable[int], began_s: float) -> int:
        """Free retired bits that a sweep begun at `began_s` took from every cookie; return how many.

        Those retired less than RETIRED_SETTLE_SECONDS before it stay until the next.
        """
        before_s = int(began_s) - RETIRED_SETTLE_SECONDS
        keys = (redis_keys.SEGMENT_RETIRED, redis_keys.SEGMENT_FREE)
        return int(await self._run("release_bits", keys, before_s, *bits))

    async def note_load(self, bits: Iterable[int], load: Load) -> None:
        """Remember that these segments were loaded."""
        text = msgspec.json.encode(load)
        async with self._client.pipeline(transaction=False) as pipeline:
            for bit in bits:
                pipeline.hset(redis_keys.SEGMENT_LOADS, str(bit), text)
            pipeline.hincrby(redis_keys.SEGMENT_LOADS, _ALL_LOADS.decode(), 1)
            await pipeline.execute()

    async def loads(self) -> int:
        """Return how many loads there have been."""
        reply: Any = await self._client.hget(redis_keys.SEGMENT_LOADS, _ALL_LOADS.decode())
        return int(reply or 0)

    async def _apply(self, patches: Mapping[str, _Patch]) -> dict[str, int]:
        for name in patches:
            if fault := name_fault(name):
                raise RegistryError(fault)
        if patches:
            texts = [part for name, patch in patches.items() for part in (name, msgspec.json.encode(patch))]
            outcome, *details = await self._run("define_segments", _DEFINE_KEYS, SEGMENTS_MAX, *texts)
            if outcome == b"excess":
                raise RegistryError(
                    f"there is room for {SEGMENTS_MAX} segments, and these would be {details[0]} too many; "
                    "none of them was defined. `hustings segments retire` makes room"
                )
            if outcome == b"owner":
                name, owner = (detail.decode() for detail in details)
                raise RegistryError(
                    f"segment {name} belongs to {owner}; none was defined. Write `owner: {owner}` in "
                    f"segments.yaml, take another name, or hand it over with `hustings segments give {name}`"
                )
        return await self.indices()

    async def _run(self, script: str, keys: Iterable[bytes], *arguments: str | bytes | int) -> Any:
        text = (_LUA / f"{script}.lua").read_text("utf-8")
        keys = tuple(keys)
        return await self._client.eval(text, len(keys), *keys, *arguments)


def words_of(indices: Mapping[str, int]) -> int:
    """Return how many 64-bit words a user's bits need for these segments."""
    return words_for(max(indices.values(), default=0) + 1)


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
