"""The simulated exchange: sends requests on schedule, judges answers, holds auctions, fires notices.

    exchange = Exchange(ExchangeSettings(seed=7), [Target("new", url), Target("old", other_url)])
    mix, chance = TrafficMix(), random.Random(7)
    stop, cut = asyncio.Event(), asyncio.Event()
    run = exchange.run(requests(mix, chance), arrivals(500, 20, chance), stop, cut)
    ... exchange.snapshots() while it runs ...
    summaries = await run

One task walks the schedule. At each planned moment it hands the request to every target's lane (`lane`),
in turn the first, and goes on to the next moment; nothing that a target does can hold it up. Meanwhile
`strain` watches whether the client itself keeps up.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import msgspec
import orjson

from loadtest.landscape import Landscapes
from loadtest.lane import Lane, Object, Planned, Target
from loadtest.limits import CONNECTIONS_MAX, DRAIN_SECONDS_MAX, LAUNCHES_PER_TURN_MAX, STOP_CHECK_SECONDS
from loadtest.notices import NoticeHabits
from loadtest.strain import ClientFigures, Strain
from loadtest.tally import Second, Summary
from loadtest.validate_money import CURRENCY_DEFAULT

Ending = Literal["complete", "stopped", "cut"]
"""`complete`: the schedule or the requests came to their end. `stopped`: sending was ended before. `cut`: and
the notices were not waited for."""


class ExchangeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange. The books are in `currency`; a bid in another one is an error."""

    seed: int
    connections: int = 64
    """To each target."""
    warm_up_s: float = 0.0
    """The first part of the schedule, which is sent and booked like the rest and counted apart."""
    currency: str = CURRENCY_DEFAULT
    landscapes: Landscapes = Landscapes()
    habits: NoticeHabits = NoticeHabits()


class Exchange:
    """One run of traffic against one or several bidders."""

    def __init__(
        self,
        settings: ExchangeSettings,
        targets: Sequence[Target],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        assert 0 < len(targets) * settings.connections <= CONNECTIONS_MAX
        self._settings = settings
        self._clock = clock
        self.lanes = [
            Lane(
                target,
                connections=settings.connections,
                currency=settings.currency,
                landscapes=settings.landscapes,
                habits=settings.habits,
                clock=clock,
            )
            for target in targets
        ]
        self.strain = Strain(clock)
        self._measured_from_s = 0.0
        self._sent_until_s = 0.0
        self.ending: Ending = "complete"

    @property
    def elapsed_s(self) -> float:
        """Return how long the measured part has been sending; negative in the warm-up, 0 before the run."""
        if not self._measured_from_s:
            return 0.0
        return (self._sent_until_s or self._clock()) - self._measured_from_s

    def snapshots(self) -> list[Summary]:
        """Return each target's figures so far without the warm-up; also while `run` is under way."""
        elapsed_s = max(self.elapsed_s, 0.0)
        return [lane.measured.summary(elapsed_s) for lane in self.lanes]

    def warm_ups(self) -> list[Summary]:
        """Return each target's figures of the warm-up."""
        return [lane.warm_up.summary(self._settings.warm_up_s) for lane in self.lanes]

    def timelines(self) -> list[list[Second]]:
        """Return the measured part of each target second by second, the current second last."""
        return [lane.measured.timeline for lane in self.lanes]

    def client(self) -> ClientFigures:
        """Return how the client itself did so far."""
        return self.strain.figures(sum(lane.measured.skipped for lane in self.lanes))

    async def run(
        self,
        requests: Iterator[Object],
        schedule: Iterable[float],
        stop: asyncio.Event,
        cut: asyncio.Event | None = None,
    ) -> list[Summary]:
        """Send a request at each moment until the schedule or the requests end or `stop` is set.

        Returns when every notice is answered, or DRAIN_SECONDS_MAX after the last request, or when `cut` is
        set; each request cut short by that is an error `undrained`. Raises TargetError when a target may
        not be called or nobody listens there.
        """
        async with contextlib.AsyncExitStack() as stack:
            for lane in self.lanes:
                await stack.enter_async_context(lane)
            watching = asyncio.create_task(self.strain.watch())
            stack.callback(watching.cancel)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as tasks:
                    cutting = asyncio.create_task(self._cut(cut, stop, limit))
                    stack.callback(cutting.cancel)
                    await self._send_all(requests, schedule, stop, tasks)
                    if not limit.expired() and not (cut and cut.is_set()):
                        delay_s = self._settings.habits.delay_s if self._settings.habits.delayed_share else 0
                        limit.reschedule(asyncio.get_running_loop().time() + DRAIN_SECONDS_MAX + delay_s)
                    for lane in self.lanes:
                        await lane.quiet()
            for lane in self.lanes:
                lane.abandon()
        for lane in self.lanes:
            lane.warm_up.books.check()
            lane.measured.books.check()
        return self.snapshots()

    async def _cut(self, cut: asyncio.Event | None, stop: asyncio.Event, limit: asyncio.Timeout) -> None:
        if cut is not None:
            await cut.wait()
            self.ending = "cut"
            stop.set()
            limit.reschedule(asyncio.get_running_loop().time())

    async def _send_all(
        self,
        requests: Iterator[Object],
        schedule: Iterable[float],
        stop: asyncio.Event,
        tasks: asyncio.TaskGroup,
    ) -> None:
        chance = random.Random(self._settings.seed)
        warm_up_s = self._settings.warm_up_s
        started_s = self._clock()
        self._measured_from_s = started_s + warm_up_s
        for lane in self.lanes:
            lane.begin(tasks, self._measured_from_s)
        launches = number = 0
        is_warm_up = True
        try:
            for number, (moment_s, request) in enumerate(zip(schedule, requests, strict=False)):
                planned_s = started_s + moment_s
                body = orjson.dumps(request)
                seed = chance.getrandbits(64)
                if is_warm_up and moment_s >= warm_up_s:
                    is_warm_up = False
                    self.strain.begin()
                while (wait_s := planned_s - self._clock()) > 0 and not stop.is_set():
                    launches = 0
                    await asyncio.sleep(min(wait_s, STOP_CHECK_SECONDS))
                if stop.is_set():
                    self.ending = "cut" if self.ending == "cut" else "stopped"
                    return
                launches += 1
                if launches > LAUNCHES_PER_TURN_MAX:
                    launches = 0
                    await asyncio.sleep(0)
                self._launch(Planned(request, body, planned_s, self._clock(), seed, is_warm_up), number)
        finally:
            self.strain.end()
            self._sent_until_s = self._clock()

    def _launch(self, planned: Planned, number: int) -> None:
        """Hand a request to every lane; each is the first in its turn, so that none is always the last."""
        self.strain.sent(planned.turn_s - planned.planned_s)
        first = number % len(self.lanes)
        for lane in (*self.lanes[first:], *self.lanes[:first]):
            lane.launch(planned)
