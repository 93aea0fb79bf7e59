"""The ledger in a real server against its naive twin, by random actions."""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

import redis.asyncio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from config import redis_keys
from config.money import CPM_MICROS_MAX, MONEY_MAX
from pacing.ledger import Ledger, Settlement
from tests.pacing.naive_ledger import NaiveLedger

Reply = TypeVar("Reply")

CODE = 0xC0FFEE
MINUTE = int(time.time()) // 60
EXPIRY_S = MINUTE * 60 + 900
"""Late enough not to pass while the test runs."""
NOTICE_TIMEOUT_S = 10

# Small amounts meet each other; large ones are beyond what a double holds.
AMOUNTS = st.integers(0, 60) | st.integers(MONEY_MAX - 60, MONEY_MAX) | st.integers(0, MONEY_MAX)
PRICES = st.integers(0, 20) | st.integers(0, CPM_MICROS_MAX)
DAYS = st.integers(20_000, 20_003)
OWNERS = st.integers(0, 2)


class LedgerMachine(RuleBasedStateMachine):
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.client = redis.asyncio.Redis.from_url(self.url)
        self.ledger = Ledger(self.client)
        self.naive = NaiveLedger()
        self.owners: list[int] = []
        self.bills = 0

    def run(self, call: Awaitable[Reply]) -> Reply:
        async def called() -> Reply:
            return await call

        return self.runner.run(called())

    @initialize(total=AMOUNTS, daily=st.none() | AMOUNTS)
    def open(self, total: int, daily: int | None) -> None:
        self.run(self.client.flushdb())
        self.owners = [self.run(self.ledger.new_owner()) for _ in range(3)]
        self.budget(total, daily)

    @rule(total=AMOUNTS, daily=st.none() | AMOUNTS)
    def budget(self, total: int, daily: int | None) -> None:
        self.run(self.ledger.register(CODE, "river-state", total, daily, "America/Chicago"))
        self.naive.total, self.naive.daily = total, daily

    @rule(
        who=OWNERS,
        want=AMOUNTS,
        day=DAYS,
        bid_max=st.integers(0, 40),
        workers=st.sampled_from([1, 2, 3, 7, 1_000]),
    )
    def grant(self, who: int, want: int, day: int, bid_max: int, workers: int) -> None:
        owner = self.owners[who]
        lease = self.run(self.ledger.grant(CODE, owner, want, day, bid_max, workers))
        assert lease.granted == self.naive.grant(owner, want, day, bid_max, workers)
        assert lease.outstanding == self.naive.leases.get(owner, 0)
        assert lease.paused == self.naive.paused
        assert lease.settled == self.naive.settled.get(owner, {})

    @rule(who=OWNERS, amount=AMOUNTS, behind=st.booleans())
    def release(self, who: int, amount: int, behind: bool) -> None:
        owner = self.owners[who]
        before = self.naive.returned.get(owner, 0)
        returned = min(before, amount) if behind else min(before + amount, 4 * MONEY_MAX)
        lease = self.run(self.ledger.release(CODE, owner, returned))
        self.naive.release(owner, returned)
        assert lease.outstanding == self.naive.leases.get(owner, 0)
        assert lease.settled == self.naive.settled.get(owner, {})

    @rule(
        who=OWNERS,
        sequence=st.integers(0, 5),
        price=PRICES,
        over=st.integers(-2, 3),
        day=DAYS,
        expiry_s=st.sampled_from([EXPIRY_S, EXPIRY_S + 1]),
    )
    def settle(self, who: int, sequence: int, price: int, over: int, day: int, expiry_s: int) -> None:
        owner, bound = self.owners[who], min(max(price - over, 0), CPM_MICROS_MAX)
        bid = (owner, MINUTE, sequence, price, bound, day, expiry_s)
        settlement = self.run(self.ledger.settle(CODE, *bid, {"exchange": "plain"}))
        assert settlement is self.naive.settle(*bid)
        self.bills += settlement in (Settlement.SETTLED, Settlement.LATE)

    @rule(who=OWNERS)
    def reap(self, who: int) -> None:
        owner = self.owners[who]
        self.run(self.client.zadd(redis_keys.WORKERS, {str(owner): 0}))
        assert self.run(self.ledger.reap(NOTICE_TIMEOUT_S)) == self.naive.reap(owner)
        self.owners[who] = self.run(self.ledger.new_owner())

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        assert self.run(self.ledger.pause(CODE) if paused else self.ledger.resume(CODE))
        self.naive.paused = paused

    @rule(day=DAYS, amount=st.none() | AMOUNTS)
    def ceiling(self, day: int, amount: int | None) -> None:
        assert self.run(self.ledger.set_ceiling(CODE, day, amount))
        self.naive.ceiling = None if amount is None else (day, amount)

    @invariant()
    def agree(self) -> None:
        if not self.owners:
            return
        account = self.run(self.ledger.account(CODE))
        assert account is not None
        account.check()
        naive = self.naive
        assert account.leases == naive.leases
        assert (account.total, account.daily, account.paused) == (naive.total, naive.daily, naive.paused)
        assert (account.spent, account.day, account.spent_day) == (naive.spent, naive.day, naive.spent_day)
        assert (account.late, account.free) == (naive.late, naive.free)
        assert self.run(self.client.xlen(redis_keys.bills(CODE))) == self.bills

    def teardown(self) -> None:
        self.run(self.client.aclose())
        self.runner.close()


def test_the_ledger_and_its_naive_twin_agree_after_every_action(redis_url: str) -> None:
    class HereMachine(LedgerMachine):
        url = redis_url

    run_state_machine_as_test(
        HereMachine,
        settings=settings(max_examples=40, stateful_step_count=40, deadline=None),
    )
