"""Bills over real HTTP and a real Redis: exact, once, refused, and forged."""

import asyncio

import pytest
import redis.asyncio

from bidder.metrics import UNKNOWN
from config import redis_keys
from config.calendar import local_day
from config.limits import (
    NOTICE_TAKEN_SECONDS_MAX,
)
from config.money import BILLION
from tests.events.conftest import CODE, DAY, EventsPort, account, counted, events_port, notices
from tests.events.factories import (
    BID_MINUTE,
    CAMPAIGN,
    LINE_ITEM,
    OWNER,
    PRICE_MAX_CPM_MICROS,
    bundle,
    token,
)

ALL_STREAMS = (
    redis_keys.STREAM_WINS,
    redis_keys.STREAM_LOSSES,
    redis_keys.STREAM_CLICKS,
    redis_keys.STREAM_IMPRESSIONS,
    redis_keys.STREAM_REFUSED,
    redis_keys.bills(CODE),
)


async def test_bills_are_booked_to_the_last_billionth(funded: EventsPort) -> None:
    spend = counted("hustings_spend_total", campaign=CAMPAIGN)
    leased = (await account(funded)).leased
    for sequence, price in enumerate(("1.234567", "0.000001", "5", "0")):
        assert await funded.status("/bill", t=token(sequence), p=price) == 204
    after = await account(funded)
    assert after.spent == 1_234_567 + 1 + 5_000_000
    assert after.spent_day == after.spent
    assert after.leased == leased - after.spent
    assert counted("hustings_spend_total", campaign=CAMPAIGN) == pytest.approx(spend + after.spent / BILLION)
    bills = await funded.stream(redis_keys.bills(CODE))
    assert [int(bill["price_cpm_micros"]) for bill in bills] == [1_234_567, 1, 5_000_000, 0]
    assert bills[0]["bid"] == f"{OWNER}-{BID_MINUTE}-0"
    assert (bills[0]["line_item"], bills[0]["exchange"], bills[0]["format"]) == (LINE_ITEM, "plain", "banner")


async def test_what_was_offered_and_paid_is_counted_by_exchange(funded: EventsPort) -> None:
    names = ("hustings_billed_bids_total", "hustings_billed_offered_total", "hustings_billed_paid_total")
    before = [counted(name, exchange="plain") for name in names]
    for _ in range(2):
        await funded.get("/bill", t=token(1), p="2")
    await funded.get("/bill", t=token(2), p="5")
    after = [counted(name, exchange="plain") for name in names]
    gained = [now - then for now, then in zip(after, before, strict=True)]
    assert gained == pytest.approx([2, 2 * PRICE_MAX_CPM_MICROS / BILLION, 7_000_000 / BILLION])


async def test_twenty_copies_of_a_bill_at_once_are_one_bill(funded: EventsPort) -> None:
    booked, repeated = notices("bill", "ok"), notices("bill", "duplicate")
    url = token(1)
    answers = await asyncio.gather(*(funded.status("/bill", t=url, p="2.5") for _ in range(20)))
    assert answers == [204] * 20
    assert await funded.status("/bill", t=url, p="2.5") == 204
    assert (await account(funded)).spent == 2_500_000
    assert notices("bill", "ok") == booked + 1
    assert notices("bill", "duplicate") == repeated + 20


async def test_a_post_does_what_a_get_does_whatever_its_body(funded: EventsPort) -> None:
    answer = await funded.call("POST", "/bill", {"t": token(1), "p": "2"}, data=b'{"price": 9}')
    assert answer.status == 204
    assert (await account(funded)).spent == 2_000_000


async def test_no_other_method_books_anything(funded: EventsPort) -> None:
    for method in ("HEAD", "PUT", "DELETE", "OPTIONS"):
        assert (await funded.call(method, "/bill", {"t": token(1), "p": "2"})).status == 405
    assert (await account(funded)).spent == 0


async def test_a_price_above_the_bid_is_refused_and_kept_for_the_auditor(funded: EventsPort) -> None:
    before = notices("bill", "overpriced")
    assert await funded.status("/bill", t=token(1), p="5.000001") == 204
    assert (await account(funded)).spent == 0
    assert notices("bill", "overpriced") == before + 1
    (refused,) = await funded.stream(redis_keys.STREAM_REFUSED)
    assert (refused["refused"], refused["price_cpm_micros"]) == ("overpriced", "5000001")
    assert refused["campaign"] == CAMPAIGN
    # The right price may still come.
    assert await funded.status("/bill", t=token(1), p="5") == 204
    assert (await account(funded)).spent == 5_000_000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("${AUCTION_PRICE}", "macro"),
        ("-1", "negative"),
        ("100000.1", "absurd"),
        ("OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ", "garbage"),
    ],
)
async def test_a_bill_without_a_price_books_nothing_and_is_kept(
    funded: EventsPort, text: str, reason: str
) -> None:
    before = notices("bill", "unpriced")
    assert await funded.status("/bill", t=token(1), p=text) == 204
    assert (await account(funded)).spent == 0
    assert notices("bill", "unpriced") == before + 1
    (refused,) = await funded.stream(redis_keys.STREAM_REFUSED)
    assert refused["refused"] == f"unpriced: {reason}"
    assert await funded.status("/bill", t=token(1), p="1") == 204
    assert (await account(funded)).spent == 1_000_000


async def test_a_bill_beyond_the_lease_is_charged_all_the_same_and_counted_late(funded: EventsPort) -> None:
    late, spend = notices("bill", "late"), counted("hustings_spend_total", campaign=CAMPAIGN)
    assert await funded.status("/bill", t=token(1, owner=OWNER + 1), p="3") == 204
    after = await account(funded)
    assert (after.spent, after.late) == (3_000_000, 3_000_000)
    assert notices("bill", "late") == late + 1
    assert counted("hustings_spend_total", campaign=CAMPAIGN) == pytest.approx(spend + 3_000_000 / BILLION)


async def test_a_bill_too_old_to_tell_from_a_repeat_is_kept_for_the_auditor(funded: EventsPort) -> None:
    before = notices("bill", "expired")
    old = token(1, minute=BID_MINUTE - NOTICE_TAKEN_SECONDS_MAX // 60 - 1)
    assert await funded.status("/bill", t=old, p="3") == 204
    assert (await account(funded)).spent == 0
    assert notices("bill", "expired") == before + 1
    (refused,) = await funded.stream(redis_keys.STREAM_REFUSED)
    assert (refused["refused"], refused["price_cpm_micros"]) == ("expired", "3000000")


async def test_a_bill_without_an_account_is_kept_for_the_auditor(port: EventsPort) -> None:
    before = notices("bill", "unknown_campaign")
    assert await port.status("/bill", t=token(1), p="3") == 204
    assert notices("bill", "unknown_campaign") == before + 1
    (refused,) = await port.stream(redis_keys.STREAM_REFUSED)
    assert (refused["refused"], refused["price_cpm_micros"]) == ("unknown_campaign", "3000000")


async def test_a_campaign_that_left_the_config_is_settled_under_the_label_unknown(
    redis_client: redis.asyncio.Redis,
) -> None:
    spend = counted("hustings_spend_total", campaign=UNKNOWN)
    async with events_port(redis_client, bundle(campaign_id="autumn")) as port:
        await port.ledger.register(CODE, CAMPAIGN, 100 * BILLION, None, "America/Chicago")
        assert await port.status("/bill", t=token(1), p="3") == 204
        assert (await account(port)).spent == 3_000_000
    assert counted("hustings_spend_total", campaign=UNKNOWN) == pytest.approx(spend + 3_000_000 / BILLION)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue"])
async def test_a_bill_counts_for_the_bids_day_where_the_campaign_lives(
    redis_client: redis.asyncio.Redis, zone: str
) -> None:
    async with events_port(redis_client, bundle(time_zone=zone)) as port:
        await port.ledger.register(CODE, CAMPAIGN, 100 * BILLION, None, zone)
        assert await port.status("/bill", t=token(1), p="3") == 204
        assert (await account(port)).day == local_day(BID_MINUTE * 60, zone)


async def test_where_the_exchange_bills_on_the_impression_only_the_pixel_books(funded: EventsPort) -> None:
    not_billable = notices("bill", "not_billable")
    bought = token(1, billed_on_impression=True)
    assert await funded.status("/bill", t=bought, p="2") == 204
    assert (await account(funded)).spent == 0
    assert notices("bill", "not_billable") == not_billable + 1
    for _ in range(3):
        assert (await funded.get("/imp", t=bought, p="2")).status == 200
    assert (await account(funded)).spent == 2_000_000
    assert len(await funded.stream(redis_keys.STREAM_IMPRESSIONS)) == 1


async def test_elsewhere_the_pixel_books_nothing_and_neither_does_a_win(funded: EventsPort) -> None:
    assert (await funded.get("/imp", t=token(1), p="2")).status == 200
    assert await funded.status("/win", t=token(1), p="2") == 204
    assert (await account(funded)).spent == 0


async def test_a_pixel_without_a_place_for_the_price_leaves_the_booking_to_another_url(
    funded: EventsPort,
) -> None:
    bought = token(1, billed_on_impression=True)
    assert (await funded.get("/imp", t=bought)).status == 200
    assert (await account(funded)).spent == 0
    assert await funded.stream(redis_keys.STREAM_REFUSED) == []
    await funded.get("/imp", t=bought, p="2")
    assert (await account(funded)).spent == 2_000_000
    assert len(await funded.stream(redis_keys.STREAM_IMPRESSIONS)) == 1


async def test_an_unpriced_pixel_is_an_impression_that_a_priced_one_can_still_bill(
    funded: EventsPort,
) -> None:
    bought = token(1, billed_on_impression=True)
    await funded.get("/imp", t=bought, p="${AUCTION_PRICE}")
    assert (await account(funded)).spent == 0
    await funded.get("/imp", t=bought, p="2")
    assert (await account(funded)).spent == 2_000_000
    assert len(await funded.stream(redis_keys.STREAM_IMPRESSIONS)) == 1
    assert len(await funded.stream(redis_keys.STREAM_REFUSED)) == 1


async def test_a_token_with_any_character_changed_gets_the_usual_answer_and_does_nothing(
    funded: EventsPort,
) -> None:
    genuine = token(1)
    before = notices("bill", "forged")
    forged = [
        genuine[:at] + ("A" if genuine[at] != "A" else "B") + genuine[at + 1 :] for at in range(len(genuine))
    ]
    forged += ["", genuine[:-1], genuine + "A", "é" * len(genuine), "\udcff" * 5]
    for bad in forged:
        assert await funded.status("/bill", t=bad.encode("utf-8", "replace").decode(), p="1") == 204
    assert notices("bill", "forged") == before + len(forged)
    assert (await account(funded)).spent == 0
    assert await funded.client.exists(redis_keys.seen(CODE, OWNER, BID_MINUTE)) == 0
    assert await funded.stream(redis_keys.STREAM_REFUSED) == []


async def test_a_forged_token_looks_like_a_genuine_one_on_every_route(port: EventsPort) -> None:
    keys = set(await port.client.keys())
    for path, status in (("/win", 204), ("/bill", 204), ("/loss", 204), ("/imp", 200), ("/conv", 200)):
        forged = await port.get(path, t="A" * 76, p="1", l="102")
        genuine = await port.get(path, t=token(1), p="1", l="102")
        assert (forged.status, forged.body) == (genuine.status, genuine.body)
        assert forged.status == status
        assert forged.headers.keys() == genuine.headers.keys()
    forged_click, gone = (
        await port.get("/click", t="A" * 76),
        await port.get("/click", t=token(1, creative="x")),
    )
    assert (forged_click.status, forged_click.body) == (404, gone.body)
    for key in set(await port.client.keys()) - keys:
        assert key in {
            redis_keys.STREAM_WINS,
            redis_keys.STREAM_LOSSES,
            redis_keys.STREAM_IMPRESSIONS,
            redis_keys.STREAM_CLICKS,
            redis_keys.STREAM_CONVERSIONS,
            redis_keys.STREAM_REFUSED,
            redis_keys.seen(CODE, OWNER, BID_MINUTE),
            redis_keys.lost(CODE, OWNER, BID_MINUTE),
            redis_keys.converted(CODE, OWNER, BID_MINUTE, 1),
            redis_keys.delivered(CODE, DAY),
            redis_keys.delivered_hours(CODE, DAY),
        }
    assert len(await port.stream(redis_keys.STREAM_WINS)) == 1


async def test_an_ad_rendered_for_review_books_and_keeps_nothing(funded: EventsPort) -> None:
    audits = {kind: notices(kind, "audit") for kind in ("bill", "win", "loss", "impression")}
    bought = token(1, billed_on_impression=True)
    await funded.status("/bill", t=token(2), p="AUDIT")
    await funded.status("/bill", t=token(2), p="2", q="AUDIT")
    await funded.status("/imp", t=bought, p="AUDIT")
    await funded.status("/win", t=token(2), p="2", m="AUDIT")
    await funded.status("/loss", t=token(2), l="AUDIT", m="")
    click = await funded.get("/click", t=token(2), x="AUDIT")
    assert click.status == 302
    assert (await account(funded)).spent == 0
    for stream in ALL_STREAMS:
        assert await funded.stream(stream) == []
    counts = {"bill": 2, "win": 1, "loss": 1, "impression": 1}
    assert {kind: notices(kind, "audit") - audits[kind] for kind in audits} == counts
    # None of it was remembered either: the real notices still count.
    for path in ("/win", "/loss", "/click"):
        await funded.get(path, t=token(2), p="2", l="102")
    await funded.get("/imp", t=bought, p="2")
    assert (await account(funded)).spent == 2_000_000
    assert {len(await funded.stream(stream)) for stream in ALL_STREAMS[:4]} == {1}


async def test_a_campaign_that_left_the_config_keeps_its_day(redis_client: redis.asyncio.Redis) -> None:
    """Bills on their way when it left must not turn its day early: it may come back with a budget for it."""
    zones = ("Pacific/Kiritimati", "Pacific/Niue")
    async with events_port(redis_client, bundle(campaign_id="autumn")) as port:
        for zone in zones:
            await redis_client.delete(redis_keys.ledger(CODE))
            await port.ledger.register(CODE, CAMPAIGN, 100 * BILLION, 10 * BILLION, zone)
            assert await port.status("/bill", t=token(zones.index(zone)), p="3") == 204
            after = await account(port)
            assert (after.day, after.spent_day) == (local_day(BID_MINUTE * 60, zone), 3_000_000)
