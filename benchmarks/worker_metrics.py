"""What the workers of an installation say of themselves, read from their metric files.

    before = read_metrics(metrics_dir)
    ...                                       # load
    metrics = await settled(metrics_dir, lambda now: now.since(before).requests >= sent)

A worker exports its counts once a second, so the last of them come a moment after the load.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec
import prometheus_client
from prometheus_client import multiprocess

from benchmarks.command import BenchmarkError

SECONDS_TO_SETTLE_MAX = 10.0
_LOOK_SECONDS = 0.1


class Buckets(msgspec.Struct, frozen=True):
    """A histogram: observations at or under each bound, by bound; `inf` has them all."""

    at_or_under: Mapping[float, float]

    def since(self, before: "Buckets") -> "Buckets":
        return Buckets({le: count - before.at_or_under.get(le, 0) for le, count in self.at_or_under.items()})

    @property
    def count(self) -> float:
        return max(self.at_or_under.values(), default=0)

    def bound(self, share: float) -> float | None:
        """Return the least bound that this share of the observations stay at or under; None without any."""
        wanted = share * self.count
        return next((le for le, count in sorted(self.at_or_under.items()) if count >= wanted > 0), None)


class WorkerMetrics(msgspec.Struct, frozen=True):
    """Counts of all workers together, since they started or `since` an earlier reading."""

    requests: float
    bids: float
    batches: float
    no_bids: Mapping[str, float]
    """By reason."""
    loop_lag: Buckets
    gc_pause: Buckets
    queue_age: Buckets

    def since(self, before: "WorkerMetrics") -> "WorkerMetrics":
        return WorkerMetrics(
            self.requests - before.requests,
            self.bids - before.bids,
            self.batches - before.batches,
            {reason: count - before.no_bids.get(reason, 0) for reason, count in self.no_bids.items()},
            self.loop_lag.since(before.loop_lag),
            self.gc_pause.since(before.gc_pause),
            self.queue_age.since(before.queue_age),
        )


def read_metrics(metrics_dir: str) -> WorkerMetrics:
    """Read what has been exported by now."""
    registry = prometheus_client.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, metrics_dir)  # type: ignore[no-untyped-call]
    samples = [sample for metric in registry.collect() for sample in metric.samples]

    def total(name: str, **labels: str) -> float:
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    def buckets(name: str) -> Buckets:
        return Buckets({float(s.labels["le"]): s.value for s in samples if s.name == f"{name}_bucket"})

    return WorkerMetrics(
        requests=total("hustings_bid_requests_total"),
        bids=total("hustings_bid_requests_total", outcome="bid"),
        batches=total("hustings_batch_requests_count"),
        no_bids={s.labels["reason"]: s.value for s in samples if s.name == "hustings_no_bids_total"},
        loop_lag=buckets("hustings_loop_lag_seconds"),
        gc_pause=buckets("hustings_gc_pause_seconds"),
        queue_age=buckets("hustings_queue_age_seconds"),
    )


async def settled(metrics_dir: str, is_complete: Callable[[WorkerMetrics], bool]) -> WorkerMetrics:
    """Return the first reading that is complete; raises BenchmarkError when none is in time."""
    deadline_s = time.monotonic() + SECONDS_TO_SETTLE_MAX
    while True:
        metrics = read_metrics(metrics_dir)
        if is_complete(metrics):
            return metrics
        if time.monotonic() > deadline_s:
            raise BenchmarkError(
                f"the workers have counted {metrics.requests:.0f} requests, not what was sent"
            )
        await asyncio.sleep(_LOOK_SECONDS)
