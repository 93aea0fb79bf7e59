"""LeaseSync against a real ledger."""

import asyncio
import random
import socket
import time

import numpy as np
import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from config import redis_keys
from config.limits import LEASE_STALE_SECONDS_MAX, RESERVATION_SLOTS, SHORT_SECONDS
from pacing.account import Account
from pacing.lease import LeaseBook
from pacing.lease_sync import IDLE_READ_ROUNDS, LeaseLost, LeaseSync
from pacing.ledger import Ledger, Settlement

CODES = [0xAAAA, 0xBBBB]
BID_MAX = 1_000
DAYS = dict.fromkeys(CODES, 20_000)
NOW_S = 1_000_000.0
EXPIRY_S = int(NOW_S)
"""Long passed by the server's clock, which tells nothing of it."""


async def open_ledger(client: redis.asyncio.Redis, total: int = 10**9) -> Ledger:
    ledger = Ledger(client)
    for code in CODES:
        await ledger.register(code, f"campaign-{code:x}", total, None, "UTC")
    return ledger


async def account_of(ledger: Ledger, code: int) -> Account:
    account = await ledger.account(code)
    assert account is not None
    account.check()
    return account


async def test_a_worker_asks_spends_learns_and_gives_back(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client)
    sync = LeaseSync(ledger, await ledger.new_owner())
    book = LeaseBook(CODES, [BID_MAX, BID_MAX], ahead_bids=2)
    await sync.sync(book, NOW_S, DAYS)
    assert book.available.tolist() == [2_000, 2_000]
    book.available[0] -= 900
    book.reserved[0, (int(NOW_S) + 10) % RESERVATION_SLOTS] += 900
    minute = int(time.time()) // 60
    assert (
        await ledger.settle(CODES[0], sync.owner, minute, 1, 700, 900, 20_000, EXPIRY_S, {})
        is Settlement.SETTLED
    )
    await sync.sync(book, NOW_S + 11.5, DAYS)
    book.check()
    account = await account_of(ledger, CODES[0])
    assert account.leases == {sync.owner: int(book.outstanding[0])}
    assert book.available[0] == book.outstanding[0] >= 1_300
    await sync.close(book)
    assert (await account_of(ledger, CODES[0])).leases == {}
    assert (await account_of(ledger, CODES[1])).free == 10**9


async def test_a_play_that_costs_more_than_many_bids_finds_its_money(
    redis_client: redis.asyncio.Redis,
) -> None:
    """On a public screen a price counts for each of the people before it: here for 20,000."""
    ledger = await open_ledger(redis_client)
    sync = LeaseSync(ledger, await ledger.new_owner())
    book = LeaseBook(CODES, [BID_MAX, BID_MAX], ahead_bids=50)
    cost, now_s, rounds = 20_000 * BID_MAX, NOW_S, 0
    while book.available[0] < cost:
        book.missed[0] = True
        await sync.sync(book, now_s, DAYS)
        book.check()
        now_s, rounds = now_s + 0.5, rounds + 1
        assert rounds < 12
    assert book.available[0] <= 16 * cost
    # The other campaign, which missed nothing, holds as much as ever; so does this one without bids to make.
    assert book.available[1] == 50 * BID_MAX
    for _ in range(3):
        now_s += 60
        await sync.sync(book, now_s, DAYS)
    assert book.available.tolist() == [50 * BID_MAX] * 2


async def test_closing_leaves_what_is_promised_until_it_is_reaped(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client)
    sync = LeaseSync(ledger, await ledger.new_owner())
    book = LeaseBook(CODES, [BID_MAX, BID_MAX], ahead_bids=2)
    await sync.sync(book, NOW_S, DAYS)
    book.available[1] -= 900
    book.reserved[1, (int(NOW_S) + 10) % RESERVATION_SLOTS] += 900
    await sync.close(book)
    assert book.available.tolist() == [0, 0]
    assert (await account_of(ledger, CODES[1])).leases == {sync.owner: 900}
    assert await ledger.reap(await ledger.heartbeats()) == 900


async def test_a_pause_reaches_a_worker_that_does_nothing(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client)
    sync = LeaseSync(ledger, await ledger.new_owner())
    book = LeaseBook(CODES, [BID_MAX, BID_MAX], ahead_bids=2)
    await sync.sync(book, NOW_S, DAYS)
    await ledger.pause(CODES[0])
    for second in range(1, IDLE_READ_ROUNDS + 2):
        await sync.sync(book, NOW_S + second, DAYS)
    assert book.available.tolist() == [0, 2_000]
    assert (await account_of(ledger, CODES[0])).leased == 0
    await ledger.resume(CODES[0])
    for second in range(60, 80):
        await sync.sync(book, NOW_S + second, DAYS)
    assert book.available.tolist() == [2_000, 2_000]


async def test_campaigns_that_need_nothing_cost_nothing(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client)
    sync = LeaseSync(ledger, await ledger.new_owner())
    book = LeaseBook(CODES, [BID_MAX, BID_MAX], ahead_bids=2)
    await sync.sync(book, NOW_S, DAYS)
    await redis_client.config_resetstat()
    for second in range(1, IDLE_READ_ROUNDS + 1):
        await sync.sync(book, NOW_S + second, DAYS)
    commands = await redis_client.info("commandstats")
    # A heartbeat each round, and each campaign's turn to be read once.
    assert commands["cmdstat_evalsha"]["calls"] == IDLE_READ_ROUNDS + len(CODES)


async def test_many_wishes_are_spread_over_rounds(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacing.lease_sync.ASKS_PER_ROUND_MAX", 1)
    ledger = await open_ledger(redis_client)
    sync = LeaseSync(ledger, await ledger.new_owner())
    book = LeaseBook(CODES, [BID_MAX, BID_MAX], ahead_bids=2)
    await sync.sync(book, NOW_S, DAYS)
    assert sorted(book.available.tolist()) == [0, 2_000]
    await sync.sync(book, NOW_S + 1, DAYS)
    assert book.available.tolist() == [2_000, 2_000]


async def test_a_worker_struck_off_must_start_over(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client)
    sync = LeaseSync(ledger, await ledger.new_owner())
    book = LeaseBook(CODES, [BID_MAX, BID_MAX], ahead_bids=2)
    await sync.sync(book, NOW_S, DAYS)
    assert await ledger.reap(await ledger.heartbeats()) == 4_000
    book.available[0] -= 2_000
    book.reserved[0, (int(NOW_S) + 10) % RESERVATION_SLOTS] += 2_000
    with pytest.raises(LeaseLost):
        await sync.sync(book, NOW_S + 1, DAYS)
    assert book.available.tolist() == [0, 0]
    # What its last message still got is found by the next reaping.
    await ledger.reap({})
    assert [(await account_of(ledger, code)).leased for code in CODES] == [0, 0]


async def test_without_redis_a_worker_spends_what_it_holds(redis_client: redis.asyncio.Redis) -> None:
    ledger = await open_ledger(redis_client)
    sync = LeaseSync(ledger, await ledger.new_owner())
    book = LeaseBook(CODES, [BID_MAX, BID_MAX], ahead_bids=2)
    await sync.sync(book, NOW_S, DAYS)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        gone = redis.asyncio.Redis(port=unheard.getsockname()[1], retry=Retry(NoBackoff(), 0))
        with pytest.raises(redis.RedisError):
            await LeaseSync(Ledger(gone), sync.owner).sync(book, NOW_S + 1, DAYS)
        await gone.aclose()
    book.check()
    assert book.available.tolist() == [2_000, 2_000]
    assert not book.stale(NOW_S + 2)


async def test_a_ledger_that_never_answers_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacing.ledger.LEASE_EXCHANGE_SECONDS_MAX", 0.05)
    silent = await asyncio.start_server(lambda _reader, writer: open_ends.append(writer), "127.0.0.1", 0)
    open_ends: list[asyncio.StreamWriter] = []
    client = redis.asyncio.Redis(port=silent.sockets[0].getsockname()[1])
    book = LeaseBook(CODES, [BID_MAX, BID_MAX], ahead_bids=2)
    with pytest.raises(redis.TimeoutError):
        await LeaseSync(Ledger(client), 1).sync(book, NOW_S, DAYS)
    await client.aclose()
    for writer in open_ends:
        writer.close()
    silent.close()
    await silent.wait_closed()


async def test_a_book_about_to_be_stale_is_closed_before_the_wait(redis_client: redis.asyncio.Redis) -> None:
    sync = LeaseSync(await open_ledger(redis_client), 10_000)
    book = LeaseBook(CODES, [BID_MAX, BID_MAX], ahead_bids=2)
    book.finish_sync(book.begin_sync(NOW_S), np.array([5_000, 5_000], np.int64))
    exchange = asyncio.create_task(sync.sync(book, NOW_S + LEASE_STALE_SECONDS_MAX - 1, DAYS))
    await asyncio.sleep(0)
    assert book.available.tolist() == [0, 0]
    with pytest.raises(LeaseLost):
        await exchange


async def test_a_return_that_was_not_heard_is_sent_again_and_counts_once(
    redis_client: redis.asyncio.Redis,
) -> None:
    ledger = await open_ledger(redis_client)
    sync = LeaseSync(ledger, await ledger.new_owner())
    book = LeaseBook(CODES, [BID_MAX, BID_MAX], ahead_bids=2)
    await sync.sync(book, NOW_S, DAYS)
    await ledger.grant(CODES[0], sync.owner, 50_000, 20_000, BID_MAX, 1)
    start = book.begin_sync(NOW_S + 1)
    book.finish_sync(start, np.array([52_000, 2_000], np.int64))
    # As a sync does whose reply is lost: the ledger hears of the return, the worker not of that.
    book.give_back(book.surplus())
    await ledger.release(CODES[0], sync.owner, int(book.returned[0]))
    assert (await account_of(ledger, CODES[0])).leases == {sync.owner: 2_000}
    await sync.sync(book, NOW_S + 2, DAYS)
    assert (await account_of(ledger, CODES[0])).leases == {sync.owner: 2_000}
    assert book.available.tolist() == [2_000, 2_000]
    assert book.returned.tolist() == book.confirmed.tolist() == [50_000, 0]


async def test_workers_bidding_at_once_never_spend_more_than_the_budget(
    redis_client: redis.asyncio.Redis,
) -> None:
    """Three workers and their notices as tasks of one loop; the clock is theirs, not the wall's."""
    total, minute = 60_000, int(time.time()) // 60
    ledger = await open_ledger(redis_client, total)
    chance = random.Random(20)
    notices: list[asyncio.Task[Settlement]] = []

    async def work() -> None:
        sync, sequence = LeaseSync(ledger, await ledger.new_owner()), 0
        book = LeaseBook(CODES, [BID_MAX, BID_MAX], ahead_bids=2)
        for second in range(40):
            # The second's notices are in the ledger before their second has passed: they are in time.
            due = []
            await sync.sync(book, NOW_S + second, DAYS)
            for _ in range(12):
                row, price = chance.randrange(2), chance.randint(BID_MAX // 2, BID_MAX)
                if book.available[row] < price:
                    continue
                book.available[row] -= price
                book.reserved[row, (int(NOW_S) + second + 1) % RESERVATION_SLOTS] += price
                sequence += 1
                for _ in range(2):
                    bill = ledger.settle(
                        CODES[row], sync.owner, minute, sequence, price - 1, price, 20_000, EXPIRY_S, {}
                    )
                    due.append(asyncio.create_task(bill))
            await asyncio.gather(*due)
            notices.extend(due)
        await sync.close(book)

    await asyncio.gather(*(work() for _ in range(3)))
    outcomes = [notice.result() for notice in notices]
    assert set(outcomes) == {Settlement.SETTLED, Settlement.DUPLICATE}
    for code in CODES:
        account = await account_of(ledger, code)
        assert account.late == 0
        assert 0.9 * total < account.spent <= total


async def test_the_last_money_goes_to_the_worker_that_has_the_requests(
    redis_client: redis.asyncio.Redis,
) -> None:
    ledger = await open_ledger(redis_client, 39 * BID_MAX)
    syncs = [LeaseSync(ledger, await ledger.new_owner()) for _ in range(4)]
    books = [LeaseBook(CODES, [BID_MAX, BID_MAX]) for _ in syncs]
    for half_seconds in range(16):
        now_s = NOW_S + half_seconds / 2
        for sync, book in zip(syncs, books, strict=True):
            await sync.sync(book, now_s, DAYS, short=(await ledger.bulletin()).short)
    account = await account_of(ledger, CODES[0])
    assert len(account.leases) == 4
    assert account.free < BID_MAX
    busy, spent = books[3], 0
    for half_seconds in range(16, 40):
        now_s = NOW_S + half_seconds / 2
        bids = int(busy.available[0]) // BID_MAX
        spent += bids * BID_MAX
        busy.available[0] -= bids * BID_MAX
        busy.reserved[0, (int(now_s) + 100) % RESERVATION_SLOTS] += bids * BID_MAX
        busy.missed[0] = True
        for sync, book in zip(syncs, books, strict=True):
            await sync.sync(book, now_s, DAYS, short=(await ledger.bulletin()).short)
            book.check()
    assert spent == 39 * BID_MAX
    # Of the other account nobody missed anything.
    assert (await ledger.bulletin()).short in ([CODES[0]], [])
    assert len((await account_of(ledger, CODES[1])).leases) == 4


async def test_an_account_is_short_for_some_seconds(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = await open_ledger(redis_client)
    assert (await ledger.bulletin()).short == []
    await ledger.call_short([5, 2**63])
    await ledger.call_short([5, 7])
    assert set((await ledger.bulletin()).short) == {5, 7, 2**63}
    assert 0 < await redis_client.ttl(redis_keys.SHORT_ACCOUNTS) <= SHORT_SECONDS
    await redis_client.zadd(redis_keys.SHORT_ACCOUNTS, {"7": time.time() - SHORT_SECONDS - 1})
    assert set((await ledger.bulletin()).short) == {5, 2**63}
    monkeypatch.setattr("pacing.ledger.SHORT_ACCOUNTS_MAX", 2)
    await ledger.call_short([9])
    assert len((await ledger.bulletin()).short) == 2
    assert 9 in (await ledger.bulletin()).short
