"""Workers, a slow network, kills and partitions, in virtual time: never a unit over the budget.

The workers run `LeaseBook` and `LeaseSync`; the ledger is the naive twin that `test_ledger_model` proves
equal to the real one, behind a network that delays every message, loses it or its reply, and delivers
releases again later. Every notice is in time: it settles at most the exchange's timeout after the bid.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from config.limits import LEASE_STALE_SECONDS_MAX, RESERVATION_SLOTS
from pacing.lease import LeaseBook
from pacing.lease_sync import LeaseLost, LeaseSync
from pacing.ledger import REAP_GRACE_SECONDS, Ask, Lease, Return, Settlement
from tests.pacing.naive_ledger import NaiveLedger

CODES = (0xA1, 0xB2)
START_S = 1_000_000.25


class Pause:
    """Awaited, it suspends a coroutine for some seconds of virtual time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __await__(self) -> Generator[float, None, None]:
        yield self.seconds


@dataclass(frozen=True)
class World:
    """What a simulation is made of."""

    seed: int
    workers: int
    total: int
    daily: int | None
    day_s: float
    price_max: int
    bids_per_s: float
    win_share: float
    notice_timeout_s: int
    fault_share: float
    killed: int
    partitioned: int
    seconds: int


@dataclass
class Worker:
    owner: int
    sync: LeaseSync
    book: LeaseBook
    alive: bool = True
    cut_off_until_s: float = 0.0


@dataclass
class Simulation:
    world: World
    now_s: float = START_S
    agenda: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.world.seed)
        self.order = itertools.count()
        self.sequences = itertools.count()
        self.owners = itertools.count(1)
        self.ledgers = {code: NaiveLedger(self.world.total, self.world.daily) for code in CODES}
        self.heard_s: dict[int, float] = {}
        self.spent_on: dict[tuple[int, int], int] = {}
        self.lost_workers = 0
        self.workers = [self.new_worker() for _ in range(self.world.workers)]
        for worker in self.workers:
            self.at(self.random.random(), self.stepping(self.life(worker)))
            self.at(self.random.random(), self.bids(worker))
        for worker in self.workers[: self.world.killed]:
            self.at(self.random.uniform(0, self.world.seconds / 2), self.kill(worker))
        for worker in self.workers[self.world.killed :][: self.world.partitioned]:
            self.at(self.random.uniform(0, self.world.seconds / 3), self.cut_off(worker))
        self.at(1.0, self.reaping)

    # -- virtual time ------------------------------------------------------------------------

    def at(self, delay_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self.agenda, (self.now_s + delay_s, next(self.order), action))

    def stepping(self, coroutine: Coroutine[Any, Any, None]) -> Callable[[], None]:
        def step() -> None:
            try:
                delay_s = coroutine.send(None)
            except StopIteration:
                return
            self.at(delay_s, step)

        return step

    def run(self) -> None:
        while self.agenda[0][0] < START_S + self.world.seconds:
            self.now_s, _, action = heapq.heappop(self.agenda)
            action()
        for worker in self.workers:
            worker.book.check()

    @property
    def day(self) -> int:
        return int(self.now_s // self.world.day_s)

    # -- workers -----------------------------------------------------------------------------

    def new_worker(self) -> Worker:
        owner = next(self.owners)
        self.heard_s[owner] = self.now_s
        # LeaseSync needs nothing of a ledger but `exchange`.
        sync = LeaseSync(self, owner)  # type: ignore[arg-type]
        return Worker(owner, sync, LeaseBook(CODES, [self.world.price_max] * len(CODES)))

    async def life(self, worker: Worker) -> None:
        while worker.alive:
            try:
                await worker.sync.sync(worker.book, self.now_s, dict.fromkeys(CODES, self.day))
            except redis.RedisError:
                pass
            except LeaseLost:
                self.lost_workers += 1
                fresh = self.new_worker()
                worker.owner, worker.sync, worker.book = fresh.owner, fresh.sync, fresh.book
            worker.book.check()
            await Pause(self.random.uniform(0.3, 0.7))

    def bids(self, worker: Worker) -> Callable[[], None]:
        def bid() -> None:
            if not worker.alive:
                return
            book, row = worker.book, self.random.randrange(len(CODES))
            if book.stale(self.now_s):
                book.close_all()
            price = self.random.randint(self.world.price_max // 2, self.world.price_max)
            if book.available[row] >= price:
                expiry_s = int(self.now_s) + self.world.notice_timeout_s
                book.available[row] -= price
                book.reserved[row, expiry_s % RESERVATION_SLOTS] += price
                if self.random.random() < self.world.win_share:
                    self.notify(CODES[row], worker.owner, price, expiry_s)
            self.at(self.random.expovariate(self.world.bids_per_s), bid)

        return bid

    def notify(self, code: int, owner: int, price: int, expiry_s: int) -> None:
        """Send the bill, in time, and a few copies of it."""
        sequence = next(self.sequences)
        paid = self.random.randint(price // 3, price)

        def settle() -> None:
            ledger = self.ledgers[code]
            before = ledger.spent
            settlement = ledger.settle(owner, 0, sequence, paid, price, self.day, expiry_s)
            assert settlement in (Settlement.SETTLED, Settlement.DUPLICATE), "a bill in time was in no lease"
            assert ledger.spent <= self.world.total
            assert ledger.free >= 0
            assert self.world.daily is None or ledger.spent_day <= self.world.daily
            self.spent_on[code, self.day] = self.spent_on.get((code, self.day), 0) + ledger.spent - before

        latest_s = self.world.notice_timeout_s
        for _ in range(self.random.choice([1, 1, 2])):
            self.at(self.random.choice([latest_s, self.random.uniform(0, latest_s)]), settle)

    def kill(self, worker: Worker) -> Callable[[], None]:
        def end() -> None:
            worker.alive = False

        return end

    def cut_off(self, worker: Worker) -> Callable[[], None]:
        def cut() -> None:
            worker.cut_off_until_s = self.now_s + self.random.uniform(1, 80)

        return cut

    # -- the ledger's side of the network ----------------------------------------------------

    async def exchange(
        self, owner: int, messages: Sequence[Ask | Return], workers: int
    ) -> tuple[int, list[Lease]]:
        worker = next(worker for worker in self.workers if worker.owner == owner)
        await Pause(self.random.choice([0.001, 0.2, 1.0]) * self.random.random())
        fault = self.random.random() < self.world.fault_share
        if self.now_s < worker.cut_off_until_s or (fault and self.random.random() < 0.5):
            raise redis.ConnectionError("the message was lost")
        alive = owner in self.heard_s
        if alive:
            self.heard_s[owner] = self.now_s
        leases = [self.handle(owner, message, workers) for message in messages]
        again = [message for message in messages if isinstance(message, Return)]
        self.at(self.random.uniform(0, 20), self.repeating(owner, again))
        await Pause(self.random.choice([0.001, 0.2, 1.0]) * self.random.random())
        if fault:
            raise redis.ConnectionError("the reply was lost")
        return len(self.heard_s) if alive else 0, leases

    def repeating(self, owner: int, messages: Sequence[Return]) -> Callable[[], None]:
        def repeat() -> None:
            for message in messages:
                self.handle(owner, message, 1)

        return repeat

    def handle(self, owner: int, message: Ask | Return, workers: int) -> Lease:
        ledger, granted = self.ledgers[message.code], 0
        if isinstance(message, Ask):
            granted = ledger.grant(owner, message.want, message.day, message.bid_max, workers)
        else:
            ledger.release(owner, message.returned)
        live = {s: sum_ for s, sum_ in ledger.settled.get(owner, {}).items() if s >= int(self.now_s)}
        return Lease(ledger.leases.get(owner, 0), granted, ledger.paused, live)

    def reaping(self) -> None:
        silence_s = LEASE_STALE_SECONDS_MAX + self.world.notice_timeout_s + REAP_GRACE_SECONDS
        for owner, heard_s in list(self.heard_s.items()):
            if self.now_s - heard_s > silence_s:
                del self.heard_s[owner]
        for ledger in self.ledgers.values():
            for owner in set(ledger.leases) - set(self.heard_s):
                ledger.reap(owner)
        self.at(1.0, self.reaping)


WORLDS = st.builds(
    World,
    seed=st.integers(0, 2**32),
    workers=st.integers(1, 5),
    total=st.integers(1, 60_000),
    daily=st.none() | st.integers(0, 20_000),
    day_s=st.sampled_from([15.0, 40.0, 1e9]),
    price_max=st.sampled_from([3, 100, 999]),
    bids_per_s=st.sampled_from([0.5, 5.0, 15.0]),
    win_share=st.sampled_from([0.2, 1.0]),
    notice_timeout_s=st.sampled_from([1, 3, 10]),
    fault_share=st.sampled_from([0.0, 0.1, 0.5]),
    killed=st.integers(0, 2),
    partitioned=st.integers(0, 2),
    seconds=st.just(120),
)


@given(world=WORLDS)
@settings(max_examples=40, deadline=None)
def test_bills_in_time_never_exceed_the_budget_by_one_unit(world: World) -> None:
    simulation = Simulation(world)
    simulation.run()
    for code, ledger in simulation.ledgers.items():
        assert ledger.late == 0
        for day in range(int(START_S // world.day_s), simulation.day + 1):
            assert world.daily is None or simulation.spent_on.get((code, day), 0) <= world.daily


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("killed", [0, 2])
def test_nearly_all_of_a_budget_can_be_spent(seed: int, killed: int) -> None:
    world = World(
        seed=seed,
        workers=4,
        total=200_000,
        daily=None,
        day_s=1e9,
        price_max=100,
        bids_per_s=60.0,
        win_share=0.8,
        notice_timeout_s=10,
        fault_share=0.02,
        killed=killed,
        partitioned=0,
        seconds=150,
    )
    simulation = Simulation(world)
    simulation.run()
    for ledger in simulation.ledgers.values():
        assert 0.995 * world.total <= ledger.spent <= world.total


@pytest.mark.parametrize("seed", range(5))
def test_workers_cut_off_for_long_start_over_with_nothing_overspent(seed: int) -> None:
    # A bid now and then, so that a lease outlasts the patience of the ledger.
    world = World(
        seed=seed,
        workers=3,
        total=30_000,
        daily=None,
        day_s=1e9,
        price_max=50,
        bids_per_s=0.1,
        win_share=1.0,
        notice_timeout_s=3,
        fault_share=0.0,
        killed=0,
        partitioned=0,
        seconds=200,
    )
    simulation = Simulation(world)
    for worker in simulation.workers:
        simulation.at(5.0, partial(setattr, worker, "cut_off_until_s", START_S + 90))
    simulation.run()
    assert simulation.lost_workers == 3
    assert all(0 < ledger.spent <= world.total for ledger in simulation.ledgers.values())
