"""How many full bid decisions one core makes, against what a bare aiohttp route answers.

    python -m benchmarks.throughput [--small] [--json]

On one core, in turn and over several rounds, so that a busy neighbour hits both alike:

* the floor (`benchmarks.floor`): decode the body, answer a constant;
* one bid worker with 1,000 line items, 256 segments, segment and cap look-ups in Redis, budgets, pacing,
  shading, signed notice URLs and metrics (`benchmarks.rig`).

On the other core are the load client, Redis and this process. Both servers live throughout, and the idle
one costs next to nothing. Requests are counted by the client and processor time by the system.
Before the rounds the worker must bid on just those bodies on which the decision, called directly,
bids; during them its own count of answers must agree with the client's.
"""

import msgspec
import uvloop

from benchmarks.command import Arguments, run_command
from benchmarks.cores import Cores
from benchmarks.figures import Spread, machine, result_hash, spread
from benchmarks.load import CONNECTIONS
from benchmarks.rig import RIG_SMALL, Pressed, PressSize, Rig, rig
from benchmarks.server_process import ServerProcess
from benchmarks.worker_metrics import WorkerMetrics, read_metrics, settled

BUSY_SHARE_MIN = 0.9
"""Below this the load client, or another program on the core, was what limited a round."""


SMALL = PressSize(RIG_SMALL, rounds=3, seconds=1.0)


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


class _Round(msgspec.Struct, frozen=True):
    floor: Pressed
    bid: Pressed
    counted: WorkerMetrics


async def measure(size: PressSize, redis_url: str | None = None) -> Report:
    """Run the rounds; on a private server, unless an empty Redis is given. Raises BenchmarkError."""
    with Cores.divided() as cores:
        async with (
            rig(size.rig, cores, redis_url) as bench,
            bench.server("benchmarks.floor") as floor,
            bench.worker() as worker,
        ):
            await bench.press([floor], size.seconds)
            await bench.press([worker], size.seconds)
            rounds = [await _round(bench, floor, worker, size.seconds) for _ in range(size.rounds)]
    return Report(
        machine=machine(),
        client=bench.client.name,
        hash=result_hash([bytes(bench.expected)]),
        floor_rps=spread([r.floor.rps for r in rounds], 0),
        bid_rps=spread([r.bid.rps for r in rounds], 0),
        rps_ratio=spread([r.bid.rps / r.floor.rps for r in rounds]),
        cpu_us_floor=spread([r.floor.cpu_us for r in rounds], 2),
        cpu_us_bid=spread([r.bid.cpu_us for r in rounds], 2),
        cpu_ratio=spread([r.bid.cpu_us / r.floor.cpu_us for r in rounds]),
        bid_rate=spread([r.counted.bids / r.counted.requests for r in rounds]),
        batch_requests=spread([r.counted.requests / r.counted.batches for r in rounds], 1),
        busy=spread([r.bid.busy for r in rounds]),
    )


async def _round(bench: Rig, floor: ServerProcess, worker: ServerProcess, seconds: float) -> _Round:
    metrics_dir = bench.installed.settings.metrics_dir
    at_floor = await bench.press([floor], seconds)
    before = read_metrics(metrics_dir)
    at_worker = await bench.press([worker], seconds)

    def agrees(now: WorkerMetrics) -> bool:
        # What is under way when the client stops counting is answered too: up to one a connection.
        return 0 <= now.since(before).requests - at_worker.requests <= CONNECTIONS

    return _Round(at_floor, at_worker, (await settled(metrics_dir, agrees)).since(before))


def run(options: Arguments) -> Report:
    """Measure as much as the command line asks for."""
    return uvloop.run(measure(SMALL if options.small else PressSize()))


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
