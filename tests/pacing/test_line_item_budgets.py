"""A line item's own budget, beside its campaign's: leased, charged and recalled like that."""

import random
import time

import pytest
import redis.asyncio

from config.limits import RESERVATION_SLOTS
from config.money import MONEY_MAX
from config.schema import account_code, code_of
from pacing.account import Account
from pacing.lease import LeaseBook
from pacing.lease_sync import LeaseSync
from pacing.ledger import Ledger, Settlement

CAMPAIGN = code_of("state-fair")
LINE_ITEM = code_of("fair-banner")
OWN = account_code("state-fair", "fair-banner")
DAYS = dict.fromkeys((CAMPAIGN, OWN), 20_000)
BID_MAX = 100


async def open_accounts(client: redis.asyncio.Redis, own_total: int | None = 1_000) -> Ledger:
    ledger = Ledger(client)
    await ledger.register(CAMPAIGN, "state-fair", 10_000, None, "UTC")
    await ledger.register_line_item(OWN, "fair-banner", own_total, None, "UTC")
    return ledger


async def read(ledger: Ledger, code: int) -> Account:
    account = await ledger.account(code)
    assert account is not None
    account.check()
    return account


async def bill(ledger: Ledger, owner: int, sequence: int, price: int, *, reserved: bool = True) -> Settlement:
    minute = int(time.time()) // 60
    return await ledger.settle(
        *(CAMPAIGN, owner, minute, sequence, price, price, 20_000, (minute + 15) * 60, {}),
        line_item=LINE_ITEM,
        from_line_item=reserved,
    )


async def test_a_bill_is_charged_to_both_accounts(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_accounts(redis_client)
    owner = await ledger.new_owner()
    await ledger.grant(CAMPAIGN, owner, 500, 20_000, BID_MAX, 1)
    await ledger.grant(OWN, owner, 300, 20_000, BID_MAX, 1)
    assert await bill(ledger, owner, 1, 90) is Settlement.SETTLED
    assert await bill(ledger, owner, 1, 90) is Settlement.DUPLICATE
    campaign, own = await read(ledger, CAMPAIGN), await read(ledger, OWN)
    assert (campaign.spent, campaign.leased, campaign.late) == (90, 410, 0)
    assert (own.spent, own.leased, own.late) == (90, 210, 0)


async def test_both_accounts_of_a_vanished_worker_are_reaped(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_accounts(redis_client)
    owner = await ledger.new_owner()
    await ledger.grant(CAMPAIGN, owner, 500, 20_000, BID_MAX, 1)
    await ledger.grant(OWN, owner, 300, 20_000, BID_MAX, 1)
    beats = await ledger.heartbeats()
    assert await ledger.reap(beats) == 500, "what the line item held was of the same money"
    assert (await read(ledger, CAMPAIGN)).leased == (await read(ledger, OWN)).leased == 0


async def test_a_budget_given_in_flight_counts_what_was_spent_before(
    redis_client: redis.asyncio.Redis,
) -> None:
    ledger = Ledger(redis_client)
    await ledger.register(CAMPAIGN, "state-fair", 10_000, None, "UTC")
    owner = await ledger.new_owner()
    await ledger.grant(CAMPAIGN, owner, 500, 20_000, BID_MAX, 1)
    await bill(ledger, owner, 1, 70, reserved=False)
    await ledger.register_line_item(OWN, "fair-banner", 100, None, "UTC")
    assert (await read(ledger, OWN)).free == 30
    await ledger.register_line_item(OWN, "fair-banner", None, 50, "UTC")
    assert (await read(ledger, OWN)).total == MONEY_MAX


async def test_a_daily_budget_given_in_flight_is_of_the_whole_day(redis_client: redis.asyncio.Redis) -> None:
    ledger = Ledger(redis_client)
    await ledger.register(CAMPAIGN, "state-fair", 10_000, None, "UTC")
    for sequence in range(3):
        await bill(ledger, 1, sequence, 70, reserved=False)
    # What was given back is not spent any more.
    await ledger.adjust(CAMPAIGN, "note", -20, "a credit note", line_item=LINE_ITEM)
    await ledger.register_line_item(OWN, "fair-banner", None, 250, "UTC", day=20_000)
    own = await read(ledger, OWN)
    assert (own.spent, own.day, own.spent_day) == (190, 20_000, 190)
    assert (await ledger.grant(OWN, 1, 250, 20_000, BID_MAX, 1)).granted == 60
    assert (await ledger.grant(OWN, 1, 250, 20_001, BID_MAX, 1)).granted > 60


async def test_a_bid_made_before_the_budget_frees_no_reservation_of_it(
    redis_client: redis.asyncio.Redis,
) -> None:
    ledger = await open_accounts(redis_client)
    sync = LeaseSync(ledger, await ledger.new_owner())
    book = LeaseBook((CAMPAIGN, OWN), [BID_MAX, BID_MAX], ahead_bids=4)
    now_s = time.time()
    await sync.sync(book, now_s, DAYS)
    slot = (int(now_s) // 60 + 15) * 60 % RESERVATION_SLOTS
    book.available[:] -= 100
    book.reserved[:, slot] += 100
    assert await bill(ledger, sync.owner, 1, 60, reserved=False) is Settlement.SETTLED
    await sync.sync(book, now_s + 0.5, DAYS, changes=1)
    book.check()
    # The campaign's ring had that bid; the line item's has another.
    assert book.reserved[:, slot].tolist() == [40, 100]
    own = await read(ledger, OWN)
    assert (own.spent, own.late, own.leases[sync.owner]) == (60, 60, int(book.outstanding[1]))


async def test_a_correction_may_name_the_line_item(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_accounts(redis_client)
    owner = await ledger.new_owner()
    await bill(ledger, owner, 1, 90)
    assert await ledger.adjust(CAMPAIGN, "report-7", -40, "the exchange's report", line_item=LINE_ITEM)
    assert not await ledger.adjust(CAMPAIGN, "report-7", -40, "again", line_item=LINE_ITEM)
    campaign, own = await read(ledger, CAMPAIGN), await read(ledger, OWN)
    assert (campaign.spent, campaign.adjusted, campaign.billed) == (50, -40, 90)
    assert (own.spent, own.adjusted) == (50, -40)


@pytest.mark.parametrize("seed", range(3))
async def test_neither_budget_is_exceeded_by_bids_billed_in_time(
    redis_client: redis.asyncio.Redis, seed: int
) -> None:
    """Three workers bid for two line items, one of them with a budget; one worker dies half-way."""
    chance = random.Random(seed)
    ledger = Ledger(redis_client)
    await ledger.register(CAMPAIGN, "state-fair", 9_000, None, "UTC")
    await ledger.register_line_item(OWN, "fair-banner", 3_000, None, "UTC")
    syncs = [LeaseSync(ledger, await ledger.new_owner()) for _ in range(3)]
    books = [LeaseBook((CAMPAIGN, OWN), [BID_MAX, BID_MAX], ahead_bids=4) for _ in syncs]
    bills: list[tuple[float, int, int, int, int, bool]] = []
    now_s, sequence = float(int(time.time())), 0
    for step in range(160):
        now_s += 0.5
        for due in [each for each in bills if each[0] <= now_s]:
            bills.remove(due)
            _, owner, number, price, expiry_s, own = due
            settled = await ledger.settle(
                *(CAMPAIGN, owner, int(time.time()) // 60, number, price // 2, price, 20_000, expiry_s, {}),
                line_item=LINE_ITEM if own else 1,
                from_line_item=own,
            )
            assert settled is Settlement.SETTLED
        for number, (sync, book) in enumerate(zip(syncs, books, strict=True)):
            if number == 0 and step > 80:
                continue
            await sync.sync(book, now_s, DAYS)
            for _ in range(4):
                price, own = chance.randint(50, BID_MAX), chance.random() < 0.6
                rows = [0, 1] if own else [0]
                if book.available[rows].min() >= price:
                    expiry_s = int(now_s) + 5
                    book.available[rows] -= price
                    book.reserved[rows, expiry_s % RESERVATION_SLOTS] += price
                    sequence += 1
                    if chance.random() < 0.7:
                        due_s = now_s + chance.uniform(0, 4)
                        bills.append((due_s, sync.owner, sequence, price, expiry_s, own))
            book.check()
    campaign, own_account = await read(ledger, CAMPAIGN), await read(ledger, OWN)
    assert campaign.late == own_account.late == 0
    assert own_account.spent <= 3_000
    assert campaign.spent <= 9_000
    assert own_account.spent > 2_400, "and it is spent, but for what the dead worker holds"
