"""What the events port remembers: impressions, caps, wins, losses, clicks, conversions; each once."""

import asyncio

import numpy as np
import pytest

from bidder.events.app import GIF
from config import redis_keys
from config.schema import code_of
from pacing.caps import CAP_RECORD
from tests.events.conftest import CODE, USER_HASH, EventsPort, counted, notices
from tests.events.factories import (
    BID_MINUTE,
    CAMPAIGN,
    CREATIVE,
    LINE_ITEM,
    OWNER,
    PRICE_KEYS,
    sealed_price,
    token,
)


async def cap_records(port: EventsPort, user_hash: int) -> dict[int, tuple[int, int]]:
    value: bytes | None = await port.client.get(redis_keys.caps(user_hash.to_bytes(8, "big")))  # type: ignore[assignment] # bytes: this client does not decode
    records = np.frombuffer(value or b"", CAP_RECORD)
    return {int(record["key"]): (int(record["count_day"]), int(record["count_hour"])) for record in records}


async def test_an_impression_is_remembered_once_for_its_campaign_and_line_item(port: EventsPort) -> None:
    shown = token(1, user_hash=USER_HASH)
    for answer in await asyncio.gather(*(port.get("/imp", t=shown, p="2") for _ in range(5))):
        assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "image/gif", GIF)
        assert answer.headers["Cache-Control"] == "no-store"
    assert await cap_records(port, USER_HASH) == {CODE: (1, 1), code_of(LINE_ITEM): (1, 1)}
    await port.get("/imp", t=token(2, user_hash=USER_HASH), p="2")
    assert await cap_records(port, USER_HASH) == {CODE: (2, 2), code_of(LINE_ITEM): (2, 2)}
    entries = await port.stream(redis_keys.STREAM_IMPRESSIONS)
    assert [entry["bid"].rsplit("-", 1)[1] for entry in entries] == ["1", "2"]


async def test_nobody_has_no_caps(port: EventsPort) -> None:
    await port.get("/imp", t=token(1, user_hash=0), p="2")
    assert await port.client.keys("f:*") == []
    assert len(await port.stream(redis_keys.STREAM_IMPRESSIONS)) == 1


async def test_a_rendering_for_review_is_no_impression(port: EventsPort) -> None:
    before = notices("impression", "audit")
    shown = token(1, user_hash=USER_HASH)
    assert (await port.get("/imp", t=shown, p="AUDIT")).status == 200
    assert notices("impression", "audit") == before + 1
    assert await cap_records(port, USER_HASH) == {}
    await port.get("/imp", t=shown, p="2")
    assert len(await cap_records(port, USER_HASH)) == 2


async def test_no_stream_names_a_person(funded: EventsPort) -> None:
    bought = token(1, user_hash=USER_HASH, billed_on_impression=True)
    for path in ("/win", "/imp", "/click", "/conv", "/complete", "/loss"):
        await funded.get(path, t=bought, p="2", l="102")
    streams = [
        redis_keys.STREAM_WINS,
        redis_keys.STREAM_IMPRESSIONS,
        redis_keys.STREAM_CLICKS,
        redis_keys.STREAM_CONVERSIONS,
        redis_keys.STREAM_COMPLETIONS,
        redis_keys.STREAM_LOSSES,
        redis_keys.bills(CODE),
    ]
    raw = USER_HASH.to_bytes(8, "big")
    spellings = (raw, raw[::-1], b"%d" % USER_HASH, b"%x" % USER_HASH, b"%016x" % USER_HASH)
    for stream in streams:
        dump = repr(await funded.client.xrange(stream)).encode()
        assert await funded.client.xlen(stream) == 1
        assert not any(spelling in dump for spelling in spellings)


async def test_wins_and_losses_say_what_the_market_asked(port: EventsPort) -> None:
    reasons = {code: counted("hustings_losses_total", code=code) for code in ("102", "other")}
    await port.get("/win", t=token(1), p="2.5", m="2.1")
    await port.get("/win", t=token(2), p="${AUCTION_PRICE}", m="")
    await port.get("/loss", t=token(3), l="102", m="3.25")
    await port.get("/loss", t=token(4), l="7777", m="${AUCTION_MIN_TO_WIN}")
    await port.get("/loss", t=token(5), l="${AUCTION_LOSS}", m="-1")
    wins = await port.stream(redis_keys.STREAM_WINS)
    assert (wins[0]["price_cpm_micros"], wins[0]["min_to_win_cpm_micros"]) == ("2500000", "2100000")
    assert (wins[0]["campaign"], wins[0]["line_item"]) == (CAMPAIGN, LINE_ITEM)
    assert (wins[0]["exchange"], wins[0]["format"]) == ("plain", "banner")
    assert not {"price_cpm_micros", "min_to_win_cpm_micros"} & wins[1].keys()
    losses = await port.stream(redis_keys.STREAM_LOSSES)
    assert [loss.get("loss_code") for loss in losses] == ["102", "7777", None]
    assert {(loss["campaign"], loss["creative"]) for loss in losses} == {(CAMPAIGN, CREATIVE)}
    assert [loss.get("min_to_win_cpm_micros") for loss in losses] == ["3250000", None, None]
    assert counted("hustings_losses_total", code="102") == reasons["102"] + 1
    assert counted("hustings_losses_total", code="other") == reasons["other"] + 2


async def test_wins_and_losses_say_the_device_of_an_auction_that_counts(port: EventsPort) -> None:
    for path, stream in (("/win", redis_keys.STREAM_WINS), ("/loss", redis_keys.STREAM_LOSSES)):
        await port.get(path, t=token(1, device="tv", value_band=12))
        await port.get(path, t=token(2))
        said = [(entry.get("device"), entry.get("band")) for entry in await port.stream(stream)]
        assert said == [("tv", "12"), (None, None)]


async def test_every_published_loss_code_and_an_exchanges_own_are_kept_with_the_creative(
    port: EventsPort,
) -> None:
    codes = [*range(216), 500, 501, 9_999]
    await asyncio.gather(*(port.get("/loss", t=token(code), l=str(code)) for code in codes))
    await port.get("/loss", t=token(10_000), l="10000")
    await port.get("/loss", t=token(10_001), l="-5")
    losses = await port.stream(redis_keys.STREAM_LOSSES)
    kept = {loss["bid"].rsplit("-", 1)[1]: loss.get("loss_code") for loss in losses}
    assert kept == {str(code): str(code) for code in codes} | {"10000": None, "10001": None}
    assert {loss["creative"] for loss in losses} == {CREATIVE}


async def test_what_would_have_won_is_read_from_an_exchange_that_encrypts_sealed_or_in_clear(
    port: EventsPort,
) -> None:
    sealed = sealed_price(3_250_000, PRICE_KEYS["sealed"])
    altered = ("A" if sealed[0] != "A" else "B") + sealed[1:]
    for sequence, text in enumerate((sealed, "2.5", altered)):
        await port.get("/loss", t=token(sequence, exchange="sealed"), l="102", m=text)
    losses = await port.stream(redis_keys.STREAM_LOSSES)
    assert [loss.get("min_to_win_cpm_micros") for loss in losses] == ["3250000", "2500000", None]


@pytest.mark.parametrize(
    ("path", "kind", "stream"),
    [
        ("/win", "win", redis_keys.STREAM_WINS),
        ("/loss", "loss", redis_keys.STREAM_LOSSES),
        ("/click", "click", redis_keys.STREAM_CLICKS),
        ("/conv", "conversion", redis_keys.STREAM_CONVERSIONS),
        ("/complete", "completion", redis_keys.STREAM_COMPLETIONS),
    ],
)
async def test_a_repeated_notice_is_remembered_once(
    port: EventsPort, path: str, kind: str, stream: bytes
) -> None:
    first, again = notices(kind, "ok"), notices(kind, "duplicate")
    statuses = {(await port.get(path, t=token(1), p="1", l="102")).status for _ in range(3)}
    assert len(statuses) == 1
    assert len(await port.stream(stream)) == 1
    assert (notices(kind, "ok"), notices(kind, "duplicate")) == (first + 1, again + 2)
    await port.get(path, t=token(2), p="1", l="102")
    assert len(await port.stream(stream)) == 2


async def test_every_memory_fades(port: EventsPort) -> None:
    for path in ("/win", "/loss", "/conv", "/complete"):
        await port.get(path, t=token(1), l="102")
    for key in (
        redis_keys.seen(CODE, OWNER, BID_MINUTE),
        redis_keys.lost(CODE, OWNER, BID_MINUTE),
        redis_keys.completed(CODE, OWNER, BID_MINUTE),
        redis_keys.converted(CODE, OWNER, BID_MINUTE, 1),
    ):
        assert await port.client.ttl(key) > 0
