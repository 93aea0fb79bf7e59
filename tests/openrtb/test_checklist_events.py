"""What our bidder must do with notices and syncs, number by number, through the events port."""

import asyncio

import redis.asyncio

from config import redis_keys
from config.limits import NOTICE_TAKEN_SECONDS_MAX
from tests.events.conftest import EventsPort, account, funded, port  # noqa: F401 - fixtures
from tests.events.factories import (
    BID_MINUTE,
    CAMPAIGN,
    CLOCK_S,
    CREATIVE,
    GVL_VENDOR_ID,
    PRICE_KEYS,
    sealed_price,
    token,
)
from tests.openrtb import test_checklist, test_checklist_people
from tests.openrtb.consent.strings import tc_string

NUMBERS = range(1, 36)


async def test_26_only_the_billing_event_books_and_only_once(funded: EventsPort) -> None:  # noqa: F811
    bought = token(1)
    for method in ("GET", "POST"):
        for path in ("/win", "/loss"):
            assert (await funded.call(method, path, {"t": bought, "p": "2", "l": "0"})).status in (200, 204)
    assert (await account(funded)).spent == 0, "a win is no bill"
    answers = await asyncio.gather(*(funded.status("/bill", t=bought, p="2") for _ in range(20)))
    assert set(answers) <= {200, 204}
    assert (await funded.call("POST", "/bill", {"t": bought, "p": "2"})).status in (200, 204)
    assert (await account(funded)).spent == 2_000_000
    expired = token(2, minute=BID_MINUTE - NOTICE_TAKEN_SECONDS_MAX // 60 - 2)
    for one, price in ((expired, "2"), (token(3), "-1"), (token(4), "9999"), ("unknown", "2")):
        assert await funded.status("/bill", t=one, p=price) in (200, 204)
    assert (await account(funded)).spent == 2_000_000
    assert len(await funded.stream(redis_keys.STREAM_REFUSED)) >= 2, "recorded, not booked"


async def test_27_a_price_comes_in_many_forms(funded: EventsPort) -> None:  # noqa: F811
    spent = 0
    sealed = sealed_price(3_000_000, PRICE_KEYS["sealed"])
    stale = sealed_price(3_000_000, PRICE_KEYS["sealed"], CLOCK_S - NOTICE_TAKEN_SECONDS_MAX)
    foreign = sealed_price(3_000_000, PRICE_KEYS["sealed-cpi"])
    for sequence, (exchange, text, booked) in enumerate(
        (
            ("plain", "1.5", 1_500_000),
            ("plain", "", 0),
            ("plain", "AUDIT", 0),
            ("plain", "${AUCTION_PRICE}", 0),
            ("plain", "MS41", 1_500_000),
            ("plain", "5.000001", 0),
            ("sealed", sealed, 3_000_000),
            ("sealed", foreign, 0),
            ("sealed", stale, 0),
        )
    ):
        assert await funded.status("/bill", t=token(sequence, exchange=exchange), p=text) in (200, 204)
        spent += booked
        assert (await account(funded)).spent == spent, (exchange, text)


async def test_28_a_play_out_of_home_costs_price_times_multiplier_and_no_more(funded: EventsPort) -> None:  # noqa: F811
    # A bid of 2.00 on a screen that 2.5 people see: 5,000,000 is signed as the most.
    assert await funded.status("/bill", t=token(1), p="2", q="2.5") == 204
    assert (await account(funded)).spent == 5_000_000
    assert await funded.status("/bill", t=token(2), p="2", q="0.5") == 204
    assert (await account(funded)).spent == 6_000_000
    assert await funded.status("/bill", t=token(3), p="2", q="2.51") == 204
    assert (await account(funded)).spent == 6_000_000, "more than the request's multiplier"


async def test_29_every_loss_code_is_kept_for_its_creative(port: EventsPort) -> None:  # noqa: F811
    codes = [0, 1, 10, 100, 102, 104, 200, 215, 500, 999]
    for code in codes:
        assert await port.status("/loss", t=token(code), l=str(code)) in (200, 204)
    losses = await port.stream(redis_keys.STREAM_LOSSES)
    assert sorted(int(loss["loss_code"]) for loss in losses) == codes
    assert {(loss["campaign"], loss["creative"]) for loss in losses} == {(CAMPAIGN, CREATIVE)}


async def test_32_a_sync_needs_consent_carries_it_on_and_goes_nowhere_else(
    port: EventsPort,  # noqa: F811
    redis_client: redis.asyncio.Redis,
) -> None:
    consent = tc_string([GVL_VENDOR_ID], range(1, 11))
    sent = {"gdpr": "1", "gdpr_consent": consent, "us_privacy": "1YNN"}
    synced = await port.get("/sync/matching", **sent)
    assert synced.status == 302
    target = synced.headers["Location"]
    assert target.startswith("https://match.example/set?")
    assert synced.cookies["hustings"].value in target
    for name, value in sent.items():
        assert f"{name}={value}" in target
    before = await redis_client.dbsize()
    refused = await port.get("/sync/matching", gdpr="1", gdpr_consent="x")
    assert (refused.status, refused.body) == (204, b"")
    assert not {"Set-Cookie", "Location"} & refused.headers.keys()
    open_redirect = await port.get("/sync/matching", redirect="https://evil.example/")
    assert "Location" not in open_redirect.headers
    assert await redis_client.dbsize() == before


def test_every_number_of_the_checklist_has_its_test() -> None:
    names = [
        name
        for name in (*vars(test_checklist), *vars(test_checklist_people), *globals())
        if name.startswith("test_")
    ]
    proved = {int(name[5:7]) for name in names if name[5:7].isdecimal()}
    assert proved == set(NUMBERS)
