"""The engine of a drill: `hustings serve` as a process, on a server of the drill's own.

The server is a child of this process, so that it can be killed and revived. Engine and server have each a
clock that can be set, where libfaketime is installed (`clock`).
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from config.embedded_server import EmbeddedServer
from tests.fault_drill.clock import SetClock, clock_by
from tests.test_engine import children_of

WORKER, EVENTS = "bidder.port.main", "bidder.events.main"
START_SECONDS_MAX = 120


class DrilledEngine:
    """The processes under trial."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        server: EmbeddedServer,
        data: Path,
        workers: int,
        clock: SetClock | None,
        server_clock: SetClock | None,
    ) -> None:
        self.server = server
        self.data = data
        self.bid_url = ""
        self.workers = workers
        self.clock, self.server_clock = clock, server_clock
        self._process = process

    def children(self, module: str) -> list[int]:
        return [pid for pid, found in children_of(self._process.pid) if found == module]

    def kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def revive_server(self) -> None:
        """Start Redis again, after `server.kill`."""
        with self.server_clock.for_children() if self.server_clock else contextlib.nullcontext():
            self.server.revive()

    async def read_address(self) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(START_SECONDS_MAX):
            line = (await self._process.stdout.readline()).decode()
        self.bid_url = line.split()[-1].replace("{exchange}", "plain")


@contextlib.asynccontextmanager
async def drilled_engine(
    server: EmbeddedServer, server_clock: SetClock | None, data: Path, workers: int
) -> AsyncIterator[DrilledEngine]:
    """Run an engine until the block ends; the config is published already."""
    clock = clock_by(data / "clock")
    environment = dict(os.environ) | (clock.environment if clock else {})
    with (data / "engine.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bidder.cli.main", "serve", "--redis", server.url, "--data", str(data)),
            *("--workers", str(workers), "--bid-port", "0", "--events-port", "0", "--admin-port", "0"),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=environment,
        )
    engine = DrilledEngine(process, server, data, workers, clock, server_clock)
    try:
        await engine.read_address()
        yield engine
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
