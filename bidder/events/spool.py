"""A spool: notices on this host's disk, for as long as Redis is away.

    spools = await asyncio.to_thread(open_spools, folder)
    await spools[0].append(payload, key)     # returns when it is on the disk
    for entry in spool.waiting():            # in the order they came; spool.oldest() is the first
        ...
        spool.done(entry, key)
    spool.tidy()                             # an empty file again, when all are done

One file, appended to and never rewritten. A record is

    magic "HsN1"   length u32   CRC-32 u32 of length and payload   state u8   payload

and `done` sets its state byte in place, so whoever is killed in the middle of a replay goes on where it
was. The state is no part of the checksum. It is written without a sync: after a power failure entries may
be replayed once more, which the ledger knows for repeats. What a full disk does not let be marked (some copy
what is written in place) is remembered as done, and marked when there is room again.

**Group commit.** A sync of the disk takes milliseconds, whatever it syncs. While one is under way in its
thread, further entries gather, and the next sync takes all of them: a burst of a thousand costs a few.

**What can be found in the file after a crash.** A record that was not written to its end was promised to
nobody: `open` cuts it off. A record that is damaged further in, which a crash does not do but a disk may,
costs that record: the search goes on at the next magic whose checksum is right. A write that fails (no
space, a bad disk) is cut off at once and reported to everybody who waited for it.

A spool belongs to one process, which holds a lock on its file. Where several events processes share a
folder each has a file of its own, and at its start takes over those whose processes are gone.

Rejected: SQLite, whose pages and journal sync twice for each commit; a file of positions beside the log,
which can disagree with it.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from config.limits import SPOOL_BYTES_MAX, SPOOL_FILES_MAX, SPOOL_RECORD_BYTES_MAX

SPOOL_FOLDER: Final = "spool"
"""In the data folder of an engine."""
MAGIC: Final = b"HsN1"
_HEADER: Final = struct.Struct("<4sIIB")
_LENGTH: Final = struct.Struct("<I")
_STATE_OFFSET: Final = _HEADER.size - 1
_WAITING, _DONE = 0, 1
_SCAN_BYTES: Final = 1 << 20

logger = logging.getLogger(__name__)


class SpoolError(Exception):
    """An entry could not be kept: the spool is at its limit, or the disk refuses. The message says which."""


class SpoolTakenError(Exception):
    """Another process has this file."""


class Entry(NamedTuple):
    payload: bytes
    offset: int
    end: int


class Spool:
    """One file of entries. For one event loop; only the syncs run in threads."""

    def __init__(self, path: Path, bytes_max: int = SPOOL_BYTES_MAX) -> None:
        """Open or create the file, and cut off what a crash left half-written.

        Raises SpoolTakenError and OSError.
        """
        self._bytes_max = bytes_max
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise SpoolTakenError(f"{path} belongs to another process") from None
        _sync_folder(path.parent)
        # By where they begin, in order: what is done already is not read again to find what waits.
        self._waiting: dict[int, None] = {}
        self._size = 0
        self._unmarked: set[int] = set()
        """Offsets of entries that are done, and that the disk did not let be marked yet."""
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._batch: asyncio.Future[None] | None = None
        self._kept: dict[int, asyncio.Future[None]] = {}
        self._writing: asyncio.Task[None] | None = None
        self._recover(path)

    def close(self) -> None:
        """Give the file up; wait for appends first."""
        os.close(self._file)

    @property
    def waiting_count(self) -> int:
        """Entries on the disk that are not done."""
        return len(self._waiting)

    async def append(self, payload: bytes, key: int) -> None:
        """Keep an entry; return when it is on the disk. Raises SpoolError.

        `key` stands for what the entry says: a second entry of the same key is not kept while the first
        waits.
        """
        kept = self._kept.get(key)
        if kept is None:
            record = _record(payload)
            if self._size + self._gathered_bytes + len(record) > self._bytes_max:
                raise SpoolError(f"the spool is at its limit of {self._bytes_max} bytes")
            if self._batch is None:
                self._batch = asyncio.get_running_loop().create_future()
            kept = self._kept[key] = self._batch
            self._gathered.append(record)
            self._gathered_bytes += len(record)
            if self._writing is None:
                self._writing = asyncio.create_task(self._write_batches())
        # Many wait for one future, and none of them may cancel it.
        await asyncio.shield(kept)

    def waiting(self, after: int = 0) -> Iterator[Entry]:
        """Yield the entries that are not done, oldest first, those appended meanwhile included.

        `after` is the `end` of an entry to begin behind.
        """
        while offsets := [offset for offset in self._waiting if offset >= after]:
            for offset in offsets:
                entry, _ = self._read(offset)
                after = offset + 1
                # Damaged while we had it: the next process says so.
                if entry is not None and offset in self._waiting:
                    after = entry.end
                    yield entry

    def oldest(self) -> Entry | None:
        """Return the first entry that is not done, None when none waits, or it was damaged."""
        offset = next(iter(self._waiting), None)
        return None if offset is None else self._read(offset)[0]

    def done(self, entry: Entry, key: int) -> None:
        """Remember that an entry needs no replaying any more; what says the same is kept again from now on.

        `key` is what it was appended with.
        """
        self._kept.pop(key, None)
        del self._waiting[entry.offset]
        try:
            self._mark(entry.offset)
        except OSError as error:
            logger.warning("the disk does not let a notice be marked as done, for now: %s", error.strerror)
            self._unmarked.add(entry.offset)

    def tidy(self) -> None:
        """Empty the file when nothing in it waits; else mark what could not be. Raises OSError."""
        if self._size and not self._waiting and self._writing is None:
            os.ftruncate(self._file, 0)
            self._size = 0
            self._kept.clear()
            self._unmarked.clear()
        for offset in sorted(self._unmarked):
            self._mark(offset)
            self._unmarked.discard(offset)

    def _mark(self, offset: int) -> None:
        os.pwrite(self._file, bytes([_DONE]), offset + _STATE_OFFSET)

    async def _write_batches(self) -> None:
        while self._batch is not None:
            batch, records, size = self._batch, self._gathered, self._gathered_bytes
            # They count against the limit until they are in the file, and then as part of it.
            self._batch, self._gathered = None, []
            try:
                await asyncio.to_thread(self._write, b"".join(records))
            except OSError as error:
                self._kept = {key: future for key, future in self._kept.items() if future is not batch}
                batch.set_exception(SpoolError(f"the disk refuses: {error.strerror}"))
                # Marked as seen: everybody who waited may have gone.
                batch.exception()
            else:
                for record in records:
                    self._waiting[self._size] = None
                    self._size += len(record)
                batch.set_result(None)
            self._gathered_bytes -= size
        self._writing = None

    def _write(self, data: bytes) -> None:
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._file, data[written:], self._size + written)
            _sync(self._file)
        except OSError:
            # If this fails as well, the next batch writes over what is left.
            os.ftruncate(self._file, self._size)
            raise

    def _recover(self, path: Path) -> None:
        length = os.fstat(self._file).st_size
        self._size, offset, damaged = length, 0, 0
        while offset < length:
            entry, state = self._read(offset)
            if entry is None:
                found = self._next_record(offset + 1)
                if found is None:
                    logger.warning("%s: the last %d bytes are no whole record", path, length - offset)
                    os.ftruncate(self._file, offset)
                    break
                damaged += 1
                offset = found
                continue
            if state == _WAITING:
                self._waiting[offset] = None
            offset = entry.end
        self._size = min(offset, length)
        if damaged:
            logger.error("%s: damaged in %d places, whose notices are lost", path, damaged)
        if self._waiting:
            logger.info("%s: %d notices wait", path, len(self._waiting))

    def _read(self, offset: int) -> tuple[Entry | None, int]:
        """Return the record at an offset and its state; None where there is no whole, sound one."""
        header = os.pread(self._file, _HEADER.size, offset)
        if len(header) < _HEADER.size:
            return None, _WAITING
        magic, length, checksum, state = _HEADER.unpack(header)
        if magic != MAGIC or length > SPOOL_RECORD_BYTES_MAX:
            return None, _WAITING
        payload = os.pread(self._file, length, offset + _HEADER.size)
        if len(payload) < length or _checksum(payload) != checksum:
            return None, _WAITING
        return Entry(payload, offset, offset + _HEADER.size + length), state

    def _next_record(self, offset: int) -> int | None:
        """Return where the next sound record begins, at or after an offset."""
        while offset < self._size:
            block = os.pread(self._file, _SCAN_BYTES, offset)
            at = block.find(MAGIC)
            while at >= 0:
                if self._read(offset + at)[0] is not None:
                    return offset + at
                at = block.find(MAGIC, at + 1)
            # A magic may lie across the end of a block.
            offset += max(len(block) - len(MAGIC) + 1, 1)
        return None


def open_spools(folder: Path) -> list[Spool]:
    """Open every spool of a folder that no other process has; the first is for what comes.

    Raises OSError, and SpoolTakenError when SPOOL_FILES_MAX processes share the folder already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spools: list[Spool] = []
    for number in count():
        path = folder / f"notices-{number}.spool"
        if spools and not path.exists():
            return spools
        if number == SPOOL_FILES_MAX:
            raise SpoolTakenError(f"{SPOOL_FILES_MAX} processes keep their notices in {folder} already")
        try:
            spools.append(Spool(path))
        except SpoolTakenError:
            continue
    raise AssertionError("counting ends in the loop")


def left_behind(folder: Path) -> list[Spool]:
    """Open the spools of a folder that belong to nobody any more. Raises OSError."""
    spools = []
    for path in sorted(folder.glob("notices-*.spool")):
        with contextlib.suppress(SpoolTakenError):
            spools.append(Spool(path))
    return spools


def any_waits(folder: Path) -> bool:
    """Say whether a spool of a folder is not empty, without taking it; another process may have it."""
    return any(path.stat().st_size for path in folder.glob("notices-*.spool"))


def _record(payload: bytes) -> bytes:
    if len(payload) > SPOOL_RECORD_BYTES_MAX:
        raise SpoolError(f"a notice of {len(payload)} bytes is too large for the spool")
    return _HEADER.pack(MAGIC, len(payload), _checksum(payload), _WAITING) + payload


def _checksum(payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_LENGTH.pack(len(payload))))


def _sync(file: int) -> None:
    if sys.platform == "darwin":
        # There fsync leaves the data in the drive's own memory.
        fcntl.fcntl(file, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(file)


def _sync_folder(folder: Path) -> None:
    """Make a file that was just created survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
