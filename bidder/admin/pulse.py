"""The engine's pulse: what happened between two looks at the counters, and the last ten minutes of it.

    pulses = Pulses(watcher.metrics)
    await pulses.run(stop)                # beside the server
    pulses.recent                         # tuple of Pulse, the oldest first

Counters say how often something has happened since the engine started; whoever watches wants to know how
often it happens now. A `Pulse` is the difference, as counts and seconds, so that several can be added up;
percentiles are of the interval alone. A process that starts anew goes on with its counters in a file of its
own, and so the sums never fall while an engine runs; should they (somebody removed the files), the pulse
begins again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec
from prometheus_client import Metric

from bidder.admin.counts import buckets, quantile, split, total

PULSE_SECONDS: Final = 2.0
PULSES_MAX: Final = 300
"""Ten minutes."""
PAUSE_TIMES: Final = 10
"""The pause after a look, in times that it took: many campaigns and workers make many counters."""
PAUSE_SECONDS_MAX: Final = 10.0


def pause_s(every_s: float, took_s: float) -> float:
    """Return how long to wait after something that is done every so often, and took so long this time."""
    return min(max(every_s - took_s, PAUSE_TIMES * took_s), PAUSE_SECONDS_MAX)


class Counts(msgspec.Struct, frozen=True):
    """The counters at one moment."""

    at_s: float
    requests: int
    answers: int
    """Requests answered with a bid or several."""
    bids: int
    wins: int
    impressions: int
    clicks: int
    no_bids: dict[str, int]
    latency: list[tuple[float, float]]
    """(upper bound in seconds, requests up to it), ascending."""


class Pulse(msgspec.Struct, frozen=True):
    """What happened in the `seconds` before `at_s`."""

    at_s: float
    seconds: float
    requests: int
    answers: int
    bids: int
    wins: int
    impressions: int
    clicks: int
    no_bids: dict[str, int]
    """By reason; those that did not occur are left out."""
    p50_ms: float | None
    """None when no request was answered."""
    p95_ms: float | None
    p99_ms: float | None


def counts_of(metrics: Sequence[Metric], at_s: float) -> Counts:
    """Read the counters that a pulse is made of."""
    happened = split(metrics, "hustings_notices", "kind", outcome="ok")
    return Counts(
        at_s=at_s,
        requests=total(metrics, "hustings_bid_requests"),
        answers=total(metrics, "hustings_bid_requests", outcome="bid"),
        bids=total(metrics, "hustings_bids"),
        wins=happened.get("win", 0),
        impressions=happened.get("impression", 0),
        clicks=happened.get("click", 0),
        no_bids=split(metrics, "hustings_no_bids", "reason"),
        latency=buckets(metrics, "hustings_bid_latency_seconds"),
    )


def pulse(before: Counts, after: Counts) -> Pulse | None:
    """Return what happened in between; None when no time passed, or a counter fell."""
    grown = {
        name: getattr(after, name) - getattr(before, name)
        for name in ("requests", "answers", "bids", "wins", "impressions", "clicks")
    }
    seconds = after.at_s - before.at_s
    if seconds <= 0 or min(grown.values()) < 0:
        return None
    then = dict(before.latency)
    latency = [(bound, up_to - then.get(bound, 0.0)) for bound, up_to in after.latency]
    return Pulse(
        at_s=round(after.at_s, 3),
        seconds=round(seconds, 3),
        **grown,
        no_bids=_grown(before.no_bids, after.no_bids),
        p50_ms=_ms(quantile(latency, 0.5)),
        p95_ms=_ms(quantile(latency, 0.95)),
        p99_ms=_ms(quantile(latency, 0.99)),
    )


def _grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    grown = {name: times - before.get(name, 0) for name, times in after.items()}
    return {name: times for name, times in grown.items() if times > 0}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1_000, 2)


class Pulses:
    """Looks at the counters now and then, and remembers what happened in between."""

    def __init__(
        self,
        read_metrics: Callable[[], Awaitable[Sequence[Metric]]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._read_metrics = read_metrics
        self._clock = clock
        self._before: Counts | None = None
        self._recent: deque[Pulse] = deque(maxlen=PULSES_MAX)
        self.on_pulse: Callable[[Pulse], None] = lambda pulse: None

    @property
    def recent(self) -> tuple[Pulse, ...]:
        """The pulses of the last minutes, the oldest first."""
        return tuple(self._recent)

    async def look(self) -> None:
        """Read the counters once."""
        now = counts_of(await self._read_metrics(), self._clock())
        found = pulse(self._before, now) if self._before is not None else None
        self._before = now
        if found is not None:
            self._recent.append(found)
            self.on_pulse(found)

    async def run(self, stop: asyncio.Event) -> None:
        """Look every PULSE_SECONDS, or less often where a look takes long, until told to stop."""
        while not stop.is_set():
            began_s = time.monotonic()
            await self.look()
            pause = pause_s(PULSE_SECONDS, time.monotonic() - began_s)
            try:
                await asyncio.wait_for(stop.wait(), pause)
            except TimeoutError:
                continue
