"""Segment files into an audience: `hustings segments load`.

    options = LoadOptions(mode="replace", ttl_days=30)
    report = await load(path, StoreSink(client, options, today), identity, options, progress)

One file or the files of a folder, one batch of columns after the other: while a batch is on its way
to Redis, a thread reads the next and hashes its ids. Memory stays flat however long the files are.
Every good row goes to the sink; every other line goes into `<file>.rejects.csv` with its number and the
reason. Of two rows for one cookie the last counts. A load that was interrupted, by a signal or a fault,
goes on where it was when it is run again (`segments.checkpoint`).
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import redis
from numpy.typing import NDArray

from segments.checkpoint import Checkpoint, SourceFile, read_checkpoint, write_checkpoint
from segments.identity import COOKIE, Identity
from segments.rejects import Rejects
from segments.rows import Fault, Rows, text_buffers
from segments.segment_file import AS_THEY_ARE, REJECTS_SUFFIX, Columns, LoadError, read_rows, segment_files

CHECKPOINT_SUFFIX = ".checkpoint.json"

Mode = Literal["replace", "add", "remove"]
Progress = Callable[[int, int], None]
"""Called with (rows done, bytes done) of all files."""


class LoadOptions(msgspec.Struct, frozen=True):
    """How a file is to be understood."""

    mode: Mode = "replace"
    """What a row's names do to what the cookie was in before. In `add`, a name behind a minus is removed."""
    owner: str | None = None
    """The advertiser whose segments alone may be touched; None is the operator, who may touch all."""
    ttl_days: int = 30
    columns: Columns = AS_THEY_ARE
    define: bool = False
    """Define segments that are not yet, as the owner's."""


class LoadReport(msgspec.Struct, frozen=True):
    """What became of the files: `rows` is `cookies` and `rejected` together."""

    rows: int
    cookies: int
    """Rows that went to the sink. A cookie that has two rows counts twice."""
    repeated: int
    """Of those, rows whose cookie had come before in the same batch."""
    rejected: int
    resumed_after: int
    """Rows that an earlier, interrupted run had done; all counts include them."""
    seconds: float
    rejects_file: str | None


class Sink(Protocol):
    """Where rows go."""

    async def take(self, rows: Rows, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Take the rows without a fault and return their numbers; what it refuses joins `rows.faults`.

        hashes: uint64[n], one for each row. Raises LoadError and redis.RedisError.
        """

    async def finish(self, source: str) -> None:
        """Called once, when all rows of all files were taken."""


async def load(
    path: Path,
    sink: Sink,
    identity: Identity,
    options: LoadOptions,
    progress: Progress,
    *,
    scratch: Path | None = None,
    resumable: bool = True,
    restart: bool = False,
) -> LoadReport:
    """Give the rows of a file, or of a folder's files, to a sink.

    `scratch` is a folder for the rejects and the checkpoint, beside the file by default. Raises
    LoadError, registry.RegistryError, and redis.RedisError before the first row is done.
    """
    started_s = time.perf_counter()
    files = segment_files(path)
    beside = (scratch or path.parent) / path.name
    rejects_path = beside.with_name(beside.name + REJECTS_SUFFIX)
    checkpoint_path = beside.with_name(beside.name + CHECKPOINT_SUFFIX)
    at = _start(files, options, checkpoint_path, resumable, restart)
    resumed_after = at.rows
    with Rejects(rejects_path, at.rejects_bytes) as rejects:
        bytes_before = sum(source.size_bytes for source in at.sources[: at.file])
        for index in range(at.file, len(files)):
            at = msgspec.structs.replace(at, file=index, file_rows=at.file_rows if index == at.file else 0)
            batches = _hashed(read_rows(files[index], options.columns, at.file_rows), identity)
            pending = asyncio.ensure_future(asyncio.to_thread(next, batches, None))
            try:
                while (batch := await pending) is not None:
                    pending = asyncio.ensure_future(asyncio.to_thread(next, batches, None))
                    rows, hashes = batch
                    taken = await _take(sink, rows, hashes, at.rows if resumable else None)
                    faults = [Fault(int(rows.lines[row]), reason) for row, reason in rows.faults.items()]
                    faults += rows.broken_lines
                    at = msgspec.structs.replace(
                        at,
                        file_rows=rows.rows_done,
                        rows=at.rows + rows.rows_done - at.file_rows,
                        cookies=at.cookies + len(taken),
                        repeated=at.repeated + len(taken) - len(np.unique(hashes[taken])),
                        rejected=at.rejected + len(faults),
                        rejects_bytes=rejects.write(files[index].name, faults),
                    )
                    if resumable:
                        write_checkpoint(checkpoint_path, at)
                    progress(at.rows, bytes_before + rows.bytes_done)
            finally:
                # A thread inside the reader must not outlive its file.
                await asyncio.wait([pending])
                pending.exception()
            bytes_before += at.sources[index].size_bytes
    await sink.finish(path.name)
    checkpoint_path.unlink(missing_ok=True)
    return LoadReport(
        rows=at.rows,
        cookies=at.cookies,
        repeated=at.repeated,
        rejected=at.rejected,
        resumed_after=resumed_after,
        seconds=time.perf_counter() - started_s,
        rejects_file=str(rejects_path) if at.rejected else None,
    )


def _start(
    files: list[Path], options: LoadOptions, checkpoint_path: Path, resumable: bool, restart: bool
) -> Checkpoint:
    try:
        sources = tuple(SourceFile.of(file) for file in files)
    except OSError as error:
        raise LoadError(f"{error.filename} can't be read: {error.strerror}") from None
    settings = msgspec.json.encode(options).decode()
    if restart or not resumable:
        return Checkpoint(sources, settings)
    return read_checkpoint(checkpoint_path, sources, settings)


async def _take(
    sink: Sink, rows: Rows, hashes: NDArray[np.uint64], resumes_after: int | None
) -> NDArray[np.int64]:
    try:
        return await sink.take(rows, hashes)
    except redis.RedisError as error:
        if not resumes_after:
            raise
        full = str(error).startswith("OOM")
        what = "Redis has no memory left; make room there" if full else f"Redis failed ({error})"
        raise LoadError(
            f"{what}. The first {resumes_after:,} rows are loaded: the same command goes on after them"
        ) from None


def _hashed(batches: Iterator[Rows], identity: Identity) -> Iterator[tuple[Rows, NDArray[np.uint64]]]:
    """Add each row's hash; that of a row with a fault means nothing."""
    for rows in batches:
        if rows.sources is None:
            yield rows, identity.hash_column(COOKIE, *text_buffers(rows.ids))
            continue
        hashes = np.zeros(len(rows.lines), np.uint64)
        names, source_of_row = rows.sources
        for code in np.unique(source_of_row).tolist():
            own = np.flatnonzero(source_of_row == code)
            ids = rows.ids.take(pa.array(own))
            hashes[own] = identity.hash_column(names[code] or COOKIE, *text_buffers(ids))
        yield rows, hashes
