"""What keeps a worker from its requests: an event loop that runs late, a garbage collector that stops it.

A timer that beats every HEARTBEAT_MS measures the first by its own lateness; the interpreter tells the second
(`gc.callbacks`). Both go to the tally, and every beat to the admission (`bidder.port.admission`).
"""

import asyncio
import gc
import time
from typing import Literal

from bidder.port.admission import Admission
from bidder.port.tally import Tally
from config.limits import HEARTBEAT_MS

_HEARTBEAT_NS = HEARTBEAT_MS * 1_000_000


class Heartbeat:
    """Beats from `start` to `stop`."""

    def __init__(self, admission: Admission, tally: Tally) -> None:
        self._admission = admission
        self._tally = tally
        self._timer: asyncio.TimerHandle | None = None
        self._due_ns = 0
        self._collecting_since_ns = 0

    def start(self) -> None:
        """Begin on the running loop, and to listen to the garbage collector."""
        gc.callbacks.append(self._collecting)
        self._wait()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            gc.callbacks.remove(self._collecting)
            self._timer = None

    def _wait(self) -> None:
        self._due_ns = time.monotonic_ns() + _HEARTBEAT_NS
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT_MS / 1_000, self._beat)

    def _beat(self) -> None:
        # The loop's own clock is in whole milliseconds, so a timer may also come a little early.
        lag_ns = max(0, time.monotonic_ns() - self._due_ns)
        self._tally.loop_lags_ns.append(lag_ns)
        self._admission.beat(lag_ns)
        self._wait()

    def _collecting(self, phase: Literal["start", "stop"], _info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_since_ns = time.monotonic_ns()
        else:
            self._tally.gc_pauses_ns.append(time.monotonic_ns() - self._collecting_since_ns)
