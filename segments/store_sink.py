"""Rows of a segment file straight into the store, and what that would change: the sinks of an operator.

`replace` means: what this loader may touch is now what the row says. For the operator that is everything but
the segments that events fill; for an advertiser it is the advertiser's own. Where nothing is left to
spare, whole values are written (`SegmentStore.write`), three times as fast as changing some bits
(`UserBits.merge`).
"""

import asyncio
import difflib
import time
from collections.abc import Callable

import msgspec
import numpy as np
import redis.asyncio
from numpy.typing import NDArray

from config.limits import ID_CHARS_MAX, RETIRED_SETTLE_SECONDS, SEGMENT_TTL_DAYS_MAX
from segments.bit_days import UserBits
from segments.bitsets import bits_from_indices
from segments.identity import COOKIE
from segments.links import LinkStore
from segments.loader import LoadOptions
from segments.packing import NO_NAME, REFUSED, add_sizes, pack_members
from segments.registry import Definition, Load, SegmentRegistry, name_fault, words_of
from segments.rows import Rows
from segments.segment_file import LoadError
from segments.store import SegmentStore

_NEAREST_NAMES_MAX = 100
"""For so many unknown names the nearest known one is looked for; it takes milliseconds each."""


class Permitted:
    """The segments a load may name, and what to say about a name that is not one of them."""

    def __init__(self, definitions: list[Definition], retired: list[int], options: LoadOptions) -> None:
        self._by_name = {
            name: definition
            for definition in definitions
            for name in (definition.name, *definition.former_names)
        }
        self._owner = options.owner
        self._removable = options.mode == "add"
        self._removes = options.mode == "remove"
        self._said: dict[str, str] = {}
        self.words = words_of({"": max([definition.index for definition in definitions], default=0)})
        own = [d.index for d in definitions if not d.ruled and (options.owner in (None, d.owner))]
        every = np.full(self.words, ~np.uint64(0))
        self.own = bits_from_indices(own, self.words)
        """uint64[W]: the bits that this load may touch."""
        if options.owner is None:
            self.own = every & ~bits_from_indices([d.index for d in definitions if d.ruled], self.words)
        self.nothing_to_spare = (
            options.owner is None and not retired and not any(d.was_ruled for d in definitions)
        )

    def bits_of(self, names: list[str]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return the bit of each name, or why there is none (`segments.packing`), and whether it removes."""
        bits = np.full(len(names), REFUSED, np.int32)
        removes = np.full(len(names), self._removes)
        for code, name in enumerate(names):
            if self._removable and name.startswith("-"):
                removes[code] = True
            definition = self._by_name.get(self._bare(name))
            if not name:
                bits[code] = NO_NAME
            elif definition is not None and self._may_load(definition):
                bits[code] = definition.index
        return bits, removes

    def unknown(self, names: list[str]) -> list[str]:
        """Return the names that could be defined: fit for a segment, and not one yet."""
        bare = dict.fromkeys(self._bare(name) for name in names if name)
        return [name for name in bare if name not in self._by_name and not name_fault(name)]

    def why_refused(self, name: str) -> str:
        """Return the reason for which a name is not loaded; of each name it is worked out once."""
        bare = self._bare(name)
        if bare not in self._said:
            self._said[bare] = self._reason(bare)
        return self._said[bare]

    def _bare(self, name: str) -> str:
        return name.removeprefix("-") if self._removable else name

    def _may_load(self, definition: Definition) -> bool:
        return not definition.ruled and self._owner in (None, definition.owner)

    def _reason(self, name: str) -> str:
        definition = self._by_name.get(name)
        if definition is not None and self._owner in (None, definition.owner):
            return f"segment {name} is filled by events, and by no file"
        # An advertiser is told nothing of which names others have.
        missing = "not defined" if self._owner is None else f"not one of {self._owner}'s"
        reason = name_fault(name) or f"segment {name} is {missing}"
        # What is far longer than any name is near none, and comparing takes long.
        if len(self._said) < _NEAREST_NAMES_MAX and len(name) <= 2 * ID_CHARS_MAX:
            own = [known for known, definition in self._by_name.items() if self._may_load(definition)]
            nearest = difflib.get_close_matches(name, own, n=1)
            if nearest:
                reason += f"; the nearest is {nearest[0]}"
        return reason


class Changes(msgspec.Struct, frozen=True):
    """What good rows say: clear, then set."""

    rows: NDArray[np.int64]
    """int64[g]: the good rows."""
    clear: NDArray[np.uint64]
    """uint64[g, W]."""
    set: NDArray[np.uint64]
    common: NDArray[np.uint64]
    """uint64[W]: to be cleared in every row."""


def changes_of(rows: Rows, permitted: Permitted, options: LoadOptions) -> Changes:
    """Turn names into bits; a row with a name that may not be loaded becomes one of the faults."""
    n, words = len(rows.lines), permitted.words
    clear, set_ = np.zeros((n, words), np.uint64), np.zeros((n, words), np.uint64)
    refused = np.empty(n, np.int32)
    bits, removes = permitted.bits_of(rows.names)
    pack_members(rows.member_offsets, rows.member_names, bits, removes, clear, set_, refused)
    for row in np.flatnonzero(refused >= 0).tolist():
        rows.faults.setdefault(row, permitted.why_refused(rows.names[refused[row]]))
    good = np.arange(n)
    if rows.faults:
        good = np.delete(good, sorted(rows.faults))
        clear, set_ = clear[good], set_[good]
    common = permitted.own if options.mode == "replace" else np.zeros(words, np.uint64)
    return Changes(good, clear, set_, common)


class StoreSink:
    """Writes rows into the store of one Redis."""

    def __init__(
        self,
        client: "redis.asyncio.Redis",
        options: LoadOptions,
        today: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`today` is in days since 1970-01-01. Raises LoadError for days that nobody is kept."""
        check_ttl(options.ttl_days)
        self._store, self._users = SegmentStore(client), UserBits(client)
        self._links = LinkStore(client)
        self._registry = SegmentRegistry(client)
        self._options = options
        self._today = today
        self._clock = clock
        self._touched: set[int] = set()

    async def take(self, rows: Rows, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """See `segments.loader.Sink`. Raises registry.RegistryError when there is no room for a segment."""
        try:
            async with asyncio.timeout(RETIRED_SETTLE_SECONDS):
                permitted = await permitted_now(self._registry, rows, self._options)
                changes = changes_of(rows, permitted, self._options)
                people = await self._people(rows, hashes)
                await self._write(people[changes.rows], changes, permitted)
        except TimeoutError:
            raise LoadError(
                "Redis took more than an hour for one batch; run the same command again"
            ) from None
        bits, _ = permitted.bits_of(rows.names)
        self._touched.update(bits[bits >= 0].tolist())
        return changes.rows

    async def finish(self, source: str) -> None:
        """Note when the segments were last loaded, and from what."""
        await self._registry.note_load(sorted(self._touched), Load(int(self._clock()), source))

    async def _people(self, rows: Rows, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return whom each row's id means: one that a sync linked to a person is the person's."""
        if rows.sources is None:
            return hashes
        names, source_of_row = rows.sources
        foreign = np.array([name not in ("", COOKIE) for name in names])[source_of_row]
        people = hashes.copy()
        people[foreign] = await self._links.resolve(hashes[foreign].tolist())
        return people

    async def _write(self, hashes: NDArray[np.uint64], changes: Changes, permitted: Permitted) -> None:
        options = self._options
        expiry_day = self._today + options.ttl_days
        if options.mode == "replace" and permitted.nothing_to_spare:
            await self._store.write(hashes, changes.set, expiry_day)
            return
        await self._users.merge(
            hashes,
            changes.clear,
            changes.set,
            changes.common,
            expiry_day=0 if options.mode == "remove" else expiry_day,
            today=self._today,
        )


class DryRunSink:
    """Changes nothing, and counts what would change."""

    def __init__(self, client: "redis.asyncio.Redis", options: LoadOptions, today: int) -> None:
        check_ttl(options.ttl_days)
        self._users, self._registry = UserBits(client), SegmentRegistry(client)
        self._options = options
        self._today = today
        self._added = np.zeros(0, np.int64)
        self._removed = np.zeros(0, np.int64)
        self._names: dict[int, str] = {}
        self.new = self.changed = self.unchanged = 0
        """Cookies that are not stored yet; stored ones that would be in other segments, or not."""
        self.would_define: dict[str, None] = {}

    async def take(self, rows: Rows, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """See `segments.loader.Sink`."""
        definitions = await self._registry.describe()
        permitted = Permitted(definitions, [], self._options)
        if self._options.define:
            fresh = permitted.unknown(rows.names)
            self.would_define |= dict.fromkeys(fresh)
            first = 1 + max([definition.index for definition in definitions], default=-1)
            owner = self._options.owner or ""
            imagined = [Definition(name, first + i, owner=owner) for i, name in enumerate(self.would_define)]
            definitions = [*definitions, *imagined]
            permitted = Permitted(definitions, [], self._options)
        changes = changes_of(rows, permitted, self._options)
        self._names = {definition.index: definition.name for definition in definitions}
        await self._compare(hashes[changes.rows], changes, permitted.words)
        return changes.rows

    async def finish(self, source: str) -> None:
        """Nothing was loaded, so there is nothing to note."""

    def by_segment(self) -> dict[str, tuple[int, int]]:
        """Return how many cookies each segment would gain and lose, those with neither left out."""
        return {
            self._names[bit]: (int(self._added[bit]), int(self._removed[bit]))
            for bit in np.flatnonzero(self._added + self._removed).tolist()
        }

    async def _compare(self, hashes: NDArray[np.uint64], changes: Changes, words: int) -> None:
        # Of two rows for one cookie only the last is compared.
        _, from_end = np.unique(hashes[::-1], return_index=True)
        last = len(hashes) - 1 - from_end
        known, before = await self._users.read_many(hashes[last], words, self._today)
        after = (before & ~changes.common & ~changes.clear[last]) | changes.set[last]
        differs = (before != after).any(axis=1)
        self.new += int((~known).sum()) if self._options.mode != "remove" else 0
        self.changed += int((known & differs).sum())
        self.unchanged += int((known & ~differs).sum())
        if len(self._added) < 64 * words:
            self._added = np.pad(self._added, (0, 64 * words - len(self._added)))
            self._removed = np.pad(self._removed, (0, 64 * words - len(self._removed)))
        add_sizes(after & ~before, self._added)
        add_sizes(before & ~after, self._removed)


async def permitted_now(registry: SegmentRegistry, rows: Rows, options: LoadOptions) -> Permitted:
    """Read what may be named, having defined what the rows name anew where the options say so."""
    permitted = Permitted(await registry.describe(), await registry.retired(), options)
    fresh = permitted.unknown(rows.names) if options.define else []
    if not fresh:
        return permitted
    await registry.define(dict.fromkeys(fresh, ""), owner=options.owner)
    return Permitted(await registry.describe(), await registry.retired(), options)


def check_ttl(ttl_days: int) -> None:
    """Raise LoadError for days that nobody is kept."""
    if not 1 <= ttl_days <= SEGMENT_TTL_DAYS_MAX:
        raise LoadError(f"segments are kept for 1 to {SEGMENT_TTL_DAYS_MAX} days, not {ttl_days}")
