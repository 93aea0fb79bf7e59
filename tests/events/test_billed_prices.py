"""What a bill costs: in base64, sealed, in another currency, for a play that many saw."""

import pytest

from config import redis_keys
from config.limits import (
    NOTICE_TAKEN_SECONDS_MAX,
)
from tests.events.conftest import CODE, EventsPort, account, notices
from tests.events.factories import (
    CLOCK_S,
    PRICE_KEYS,
    sealed_price,
    token,
)


async def test_a_price_in_base64_is_booked(funded: EventsPort) -> None:
    assert await funded.status("/bill", t=token(1), p="Mi41") == 204
    assert (await account(funded)).spent == 2_500_000


async def test_a_sealed_price_is_booked_and_no_other_price_of_that_exchange(funded: EventsPort) -> None:
    forged, stale = notices("bill", "bad_signature"), notices("bill", "stale_price")
    bought = token(1, exchange="sealed")
    good = sealed_price(2_500_000, PRICE_KEYS["sealed"])
    others = {
        "unpriced: in clear": "2.5",
        "bad_signature": sealed_price(2_500_000, PRICE_KEYS["sealed-cpi"]),
        "stale_price": sealed_price(2_500_000, PRICE_KEYS["sealed"], CLOCK_S - NOTICE_TAKEN_SECONDS_MAX),
    }
    for text in others.values():
        assert await funded.status("/bill", t=bought, p=text) == 204
    assert (await account(funded)).spent == 0
    refused = await funded.stream(redis_keys.STREAM_REFUSED)
    assert [entry["refused"] for entry in refused] == list(others)
    assert (notices("bill", "bad_signature"), notices("bill", "stale_price")) == (forged + 1, stale + 1)
    for _ in range(2):
        assert await funded.status("/bill", t=bought, p=good) == 204
    assert (await account(funded)).spent == 2_500_000


async def test_an_exchange_whose_keys_are_missing_is_refused_notice_by_notice(funded: EventsPort) -> None:
    sealed = sealed_price(2_500_000, PRICE_KEYS["sealed"])
    assert await funded.status("/bill", t=token(1, exchange="keyless"), p=sealed) == 204
    (refused,) = await funded.stream(redis_keys.STREAM_REFUSED)
    assert (refused["refused"], (await account(funded)).spent) == ("unpriced: no keys", 0)


async def test_a_price_of_one_impression_rounded_up_past_our_bid_is_our_bid(funded: EventsPort) -> None:
    keys = PRICE_KEYS["sealed-cpi"]
    bought = [token(n, exchange="sealed-cpi", price_max_cpm_micros=4_500_400) for n in range(3)]
    for one, cpi_micros in zip(bought, (4_500, 4_501, 4_502), strict=True):
        assert await funded.status("/bill", t=one, p=sealed_price(cpi_micros, keys)) == 204
    assert (await account(funded)).spent == 4_500_000 + 4_500_400
    (refused,) = await funded.stream(redis_keys.STREAM_REFUSED)
    assert (refused["refused"], refused["price_cpm_micros"]) == ("overpriced", "4502000")


async def test_a_play_on_a_screen_costs_as_many_impressions_as_saw_it(funded: EventsPort) -> None:
    # A bid of $2.00 for 12.5 impressions: 25,000,000 were reserved and signed.
    screen = [token(n, price_max_cpm_micros=25_000_000) for n in range(7)]
    for one, price, multiplier in (
        (screen[0], "2", "12.5"),
        (screen[1], "1.000001", "0.5"),
        (screen[2], "2", "12.500001"),
        (screen[3], "2", "${AUCTION_MULTIPLIER}"),
        (screen[4], "2", ""),
        (screen[5], "2", "0"),
        (screen[6], "100000", "1000000"),
    ):
        assert await funded.status("/bill", t=one, p=price, q=multiplier) == 204
    assert (await account(funded)).spent == 25_000_000 + 500_001
    bills = await funded.stream(redis_keys.bills(CODE))
    assert [(b["price_cpm_micros"], b["unit_price_cpm_micros"], b["multiplier"]) for b in bills] == [
        ("25000000", "2000000", "12.5"),
        ("500001", "1000001", "0.5"),
        ("0", "2000000", "0"),
    ]
    refused = await funded.stream(redis_keys.STREAM_REFUSED)
    assert [entry["refused"] for entry in refused] == [
        "overpriced",
        "unpriced: no multiplier",
        "unpriced: no multiplier",
        "overpriced",
    ]


async def test_the_pixel_of_a_screen_books_the_play_too(funded: EventsPort) -> None:
    bought = token(1, billed_on_impression=True, price_max_cpm_micros=25_000_000)
    await funded.get("/imp", t=bought, p="1.5", q="4")
    assert (await account(funded)).spent == 6_000_000


async def test_a_win_above_our_bid_is_flagged(funded: EventsPort) -> None:
    before = notices("win", "overpriced")
    await funded.get("/win", t=token(1), p="5.000001")
    await funded.get("/win", t=token(2), p="2", q="2.5")
    await funded.get("/win", t=token(3), p="2", q="2.500001")
    wins = await funded.stream(redis_keys.STREAM_WINS)
    assert [win.get("flagged") for win in wins] == ["overpriced", None, "overpriced"]
    assert notices("win", "overpriced") == before + 2
    assert (await account(funded)).spent == 0


async def test_a_bill_in_another_currency_is_the_same_share_of_our_price(funded: EventsPort) -> None:
    """The token says we bid 5; the number after it, that this was 4.6 in the currency of the exchange."""
    there = 4_600_000
    for sequence, price in enumerate(("4.6", "2.3", "0.000001")):
        assert await funded.status("/bill", t=f"{token(sequence)}.{there}", p=price) == 204
    assert (await account(funded)).spent == 5_000_000 + 2_500_000 + 1


async def test_a_bill_above_a_bid_in_another_currency_is_refused(funded: EventsPort) -> None:
    before = notices("bill", "overpriced")
    assert await funded.status("/bill", t=f"{token(1)}.4600000", p="4.600001") == 204
    assert (await account(funded)).spent == 0
    assert notices("bill", "overpriced") == before + 1


@pytest.mark.parametrize("there", ["", "0", "-5", "4.6", "x", "1" * 31, "٤"])
async def test_what_follows_a_token_must_be_a_number(funded: EventsPort, there: str) -> None:
    before = notices("bill", "forged")
    assert await funded.status("/bill", t=f"{token(1)}.{there}", p="2") == 204
    assert (await account(funded)).spent == 0
    assert notices("bill", "forged") == before + 1


async def test_a_play_may_cost_more_than_the_largest_price_of_one_impression(funded: EventsPort) -> None:
    # 20,000 people before a wall at $40: $800 for one play.
    wall = token(1, price_max_cpm_micros=40_000_000 * 20_000)
    assert await funded.status("/bill", t=wall, p="39.5", q="20000") == 204
    assert (await account(funded)).spent == 39_500_000 * 20_000
