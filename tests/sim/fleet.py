"""The workers of a trial: the real books and syncs, and bids as the kernel makes them."""

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import redis

from config.limits import RESERVATION_SLOTS
from pacing.lease import LeaseBook
from pacing.lease_sync import LeaseLost, LeaseSync
from pacing.ledger_clock import DISAGREEMENT_SECONDS_MAX, LedgerClock
from tests.sim.clock import Clock, Pause
from tests.sim.server import CODES, OWN, Server
from tests.sim.world import World


class BidName(NamedTuple):
    """What the token of a bid says of whose it is; never the same twice."""

    code: int
    owner: int
    minute: int
    sequence: int


class Bid(NamedTuple):
    """What the token says of the bid besides."""

    price: int
    day: int
    hour: int
    expiry_s: int
    in_time_until_s: float
    """When `expiry_s` is over by what has elapsed; the token doesn't say this."""
    own: int | None
    """The account of its line item, where that has a budget of its own."""


class Auctions(Protocol):
    def bid(self, name: BidName, bid: "Bid") -> None: ...


@dataclass
class Worker:
    owner: int
    clock: LedgerClock
    sync: LeaseSync
    book: LeaseBook
    alive: bool = True
    sequence: int = 0


class Fleet:
    """All workers: started, killed, replaced, cut off."""

    def __init__(
        self, world: World, clock: Clock, chance: random.Random, server: Server, auctions: Auctions
    ) -> None:
        self._world, self._clock, self._chance = world, clock, chance
        self._server, self._auctions = server, auctions
        self.bidding = True
        self.lost_workers = 0
        self.killed_s: dict[int, float] = {}
        """Owner -> when it was killed."""
        self.workers = [self._started() for _ in range(world.workers)]

    # -- what goes wrong ---------------------------------------------------------------------

    def kill_one(self) -> None:
        """kill -9 of any worker: nothing is given back."""
        alive = [worker for worker in self.workers if worker.alive]
        if not alive:
            return
        worker = self._chance.choice(alive)
        worker.alive = False
        self.killed_s[worker.owner] = self._clock.now_s
        if self._world.restarts:
            self._clock.at(self._chance.uniform(0.5, 4.0), self._replace)

    def cut_off_one(self) -> None:
        """A worker's way to the ledger is gone for a while; it doesn't know."""
        worker = self._chance.choice(self.workers)
        self._server.cut_off_until_s[worker.owner] = self._clock.now_s + self._chance.uniform(1, 60)

    def stop(self) -> None:
        """Let every worker fall silent; what it holds goes back in time."""
        for worker in self.workers:
            worker.alive = False

    def _replace(self) -> None:
        if self._server.away:
            self._clock.at(1.0, self._replace)
        else:
            self.workers.append(self._started())

    # -- a worker's life ---------------------------------------------------------------------

    def _started(self) -> Worker:
        clock = LedgerClock(self._elapsed)
        clock.anchor(self._server.now_s, self._clock.now_s)
        owner, sync, book = self._new_owner()
        worker = Worker(owner, clock, sync, book)
        self._clock.start(self._life(worker), self._chance.random())
        self._clock.at(self._chance.random(), self._bidding(worker))
        return worker

    def _elapsed(self) -> float:
        return self._server.now_s if self._world.clock_jumps else self._clock.now_s

    def _new_owner(self) -> tuple[int, LeaseSync, LeaseBook]:
        owner = self._server.new_owner()
        # LeaseSync needs nothing of a ledger but `exchange` and `call_short`.
        sync = LeaseSync(self._server, owner)  # type: ignore[arg-type]
        codes = self._server.codes
        return owner, sync, LeaseBook(codes, [self._world.price_max] * len(codes))

    async def _life(self, worker: Worker) -> None:
        while worker.alive:
            try:
                await self._sync(worker)
            except redis.RedisError:
                pass
            except LeaseLost:
                self.lost_workers += 1
                while self._server.away:
                    await Pause(0.5)
                worker.owner, worker.sync, worker.book = self._new_owner()
            worker.book.check()
            await Pause(self._chance.uniform(0.4, 0.6))

    async def _sync(self, worker: Worker) -> None:
        """Settle the book with the ledger, as a worker's tick does."""
        asked_s = self._elapsed()
        bulletin = await self._server.bulletin(worker.owner)
        if not worker.alive:
            return
        heard_s = self._elapsed()
        ahead_s = worker.clock.disagreement_s(bulletin.now_s, asked_s, heard_s)
        if abs(ahead_s) > DISAGREEMENT_SECONDS_MAX:
            await worker.sync.close(worker.book)
            worker.clock.anchor(bulletin.now_s, heard_s)
            worker.owner, worker.sync, worker.book = self._new_owner()
        now_s, codes = worker.clock.now_s(), self._server.codes
        days, hours = (dict.fromkeys(codes, period) for period in self._periods(now_s))
        await worker.sync.sync(worker.book, now_s, days, hours, short=bulletin.short)

    def _periods(self, now_s: float) -> tuple[int, int]:
        """Return the day and the hour of a time."""
        return int(now_s // self._world.day_s), int(now_s // self._world.hour_s)

    def _bidding(self, worker: Worker) -> Callable[[], None]:
        """Bid again and again, as the kernel would."""
        clock, chance, world = self._clock, self._chance, self._world
        price_max, row_of = world.price_max, {code: row for row, code in enumerate(self._server.codes)}
        bids_per_s = world.bids_per_s * (world.workers if world.sticky_s else 1)
        price_min = price_max // 2

        def chance_to_bid() -> None:
            if not (worker.alive and self.bidding):
                return
            clock.at(chance.expovariate(bids_per_s), chance_to_bid)
            if worker is not self._reached(worker):
                return
            book, now_s = worker.book, worker.clock.now_s()
            if book.stale(now_s):
                book.close_all()
            code = CODES[int(chance.random() * len(CODES))]
            price = price_min + int(chance.random() * (price_max - price_min + 1))
            own = OWN[code] if world.own_total is not None and chance.random() < 0.5 else None
            rows = [row_of[account] for account in (code, own) if account is not None]
            book.missed[rows] |= book.available[rows] < price
            if (book.available[rows] >= price).all():
                expiry_s = int(now_s) + world.notice_timeout_s
                book.available[rows] -= price
                book.reserved[rows, expiry_s % RESERVATION_SLOTS] += price
                worker.sequence += 1
                name = BidName(code, worker.owner, int(now_s // 60), worker.sequence)
                in_time_until_s = clock.now_s + expiry_s + 1 - now_s
                bid = Bid(price, *self._periods(now_s), expiry_s, in_time_until_s, own)
                self._auctions.bid(name, bid)

        return chance_to_bid

    def _reached(self, worker: Worker) -> Worker:
        """Return this worker, or where traffic sticks to one, the one it sticks to for now."""
        if not self._world.sticky_s:
            return worker
        turn = int(self._clock.now_s / self._world.sticky_s)
        alive = [other for other in self.workers if other.alive]
        return alive[_favourite(self._world.seed + turn, len(alive))]


@functools.lru_cache(maxsize=8)
def _favourite(seed: int, of: int) -> int:
    """Draw one of so many, the same for the same seed; a seeding costs as much as a bid."""
    return random.Random(seed).choice(range(of))
