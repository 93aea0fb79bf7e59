"""What audiences cost: memory for each cookie, a look-up, a load, a change seen by bids.

    python -m benchmarks.segments [--small] [--json]

    bytes_per_cookie           growth of the server's own memory report (INFO used_memory) while cookies in
                               20 segments of 256, or of 512, are written; divided by the cookies
    lookup_us_per_key_batch64  processor time of the client, system calls included, to look 64 users up,
                               divided by the 128 keys that are read; one batch after another
    load_rows_per_s            `hustings segments load` of a Parquet file, from the start of the command to
                               its end; load_peak_mb is the most memory that the command took, load_cpu_s its
                               processor time, without the server's
    delta_visible_s            from the start of `hustings segments load --mode add` of a CSV file, a segment
                               added and one removed in each row, to a look-up that has seen every change;
                               delta_cpu_s is the command's processor time
    scan_cookies_per_s         all cookies read back and compared with what was written, exactly

The server is a private one, without durability, and the kernels are compiled. The report says the sizes.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import redis.asyncio
import uvloop
from numpy.typing import NDArray

from benchmarks.command import Arguments, BenchmarkError, run_command
from benchmarks.figures import Spread, machine, result_hash, spread
from config.embedded_server import EmbeddedServer
from config.settings import ensure_secret_file, load_secrets
from segments.bitsets import bits_from_indices, unpack_users
from segments.expressions import words_for
from segments.identity import COOKIE, Identity
from segments.lookup import UserLookup
from segments.registry import SegmentRegistry
from segments.store import SegmentStore

SEED = 2016
SEGMENTS_EACH = 20
SEGMENTS = (256, 512)
BATCH_USERS = 64
BATCH_ROWS = 262_144
ROUNDS = 5
EXPIRY_DAY = 40_000
LOOKUP_TIMEOUT_MS = 5_000
_ROW_GROUP_ROWS = 1 << 18
_MB = 1 << 20


class Size(msgspec.Struct, frozen=True):
    """How much to measure."""

    cookies: int = 2_000_000
    lookup_batches: int = 2_000
    load_rows: int = 10_000_000
    delta_rows: int = 100_000


SMALL = Size(cookies=20_000, lookup_batches=20, load_rows=5_000, delta_rows=500)


class Report(msgspec.Struct, frozen=True):
    machine: str
    hash: str
    size: Size
    segments_each: int
    bytes_per_cookie: dict[str, float]
    write_cookies_per_s: float
    scan_cookies_per_s: float
    lookup_us_per_key_batch64: Spread
    lookup_us_per_user_batch64: Spread
    load_rows_per_s: float
    load_cpu_s: float
    load_peak_mb: float
    delta_visible_s: float
    delta_cpu_s: float


def members(rng: np.random.Generator, n: int, segments: int) -> NDArray[np.int64]:
    """Return int64[n, SEGMENTS_EACH]: segments of n cookies, any number as likely as another."""
    return rng.integers(0, segments, (n, SEGMENTS_EACH))


def bits_of(indices: NDArray[np.int64], segments: int) -> NDArray[np.uint64]:
    """Return uint64[n, W] of the segments of n cookies."""
    bits = np.zeros((len(indices), words_for(segments)), np.uint64)
    rows = np.arange(len(indices))
    for column in indices.T:
        bits[rows, column // 64] |= np.uint64(1) << (column % 64).astype(np.uint64)
    return bits


async def measure(size: Size) -> Report:
    """Measure everything, each part on a fresh server."""
    bytes_per_cookie: dict[str, float] = {}
    parts: list[bytes] = []
    for segments in SEGMENTS:
        async with _fresh_server() as (server, client):
            cookies = _Cookies(size.cookies, segments)
            bytes_each, write_s = await cookies.write(client)
            bytes_per_cookie[str(segments)] = round(bytes_each, 1)
            scan_s, stored = await cookies.read_back(client)
            parts.append(stored)
            if segments == SEGMENTS[0]:
                lookup = await _lookup_us(server.url, cookies.hashes, size.lookup_batches)
                write_rate, scan_rate = size.cookies / write_s, size.cookies / scan_s
    load, change, change_s = await _load_and_change(size)
    return Report(
        machine=machine(),
        hash=result_hash(parts),
        size=size,
        segments_each=SEGMENTS_EACH,
        bytes_per_cookie=bytes_per_cookie,
        write_cookies_per_s=round(write_rate),
        scan_cookies_per_s=round(scan_rate),
        lookup_us_per_key_batch64=spread([each / 2 for each in lookup]),
        lookup_us_per_user_batch64=spread(lookup),
        load_rows_per_s=round(size.load_rows / load.seconds),
        load_cpu_s=round(load.cpu_s, 2),
        load_peak_mb=round(load.peak_mb, 1),
        delta_visible_s=round(change_s, 2),
        delta_cpu_s=round(change.cpu_s, 2),
    )


class _Command(msgspec.Struct, frozen=True):
    """What a command took."""

    seconds: float
    cpu_s: float
    peak_mb: float


class _Cookies:
    """Made-up cookies, the same for the same seed: made again rather than kept."""

    def __init__(self, count: int, segments: int) -> None:
        self.hashes = np.random.default_rng(SEED).integers(1, 2**64, count, np.uint64)
        self._segments = segments

    def bits(self) -> Iterator[tuple[int, NDArray[np.uint64]]]:
        """Yield (first row, uint64[n, W]), batch by batch."""
        rng = np.random.default_rng(SEED + 1)
        for start in range(0, len(self.hashes), BATCH_ROWS):
            n = min(BATCH_ROWS, len(self.hashes) - start)
            yield start, bits_of(members(rng, n, self._segments), self._segments)

    async def write(self, client: redis.asyncio.Redis) -> tuple[float, float]:
        """Write all; return the server's bytes for each, and the seconds spent writing."""
        store = SegmentStore(client)
        before = await _used_bytes(client)
        seconds = 0.0
        for start, bits in self.bits():
            started_s = time.perf_counter()
            await store.write(self.hashes[start : start + len(bits)], bits, EXPIRY_DAY)
            seconds += time.perf_counter() - started_s
        return (await _used_bytes(client) - before) / len(self.hashes), seconds

    async def read_back(self, client: redis.asyncio.Redis) -> tuple[float, bytes]:
        """Read all, and hold them against what was written; return the seconds and what was found."""
        words = words_for(self._segments)
        started_s = time.perf_counter()
        found = np.concatenate([users async for users in SegmentStore(client).scan(words, EXPIRY_DAY)])
        seconds = time.perf_counter() - started_s
        written = np.concatenate([bits for _, bits in self.bits()])
        found, written = _sorted(found), _sorted(written)
        if not np.array_equal(found, written):
            raise BenchmarkError("what was read back is not what was written")
        return seconds, found.tobytes()


def _sorted(users: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return users[np.lexsort(users.T)]


async def _used_bytes(client: redis.asyncio.Redis) -> int:
    return int((await client.info("memory"))["used_memory"])


async def _lookup_us(url: str, hashes: NDArray[np.uint64], batches: int) -> list[float]:
    """Return the processor time of a user in a batch, in microseconds, for each round."""
    lookup = await UserLookup.connect(url, LOOKUP_TIMEOUT_MS)
    rng = np.random.default_rng(SEED)
    asked = [rng.choice(hashes, BATCH_USERS).tolist() for _ in range(batches)]
    loop = asyncio.get_running_loop()

    async def ask_all() -> int:
        strangers = 0
        for users in asked:
            answered: asyncio.Future[Sequence[int]] = loop.create_future()
            lookup.fetch(users, lambda _, missing, answered=answered: answered.set_result(missing))  # type: ignore[misc] # mypy infers no default
            strangers += len(await answered)
        return strangers

    await ask_all()
    rounds = []
    for _ in range(ROUNDS):
        started_ns = time.thread_time_ns()
        if await ask_all():
            raise BenchmarkError("a look-up was not answered in time")
        rounds.append((time.thread_time_ns() - started_ns) / 1e3 / (batches * BATCH_USERS))
    await lookup.close()
    return rounds


async def _load_and_change(size: Size) -> tuple[_Command, _Command, float]:
    """Return what a load and a change took, and the seconds until the change was seen."""
    async with _fresh_server() as (server, client):
        with tempfile.TemporaryDirectory(prefix="hustings-bench-") as name:
            folder = Path(name)
            identity = Identity(load_secrets(ensure_secret_file(folder)).identity_key)
            names = [f"segment-{index}" for index in range(SEGMENTS[0])]
            indices = await SegmentRegistry(client).define(dict.fromkeys(names, ""))
            path, delta = folder / "cookies.parquet", folder / "changes.csv"
            # Once, so that the kernels are compiled.
            _write_parquet(path, 1, names)
            delta.write_text(f"id,segments\n{_cookie(0)},{names[0]}\n")
            await _command(server.url, folder, str(path))
            await _command(server.url, folder, str(delta), "--mode", "add")
            _write_parquet(path, size.load_rows, names)
            load = await _command(server.url, folder, str(path))
            delta.write_text(
                "id,segments\n"
                + "".join(f"{_cookie(row)},{names[0]}|-{names[1]}\n" for row in range(size.delta_rows))
            )
            started_s = time.perf_counter()
            change = await _command(server.url, folder, str(delta), "--mode", "add")
            await _see_changes(server.url, identity, size.delta_rows, (indices[names[0]], indices[names[1]]))
            return load, change, time.perf_counter() - started_s


def _cookie(row: int) -> str:
    return f"cookie-{row:012d}"


def _write_parquet(path: Path, rows: int, names: list[str]) -> None:
    rng = np.random.default_rng(SEED + 2)
    dictionary = pa.array(names)
    schema = pa.schema([("id", pa.string()), ("segments", pa.list_(pa.dictionary(pa.int32(), pa.string())))])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, _ROW_GROUP_ROWS):
            n = min(_ROW_GROUP_ROWS, rows - start)
            chosen = members(rng, n, len(names)).astype(np.int32).ravel()
            values = pa.DictionaryArray.from_arrays(pa.array(chosen), dictionary)
            offsets = pa.array(np.arange(0, n * SEGMENTS_EACH + 1, SEGMENTS_EACH, dtype=np.int32))
            ids = pa.array([_cookie(row) for row in range(start, start + n)])
            writer.write_table(pa.table([ids, pa.ListArray.from_arrays(offsets, values)], schema=schema))


async def _command(url: str, folder: Path, *arguments: str) -> _Command:
    """Run `hustings segments load` to its end."""
    words = ("-m", "bidder.cli.main", "segments", "load", *arguments, "--redis", url, "--data", str(folder))
    return await asyncio.to_thread(_run_python, words)


def _run_python(words: Sequence[str]) -> _Command:
    started_s = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, process.returncode, usage = os.wait4(process.pid, 0)
    if process.returncode:
        raise BenchmarkError(f"python {' '.join(words[:4])} failed; its reason is above")
    # Kilobytes on Linux, bytes on macOS (getrusage(2)).
    peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1_024)
    seconds = time.perf_counter() - started_s
    return _Command(seconds, usage.ru_utime + usage.ru_stime, peak_bytes / _MB)


async def _see_changes(url: str, identity: Identity, rows: int, added_and_removed: tuple[int, int]) -> None:
    """Look every changed cookie up."""
    users = [identity.hash(COOKIE, _cookie(row)) for row in range(rows)]
    words = words_for(SEGMENTS[0])
    added, removed = (bits_from_indices([index], words) for index in added_and_removed)
    lookup = await UserLookup.connect(url, LOOKUP_TIMEOUT_MS)
    for start in range(0, rows, BATCH_ROWS // 16):
        answered: asyncio.Future[list[bytes | None]] = asyncio.get_running_loop().create_future()
        lookup.fetch(
            users[start : start + BATCH_ROWS // 16],
            lambda values, _, answered=answered: answered.set_result(values),  # type: ignore[misc] # as above
        )
        bits = unpack_users((await answered)[::2], words, 0)
        if not ((bits & added) == added).all() or (bits & removed).any():
            raise BenchmarkError("a change was not seen after the command had ended")
    await lookup.close()


@contextlib.asynccontextmanager
async def _fresh_server() -> AsyncIterator[tuple[EmbeddedServer, redis.asyncio.Redis]]:
    async with contextlib.AsyncExitStack() as closing:
        folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="hustings-bench-"))
        server = closing.enter_context(EmbeddedServer.start(Path(folder), durable=False))
        yield server, await closing.enter_async_context(redis.asyncio.Redis.from_url(server.url))


def run(options: Arguments) -> Report:
    """Measure as much as the command line asks for."""
    return uvloop.run(measure(SMALL if options.small else Size()))


def show(report: Report) -> None:
    """Print a report for a person."""
    size = report.size
    print(f"segments   ({report.machine}; results {report.hash})")
    for segments, each in report.bytes_per_cookie.items():
        print(f"  {each:8.1f} bytes a cookie, {size.cookies:,} in {SEGMENTS_EACH} of {segments} segments")
    key, user = report.lookup_us_per_key_batch64, report.lookup_us_per_user_batch64
    print(f"  {key.median:8.3f} µs of the client's processor for a key, {user.median:.3f} for a user,")
    print(f"           in batches of {BATCH_USERS} users ({key.min:.3f} to {key.max:.3f} for a key)")
    written, read = report.write_cookies_per_s, report.scan_cookies_per_s
    print(f"  {written:8,.0f} cookies a second written, {read:,.0f} read back")
    print(f"  {report.load_rows_per_s:8,.0f} rows a second loaded, {size.load_rows:,} from Parquet,")
    print(f"           in {report.load_peak_mb:.0f} MB of memory, {report.load_cpu_s:.1f} s of the processor")
    print(f"  {report.delta_visible_s:8.2f} s until {size.delta_rows:,} changed cookies are seen changed,")
    print(f"           {report.delta_cpu_s:.1f} s of them the command's processor")


if __name__ == "__main__":
    run_command(__doc__, run, show)
