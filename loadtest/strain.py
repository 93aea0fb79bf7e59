"""Whether the client itself is the bottleneck: how late it sends, how long its loop takes, what it burns.

A client that is short of processor time sends late and reads answers late, and both look like a slow bidder.
Nothing can be subtracted afterwards, so the client watches itself while it works:

* how long after its planned moment each request went out, or would have if a connection had been free;
* how much longer than asked for a short sleep takes, which is how long an answer may lie unread;
* how much of one core the process uses; at the whole of it, it has reached its own limit.

`verdict` says in sentences what of this was too much. Believe a latency only where it says nothing.
"""

import asyncio
import time
from collections.abc import Callable, Iterator

import msgspec

from loadtest.histogram import LatencyHistogram
from loadtest.limits import CPU_LOOK_SECONDS, CPU_SHARE_MAX, LATE_MS_MAX, LOOP_LOOK_SECONDS
from loadtest.tally import Percentiles, percentiles


class ClientFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The client's own work, warm-up left out; the shares are of one core."""

    late_ms: Percentiles
    """How long after their planned moment the requests' turn came."""
    loop_lag_ms: Percentiles
    """How late the event loop was for a timer."""
    cpu_share: float
    cpu_share_max: float
    """In the busiest second."""
    skipped: int
    """Requests, to all targets, that were not sent because too many were still open."""

    @property
    def verdict(self) -> tuple[str, ...]:
        """Say why the client was the bottleneck, a sentence for each reason; empty when it was not."""
        return tuple(self._reasons())

    def _reasons(self) -> Iterator[str]:
        if self.late_ms.p99 > LATE_MS_MAX:
            yield (
                f"It sent 1 % of the requests more than {self.late_ms.p99:.0f} ms after their planned "
                "moment; that is in the latency shown."
            )
        if self.loop_lag_ms.p99 > LATE_MS_MAX:
            yield (
                f"Its event loop was more than {self.loop_lag_ms.p99:.0f} ms late 1 % of the time, "
                "so answers lay unread."
            )
        if self.cpu_share > CPU_SHARE_MAX:
            yield f"It used {self.cpu_share:.0%} of a processor core, which is all it can."
        if self.skipped:
            yield f"It left out {self.skipped:,} requests, because it held too many open already."


class Strain:
    """Watches the client from `begin` to `end`; time before `begin` and after `end` does not count."""

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._late = LatencyHistogram()
        self._loop_lag = LatencyHistogram()
        self._is_on = False
        self._begin = self._last = (0.0, 0.0)
        self._share = self._share_max = 0.0

    def begin(self) -> None:
        """Count from now on."""
        self._is_on = True
        self._begin = self._last = (self._clock(), self._cpu_clock())

    def end(self) -> None:
        """Count no more."""
        if self._is_on:
            self._share = self._share_since(self._begin)
        self._is_on = False

    def sent(self, late_s: float) -> None:
        """Note how late a request's turn came."""
        if self._is_on:
            self._late.record(late_s)

    async def watch(self) -> None:
        """Look again and again; to be run as a task beside the work, and cancelled after it."""
        while True:
            asked_s = self._clock()
            await asyncio.sleep(LOOP_LOOK_SECONDS)
            if self._is_on:
                now_s = self._clock()
                self._loop_lag.record(now_s - asked_s - LOOP_LOOK_SECONDS)
                if now_s - self._last[0] >= CPU_LOOK_SECONDS:
                    self._share = self._share_since(self._begin)
                    self._share_max = max(self._share_max, self._share_since(self._last))
                    self._last = (now_s, self._cpu_clock())

    def figures(self, skipped: int) -> ClientFigures:
        """Return what was seen so far."""
        return ClientFigures(
            late_ms=percentiles(self._late),
            loop_lag_ms=percentiles(self._loop_lag),
            cpu_share=round(self._share, 3),
            cpu_share_max=round(max(self._share_max, self._share), 3),
            skipped=skipped,
        )

    def _share_since(self, then: tuple[float, float]) -> float:
        return (self._cpu_clock() - then[1]) / max(self._clock() - then[0], 1e-9)
