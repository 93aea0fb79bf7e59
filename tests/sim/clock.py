"""Virtual time: what happens when, in order, with no waiting and no threads.

clock = Clock()
clock.at(0.5, act)                  # act() half a second from now
clock.start(life())                 # a coroutine that awaits `Pause` and `Answer`
clock.run_until(120.0)
"""

import heapq
import itertools
from collections.abc import Callable, Coroutine, Generator
from typing import Any

START_S = 1_000_000.25
"""Unix time at which every trial begins; no whole second, as in life."""


class Pause:
    """Awaited, it suspends a coroutine for some seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __await__(self) -> Generator["Pause", None, None]:
        yield self


class Answer:
    """Awaited, it suspends a coroutine until `give`, or until its patience ends: then it returns None."""

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self.resume: Callable[[Any], None] | None = None

    def give(self, value: Any) -> None:
        """Resume the waiting coroutine with a value, unless nobody waits any more."""
        if self.resume is not None:
            resume, self.resume = self.resume, None
            resume(value)

    def __await__(self) -> Generator["Answer", Any, Any]:
        value = yield self
        return value


class Clock:
    """The time of one trial, and its agenda."""

    def __init__(self) -> None:
        self.now_s = START_S
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something some seconds from now; what is due at one moment happens in the order of asking."""
        heapq.heappush(self._agenda, (self.now_s + delay_s, next(self._order), action))

    def start(self, coroutine: Coroutine[Any, Any, None], delay_s: float = 0.0) -> None:
        """Run a coroutine from some seconds from now on."""

        def step(value: Any = None) -> None:
            try:
                waits_for = coroutine.send(value)
            except StopIteration:
                return
            if isinstance(waits_for, Pause):
                self.at(waits_for.seconds, step)
            else:
                waits_for.resume = step
                self.at(waits_for.patience_s, lambda: waits_for.give(None))

        self.at(delay_s, step)

    def run_until(self, end_s: float) -> None:
        """Do everything that is due before `end_s`, in order."""
        agenda = self._agenda
        while agenda and agenda[0][0] < end_s:
            self.now_s, _, action = heapq.heappop(agenda)
            action()
        self.now_s = end_s
