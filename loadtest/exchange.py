"""The simulated exchange: sends requests on schedule, judges answers, holds auctions, fires notices.

    exchange = Exchange(ExchangeSettings(seed=7))
    mix, chance = TrafficMix(), random.Random(7)
    stop = asyncio.Event()
    run = exchange.run(target, requests(mix, chance), arrivals(500, 20, chance), stop)
    ... exchange.snapshot() while it runs ...
    summary = await run

One task walks the schedule. At each planned moment it takes a connection, and starts a task that
asks the bidder, gives the connection back, and follows the bids to their last notice:

    planned ──lag──► sent ──► answered ──► judged ──► auction ──► nurl ─► burl, pixels ─► click
    └───────── latency ──────────┘                                └ loss: lurl
               └── tmax ──┘

* Latency counts from the planned moment (`schedule`), tmax from the sending, as at an exchange.
* Lag is the client's own lateness: how long after a request was due, with a connection free, its
  turn came. Waiting for a connection counts as the bidder's doing and is latency only. Timers tick
  in milliseconds, so up to one of lag is normal. A client short of processor time also reads answers
  late, which looks like a slow bidder: believe latencies only while the lag is small.
* The draws of a request come from its own generator, seeded in the order of the schedule, so
  neither the rivals nor the clicks of a seed depend on which answer came first.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import orjson

from loadtest.auction import Landscape, Outcome, hold_auctions
from loadtest.client import Answer, BidClient, NoticeClient, reach
from loadtest.limits import (
    DRAIN_SECONDS_MAX,
    LAUNCHES_PER_TURN_MAX,
    OPEN_REQUESTS_MAX,
    STOP_CHECK_SECONDS,
    TMAX_DEFAULT_MS,
)
from loadtest.notices import NoticeHabits, Notices
from loadtest.tally import Second, Summary, Tally
from loadtest.validate import problems
from loadtest.validate_money import CURRENCY_DEFAULT

Object = dict[str, Any]


class ExchangeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange. The books are in `currency`; a bid in another one is an error."""

    seed: int
    connections: int = 64
    currency: str = CURRENCY_DEFAULT
    landscape: Landscape = Landscape()
    habits: NoticeHabits = NoticeHabits()


class Exchange:
    """One run of traffic against one bidder."""

    def __init__(self, settings: ExchangeSettings, clock: Callable[[], float] = time.perf_counter) -> None:
        self._settings = settings
        self._clock = clock
        self._tally = Tally(settings.currency)
        self._started_s = 0.0
        self._sending_s = 0.0

    def snapshot(self) -> Summary:
        """Return the figures so far; may be called while `run` is under way."""
        elapsed_s = self._sending_s or (self._clock() - self._started_s if self._started_s else 0.0)
        return self._tally.summary(elapsed_s)

    @property
    def timeline(self) -> list[Second]:
        """The run second by second, the current second last."""
        return self._tally.timeline

    async def run(
        self, target: str, requests: Iterator[Object], schedule: Iterable[float], stop: asyncio.Event
    ) -> Summary:
        """Send a request at each moment until the schedule or the requests end or `stop` is set.

        Returns when every notice is answered, or DRAIN_SECONDS_MAX after the last request; each
        request cut short by that is an error `undrained`. Raises TargetError when nobody listens
        at the target.
        """
        await reach(target)
        settings = self._settings
        async with (
            BidClient(target, settings.connections, self._clock) as bidder,
            NoticeClient() as notice_client,
        ):
            notices = Notices(notice_client, settings.habits, self._tally)
            self._started_s = self._clock()
            try:
                async with asyncio.timeout(None) as deadline, asyncio.TaskGroup() as tasks:
                    await self._send_all(bidder, notices, requests, schedule, stop, tasks)
                    self._sending_s = self._clock() - self._started_s
                    deadline.reschedule(asyncio.get_running_loop().time() + DRAIN_SECONDS_MAX)
            except TimeoutError:
                pass  # the tasks cut short have counted themselves
        self._tally.books.check()
        return self.snapshot()

    async def _send_all(
        self,
        bidder: BidClient,
        notices: Notices,
        requests: Iterator[Object],
        schedule: Iterable[float],
        stop: asyncio.Event,
        tasks: asyncio.TaskGroup,
    ) -> None:
        chance = random.Random(self._settings.seed)
        connections = asyncio.Semaphore(self._settings.connections)
        room = asyncio.Semaphore(OPEN_REQUESTS_MAX)
        freed_s = self._started_s
        launches = 0
        for moment_s, request in zip(schedule, requests, strict=False):
            planned_s = self._started_s + moment_s
            while (wait_s := planned_s - self._clock()) > 0 and not stop.is_set():
                launches = 0
                await asyncio.sleep(min(wait_s, STOP_CHECK_SECONDS))
            if stop.is_set():
                return
            launches += 1
            if launches > LAUNCHES_PER_TURN_MAX:
                launches = 0
                await asyncio.sleep(0)
            body = orjson.dumps(request)
            await room.acquire()
            now_s = self._clock()
            self._tally.client_lag.record(now_s - max(planned_s, freed_s))
            if connections.locked():
                await connections.acquire()
                freed_s = self._clock()
            else:
                await connections.acquire()
            tasks.create_task(
                self._one(
                    bidder, notices, request, body, planned_s, chance.getrandbits(64), connections, room
                )
            )

    async def _one(
        self,
        bidder: BidClient,
        notices: Notices,
        request: Object,
        body: bytes,
        planned_s: float,
        seed: int,
        connections: asyncio.Semaphore,
        room: asyncio.Semaphore,
    ) -> None:
        """One request from sending to its last notice."""
        tally = self._tally
        try:
            tally.requests += 1
            tally.second(self._clock() - self._started_s).requests += 1
            try:
                answer = await bidder.ask(body)
            finally:
                connections.release()
            tally.latency.record(answer.done_s - planned_s)
            rng = random.Random(seed)
            outcomes = self._outcomes(request, answer, rng)
            if len(outcomes) == 1:
                await notices.follow(outcomes[0], rng)
            elif outcomes:
                seeds = [rng.getrandbits(64) for _ in outcomes]
                await asyncio.gather(
                    *(
                        notices.follow(outcome, random.Random(own))
                        for outcome, own in zip(outcomes, seeds, strict=True)
                    )
                )
        except asyncio.CancelledError:
            tally.errors["undrained"] += 1
            raise
        finally:
            room.release()

    def _outcomes(self, request: Object, answer: Answer, rng: random.Random) -> list[Outcome]:
        """Judge an answer and auction its bids; count what it was."""
        tally = self._tally
        second = tally.second(answer.done_s - self._started_s)
        if answer.failure == "silent":
            tally.timeouts += 1
            second.timeouts += 1
            return []
        if answer.failure:
            tally.errors[answer.failure] += 1
            return []
        tally.answers += 1
        if answer.status not in (200, 204):
            tally.errors[f"http_{answer.status}"] += 1
            return []
        if (answer.done_s - answer.sent_s) * 1000 > _tmax_ms(request):
            tally.timeouts += 1
            second.timeouts += 1
            return []
        if answer.status == 204:
            tally.no_bids += 1
            return []
        try:
            response = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            tally.errors["not_json"] += 1
            return []
        sentences = problems(request, response)
        if sentences:
            tally.refuse(sentences)
            return []
        bids = [bid for seat in response.get("seatbid") or () for bid in seat["bid"]]
        if not bids:
            tally.no_bids += 1
            return []
        if response.get("cur", CURRENCY_DEFAULT) != self._settings.currency:
            tally.errors["other_currency"] += 1
            return []
        if not all(tally.books.open_account(bid["cid"]) for bid in bids):
            tally.errors["too_many_campaigns"] += 1
            return []
        tally.bid_answers += 1
        second.bid_answers += 1
        tally.bids += len(bids)
        outcomes = hold_auctions(request, response, self._settings.landscape, rng)
        tally.losses += sum(not outcome.won for outcome in outcomes)
        return outcomes


def _tmax_ms(request: Object) -> float:
    tmax = request.get("tmax")
    return tmax if isinstance(tmax, (int, float)) and tmax > 0 else TMAX_DEFAULT_MS
