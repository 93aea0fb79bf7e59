"""Budgets that change while workers hold leases: known in the next sync, taken back in the one after."""

import numpy as np
import pytest
import redis.asyncio

from pacing.account import Account
from pacing.lease import LeaseBook
from pacing.lease_sync import LeaseSync
from pacing.ledger import Ledger

CODE = 0xFA1
DAYS = {CODE: 20_000}
HOUR = 1_800_000_000
NOW_S = 1_000_000.0
STEP_S = 0.5


class Worker:
    """A worker that syncs as `bidder.port.worker` does."""

    def __init__(self, ledger: Ledger, owner: int) -> None:
        self._ledger = ledger
        self._sync = LeaseSync(ledger, owner)
        self._now_s = NOW_S
        self.owner = owner
        self.book = LeaseBook([CODE], [100], ahead_bids=4)

    async def sync(self, hour: int = HOUR) -> int:
        """Return what may be bid afterwards."""
        changes = (await self._ledger.bulletin()).changes
        await self._sync.sync(self.book, self._now_s, DAYS, {CODE: hour}, changes)
        self._now_s += STEP_S
        self.book.check()
        return int(self.book.available[0])


@pytest.fixture
async def ledger(redis_client: redis.asyncio.Redis) -> Ledger:
    ledger = Ledger(redis_client)
    await budget(ledger, 10_000)
    return ledger


async def budget(ledger: Ledger, total: int, daily: int | None = None, hourly: int | None = None) -> None:
    await ledger.register(CODE, "state-fair", total, daily, "UTC", hourly=hourly)


async def account_of(ledger: Ledger) -> Account:
    account = await ledger.account(CODE)
    assert account is not None
    account.check()
    return account


async def funded(ledger: Ledger) -> Worker:
    worker = Worker(ledger, await ledger.new_owner())
    assert await worker.sync() == 400
    return worker


async def test_a_pause_is_known_in_one_sync_and_the_money_back_in_two(ledger: Ledger) -> None:
    worker = await funded(ledger)
    for _ in range(3):
        await worker.sync()
    await ledger.pause(CODE)
    assert await worker.sync() == 0
    await worker.sync()
    assert (await account_of(ledger)).leased == 0


async def test_a_resumed_campaign_has_money_in_one_sync_however_often_it_was_refused(ledger: Ledger) -> None:
    worker = await funded(ledger)
    await ledger.pause(CODE)
    for _ in range(30):
        assert await worker.sync() == 0
    await ledger.resume(CODE)
    assert await worker.sync() == 400


async def test_a_raised_budget_has_money_in_one_sync_however_often_it_was_refused(ledger: Ledger) -> None:
    await budget(ledger, 0)
    worker = Worker(ledger, await ledger.new_owner())
    for _ in range(30):
        assert await worker.sync() == 0
    await budget(ledger, 10_000)
    assert await worker.sync() == 400


@pytest.mark.parametrize(
    "cut", [{"total": 50}, {"total": 10_000, "daily": 50}, {"total": 9_000, "hourly": 5}]
)
async def test_a_cut_below_what_is_leased_takes_back_what_is_not_promised(
    ledger: Ledger, cut: dict[str, int]
) -> None:
    worker = await funded(ledger)
    worker.book.available[0] -= 30
    worker.book.reserved[0, 7] += 30
    await budget(ledger, **cut)
    assert await worker.sync() == 0
    await worker.sync()
    account = await account_of(ledger)
    # What is promised is kept; what is left of the smaller budget may be leased again.
    assert account.leased == int(worker.book.outstanding[0]) <= max(*cut.values(), 30)
    assert account.spent + account.leased <= max(min(cut.values()), 30)


async def test_a_correction_takes_back_what_is_not_promised(ledger: Ledger) -> None:
    worker = await funded(ledger)
    await ledger.adjust(CODE, "server-lost", 9_990, "found in the exchange's report")
    assert await worker.sync() == 0
    await worker.sync()
    assert (await account_of(ledger)).leased <= 10


async def test_an_hour_has_its_own_money(ledger: Ledger) -> None:
    await budget(ledger, 10_000, hourly=250)
    worker = Worker(ledger, await ledger.new_owner())
    for _ in range(40):
        await worker.sync()
    assert int(worker.book.outstanding[0]) <= 250
    minute = 2**31 // 60
    await ledger.settle(CODE, worker.owner, minute, 1, 100, 100, 20_000, 0, {}, hour=HOUR)
    account = await account_of(ledger)
    assert account.spent_hour + account.leased <= 250
    for _ in range(40):
        await worker.sync(HOUR + 3_600)
    account = await account_of(ledger)
    assert (account.hour, account.spent_hour) == (HOUR + 3_600, 0)
    assert 150 < account.leased <= 250, "the leases of the last hour count in this one"


async def test_held_money_is_granted_only_when_it_is_released(ledger: Ledger) -> None:
    await ledger.hold_back(CODE, 9_900)
    owner = await ledger.new_owner()
    granted = [(await ledger.grant(CODE, owner, 500, 20_000, 100, 1)).granted for _ in range(3)]
    assert sum(granted) == 100
    lease = await ledger.grant(CODE, owner, 500, 20_000, 100, 1)
    assert not lease.paused, "money that is held is no reason to give back what was granted"
    await ledger.hold_back(CODE, 0)
    assert (await ledger.grant(CODE, owner, 500, 20_000, 100, 1)).granted == 500


def test_a_campaign_that_comes_back_at_once_remembers_what_was_settled() -> None:
    book = LeaseBook([CODE], [100])
    start = book.begin_sync(NOW_S)
    book.finish_sync(start, np.array([60]))
    book.available[0] -= 60
    slot_s = int(NOW_S) + 10
    book.reserved[0, slot_s % book.reserved.shape[1]] += 60
    settled = {0: {slot_s: 60}}
    book.finish_sync(book.begin_sync(NOW_S + 0.5), np.array([0]), settled=settled)
    back = book.carry_over([], []).carry_over([CODE], [100])
    back.finish_sync(back.begin_sync(NOW_S + 1), np.array([0]), settled=settled)
    back.check()
    assert back.available.tolist() == [0]
