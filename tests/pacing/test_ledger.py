"""What the ledger promises, one promise at a time, on a real server."""

import asyncio
import time
from functools import cache
from typing import cast

import pytest
import redis.asyncio

from config import redis_keys
from config.limits import BIDS_PER_MINUTE_MAX, NOTICE_TAKEN_SECONDS_MAX, SEEN_SECONDS
from config.money import MONEY_MAX
from pacing.account import Account
from pacing.ledger import Ledger, LedgerError, Settlement

CODE = 0x0000ABCD
DAY = 20_000
NOTICE_TIMEOUT_S = 10

EXPIRY_S = int(time.time()) + 7_200
"""Late enough not to pass while the tests run."""


@cache
def minute_now() -> int:
    """The minute of all bids: another may begin in the middle of a test, and a bid is still the same."""
    return int(time.time()) // 60


async def open_ledger(client: redis.asyncio.Redis, total: int, daily: int | None = None) -> Ledger:
    ledger = Ledger(client)
    await ledger.register(CODE, "state-fair", total, daily, "America/Chicago")
    return ledger


async def account_of(ledger: Ledger) -> Account:
    account = await ledger.account(CODE)
    assert account is not None
    account.check()
    return account


async def bill(ledger: Ledger, owner: int, sequence: int, price: int, bound: int = 10**9) -> Settlement:
    return await ledger.settle(
        CODE, owner, minute_now(), sequence, price, bound, DAY, EXPIRY_S, {"bid": str(sequence)}
    )


async def test_amounts_beyond_two_to_the_53_are_exact_to_the_unit(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client, MONEY_MAX - 1)
    owner = await ledger.new_owner()
    left = MONEY_MAX - 3
    for other in (1, 2):
        assert (await ledger.grant(CODE, other, 1, DAY, 7, 3)).granted == 1
    for want, workers in [(10**17 + 1, 1), (MONEY_MAX, 3), (MONEY_MAX, 1), (2**53 + 1, 1)]:
        lease = await ledger.grant(CODE, owner, want, DAY, 7, workers)
        assert lease.granted == min(want, left // (2 * workers))
        left -= lease.granted
    assert await bill(ledger, owner, 0, 123_456_789) is Settlement.SETTLED
    account = await account_of(ledger)
    assert account.spent == 123_456_789
    assert account.free == left
    assert account.leased == MONEY_MAX - 1 - left - 123_456_789


async def test_one_unit_too_little_is_told_from_enough_at_the_top_of_the_range(
    redis_client: redis.asyncio.Redis,
) -> None:
    ledger = await open_ledger(redis_client, MONEY_MAX, daily=MONEY_MAX - 1)
    owner = await ledger.new_owner()
    # A highest price above everything lifts the rule that leaves half.
    lease = await ledger.grant(CODE, owner, MONEY_MAX, DAY, MONEY_MAX, 1)
    assert lease.granted == MONEY_MAX - 1
    assert (await ledger.grant(CODE, owner, 1, DAY, 1, 1)).granted == 0
    await ledger.register(CODE, "state-fair", MONEY_MAX, None, "America/Chicago")
    assert (await ledger.grant(CODE, owner, 2, DAY, 2, 1)).granted == 1


async def test_of_many_copies_of_a_bill_one_is_charged(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client, 10**9)
    owner = await ledger.new_owner()
    await ledger.grant(CODE, owner, 10**6, DAY, 1_000, 1)
    copies = await asyncio.gather(*(bill(ledger, owner, sequence % 5, 700) for sequence in range(60)))
    assert copies.count(Settlement.SETTLED) == 5
    assert copies.count(Settlement.DUPLICATE) == 55
    assert (await account_of(ledger)).spent == 5 * 700


async def test_the_stream_of_bills_adds_up_to_what_is_spent(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client, 10**9)
    owner = await ledger.new_owner()
    await ledger.grant(CODE, owner, 5_000, DAY, 1_000, 1)
    prices = [1_999, 0, 2_500, 3_000]
    got = [await bill(ledger, owner, sequence, price) for sequence, price in enumerate(prices)]
    assert got == [Settlement.SETTLED] * 3 + [Settlement.LATE]
    entries = cast(list[tuple[bytes, dict[bytes, bytes]]], await redis_client.xrange(redis_keys.bills(CODE)))
    assert [int(fields[b"price_cpm_micros"]) for _, fields in entries] == prices
    assert [fields[b"bid"] for _, fields in entries] == [b"0", b"1", b"2", b"3"]
    account = await account_of(ledger)
    assert account.spent == sum(prices)
    assert account.late == sum(prices) - 5_000
    assert account.leases == {}


async def test_a_refused_bill_books_nothing_and_may_still_come_right(
    redis_client: redis.asyncio.Redis,
) -> None:
    ledger = await open_ledger(redis_client, 10**9)
    owner = await ledger.new_owner()
    assert await bill(ledger, owner, 0, 501, bound=500) is Settlement.OVERPRICED
    stranger = 0x5151
    settled = await ledger.settle(stranger, owner, minute_now(), 0, 5, 5, DAY, EXPIRY_S, {})
    assert settled is Settlement.UNKNOWN_CAMPAIGN
    assert await redis_client.keys(b"{c:%08x}:*" % stranger) == []
    account = await account_of(ledger)
    assert (account.spent, account.late) == (0, 0)
    assert not await redis_client.exists(redis_keys.bills(CODE))
    assert await bill(ledger, owner, 0, 500, bound=500) is Settlement.LATE


async def test_a_bill_is_never_taken_after_its_bit_may_be_forgotten(
    redis_client: redis.asyncio.Redis,
) -> None:
    ledger = await open_ledger(redis_client, 10**9)
    owner = await ledger.new_owner()
    young, old = minute_now(), (int(time.time()) - NOTICE_TAKEN_SECONDS_MAX) // 60 - 1
    assert await ledger.settle(CODE, owner, young, 0, 5, 5, DAY, EXPIRY_S, {}) is Settlement.LATE
    remaining_s = await redis_client.ttl(redis_keys.seen(CODE, owner, young))
    assert NOTICE_TAKEN_SECONDS_MAX < remaining_s <= SEEN_SECONDS
    assert await ledger.settle(CODE, owner, old, 0, 5, 5, DAY, EXPIRY_S, {}) is Settlement.DUPLICATE
    assert not await ledger.first_time(CODE, owner, old, 0, "clicked")
    assert (await account_of(ledger)).spent == 5


async def test_each_kind_of_notice_of_each_bid_is_first_once(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client, 10**9)
    minute = minute_now()
    assert await bill(ledger, 1, 3, 5) is Settlement.LATE
    for sequence in (2, 3, BIDS_PER_MINUTE_MAX - 1):
        for what in ("shown", "won", "clicked"):
            calls = (ledger.first_time(CODE, 1, minute, sequence, what) for _ in range(4))
            assert sorted(await asyncio.gather(*calls)) == [False, False, False, True]
    assert await bill(ledger, 1, 2, 5) is Settlement.LATE
    assert await bill(ledger, 2, 3, 5) is Settlement.LATE


@pytest.mark.parametrize(("sequence", "price"), [(BIDS_PER_MINUTE_MAX, 5), (-1, 5), (0, -5), (0, MONEY_MAX)])
async def test_a_bill_out_of_range_is_an_error(
    redis_client: redis.asyncio.Redis, sequence: int, price: int
) -> None:
    ledger = await open_ledger(redis_client, 10**9)
    with pytest.raises(ValueError, match="must be"):
        await bill(ledger, 1, sequence, price)
    assert (await account_of(ledger)).spent == 0


async def test_the_day_turns_forward_only(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client, 10**6, daily=1_000)
    owner = await ledger.new_owner()
    minute = minute_now()
    assert (await ledger.grant(CODE, owner, 900, DAY, 900, 1)).granted == 900
    assert await ledger.settle(CODE, owner, minute, 0, 600, 600, DAY, EXPIRY_S, {}) is Settlement.SETTLED
    assert await ledger.settle(CODE, owner, minute, 1, 200, 200, DAY + 1, EXPIRY_S, {}) is Settlement.SETTLED
    assert await ledger.settle(CODE, owner, minute, 2, 50, 50, DAY, EXPIRY_S, {}) is Settlement.SETTLED
    account = await account_of(ledger)
    assert (account.day, account.spent_day, account.spent) == (DAY + 1, 250, 850)
    assert [account.spent_on(day) for day in (DAY + 1, DAY + 2)] == [250, 0]
    # 250 spent today and 50 still leased, whatever day a caller with a slow clock names.
    assert (await ledger.grant(CODE, owner, 1_000, DAY, 1_000, 1)).granted == 700


async def test_a_ceiling_of_another_day_grants_nothing(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client, 10**6)
    owner = await ledger.new_owner()
    assert await ledger.set_ceiling(CODE, DAY, 500)
    assert (await ledger.grant(CODE, owner, 300, DAY, 300, 1)).granted == 300
    assert (await ledger.grant(CODE, owner, 300, DAY, 300, 1)).granted == 200
    assert (await ledger.grant(CODE, owner, 300, DAY + 1, 300, 1)).granted == 0
    assert await ledger.set_ceiling(CODE, DAY + 1, None)
    assert (await ledger.grant(CODE, owner, 300, DAY + 1, 300, 1)).granted == 300


async def test_a_share_leaves_the_others_theirs_until_the_last_bids(
    redis_client: redis.asyncio.Redis,
) -> None:
    ledger = await open_ledger(redis_client, 8_000)
    got = []
    for other in (2, 3, 4):
        await ledger.grant(CODE, other, 1, DAY, 100, 4)
    while granted := (await ledger.grant(CODE, 1, 10**6, DAY, 100, 4)).granted:
        got.append(granted)
    assert got[:3] == [999, 874, 765]
    assert got[-3:-1] == [100, 100]
    assert 0 < got[-1] <= 100
    assert sum(got) == 8_000 - 3


async def test_whoever_holds_nothing_has_no_share(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client, 8_000)
    got = [(await ledger.grant(CODE, owner, 10**6, DAY, 100, 4)).granted for owner in (1, 1, 2)]
    assert got == [4_000, 2_000, 500]


async def test_cutting_a_budget_below_what_is_spent_only_stops_granting(
    redis_client: redis.asyncio.Redis,
) -> None:
    ledger = await open_ledger(redis_client, 10_000)
    owner = await ledger.new_owner()
    await ledger.grant(CODE, owner, 4_000, DAY, 4_000, 1)
    await bill(ledger, owner, 0, 3_000)
    await ledger.register(CODE, "state-fair", 2_500, 100, "America/Denver")
    account = await account_of(ledger)
    assert (account.spent, account.leased, account.free) == (3_000, 1_000, -1_500)
    assert account.time_zone == "America/Denver"
    assert (await ledger.grant(CODE, owner, 1, DAY, 1, 1)).granted == 0
    assert await bill(ledger, owner, 1, 1_000) is Settlement.SETTLED


async def test_two_campaigns_of_one_code_do_not_share_an_account(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client, 10_000)
    with pytest.raises(LedgerError, match="state-fair"):
        await ledger.register(CODE, "county-fair", 5, None, "UTC")
    account = await account_of(ledger)
    assert (account.campaign_id, account.total) == ("state-fair", 10_000)
    with pytest.raises(ValueError, match="total"):
        await ledger.register(CODE, "state-fair", MONEY_MAX + 1, None, "UTC")


async def test_nothing_but_register_opens_an_account(redis_client: redis.asyncio.Redis) -> None:
    ledger = Ledger(redis_client)
    assert (await ledger.grant(CODE, 1, 10, DAY, 10, 1)).granted == 0
    assert (await ledger.release(CODE, 1, 0)).outstanding == 0
    assert not await ledger.pause(CODE)
    assert not await ledger.set_ceiling(CODE, DAY, 5)
    assert await ledger.account(CODE) is None
    assert await redis_client.keys() == []
    await ledger.register(CODE, "state-fair", 1, None, "UTC")
    assert list(await ledger.accounts([1, CODE])) == [CODE]


async def test_reaping_takes_from_the_silent_and_leaves_the_living(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client, 10_000)
    living, silent = await ledger.new_owner(), await ledger.new_owner()
    for owner in (living, silent):
        await ledger.grant(CODE, owner, 1_000, DAY, 1_000, 1)
    await ledger.release(CODE, silent, 100)
    before = await ledger.heartbeats()
    assert (await ledger.exchange(living, [], 1))[0] == 2
    assert await ledger.reap({}) == 0
    assert await ledger.reap(before) == 900, "who has beaten since stays"
    account = await account_of(ledger)
    assert account.leases == {living: 1_000}
    assert await ledger.reap(before) == 0
    assert not await redis_client.exists(redis_keys.returns(CODE))
    assert (await ledger.exchange(silent, [], 1))[0] == 0
    assert (await ledger.exchange(living, [], 1))[0] == 1
    assert await ledger.new_owner() != silent


async def test_a_lease_of_nobody_is_reaped_whoever_left_it(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client, 10_000)
    struck_off = await ledger.new_owner()
    await redis_client.zrem(redis_keys.WORKERS, struck_off)
    await ledger.grant(CODE, struck_off, 700, DAY, 700, 1)
    assert await ledger.reap({}) == 700
    assert (await account_of(ledger)).free == 10_000


async def test_a_server_that_forgot_the_scripts_is_told_them_again(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client, 10_000)
    owner = await ledger.new_owner()
    await redis_client.script_flush()
    assert (await ledger.accounts([CODE]))[CODE].free == 10_000
    await redis_client.script_flush()
    assert (await ledger.grant(CODE, owner, 10, DAY, 10, 1)).granted == 10


def test_an_account_that_does_not_add_up_says_so() -> None:
    account = Account(
        code=CODE,
        campaign_id="state-fair",
        time_zone="UTC",
        total=100,
        daily=None,
        spent=10,
        day=DAY,
        spent_day=10,
        leased=31,
        late=0,
        paused=False,
        ceiling=None,
        ceiling_day=None,
        leases={1: 30},
    )
    with pytest.raises(AssertionError, match="leased 31"):
        account.check()


async def test_what_is_settled_is_told_by_second_of_expiry_until_it_has_passed(
    redis_client: redis.asyncio.Redis,
) -> None:
    ledger = await open_ledger(redis_client, 10_000)
    owner, other = await ledger.new_owner(), await ledger.new_owner()
    now_s, _ = await redis_client.time()
    bids = [(0, 5, now_s + 60), (1, 7, now_s + 60), (2, 11, now_s + 61), (3, 13, now_s - 10)]
    for sequence, price_max, expiry_s in bids:
        for _ in range(2):
            await ledger.settle(CODE, owner, minute_now(), sequence, 3, price_max, DAY, expiry_s, {})
    await ledger.settle(CODE, other, minute_now(), 0, 3, 99, DAY, now_s + 60, {})
    expected = {now_s + 60: 12, now_s + 61: 11}
    assert (await ledger.release(CODE, owner, 0)).settled == expected
    assert (await ledger.grant(CODE, owner, 10, DAY, 10, 1)).settled == expected
    assert await redis_client.hlen(redis_keys.settled(CODE, owner)) == 2


async def test_a_server_that_lost_its_workers_gives_nobody_their_numbers(
    redis_client: redis.asyncio.Redis,
) -> None:
    ledger = Ledger(redis_client)
    before = {await ledger.new_owner() for _ in range(20)}
    await redis_client.flushdb()
    after = {await ledger.new_owner() for _ in range(20)}
    assert len(before | after) == 40


async def test_corrections_end_where_money_does(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client, MONEY_MAX)
    assert await ledger.adjust(CODE, "all", MONEY_MAX - 3, "all but three units", line_item=7)
    with pytest.raises(LedgerError, match="more would be spent than the largest amount"):
        await ledger.adjust(CODE, "more", 4, "one too many")
    assert await ledger.adjust(CODE, "rest", 3, "the last of it")
    assert await ledger.adjust(CODE, "back", -MONEY_MAX, "all of it")
    # The line item's own sum has not come back with the campaign's.
    with pytest.raises(LedgerError, match="more would be spent"):
        await ledger.adjust(CODE, "again", MONEY_MAX, "all", line_item=7)
    assert (await account_of(ledger)).spent == 0


async def test_an_id_stands_for_one_amount(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client, 100)
    assert await ledger.adjust(CODE, "march-1", 5, "billed in a crash")
    assert not await ledger.adjust(CODE, "march-1", 5, "billed in a crash")
    with pytest.raises(LedgerError, match="another amount was booked under this id"):
        await ledger.adjust(CODE, "march-1", 6, "billed in another crash")
    assert (await account_of(ledger)).spent == 5


async def test_a_bill_that_failed_at_a_broken_account_is_booked_when_that_is_mended(
    redis_client: redis.asyncio.Redis,
) -> None:
    await redis_client.set(redis_keys.ledger(CODE), "no account")
    with pytest.raises(redis.ResponseError):
        await bill(Ledger(redis_client), 1, 1, 5)
    await redis_client.delete(redis_keys.ledger(CODE))
    assert await bill(await open_ledger(redis_client, 100), 1, 1, 5) is Settlement.LATE
