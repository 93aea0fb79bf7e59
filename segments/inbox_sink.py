"""Where an advertiser's loader sends rows: an inbox (`segments.inbox`), without access to the store.

    sink = InboxSink(client, "oak", options)
    report = await load(path, sink, identity, options, progress)
    sink.refused                                    # what the reader did not take

It waits while the inbox is half full, so that nothing it sends is dropped, and at the end until everything
is applied.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import redis.asyncio
from numpy.typing import NDArray

from config import redis_keys
from config.limits import (
    INBOX_BYTES_MAX,
    INBOX_ENTRIES_MAX,
    INBOX_ENTRY_BYTES_MAX,
    INBOX_ENTRY_USERS_MAX,
    INBOX_WAIT_SECONDS_MAX,
)
from segments.inbox import HASH_BYTES
from segments.loader import LoadOptions
from segments.registry import name_fault
from segments.rows import Rows
from segments.segment_file import LoadError
from segments.store_sink import check_ttl

_MODE_AND_DAYS_BYTES = 32
_NODE_BYTES = 4_096
"""What an entry takes in Redis besides its own bytes, where it is alone (`stream-node-max-bytes`)."""
_PAUSE_SECONDS = 0.05


class InboxSink:
    """Sends rows to an advertiser's inbox: the sink of a loader without access to the store."""

    def __init__(self, client: "redis.asyncio.Redis", advertiser: str, options: LoadOptions) -> None:
        """Raises LoadError for days that nobody is kept."""
        check_ttl(options.ttl_days)
        self._client = client
        self._key, self._faults_key = redis_keys.inbox(advertiser), redis_keys.inbox_faults(advertiser)
        self._options = options
        self._faults_before: int | None = None
        self._entry_bytes = 0
        """Of the largest entry so far."""
        self.refused = 0
        """What the reader refused while this loader ran; known when it has finished."""

    async def take(self, rows: Rows, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """See `segments.loader.Sink`. Waits while the inbox is half full."""
        if self._faults_before is None:
            self._faults_before = await self._client.xlen(self._faults_key)
        lines = self._lines(rows)
        good = np.delete(np.arange(len(rows.lines)), sorted(rows.faults))
        for part in _parts(good.tolist(), lines):
            text = "\n".join(lines[row] for row in part)
            self._entry_bytes = max(self._entry_bytes, len(part) * HASH_BYTES + len(text) + _NODE_BYTES)
            entries_max = min(INBOX_ENTRIES_MAX, INBOX_BYTES_MAX // self._entry_bytes)
            await self._wait_until_shorter_than(max(1, entries_max // 2))
            entry: Any = {
                "users": hashes[part].astype(">u8").tobytes(),
                "segments": text,
                "mode": self._options.mode,
                "days": self._options.ttl_days,
            }
            await self._client.xadd(self._key, entry)
        return good

    async def finish(self, source: str) -> None:
        """Wait until everything is applied. Raises LoadError when nobody does."""
        await self._wait_until_shorter_than(1)
        if self._faults_before is not None:
            self.refused = max(0, await self._client.xlen(self._faults_key) - self._faults_before)

    def _lines(self, rows: Rows) -> list[str]:
        bad = {
            code: fault
            for code, name in enumerate(rows.names)
            if name and (fault := name_fault(name.removeprefix("-")))
        }
        offsets, codes = rows.member_offsets.tolist(), rows.member_names.tolist()
        lines = []
        for row in range(len(rows.lines)):
            members = codes[offsets[row] : offsets[row + 1]]
            for code in members:
                if code in bad:
                    rows.faults.setdefault(row, bad[code])
            lines.append("|".join(rows.names[code] for code in members))
        return lines

    async def _wait_until_shorter_than(self, entries: int) -> None:
        try:
            async with asyncio.timeout(INBOX_WAIT_SECONDS_MAX):
                while await self._client.xlen(self._key) >= entries:  # noqa: ASYNC110 - Redis tells nobody when
                    await asyncio.sleep(_PAUSE_SECONDS)
        except TimeoutError:
            raise LoadError(
                f"nobody has emptied the inbox for {INBOX_WAIT_SECONDS_MAX} seconds: the engine is not "
                "running, or far behind; what was sent will be applied, and the same command sends the rest"
            ) from None


def _parts(rows: Sequence[int], lines: Sequence[str]) -> Iterator[list[int]]:
    """Divide rows into those of one entry each."""
    part: list[int] = []
    size = _MODE_AND_DAYS_BYTES
    for row in rows:
        row_size = HASH_BYTES + len(lines[row]) + 1
        if part and (len(part) == INBOX_ENTRY_USERS_MAX or size + row_size > INBOX_ENTRY_BYTES_MAX):
            yield part
            part, size = [], _MODE_AND_DAYS_BYTES
        part.append(row)
        size += row_size
    if part:
        yield part
