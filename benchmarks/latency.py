"""How long answers take when requests arrive on their own schedule: a quarter to three quarters of capacity.

    python -m benchmarks.latency [--small] [--json] [--histogram FILE]

First the load client finds the capacity of one worker with everything on (`benchmarks.rig`), on its own
core. Then, over several rounds, requests arrive at moments planned beforehand (`benchmarks.open_loop`)
at each share of it, and latency counts from the planned moment to the last byte of the answer, as the
client sees it. A level's figures are the medians of its rounds; `_max` is the worst round. The client
is on the other core with Redis: how late it was itself is part of the report, and of every latency.

The histogram file holds the curve of each level over all of its rounds: load, milliseconds, and the
percentage of requests answered within them, one line for each step of 2 %.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import uvloop

from benchmarks.command import Arguments, BenchmarkError, run_command
from benchmarks.cores import Cores
from benchmarks.figures import Spread, machine, result_hash, spread
from benchmarks.open_loop import Phase, arrive
from benchmarks.rig import RIG_SMALL, Rig, RigSize, rig
from benchmarks.server_process import ServerProcess
from benchmarks.worker_metrics import WorkerMetrics, read_metrics, settled
from loadtest.histogram import LatencyHistogram

LOADS = (0.25, 0.5, 0.75)
LATE_MS = 50.0
OPEN_CONNECTIONS = 256


class CapacitySize(msgspec.Struct, frozen=True):
    """How thoroughly to look for a worker's capacity."""

    looks: int = 3
    """After one that does not count."""
    seconds: float = 3.0


CAPACITY_SMALL = CapacitySize(looks=1, seconds=1.0)


class Size(msgspec.Struct, frozen=True):
    """How much to measure."""

    rig: RigSize = RigSize()
    loads: tuple[float, ...] = LOADS
    rounds: int = 3
    seconds: float = 10.0
    """Of each level in each round."""
    settle_seconds: float = 1.0
    """Of load at the level beforehand, which does not count."""
    capacity: CapacitySize = CapacitySize()


SMALL = Size(RIG_SMALL, rounds=2, seconds=2.0, settle_seconds=0.5, capacity=CAPACITY_SMALL)


class Level(msgspec.Struct, frozen=True):
    """One share of capacity. `late_share` is of all requests, those never answered included."""

    load: float
    rps: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    late_share: float
    p99_ms_max: float
    p999_ms_max: float
    bid_rate: float
    failed: int
    """Resets, answers other than 200 and 204, and none at all."""
    client_late_p50_ms: float
    client_late_p99_ms: float
    """How long after its moment a request went out for which a connection was idle."""
    waited_share: float
    """Requests that had to wait for a connection."""


class Worker(msgspec.Struct, frozen=True):
    """What the worker counted of itself under all the levels; a `_ms` is the upper bound of a bucket."""

    gc_pauses: int
    gc_pause_p999_ms: float | None
    loop_lag_p99_ms: float | None
    queue_age_p99_ms: float | None
    no_bids: dict[str, int]


class Report(msgspec.Struct, frozen=True):
    machine: str
    client: str
    hash: str
    capacity_rps: Spread
    levels: list[Level]
    worker: Worker


class _Round(msgspec.Struct, frozen=True):
    """One level once: the arrivals that count."""

    arrivals: npt.NDArray[np.void]
    seconds: float

    @property
    def latency_ms(self) -> npt.NDArray[np.float64]:
        """Of every request; endless where there was no answer."""
        return latency_ms(self.arrivals)


def latency_ms(arrivals: npt.NDArray[np.void]) -> npt.NDArray[np.float64]:
    """Return float64[n], from the planned moment to the answer; infinite where none of 200 or 204 came."""
    took_ms: npt.NDArray[np.float64] = (arrivals["done_ns"] - arrivals["planned_ns"]) / 1e6
    took_ms[~answered(arrivals)] = np.inf
    return took_ms


def answered(arrivals: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Return bool[n]: whether a proper answer came."""
    return np.isin(arrivals["status"], (200, 204))


async def measure(size: Size, redis_url: str | None = None, histogram: Path | None = None) -> Report:
    """Find the capacity and measure each level; raises BenchmarkError."""
    with Cores.divided() as cores:
        async with rig(size.rig, cores, redis_url) as bench, bench.worker() as worker:
            capacity = await capacity_rps(bench, worker, size.capacity)
            metrics_dir = bench.installed.settings.metrics_dir
            before = read_metrics(metrics_dir)
            rounds: dict[float, list[_Round]] = {load: [] for load in size.loads}
            for _ in range(size.rounds):
                for load in size.loads:
                    rounds[load].append(await _round(bench, worker, load * capacity.median, size))
            asked = sum(len(r.arrivals) for level in rounds.values() for r in level)
            metrics = await settled(metrics_dir, lambda now: now.since(before).requests >= asked)
    if histogram is not None:
        _write_curves(histogram, rounds)
    return Report(
        machine=machine(),
        client=bench.client.name,
        hash=result_hash([bytes(bench.expected)]),
        capacity_rps=capacity,
        levels=[_level(load, level) for load, level in rounds.items()],
        worker=_worker(metrics.since(before)),
    )


async def capacity_rps(bench: Rig, worker: ServerProcess, size: CapacitySize) -> Spread:
    """Return how many requests a second a worker answers when there is always one that waits for it."""
    looks = [(await bench.press([worker], size.seconds)).rps for _ in range(1 + size.looks)]
    return spread(looks[1:], 0)


async def _round(bench: Rig, worker: ServerProcess, rate_per_s: float, size: Size) -> _Round:
    phases = [Phase(rate_per_s, size.settle_seconds), Phase(rate_per_s, size.seconds)]
    arrivals = await arrive(worker.port, bench.bodies, phases, bench.folder, OPEN_CONNECTIONS)
    counting = arrivals[arrivals["planned_ns"] >= size.settle_seconds * 1e9]
    if not len(counting):
        raise BenchmarkError(f"{rate_per_s:.0f} requests a second for {size.seconds:g} s are none at all")
    return _Round(counting, size.seconds)


def _level(load: float, rounds: Sequence[_Round]) -> Level:
    everything = np.concatenate([r.arrivals for r in rounds])
    percentiles = np.array([np.percentile(r.latency_ms, (50, 90, 99, 99.9), method="higher") for r in rounds])
    p50, p90, p99, p999 = np.round(np.median(percentiles, axis=0), 3).tolist()
    punctual = everything[~everything["waited"]]
    late_ms = (punctual["sent_ns"] - punctual["planned_ns"]) / 1e6
    return Level(
        load=load,
        rps=round(statistics.median(len(r.arrivals) / r.seconds for r in rounds), 1),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        p999_ms=p999,
        late_share=round(statistics.median(float(np.mean(r.latency_ms > LATE_MS)) for r in rounds), 5),
        p99_ms_max=round(float(percentiles[:, 2].max()), 3),
        p999_ms_max=round(float(percentiles[:, 3].max()), 3),
        bid_rate=round(float(np.mean(everything["status"] == 200)), 3),
        failed=int(np.count_nonzero(~answered(everything))),
        client_late_p50_ms=round(float(np.percentile(late_ms, 50)), 3),
        client_late_p99_ms=round(float(np.percentile(late_ms, 99)), 3),
        waited_share=round(float(np.mean(everything["waited"])), 5),
    )


def _worker(metrics: WorkerMetrics) -> Worker:
    def ms(seconds: float | None) -> float | None:
        return None if seconds is None else seconds * 1e3

    return Worker(
        gc_pauses=int(metrics.gc_pause.count),
        gc_pause_p999_ms=ms(metrics.gc_pause.bound(0.999)),
        loop_lag_p99_ms=ms(metrics.loop_lag.bound(0.99)),
        queue_age_p99_ms=ms(metrics.queue_age.bound(0.99)),
        no_bids={reason: int(count) for reason, count in sorted(metrics.no_bids.items()) if count},
    )


def _write_curves(file: Path, rounds: dict[float, list[_Round]]) -> None:
    lines = ["load\tms\tpercent"]
    for load, level in rounds.items():
        histogram = LatencyHistogram()
        for round_ in level:
            for took_ms in round_.latency_ms[np.isfinite(round_.latency_ms)].tolist():
                histogram.record(took_ms / 1e3)
        lines += [f"{load:g}\t{ms:.4f}\t{percent:.5f}" for percent, ms in histogram.curve()]
    file.write_text("\n".join(lines) + "\n")


def run(options: Arguments) -> Report:
    """Measure as much as the command line asks for."""
    return uvloop.run(measure(SMALL if options.small else Size(), histogram=options.histogram))


def show(report: Report) -> None:
    """Print a report for a person."""
    capacity = report.capacity_rps
    print(f"latency of one worker   ({report.machine}; capacity by {report.client}; results {report.hash})")
    print(f"  capacity {capacity.median:,.0f} requests/s ({capacity.min:,.0f} to {capacity.max:,.0f})")
    print("  load  requests/s    p50 ms    p90 ms    p99 ms  p99.9 ms   late   client late p99 ms")
    for level in report.levels:
        times = " ".join(f"{ms:9.2f}" for ms in (level.p50_ms, level.p90_ms, level.p99_ms, level.p999_ms))
        late = f"{level.late_share:.2%} {level.client_late_p99_ms:12.2f}"
        print(f"  {level.load:4.0%} {level.rps:11,.0f} {times}  {late}")
        if level.failed:
            print(f"       {level.failed} of the requests had no proper answer")
    worker = report.worker
    if worker.gc_pause_p999_ms is not None:
        print(f"  {worker.gc_pauses} pauses of the collector, 99.9 % at most {worker.gc_pause_p999_ms:g} ms")


if __name__ == "__main__":
    run_command(__doc__, run, show, with_histogram=True)
