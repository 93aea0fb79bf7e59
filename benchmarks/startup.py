"""How soon the engine bids after `hustings serve`, and how much memory a worker takes.

    python -m benchmarks.startup [--small] [--json]

The time runs from the spawn of the command, with a folder of YAML files and a private server, to the
last byte of an answer: the first of any kind, and the first with a bid, asked for by a client that never
stops asking. People and their audiences are in the server's files beforehand. Three kinds of start:

    cold      nothing is compiled, neither kernels nor Python, and nothing was ever published: once
    new       all is compiled, the installation has never run: the folder is read, ledgers are opened
    warm      the same installation as before, started again, as after a reboot

The memory is that of a bid worker (`bidder.port.main`) that has answered every request of the mix: with
the config of the starts, and with 10,000 line items more, which gives the growth.
"""

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import redis.asyncio
import uvloop

from benchmarks.command import Arguments, BenchmarkError, run_command
from benchmarks.config_folder import write_folder
from benchmarks.cores import Cores
from benchmarks.figures import Spread, machine, result_hash, spread
from benchmarks.installation import settle_people
from benchmarks.load import PATH
from benchmarks.rig import RIG_SMALL, RigSize, rig
from benchmarks.sample_config import sample_bundle
from benchmarks.sample_traffic import SEED, sample_bodies
from benchmarks.server_process import START_SECONDS_MAX, Memory
from config.embedded_server import EmbeddedServer, free_port
from config.schema import Bundle
from config.settings import ensure_secret_file, load_secrets
from segments.identity import Identity

MORE_LINE_ITEMS = 10_000
_ASK_SECONDS = 0.002
_STOP_SECONDS_MAX = 30.0


class Size(msgspec.Struct, frozen=True):
    """How much to measure."""

    rig: RigSize = RigSize(bodies=1_024, people=5_000)
    more_line_items: int = MORE_LINE_ITEMS
    rounds: int = 5
    """Of a new start and a warm one."""
    workers: int = 2
    cold: bool = True
    """Begin with nothing compiled; else with what is compiled already."""


SMALL = Size(RIG_SMALL, rounds=2)


class Start(msgspec.Struct, frozen=True):
    """Seconds from the spawn."""

    first_answer_s: float
    first_bid_s: float


class Report(msgspec.Struct, frozen=True):
    """Seconds from `hustings serve` to the first bid, and to the first answer of any kind; megabytes."""

    machine: str
    hash: str
    line_items: int
    cold_s: float | None
    new_s: Spread
    warm_s: Spread
    new_first_answer_s: Spread
    warm_first_answer_s: Spread
    worker: Memory
    worker_with_more: Memory
    growth_mb_per_10_000_line_items: float


async def measure(size: Size) -> Report:
    """Start the engine again and again, then weigh a worker; raises BenchmarkError."""
    config = sample_bundle(size.rig.line_items, size.rig.segments, SEED)
    with tempfile.TemporaryDirectory(prefix="hustings-bench-") as name:
        folder = Path(name)
        campaigns = folder / "campaigns"
        write_folder(config, campaigns)
        fresh = folder / "fresh"
        await _settle(fresh, config, size.rig.people)
        bodies = sample_bodies(size.rig.bodies, size.rig.people)
        environment = _compiling_into(folder / "compiled") if size.cold else os.environ
        starter = _Starter(campaigns, bodies, environment, size.workers)
        cold_s = starter.start(_copy(fresh, folder / "cold")).first_bid_s if size.cold else None
        new, warm = [], []
        for number in range(size.rounds):
            data = _copy(fresh, folder / f"data-{number}")
            new.append(starter.start(data))
            warm.append(starter.start(data))
    worker, expected = await _weigh(size.rig)
    more = msgspec.structs.replace(size.rig, line_items=size.rig.line_items + size.more_line_items)
    worker_with_more, expected_with_more = await _weigh(more)
    growth_mb = (worker_with_more.rss_mb - worker.rss_mb) * MORE_LINE_ITEMS / size.more_line_items
    return Report(
        machine=machine(),
        hash=result_hash([bytes(expected), bytes(expected_with_more)]),
        line_items=size.rig.line_items,
        cold_s=None if cold_s is None else round(cold_s, 3),
        new_s=spread([start.first_bid_s for start in new]),
        warm_s=spread([start.first_bid_s for start in warm]),
        new_first_answer_s=spread([start.first_answer_s for start in new]),
        warm_first_answer_s=spread([start.first_answer_s for start in warm]),
        worker=worker,
        worker_with_more=worker_with_more,
        growth_mb_per_10_000_line_items=round(growth_mb, 1),
    )


async def _settle(data: Path, config: Bundle, people: int) -> None:
    """Make a data folder whose server knows people, and nothing of campaigns."""
    identity = Identity(load_secrets(ensure_secret_file(data)).identity_key)
    with EmbeddedServer.start(data) as server:
        async with redis.asyncio.Redis.from_url(server.url) as client:
            await settle_people(client, config, people, identity)


def _copy(fresh: Path, data: Path) -> Path:
    shutil.copytree(fresh, data)
    return data


def _compiling_into(folder: Path) -> dict[str, str]:
    """Return an environment in which nothing is compiled yet, and what gets compiled is kept."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return environment | {
        "NUMBA_CACHE_DIR": str(folder / "kernels"),
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
    }


class _Starter:
    """Starts `hustings serve` and asks it for a bid."""

    def __init__(
        self, campaigns: Path, bodies: Sequence[bytes], environment: Mapping[str, str], workers: int
    ) -> None:
        self._campaigns = campaigns
        self._bodies = bodies
        self._environment = environment
        self._workers = workers

    def start(self, data: Path) -> Start:
        """Start on a data folder, wait for a bid, and end the engine again."""
        port = free_port()
        command = [
            *(sys.executable, "-m", "bidder.cli.main", "serve", "--config", str(self._campaigns)),
            # What asks is connected when the engine is stopped, and would be waited for.
            *("--data", str(data), "--workers", str(self._workers), "--drain-seconds", "0"),
            *("--bid-port", str(port), "--events-port", "0", "--admin-port", "0"),
        ]
        started_s = time.perf_counter()
        process = subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL)
        try:
            first_answer_s = 0.0
            for status in _statuses(port, self._bodies, process):
                now_s = time.perf_counter() - started_s
                first_answer_s = first_answer_s or now_s
                if status == 200:
                    return Start(first_answer_s, now_s)
                if now_s > START_SECONDS_MAX:
                    raise BenchmarkError(f"no bid within {START_SECONDS_MAX:g} s of the start")
            raise BenchmarkError("`hustings serve` ended; its reason is above")
        finally:
            _end(process)


def _statuses(port: int, bodies: Sequence[bytes], process: "subprocess.Popen[bytes]") -> Iterator[int]:
    """Ask body after body and yield the status of each answer, until the process ends."""
    turn = 0
    while process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                connection.request("POST", PATH, bodies[turn % len(bodies)])
                response = connection.getresponse()
                response.read()
                turn += 1
                yield response.status
                time.sleep(_ASK_SECONDS)
        time.sleep(_ASK_SECONDS)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def _weigh(size: RigSize) -> tuple[Memory, list[bool]]:
    """Return the memory of a worker that has answered every body, and which of them get a bid."""
    with Cores.divided() as cores:
        async with rig(size, cores) as bench, bench.worker() as worker:
            return worker.memory(), bench.expected


def run(options: Arguments) -> Report:
    """Measure as much as the command line asks for."""
    return uvloop.run(measure(SMALL if options.small else Size()))


def show(report: Report) -> None:
    """Print a report for a person."""
    print(f"startup, {report.line_items:,} line items   ({report.machine}; results {report.hash})")
    print("                                    median        min        max")
    if report.cold_s is not None:
        print(f"  cold, s to the first bid      {report.cold_s:10g}")
    for title, figure in (
        ("new, s to the first answer", report.new_first_answer_s),
        ("new, s to the first bid", report.new_s),
        ("warm, s to the first answer", report.warm_first_answer_s),
        ("warm, s to the first bid", report.warm_s),
    ):
        print(f"  {title:28}  {figure.median:10g} {figure.min:10g} {figure.max:10g}")
    worker, more = report.worker, report.worker_with_more
    print(f"  a worker, MB                  {worker.rss_mb:10g}   of it its own share {worker.pss_mb}")
    print(f"  with more line items, MB      {more.rss_mb:10g}   of it its own share {more.pss_mb}")
    print(f"  for 10,000 line items, MB     {report.growth_mb_per_10_000_line_items:10g}")


if __name__ == "__main__":
    run_command(__doc__, run, show)
