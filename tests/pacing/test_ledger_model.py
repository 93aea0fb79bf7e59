"""The ledger in a real server against its naive twin, by random actions.

Two accounts, as they are charged together: a campaign's, and that of a line item with a budget of its own.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, TypeVar

import pytest
import redis.asyncio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from config import redis_keys
from config.money import CPM_MICROS_MAX, MONEY_MAX
from pacing.ledger import Ledger, LedgerError, Settlement
from tests.pacing.naive_ledger import NaiveLedger

Reply = TypeVar("Reply")

CAMPAIGN = 0xC0FFEE
LINE_ITEM = 0xBEAD
OWN = LINE_ITEM << 32 | CAMPAIGN
MINUTE = int(time.time()) // 60
LIVE_S = MINUTE * 60 + 7_200
"""Late enough not to pass while the test runs."""
PAST_S = MINUTE * 60 - 60
NOTICE_TIMEOUT_S = 10

# Small amounts meet each other; large ones are beyond what a double holds.
AMOUNTS = st.integers(0, 60) | st.integers(MONEY_MAX - 60, MONEY_MAX) | st.integers(0, MONEY_MAX)
CORRECTIONS = st.integers(-30, 30) | st.integers(-MONEY_MAX, MONEY_MAX)
PRICES = st.integers(0, 20) | st.integers(0, CPM_MICROS_MAX)
DAYS = st.integers(20_000, 20_003)
HOURS = st.integers(480_000, 480_003).map(lambda hour: hour * 3_600)
OWNERS = st.integers(0, 2)
ACCOUNTS = st.sampled_from([CAMPAIGN, OWN])


class LedgerMachine(RuleBasedStateMachine):
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.client = redis.asyncio.Redis.from_url(self.url)
        self.ledger = Ledger(self.client)
        self.naive: dict[int, NaiveLedger] = {}
        self.owners: list[int] = []
        self.entries: list[int] = []
        self.of_line_item = 0
        self.changes = 0

    def run(self, call: Awaitable[Reply]) -> Reply:
        async def called() -> Reply:
            return await call

        return self.runner.run(called())

    @initialize(total=AMOUNTS, daily=st.none() | AMOUNTS, hourly=st.none() | AMOUNTS)
    def open(self, total: int, daily: int | None, hourly: int | None) -> None:
        self.run(self.client.flushdb())
        self.owners = [self.run(self.ledger.new_owner()) for _ in range(3)]
        self.naive[CAMPAIGN] = NaiveLedger(now_s=time.time())
        self.budget(total, daily, hourly)

    @rule(total=AMOUNTS, daily=st.none() | AMOUNTS, hourly=st.none() | AMOUNTS)
    def budget(self, total: int, daily: int | None, hourly: int | None) -> None:
        zone = "America/Chicago"
        self.run(self.ledger.register(CAMPAIGN, "river-state", total, daily, zone, hourly=hourly))
        naive = self.naive[CAMPAIGN]
        naive.total, naive.daily, naive.hourly = total, daily, hourly
        self.changed()

    @rule(total=st.none() | AMOUNTS, daily=st.none() | AMOUNTS)
    def budget_of_the_line_item(self, total: int | None, daily: int | None) -> None:
        self.run(self.ledger.register_line_item(OWN, "river-banner", total, daily, "America/Chicago"))
        if OWN not in self.naive:
            self.naive[OWN] = NaiveLedger(now_s=time.time(), spent=self.of_line_item)
        naive = self.naive[OWN]
        naive.total, naive.daily = MONEY_MAX if total is None else total, daily
        self.changed()

    @rule(
        code=ACCOUNTS,
        who=OWNERS,
        want=AMOUNTS,
        day=DAYS,
        hour=HOURS,
        bid_max=st.integers(0, 40),
        workers=st.sampled_from([1, 2, 3, 7, 1_000]),
    )
    def grant(self, code: int, who: int, want: int, day: int, hour: int, bid_max: int, workers: int) -> None:
        owner = self.owners[who]
        lease = self.run(self.ledger.grant(code, owner, want, day, bid_max, workers, hour=hour))
        naive = self.naive.get(code, NaiveLedger())
        assert lease.granted == naive.grant(owner, want, day, bid_max, workers, hour)
        assert lease.outstanding == naive.leases.get(owner, 0)
        assert lease.paused == naive.recalled
        assert lease.contended == (not naive.recalled and naive.leased > lease.outstanding)
        assert lease.settled == _live(naive, owner)

    @rule(code=ACCOUNTS, who=OWNERS, amount=AMOUNTS, behind=st.booleans())
    def release(self, code: int, who: int, amount: int, behind: bool) -> None:
        if code not in self.naive:
            return
        naive, owner = self.naive[code], self.owners[who]
        before = naive.returned.get(owner, 0)
        returned = min(before, amount) if behind else min(before + amount, 4 * MONEY_MAX)
        lease = self.run(self.ledger.release(code, owner, returned))
        naive.release(owner, returned)
        assert lease.outstanding == naive.leases.get(owner, 0)
        assert lease.paused == naive.recalled
        assert lease.settled == _live(naive, owner)

    @rule(
        who=OWNERS,
        sequence=st.integers(0, 5),
        price=PRICES,
        over=st.integers(-2, 3),
        day=DAYS,
        hour=HOURS,
        expiry_s=st.sampled_from([LIVE_S, LIVE_S + 1, PAST_S]),
        named=st.booleans(),
        reserved=st.booleans(),
    )
    def settle(
        self,
        who: int,
        sequence: int,
        price: int,
        over: int,
        day: int,
        hour: int,
        expiry_s: int,
        named: bool,
        reserved: bool,
    ) -> None:
        owner, bound = self.owners[who], min(max(price - over, 0), CPM_MICROS_MAX)
        bid = (owner, MINUTE, sequence, price, bound, day, expiry_s)
        line_item = LINE_ITEM if named else 0
        settlement = self.run(
            self.ledger.settle(
                CAMPAIGN,
                *bid,
                {"exchange": "plain"},
                hour=hour,
                line_item=line_item,
                from_line_item=reserved,
            )
        )
        assert settlement is self.naive[CAMPAIGN].settle(*bid, hour)
        if settlement in (Settlement.SETTLED, Settlement.LATE):
            self.entries.append(price)
            if named:
                self.of_line_item += price
                if OWN in self.naive:
                    self.naive[OWN].billed.discard((owner, MINUTE, sequence))
                    self.naive[OWN].settle(*bid, hour, reserved=reserved)

    @rule(which=st.integers(0, 9), amount=CORRECTIONS, named=st.booleans())
    def adjust(self, which: int, amount: int, named: bool) -> None:
        name, naive = f"report-{which}", self.naive[CAMPAIGN]
        call = self.ledger.adjust(
            CAMPAIGN, name, amount, "the exchange's report", line_item=LINE_ITEM if named else 0
        )
        known = name in naive.adjustments
        sums = (naive.spent + amount, self.of_line_item + amount if named else 0)
        fault = None
        if known and naive.adjustments[name] != amount:
            fault = "another amount"
        elif not known and min(sums) < 0:
            fault = "less than nothing"
        elif not known and max(sums) > MONEY_MAX:
            fault = "more would be spent"
        if fault is not None:
            with pytest.raises(LedgerError, match=fault):
                self.run(call)
            return
        assert self.run(call) is not known
        self.changed()
        if naive.adjust(name, amount):
            self.entries.append(amount)
            if named:
                self.of_line_item += amount
                if OWN in self.naive:
                    self.naive[OWN].adjust(name, amount)

    @rule(who=OWNERS)
    def reap(self, who: int) -> None:
        owner = self.owners[who]
        silent = {owner: self.run(self.ledger.heartbeats())[owner]}
        reaped = {code: naive.reap(owner) for code, naive in self.naive.items()}
        assert self.run(self.ledger.reap(silent)) == reaped[CAMPAIGN]
        self.owners[who] = self.run(self.ledger.new_owner())

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        assert self.run(self.ledger.pause(CAMPAIGN) if paused else self.ledger.resume(CAMPAIGN))
        self.naive[CAMPAIGN].paused = paused
        self.changed()

    @rule(day=DAYS, amount=st.none() | AMOUNTS)
    def ceiling(self, day: int, amount: int | None) -> None:
        assert self.run(self.ledger.set_ceiling(CAMPAIGN, day, amount))
        self.naive[CAMPAIGN].ceiling = None if amount is None else (day, amount)

    @rule(code=ACCOUNTS, amount=AMOUNTS)
    def hold_back(self, code: int, amount: int) -> None:
        assert self.run(self.ledger.hold_back(code, amount)) is (code in self.naive)
        if code in self.naive:
            self.naive[code].held = amount

    def changed(self) -> None:
        changes = self.run(self.ledger.bulletin()).changes
        assert changes > self.changes, "workers would not look"
        self.changes = changes

    @invariant()
    def agree(self) -> None:
        if not self.owners:
            return
        accounts = self.run(self.ledger.accounts([CAMPAIGN, OWN]))
        assert accounts.keys() == self.naive.keys()
        for code, account in accounts.items():
            naive = self.naive[code]
            naive.check()
            account.check()
            assert account.leases == naive.leases
            for field in (
                *("total", "daily", "hourly", "paused", "held", "spent", "adjusted", "free"),
                *("day", "spent_day", "hour", "spent_hour", "late", "overdue"),
            ):
                assert getattr(account, field) == getattr(naive, field), field
        booked: Any = self.run(self.client.xrange(redis_keys.bills(CAMPAIGN)))
        assert [int(entry[b"price_cpm_micros"]) for _, entry in booked] == self.entries
        assert accounts[CAMPAIGN].spent == sum(self.entries)

    def teardown(self) -> None:
        self.run(self.client.aclose())
        self.runner.close()


def _live(naive: NaiveLedger, owner: int) -> dict[int, int]:
    return {second: amount for second, amount in naive.settled.get(owner, {}).items() if second >= LIVE_S}


def test_the_ledger_and_its_naive_twin_agree_after_every_action(redis_url: str) -> None:
    class HereMachine(LedgerMachine):
        url = redis_url

    run_state_machine_as_test(
        HereMachine,
        settings=settings(max_examples=40, stateful_step_count=40, deadline=None),
    )
