"""What notices add to the sums of a campaign."""

import redis.asyncio

from bidder.forget import forget
from config.calendar import local_hour
from config.schema import code_of
from pacing.delivery import Hour, delivered_days, delivered_hours, reach_of, sampled_frequencies
from tests.events.conftest import CODE, DAY, USER_HASH, EventsPort
from tests.events.factories import BID_MINUTE, CLOCK_S, LINE_ITEM, PRICE_MAX_CPM_MICROS, token

ITEM = code_of(LINE_ITEM)


async def sums(client: redis.asyncio.Redis) -> dict[str, int]:
    (day,) = await delivered_days(client, CODE, [DAY])
    assert day.line_items[ITEM] == day.sums
    return day.sums


async def test_each_event_counts_once_and_a_bill_with_its_price(funded: EventsPort) -> None:
    for sequence in (1, 2):
        shown = token(sequence, user_hash=USER_HASH)
        for _ in range(2):
            await funded.status("/win", t=shown, p="1.5")
            await funded.status("/bill", t=shown, p="1.5")
            await funded.status("/imp", t=shown)
    await funded.status("/click", t=token(2))
    await funded.status("/conv", t=token(2))
    await funded.status("/complete", t=token(1))
    await funded.status("/loss", t=token(3), l="102")
    await funded.status("/bill", t=token(4), p="999")
    expected = {
        "wins": 2,
        "bills": 2,
        "spent": 3_000_000,
        "offered": 2 * PRICE_MAX_CPM_MICROS,
        "impressions": 2,
        "recognised": 2,
        "clicks": 1,
        "conversions": 1,
        "completions": 1,
        "losses": 1,
    }
    assert await sums(funded.client) == expected
    account = await funded.ledger.account(CODE)
    assert account is not None
    assert account.spent == expected["spent"]
    hour = local_hour(BID_MINUTE * 60, "UTC")
    assert await delivered_hours(funded.client, CODE, [DAY]) == [Hour(hour, expected)]
    assert await reach_of(funded.client, CODE) == await reach_of(funded.client, CODE, ITEM) == 1
    assert await sampled_frequencies(funded.client, CODE) == [2]


async def test_who_may_not_be_counted_is_not_reached(funded: EventsPort) -> None:
    await forget(funded.client, USER_HASH, int(CLOCK_S))
    await funded.status("/imp", t=token(1))
    await funded.status("/imp", t=token(2, user_hash=99, profiled=False))
    await funded.status("/imp", t=token(3, user_hash=USER_HASH))
    assert await sums(funded.client) == {"impressions": 3}
    assert await reach_of(funded.client, CODE) == 0
    assert await sampled_frequencies(funded.client, CODE) == []


async def test_a_person_is_forgotten_in_the_sample_too(funded: EventsPort) -> None:
    await funded.status("/imp", t=token(1, user_hash=USER_HASH))
    forgotten = await forget(funded.client, USER_HASH, int(CLOCK_S))
    assert forgotten.frequencies
    assert await sampled_frequencies(funded.client, CODE) == []
