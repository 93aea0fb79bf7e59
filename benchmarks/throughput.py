"""How many full bid decisions one core makes, against what a bare aiohttp route answers.

    python -m benchmarks.throughput [--small] [--json]

On one core, in turn and over several rounds, so that a busy neighbour hits both alike:

* the floor (`benchmarks.floor`): decode the body, answer a constant;
* one bid worker with 1,000 line items, 256 segments, segment and cap look-ups in Redis, budgets, pacing,
  shading, signed notice URLs and metrics (`benchmarks.installation`).

On the other core are the load client, Redis and this process. Both servers live throughout, and the idle
one costs next to nothing. Requests are counted by the client and processor time by the system.
Before the rounds the worker must bid on just those bodies on which the decision, called directly,
bids; during them its own count of answers must agree with the client's.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import prometheus_client
import uvloop
from prometheus_client import multiprocess

from benchmarks.command import Arguments, BenchmarkError, run_command
from benchmarks.cores import Cores
from benchmarks.decision_inputs import decision_inputs
from benchmarks.figures import Spread, machine, result_hash, spread
from benchmarks.installation import Installation, installation
from benchmarks.load import CONNECTIONS, PATH, LoadClient, Sent
from benchmarks.sample_config import sample_bundle
from benchmarks.sample_traffic import SEED, batches, decode, sample_bodies
from benchmarks.server_process import ServerProcess
from loadtest.client import BidClient

LINE_ITEMS, SEGMENTS = 1_000, 256
ASKED_AT_ONCE = 16
ATTEMPTS_MAX = 5
SECONDS_TO_COUNT = 10.0
BUSY_SHARE_MIN = 0.9
"""Below this the load client, or another program on the core, was what limited a round."""


class Size(msgspec.Struct, frozen=True):
    """How much to measure."""

    bodies: int = 4_096
    people: int = 50_000
    rounds: int = 5
    seconds: float = 3.0
    """Of load in each round, and of load before the first."""
    line_items: int = LINE_ITEMS
    segments: int = SEGMENTS


SMALL = Size(bodies=1_024, people=5_000, rounds=3, seconds=1.0)


class Report(msgspec.Struct, frozen=True):
    """The figures; a ratio is of the two halves of one round. `busy`: share of the core the worker got."""

    machine: str
    client: str
    hash: str
    floor_rps: Spread
    bid_rps: Spread
    rps_ratio: Spread
    cpu_us_floor: Spread
    cpu_us_bid: Spread
    cpu_ratio: Spread
    bid_rate: Spread
    batch_requests: Spread
    busy: Spread


class _Half(msgspec.Struct, frozen=True):
    """One server's half of a round."""

    rps: float
    cpu_us: float
    busy: float


class _Round(msgspec.Struct, frozen=True):
    floor: _Half
    bid: _Half
    bid_rate: float
    batch_requests: float


class _Counts(msgspec.Struct, frozen=True):
    """What a worker says of itself."""

    requests: float
    bids: float
    batches: float


async def measure(size: Size, redis_url: str | None = None) -> Report:
    """Run the rounds; on a private server, unless an empty Redis is given. Raises BenchmarkError."""
    bodies = sample_bodies(size.bodies, size.people)
    config = sample_bundle(size.line_items, size.segments, SEED)
    async with contextlib.AsyncExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="hustings-bench-")))
        cores = closing.enter_context(Cores.divided())
        installed = await closing.enter_async_context(installation(config, size.people, folder, redis_url))
        floor = await closing.enter_async_context(_server("benchmarks.floor", installed, cores))
        worker = await closing.enter_async_context(_server("bidder.port.main", installed, cores))
        expected = _expected_bids(installed, bodies)
        await _check_answers(worker, bodies, expected)
        client = LoadClient(bodies, folder)
        await client.press(floor.port, size.seconds)
        await client.press(worker.port, size.seconds)
        rounds = [await _round(client, floor, worker, installed, size.seconds) for _ in range(size.rounds)]
    return Report(
        machine=machine(),
        client=client.name,
        hash=result_hash([bytes(expected)]),
        floor_rps=spread([r.floor.rps for r in rounds], 0),
        bid_rps=spread([r.bid.rps for r in rounds], 0),
        rps_ratio=spread([r.bid.rps / r.floor.rps for r in rounds]),
        cpu_us_floor=spread([r.floor.cpu_us for r in rounds], 2),
        cpu_us_bid=spread([r.bid.cpu_us for r in rounds], 2),
        cpu_ratio=spread([r.bid.cpu_us / r.floor.cpu_us for r in rounds]),
        bid_rate=spread([r.bid_rate for r in rounds]),
        batch_requests=spread([r.batch_requests for r in rounds], 1),
        busy=spread([r.bid.busy for r in rounds]),
    )


@contextlib.asynccontextmanager
async def _server(module: str, installed: Installation, cores: Cores) -> AsyncIterator[ServerProcess]:
    """Start a server on the measured core; this process leaves that core once the server serves."""
    environment = {"PROMETHEUS_MULTIPROC_DIR": installed.settings.metrics_dir}
    async with contextlib.AsyncExitStack() as closing:
        with cores.measured():
            server = await closing.enter_async_context(
                ServerProcess.started(module, installed.settings, environment)
            )
        yield server


async def _round(
    client: LoadClient, floor: ServerProcess, worker: ServerProcess, installed: Installation, seconds: float
) -> _Round:
    floor_half, _ = await _half(client, floor, seconds)
    before = _read_counts(installed.settings.metrics_dir)
    bid_half, sent = await _half(client, worker, seconds)
    counts = await _counted(installed, before, sent)
    return _Round(floor_half, bid_half, counts.bids / counts.requests, counts.requests / counts.batches)


async def _half(client: LoadClient, server: ServerProcess, seconds: float) -> tuple[_Half, Sent]:
    cpu_before_s = server.cpu_seconds()
    sent = await client.press(server.port, seconds)
    cpu_s = server.cpu_seconds() - cpu_before_s
    return _Half(sent.requests / sent.seconds, cpu_s * 1e6 / sent.requests, cpu_s / sent.seconds), sent


def _expected_bids(installed: Installation, bodies: Sequence[bytes]) -> list[bool]:
    """Decide on every body directly, with money for all: whether it gets a bid."""
    config, now_s = installed.config, int(time.time())
    inputs = decision_inputs(config, installed.plan, now_s)
    opportunities = decode(bodies, config.exchanges[0], config.engine.currency, installed.identity)
    expected: list[bool] = []
    for batch in batches(inputs.snapshot, opportunities, installed.people, now_s):
        ads = inputs.decide(batch, SEED).ad.tolist()
        bidding = {
            candidate.request for candidate, ad in zip(batch.columns.candidates, ads, strict=True) if ad >= 0
        }
        expected += [position in bidding for position in range(batch.requests)]
    return expected


async def _check_answers(worker: ServerProcess, bodies: Sequence[bytes], expected: Sequence[bool]) -> None:
    """See that the worker bids where it should.

    A look-up that was too slow, or a lease that is still small, may cost a bid: such a body is
    asked again, a second later.
    """
    doubtful = list(range(len(bodies)))
    async with BidClient(f"http://127.0.0.1:{worker.port}{PATH}", ASKED_AT_ONCE) as client:

        async def disagrees(number: int) -> bool:
            answer = await client.ask(bodies[number])
            return answer.status != (200 if expected[number] else 204)

        for _ in range(ATTEMPTS_MAX):
            found = []
            for start in range(0, len(doubtful), ASKED_AT_ONCE):
                asked = doubtful[start : start + ASKED_AT_ONCE]
                answers = await asyncio.gather(*map(disagrees, asked))
                found += [number for number, wrong in zip(asked, answers, strict=True) if wrong]
            doubtful = found
            if not doubtful:
                return
            await asyncio.sleep(1)
    raise BenchmarkError(
        f"the worker and the decision disagree on {len(doubtful)} of {len(bodies)} bodies: "
        "what would be measured is not the engine at work"
    )


async def _counted(installed: Installation, before: _Counts, sent: Sent) -> _Counts:
    """Return what the worker counted since `before`, which its metrics tell within a second or so.

    It answers what is under way when the client stops counting: up to one request a connection.
    """
    deadline_s = time.monotonic() + SECONDS_TO_COUNT
    while True:
        now = _read_counts(installed.settings.metrics_dir)
        counts = _Counts(now.requests - before.requests, now.bids - before.bids, now.batches - before.batches)
        if 0 <= counts.requests - sent.requests <= CONNECTIONS:
            return counts
        if time.monotonic() > deadline_s:
            raise BenchmarkError(
                f"the worker counts {counts.requests:.0f} requests, the client {sent.requests}"
            )
        await asyncio.sleep(0.1)


def _read_counts(metrics_dir: str) -> _Counts:
    registry = prometheus_client.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, metrics_dir)  # type: ignore[no-untyped-call]
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    outcomes = [sample for sample in samples if sample.name == "hustings_bid_requests_total"]
    return _Counts(
        requests=sum(sample.value for sample in outcomes),
        bids=sum(sample.value for sample in outcomes if sample.labels["outcome"] == "bid"),
        batches=sum(sample.value for sample in samples if sample.name == "hustings_batch_requests_count"),
    )


def run(options: Arguments) -> Report:
    """Measure as much as the command line asks for."""
    return uvloop.run(measure(SMALL if options.small else Size()))


def show(report: Report) -> None:
    """Print a report for a person."""
    print(f"throughput of one core   ({report.machine}; load by {report.client}; results {report.hash})")
    print("                                   median        min        max")
    for name, title in (
        ("floor_rps", "floor, requests/s"),
        ("bid_rps", "bids, requests/s"),
        ("rps_ratio", "bids ÷ floor"),
        ("cpu_us_floor", "floor, µs of CPU a request"),
        ("cpu_us_bid", "bids, µs of CPU a request"),
        ("cpu_ratio", "bids ÷ floor"),
        ("bid_rate", "share of requests bid on"),
        ("batch_requests", "requests in a batch"),
        ("busy", "share of the core in use"),
    ):
        figure: Spread = getattr(report, name)
        print(f"  {title:28} {figure.median:10,.10g} {figure.min:10,.10g} {figure.max:10,.10g}")
    if report.busy.median < BUSY_SHARE_MIN:
        print("  The worker did not get its whole core: believe the CPU figures, not the requests/s.")


if __name__ == "__main__":
    run_command(__doc__, run, show)
