"""What happens when twice as many requests arrive as one worker can decide on.

    python -m benchmarks.overload [--small] [--json]

One worker with everything on (`benchmarks.rig`), whose capacity the load client finds first. Then one
stretch of open-loop load (`benchmarks.open_loop`): calm at a quarter of capacity, the surge at twice
capacity, calm again. Requests allow 100 ms (`tmax`). An answer is late when it comes more than that after
the planned moment of its request; a request that finds no connection in that time is not sent and counted
apart, as is one whose connection is closed on it.

Service is normal again at the end of the last tenth of a second, after the surge, that does not look like
the calm before it: answers later than LATE_MS, a lower bid rate, a request refused unread or failed.
"""

import msgspec
import numpy as np
import numpy.typing as npt
import uvloop

from benchmarks.command import Arguments, BenchmarkError, run_command
from benchmarks.cores import Cores
from benchmarks.figures import Spread, machine, result_hash
from benchmarks.latency import (
    CAPACITY_SMALL,
    LATE_MS,
    CapacitySize,
    answered,
    capacity_rps,
    latency_ms,
)
from benchmarks.open_loop import NEVER, RESET, Phase, arrive
from benchmarks.rig import RIG_SMALL, Rig, RigSize, rig
from benchmarks.server_process import Memory
from benchmarks.worker_metrics import WorkerMetrics, read_metrics, settled

SURGE_LOAD, CALM_LOAD = 2.0, 0.25
TMAX_MS = 100
SURGE_CONNECTIONS = 1_024
"""Enough for every request that may be under way at once while the worker keeps its promise."""
WINDOW_SECONDS = 0.1
NORMAL_BID_SHARE_MIN = 0.9
"""Of the bid rate in the calm before: what a window of some hundreds of requests may miss by chance."""
NORMAL_LATE_SHARE_MAX = 0.01


class Size(msgspec.Struct, frozen=True):
    """How much to measure."""

    rig: RigSize = RigSize(tmax_ms=TMAX_MS)
    surge_seconds: float = 30.0
    calm_seconds: float = 5.0
    """Before the surge, and after it."""
    capacity: CapacitySize = CapacitySize()


SMALL = Size(
    msgspec.structs.replace(RIG_SMALL, tmax_ms=TMAX_MS),
    surge_seconds=3.0,
    calm_seconds=2.0,
    capacity=CAPACITY_SMALL,
)


class Report(msgspec.Struct, frozen=True):
    """The surge, but for the last two. Shares are of the requests offered, `late_share` of those answered."""

    machine: str
    client: str
    hash: str
    capacity_rps: Spread
    offered_rps: float
    answered_rps: float
    bid_rps: float
    late_share: float
    shed_share: float
    """Answered 204 unread, as the worker counts them."""
    unsent_share: float
    """No connection was idle within TMAX_MS."""
    resets: int
    unanswered: int
    p50_ms: float
    p99_ms: float
    client_late_p99_ms: float
    rss_before_mb: float
    rss_after_mb: float
    queue_age_p99_ms: float | None
    """The upper bound of a bucket, as the worker counts them."""
    calm_bid_rate: float
    recovery_seconds: float


async def measure(size: Size, redis_url: str | None = None) -> Report:
    """Find the capacity and offer twice as much; raises BenchmarkError."""
    with Cores.divided() as cores:
        async with rig(size.rig, cores, redis_url) as bench, bench.worker() as worker:
            capacity = await capacity_rps(bench, worker, size.capacity)
            calm = Phase(CALM_LOAD * capacity.median, size.calm_seconds)
            surge = Phase(SURGE_LOAD * capacity.median, size.surge_seconds)
            metrics_dir = bench.installed.settings.metrics_dir
            before, memory_before = read_metrics(metrics_dir), worker.memory()
            arrivals = await arrive(
                worker.port,
                bench.bodies,
                (calm, surge, calm),
                bench.folder,
                SURGE_CONNECTIONS,
                give_up_ms=TMAX_MS,
            )
            memory_after = worker.memory()
            # Whether the worker counted a request whose connection broke, nobody knows.
            asked = int(np.count_nonzero(answered(arrivals)))
            metrics = await settled(metrics_dir, lambda now: now.since(before).requests >= asked)
    return _report(bench, size, capacity, arrivals, metrics.since(before), (memory_before, memory_after))


def _report(
    bench: Rig,
    size: Size,
    capacity: Spread,
    arrivals: npt.NDArray[np.void],
    metrics: WorkerMetrics,
    memory: tuple[Memory, Memory],
) -> Report:
    calm, surge, after = _parts(arrivals, size)
    came = surge[answered(surge)]
    if not len(came) or not len(calm):
        raise BenchmarkError("not one request was answered; is the machine busy with something else?")
    took_ms = latency_ms(came)
    sent = surge["sent_ns"] != NEVER
    punctual = surge[sent & ~surge["waited"]]
    queue_age_s = metrics.queue_age.bound(0.99)
    return Report(
        machine=machine(),
        client=bench.client.name,
        hash=result_hash([bytes(bench.expected)]),
        capacity_rps=capacity,
        offered_rps=round(len(surge) / size.surge_seconds),
        answered_rps=round(len(came) / size.surge_seconds),
        bid_rps=round(np.count_nonzero(came["status"] == 200) / size.surge_seconds),
        late_share=round(float(np.mean(took_ms > TMAX_MS)), 5),
        shed_share=round(metrics.no_bids.get("overload", 0) / len(surge), 4),
        unsent_share=round(float(np.mean(~sent)), 5),
        resets=int(np.count_nonzero(surge["status"] == RESET)),
        unanswered=int(np.count_nonzero(sent & (surge["done_ns"] == NEVER))),
        p50_ms=round(float(np.percentile(took_ms, 50)), 2),
        p99_ms=round(float(np.percentile(took_ms, 99)), 2),
        client_late_p99_ms=_client_late_p99_ms(punctual),
        rss_before_mb=memory[0].rss_mb,
        rss_after_mb=memory[1].rss_mb,
        queue_age_p99_ms=None if queue_age_s is None else queue_age_s * 1e3,
        calm_bid_rate=round(bid_rate(calm), 3),
        recovery_seconds=recovery_seconds(after, size.calm_seconds + size.surge_seconds, bid_rate(calm)),
    )


def _parts(
    arrivals: npt.NDArray[np.void], size: Size
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void], npt.NDArray[np.void]]:
    """Return the arrivals before, in and after the surge."""
    begin_ns, end_ns = size.calm_seconds * 1e9, (size.calm_seconds + size.surge_seconds) * 1e9
    begin, end = np.searchsorted(arrivals["planned_ns"], (begin_ns, end_ns)).tolist()
    return arrivals[:begin], arrivals[begin:end], arrivals[end:]


def _client_late_p99_ms(punctual: npt.NDArray[np.void]) -> float:
    late_ms = (punctual["sent_ns"] - punctual["planned_ns"]) / 1e6
    return round(float(np.percentile(late_ms, 99)), 3) if len(late_ms) else 0.0


def recovery_seconds(after: npt.NDArray[np.void], surge_end_s: float, usual_bid_rate: float) -> float:
    """Return how long after the surge the last window ended that was not normal; 0 if all were."""
    numbers = ((after["planned_ns"] / 1e9 - surge_end_s) / WINDOW_SECONDS).astype(int)
    troubled = [
        number
        for number in np.unique(numbers).tolist()
        if not is_normal(after[numbers == number], usual_bid_rate)
    ]
    return round((max(troubled) + 1) * WINDOW_SECONDS, 1) if troubled else 0.0


def is_normal(window: npt.NDArray[np.void], usual_bid_rate: float) -> bool:
    """Tell whether the requests of one window were served as they are in calm times."""
    late_share = float(np.mean(latency_ms(window) > LATE_MS))
    return late_share <= NORMAL_LATE_SHARE_MAX and bid_rate(window) >= NORMAL_BID_SHARE_MIN * usual_bid_rate


def bid_rate(arrivals: npt.NDArray[np.void]) -> float:
    """Return the share of requests that got a bid."""
    return float(np.mean(arrivals["status"] == 200))


def run(options: Arguments) -> Report:
    """Measure as much as the command line asks for."""
    return uvloop.run(measure(SMALL if options.small else Size()))


def show(report: Report) -> None:
    """Print a report for a person."""
    print(f"overload of one worker   ({report.machine}; capacity by {report.client}; results {report.hash})")
    capacity = report.capacity_rps
    for title, value in (
        ("capacity, requests/s", f"{capacity.median:,.0f} ({capacity.min:,.0f} to {capacity.max:,.0f})"),
        ("offered, requests/s", f"{report.offered_rps:,.0f}"),
        ("answered, requests/s", f"{report.answered_rps:,.0f}, {report.bid_rps:,.0f} of them with a bid"),
        (f"answers later than {TMAX_MS} ms", f"{report.late_share:.2%}"),
        ("answered unread", f"{report.shed_share:.1%}"),
        ("no connection in time", f"{report.unsent_share:.2%}"),
        ("resets, unanswered", f"{report.resets}, {report.unanswered}"),
        ("p50, p99", f"{report.p50_ms:g} ms, {report.p99_ms:g} ms"),
        ("client late, p99", f"{report.client_late_p99_ms:g} ms"),
        ("memory before, after", f"{report.rss_before_mb:.0f} MB, {report.rss_after_mb:.0f} MB"),
        ("normal again after", f"{report.recovery_seconds:g} s"),
    ):
        print(f"  {title:26} {value}")


if __name__ == "__main__":
    run_command(__doc__, run, show)
