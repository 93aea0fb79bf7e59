"""The engine on the bench: an installation, the requests it is loaded with, workers on the measured core.

    with Cores.divided() as cores:
        async with rig(RigSize(), cores) as bench, bench.worker() as worker:
            pressed = await bench.press([worker], seconds=3)

Every worker has proved, before it is handed out, that it bids where the decision, called directly, bids.
"""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.cores import Cores
from benchmarks.expected import check_answers, expected_bids
from benchmarks.installation import Installation, installation
from benchmarks.load import CONNECTIONS, LoadClient
from benchmarks.sample_config import sample_bundle
from benchmarks.sample_traffic import SEED, TMAX_MS, sample_bodies
from benchmarks.server_process import ServerProcess


class RigSize(msgspec.Struct, frozen=True):
    """How much there is to bid on, and for."""

    bodies: int = 4_096
    people: int = 50_000
    line_items: int = 1_000
    segments: int = 256
    tmax_ms: int = TMAX_MS


RIG_SMALL = RigSize(bodies=1_024, people=5_000)


class PressSize(msgspec.Struct, frozen=True):
    """How much to measure by pressing servers in turn."""

    rig: RigSize = RigSize()
    rounds: int = 5
    seconds: float = 3.0
    """Of load in each round, and of load before the first."""


class Pressed(msgspec.Struct, frozen=True):
    """What servers did in one stretch of load. `busy`: how many cores they used."""

    requests: int
    rps: float
    cpu_us: float
    busy: float


class Rig:
    """An installation and its load. `expected`: whether each body gets a bid."""

    def __init__(self, installed: Installation, bodies: Sequence[bytes], folder: Path, cores: Cores) -> None:
        self.installed = installed
        self.bodies = bodies
        self.folder = folder
        self.expected = expected_bids(installed, bodies)
        self._uncapped = expected_bids(installed, bodies, remember=False)
        self.client = LoadClient(bodies, folder)
        self._cores = cores

    @contextlib.asynccontextmanager
    async def server(self, module: str, port: int = 0) -> AsyncIterator[ServerProcess]:
        """Run a server on the measured core until the block ends."""
        settings = msgspec.structs.replace(self.installed.settings, bid_port=port)
        environment = {"PROMETHEUS_MULTIPROC_DIR": settings.metrics_dir}
        async with contextlib.AsyncExitStack() as closing:
            # This process leaves the measured core again once the server serves.
            with self._cores.measured():
                started = ServerProcess.started(module, settings, environment)
                server = await closing.enter_async_context(started)
            yield server

    @contextlib.asynccontextmanager
    async def worker(self, port: int = 0) -> AsyncIterator[ServerProcess]:
        """Run a bid worker, on any free port or beside others on one, until the block ends."""
        async with self.server("bidder.port.main", port) as worker:
            await check_answers(worker.port, self.bodies, self.expected, self._uncapped)
            yield worker

    async def press(
        self, servers: Sequence[ServerProcess], seconds: float, connections: int = CONNECTIONS
    ) -> Pressed:
        """Load servers that share one port as fast as they answer; processor time is of all of them."""
        cpu_before_s = sum(server.cpu_seconds() for server in servers)
        sent = await self.client.press(servers[0].port, seconds, connections)
        cpu_s = sum(server.cpu_seconds() for server in servers) - cpu_before_s
        return Pressed(
            sent.requests, sent.requests / sent.seconds, cpu_s * 1e6 / sent.requests, cpu_s / sent.seconds
        )


@contextlib.asynccontextmanager
async def rig(size: RigSize, cores: Cores, redis_url: str | None = None) -> AsyncIterator[Rig]:
    """Set everything up but the workers; on a private server, unless an empty Redis is given."""
    bodies = sample_bodies(size.bodies, size.people, size.tmax_ms)
    config = sample_bundle(size.line_items, size.segments, SEED)
    with tempfile.TemporaryDirectory(prefix="hustings-bench-") as name:
        folder = Path(name)
        async with installation(config, size.people, folder, redis_url) as installed:
            yield Rig(installed, bodies, folder, cores)
