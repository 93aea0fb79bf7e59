"""The reaper takes back what vanished workers held, and not before their bids are over."""

import asyncio

import redis.asyncio

from config.money import BILLION
from config.schema import Bundle, ExchangeProfile
from pacing.ledger import Ledger
from pacing.reaper import CONFIG_LAG_S, NoticeTimeouts, reap_until
from tests.factories import bundle

CODE = 0xC0FFEE


def waiting(*timeouts_s: int) -> Bundle:
    """A config whose exchanges have these notice timeouts."""
    return bundle(
        exchanges=[ExchangeProfile(id=f"x{n}", notice_timeout_seconds=n) for n in timeouts_s],
    )


async def lease_after_two_looks(client: redis.asyncio.Redis, config: Bundle | None) -> int:
    """Let a worker that was struck off have a lease, and look twice; return what it still holds."""
    ledger, stop, looks = Ledger(client), asyncio.Event(), 0
    await ledger.register(CODE, "spring", BILLION, None, "UTC")
    await ledger.grant(CODE, 1, 1_000, 0, 1_000, 1)

    def look() -> Bundle | None:
        nonlocal looks
        looks += 1
        if looks == 2:
            stop.set()
        return config

    await reap_until(stop, ledger, look)
    account = await ledger.account(CODE)
    assert account is not None
    return account.leases.get(1, 0)


async def test_without_a_config_nothing_is_taken_back(redis_client: redis.asyncio.Redis) -> None:
    """As when an admin process starts while Redis is away: how long bids may be billed is not known."""
    assert await lease_after_two_looks(redis_client, None) == 1_000


async def test_a_vanished_workers_lease_is_free_again(redis_client: redis.asyncio.Redis) -> None:
    assert await lease_after_two_looks(redis_client, waiting(10)) == 0


def test_a_shorter_timeout_holds_when_the_bids_of_the_longer_one_are_over() -> None:
    timeouts = NoticeTimeouts()
    long, short = waiting(60, 10), waiting(10)
    assert [timeouts.longest(long, 0.0), timeouts.longest(long, 500.0)] == [60, 60]
    over_s = 500.0 + 60 + CONFIG_LAG_S
    assert [timeouts.longest(short, now_s) for now_s in (501.0, over_s, over_s + 1)] == [60, 60, 10]
    assert timeouts.longest(waiting(), over_s + 2) == 10
    assert timeouts.longest(None, over_s + 3) == 10
    assert NoticeTimeouts().longest(None, 0.0) is None
