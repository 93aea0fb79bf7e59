"""Segment files into Redis: `hustings segments load`.

    report = await load_file(path, store, registry, identity, ttl_days=30, today=day, progress=show)

Every good row replaces what the cookie was in before; of two rows for one cookie the last counts.
Every other line goes into `<file>.rejects.csv` with its number and the reason, never an id. Memory
stays flat however long the file is.
"""

import csv
import difflib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TextIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from config.limits import SEGMENT_TTL_DAYS_MAX
from segments.expressions import words_for
from segments.identity import COOKIE, Identity
from segments.registry import SegmentRegistry, name_fault
from segments.segment_file import Fault, LoadError, Rows, read_rows
from segments.store import SegmentStore

_NEAREST_NAMES_MAX = 100
"""For so many unknown names the nearest known one is looked for; it takes milliseconds each."""


class LoadReport(msgspec.Struct, frozen=True):
    """What became of a file: `rows` is `cookies` and `rejected` together."""

    rows: int
    cookies: int
    """Rows written. A cookie that has two rows counts twice."""
    rejected: int
    seconds: float
    rejects_file: str | None


async def load_file(
    path: Path,
    store: SegmentStore,
    registry: SegmentRegistry,
    identity: Identity,
    ttl_days: int,
    progress: Callable[[int, int], None],
    *,
    today: int,
    define: bool = False,
) -> LoadReport:
    """Write the segments of every good row, good to the end of day `today + ttl_days`.

    progress is called with (rows done, bytes done). `define` defines unknown segments as they
    come up. Raises LoadError, registry.RegistryError when there is no room for another segment,
    and redis.RedisError; the rows before the fault are loaded.
    """
    if not 1 <= ttl_days <= SEGMENT_TTL_DAYS_MAX:
        raise LoadError(f"segments are kept for 1 to {SEGMENT_TTL_DAYS_MAX} days, not {ttl_days}")
    started_s = time.perf_counter()
    known = _KnownNames(await registry.indices())
    rows = cookies = 0
    with _Rejects(path) as rejects:
        for batch in read_rows(path):
            if define:
                fresh = [name for name in batch.names if name not in known.indices and not name_fault(name)]
                if fresh:
                    known = _KnownNames(await registry.define(dict.fromkeys(fresh, "")))
            bits = _user_bits(batch, known)
            good = [row for row in range(len(batch.lines)) if row not in batch.faults]
            await store.write(_hashes(batch, good, identity), bits[good], today + ttl_days)
            rejects.write(batch)
            cookies += len(good)
            rows += len(batch.lines) + len(batch.broken_lines)
            progress(rows, batch.bytes_done)
        return LoadReport(rows, cookies, rejects.count, time.perf_counter() - started_s, rejects.file_name)


def _user_bits(batch: Rows, known: "_KnownNames") -> NDArray[np.uint64]:
    """Return uint64[n, W]; a row with an unknown segment becomes one of the batch's faults."""
    words = words_for(len(known.indices))
    bits_of_name = np.array([known.indices.get(name, -1) for name in batch.names], np.int64)
    bits = bits_of_name[batch.member_names]
    for member in np.flatnonzero(bits < 0).tolist():
        name = batch.names[batch.member_names[member]]
        if name:  # an empty one is only a separator at the end
            batch.faults.setdefault(int(batch.member_rows[member]), known.why_unknown(name))
    users = np.zeros(len(batch.lines) * words, np.uint64)
    inside = bits >= 0
    bits = bits[inside]
    positions = batch.member_rows[inside] * words + bits // 64
    np.bitwise_or.at(users, positions, np.uint64(1) << (bits % 64).astype(np.uint64))
    return users.reshape(-1, words)


def _hashes(batch: Rows, good: Iterable[int], identity: Identity) -> NDArray[np.uint64]:
    ids, sources = batch.ids, batch.sources
    if sources is None:
        return np.array([identity.hash(COOKIE, ids[row] or "") for row in good], np.uint64)
    return np.array([identity.hash(sources[row] or COOKIE, ids[row] or "") for row in good], np.uint64)


class _KnownNames:
    """The defined segments, and what to say about a name that is not one of them."""

    def __init__(self, indices: dict[str, int]) -> None:
        self.indices = indices
        self._said: dict[str, str] = {}

    def why_unknown(self, name: str) -> str:
        if name in self._said:
            return self._said[name]
        reason = name_fault(name) or f"segment {name} is not defined"
        if len(self._said) < _NEAREST_NAMES_MAX:
            nearest = difflib.get_close_matches(name, self.indices, n=1)
            if nearest:
                reason += f"; the nearest is {nearest[0]}"
            self._said[name] = reason
        return reason


class _Rejects:
    """The file of rejected lines, made when there is a first one; one of an earlier load goes."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._path = path.with_name(path.name + ".rejects.csv")
        self._file: TextIO | None = None

    @property
    def file_name(self) -> str | None:
        return str(self._path) if self.count else None

    def write(self, batch: Rows) -> None:
        faults = [Fault(batch.lines[row], reason) for row, reason in batch.faults.items()]
        faults += batch.broken_lines
        if not faults:
            return
        try:
            if self._file is None:
                self._file = self._path.open("w", encoding="utf-8", newline="")
                csv.writer(self._file).writerow(["line", "reason"])
            for fault in sorted(faults, key=lambda fault: fault.line):
                csv.writer(self._file).writerow([fault.line, fault.reason])
        except OSError as error:
            raise LoadError(f"can't write {self._path}: {error.strerror}") from None
        self.count += len(faults)

    def __enter__(self) -> "_Rejects":
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise LoadError(f"can't replace {self._path}: {error.strerror}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
