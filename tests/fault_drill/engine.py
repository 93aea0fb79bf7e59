"""The engine of a drill: `hustings serve` as a process, on a server of the drill's own.

The server is a child of this process, so that it can be killed and revived, and has the true clock. The
engine's clock is set by libfaketime (github.com/wolfcw/libfaketime), where that is installed: it is loaded
into the engine's processes and adds to the time of day what a file says. What they measure durations with
(CLOCK_MONOTONIC) stays as it is, as it does when an administrator sets a clock.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from config.embedded_server import EmbeddedServer
from tests.test_engine import children_of

WORKER, EVENTS = "bidder.port.main", "bidder.events.main"
START_SECONDS_MAX = 120
_FAKETIME_FOLDERS = ("usr/lib/*/faketime", "usr/lib*/faketime", "usr/local/lib/faketime")


def faketime_library() -> Path | None:
    """Return libfaketime as Linux loads it, or None where it is not installed."""
    if sys.platform != "linux":
        return None
    for folder in _FAKETIME_FOLDERS:
        for found in Path("/").glob(f"{folder}/libfaketimeMT.so.1"):
            return found
    return None


class DrilledEngine:
    """The processes under trial."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        server: EmbeddedServer,
        data: Path,
        workers: int,
        clock_file: Path | None,
    ) -> None:
        self.server = server
        self.data = data
        self.bid_url = ""
        self.workers = workers
        self.has_clock = clock_file is not None
        self._process = process
        self._clock_file = clock_file

    def children(self, module: str) -> list[int]:
        return [pid for pid, found in children_of(self._process.pid) if found == module]

    def kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def set_clock(self, ahead_s: float) -> None:
        """Put the engine's clock so far ahead of the true one; back with a negative figure."""
        assert self._clock_file is not None
        set_clock(self._clock_file, ahead_s)

    async def read_address(self) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(START_SECONDS_MAX):
            line = (await self._process.stdout.readline()).decode()
        self.bid_url = line.split()[-1].replace("{exchange}", "plain")


def set_clock(file: Path, ahead_s: float) -> None:
    # The library reads the file at every look at the clock, and must never find half of it.
    fresh = file.with_suffix(".fresh")
    fresh.write_text(f"{ahead_s:+g}\n")
    fresh.replace(file)


@contextlib.asynccontextmanager
async def drilled_engine(server: EmbeddedServer, data: Path, workers: int) -> AsyncIterator[DrilledEngine]:
    """Run an engine until the block ends; the config is published already."""
    library, clock_file = faketime_library(), data / "clock"
    environment = dict(os.environ)
    if library is not None:
        set_clock(clock_file, 0)
        environment |= {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(clock_file),
            "FAKETIME_NO_CACHE": "1",
            # Its name in newer and in older releases.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
    with (data / "engine.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bidder.cli.main", "serve", "--redis", server.url, "--data", str(data)),
            *("--workers", str(workers), "--bid-port", "0", "--events-port", "0", "--admin-port", "0"),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=environment,
        )
    engine = DrilledEngine(process, server, data, workers, clock_file if library is not None else None)
    try:
        await engine.read_address()
        yield engine
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
