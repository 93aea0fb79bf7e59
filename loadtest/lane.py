"""One target's side of a run: its connections, its auctions, its notices, and what is counted of it.

Every target gets the same requests at the same moments. A lane never makes another wait: it takes each
request as it comes, sends it when one of its connections is free, and counts what becomes of it:

    planned ──late──► sent ──► answered ──► judged ──► auction ──► nurl ─► burl, pixels ─► click
    └───────── latency ───────────┘                                └ loss: lurl
               └─ tmax ─┘

* Latency counts from the planned moment (`schedule`), tmax from the moment the request's turn came, as at an
  exchange. Waiting for a connection is the bidder's doing, and part of both.
* An answer after tmax is a timeout: its bids take no part. It is still read, because dropping the
  connection would make the next request pay for a new one, and so its true latency is known. Only a bidder
  silent for ANSWER_SECONDS_MAX is given up on, and so is a request that found no connection for as long.
* The draws of a request come from its own generator, seeded in the order of the schedule, so
  neither the rivals nor the clicks of a seed depend on which answer came first, or on the target.
* What belongs to a request of the warm-up is counted apart, its notices included.
"""

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import orjson

from loadtest.auction import Outcome, hold_auctions
from loadtest.client import BidClient, NoticeClient
from loadtest.connection import Answer
from loadtest.landscape import Landscapes
from loadtest.limits import ANSWER_SECONDS_MAX, OPEN_REQUESTS_MAX, TMAX_DEFAULT_MS
from loadtest.notices import NoticeHabits, Notices
from loadtest.tally import Tally
from loadtest.validate import problems
from loadtest.validate_money import CURRENCY_DEFAULT

Object = dict[str, Any]


class Target(msgspec.Struct, frozen=True):
    """A bidder under test, by a short name."""

    name: str
    url: str


class Planned(msgspec.Struct, frozen=True):
    """A request whose turn has come; moments are of the client's clock."""

    request: Object
    body: bytes
    planned_s: float
    turn_s: float
    seed: int
    is_warm_up: bool


class Lane:
    """`async with` opens and closes the connections; raises TargetError when the target can't be tested."""

    def __init__(
        self,
        target: Target,
        *,
        connections: int,
        currency: str,
        landscapes: Landscapes,
        habits: NoticeHabits,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.target = target
        self.warm_up = Tally(currency)
        self.measured = Tally(currency)
        self._currency = currency
        self._landscapes = landscapes
        self._habits = habits
        self._clock = clock
        self._bidder = BidClient(target.url, connections, clock, is_owned=habits.target_is_owned)
        self._measured_from_s = 0.0
        self._open = 0
        self._is_abandoned = False
        self._notice_client = NoticeClient()
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()

    async def __aenter__(self) -> "Lane":
        await self._bidder.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._bidder.__aexit__(*error)
        await self._notice_client.__aexit__(*error)

    def begin(self, tasks: asyncio.TaskGroup, measured_from_s: float) -> None:
        """Follow bids in `tasks`; the timeline of what is measured begins at `measured_from_s`."""
        self._tasks = tasks
        self._measured_from_s = measured_from_s
        self._notices = {
            tally: Notices(self._notice_client, self._habits, tally)
            for tally in (self.warm_up, self.measured)
        }

    def launch(self, planned: Planned) -> None:
        """Take a request whose turn has come."""
        tally = self.warm_up if planned.is_warm_up else self.measured
        if self._open >= OPEN_REQUESTS_MAX:
            tally.skipped += 1
            return
        tally.requests += 1
        tally.second(planned.turn_s - self._measured_from_s).requests += 1
        self._open += 1
        self._is_quiet.clear()
        give_up_s = planned.turn_s + ANSWER_SECONDS_MAX
        self._bidder.send(planned.body, give_up_s, partial(self._answered, planned, tally))

    async def quiet(self) -> None:
        """Return when nothing is open any more."""
        await self._is_quiet.wait()

    def abandon(self) -> None:
        """Count what is still open as an error, and what becomes of it no more."""
        self._is_abandoned = True
        if self._open:
            self.measured.errors["undrained"] += self._open

    def _answered(self, planned: Planned, tally: Tally, answer: Answer) -> None:
        if self._is_abandoned:
            return
        second = tally.second(answer.done_s - self._measured_from_s)
        if answer.failure in ("silent", "unsent"):
            tally.latency.record(answer.done_s - planned.planned_s)
            tally.timeouts += 1
            second.timeouts += 1
        elif answer.failure:
            tally.errors[answer.failure] += 1
            second.errors += 1
        elif answer.status not in (200, 204):
            tally.answers += 1
            tally.errors[f"http_{answer.status}"] += 1
            second.errors += 1
        else:
            tally.answers += 1
            tally.latency.record(answer.done_s - planned.planned_s)
            if answer.done_s - planned.turn_s > _tmax_s(planned.request):
                tally.timeouts += 1
                second.timeouts += 1
            elif answer.status == 204:
                tally.no_bids += 1
            else:
                # Judging takes a while: the other answers of this turn of the loop are read before it.
                self._tasks.create_task(self._follow(planned, tally, answer))
                return
        self._close()

    async def _follow(self, planned: Planned, tally: Tally, answer: Answer) -> None:
        """One answer with bids from its judgement to its last notice."""
        rng = random.Random(planned.seed)
        outcomes = self._outcomes(planned.request, tally, answer, rng)
        notices = self._notices[tally]
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
        self._close()

    def _close(self) -> None:
        self._open -= 1
        if not self._open:
            self._is_quiet.set()

    def _outcomes(self, request: Object, tally: Tally, answer: Answer, rng: random.Random) -> list[Outcome]:
        """Judge an answer and auction its bids; count what it was."""
        second = tally.second(answer.done_s - self._measured_from_s)
        try:
            response = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            tally.errors["not_json"] += 1
            second.errors += 1
            return []
        sentences = problems(request, response)
        if sentences:
            tally.refuse(sentences)
            second.errors += 1
            return []
        bids = [bid for seat in response.get("seatbid") or () for bid in seat["bid"]]
        if not bids:
            tally.no_bids += 1
            return []
        if response.get("cur", CURRENCY_DEFAULT) != self._currency:
            tally.errors["other_currency"] += 1
            second.errors += 1
            return []
        if not all(tally.books.open_account(bid["cid"]) for bid in bids):
            tally.errors["too_many_campaigns"] += 1
            second.errors += 1
            return []
        tally.bid_answers += 1
        second.bid_answers += 1
        tally.bids += len(bids)
        outcomes = hold_auctions(request, response, self._landscapes, rng)
        tally.losses += sum(not outcome.won for outcome in outcomes)
        return outcomes


def _tmax_s(request: Object) -> float:
    tmax = request.get("tmax")
    return (tmax if isinstance(tmax, (int, float)) and tmax > 0 else TMAX_DEFAULT_MS) / 1e3
