"""What a sync does with a partner's id, over real HTTP and a real Redis."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis.asyncio

from bidder.events.app import GIF
from bidder.forget import forget, what_is_left
from config import redis_keys
from config.calendar import SECONDS_PER_DAY
from config.embedded_server import EmbeddedServer
from config.schema import code_of
from pacing.caps import CAP_RECORD, FORGOTTEN
from segments.bitsets import bits_from_indices, indices_from_bits
from segments.identity import COOKIE
from segments.links import LinkStore
from segments.location import caps_key
from segments.store import SegmentStore
from tests.events.conftest import CODE, Answer, EventsPort, counted, events_port
from tests.events.factories import CLOCK_S, ID_TEXT, IDENTITY, LINE_ITEM, bundle, token

SOURCE = "hosted.example"
OURS = {"Cookie": f"hustings={ID_TEXT}"}
LINK_DAYS = 21
PREBID = "https://prebid.example/setuid?bidder=hustings&uid="


def person(uid: str) -> int:
    return IDENTITY.hash(COOKIE, uid)


def partner(uid: str) -> int:
    return IDENTITY.hash(SOURCE, uid)


async def whom(port: EventsPort, uid: str) -> int:
    (found,) = await LinkStore(port.client).resolve([partner(uid)])
    return found


async def sync(port: EventsPort, headers: dict[str, str] | None = None, **query: str) -> Answer:
    return await port.call("GET", "/sync/hosted", query, headers)


async def test_a_partners_id_is_linked_to_our_cookie_for_the_profiles_days(port: EventsPort) -> None:
    linked = counted("hustings_links_total", outcome="linked")
    answer = await sync(port, OURS, partner_uid="88", gdpr="0")
    assert (answer.status, answer.body, answer.cookies["hustings"].value) == (200, GIF, ID_TEXT)
    assert "Location" not in answer.headers
    assert await whom(port, "88") == person(ID_TEXT)
    seconds = await port.client.ttl(caps_key(partner("88")))
    assert (LINK_DAYS * SECONDS_PER_DAY) - 60 < seconds <= LINK_DAYS * SECONDS_PER_DAY
    assert counted("hustings_links_total", outcome="linked") == linked + 1
    known = counted("hustings_links_total", outcome="known")
    await sync(port, OURS, partner_uid="88")
    assert counted("hustings_links_total", outcome="known") == known + 1


async def test_nothing_of_either_id_is_stored_in_clear(port: EventsPort) -> None:
    await sync(port, OURS, partner_uid="partner-number-88")
    keys: list[Any] = await port.client.keys()
    stored = b"".join([key + (await port.client.dump(key) or b"") for key in keys])
    assert len(keys) == 2
    for clear in (ID_TEXT.encode(), bytes.fromhex(ID_TEXT), b"partner-number-88", b"hosted"):
        assert clear not in stored


@pytest.mark.parametrize("text", ["", "$UID", "0000-0000", "x" * 600])
async def test_what_is_no_id_is_not_linked(port: EventsPort, text: str) -> None:
    answer = await sync(port, OURS, partner_uid=text)
    assert (answer.status, answer.body) == (200, GIF)
    assert await port.client.keys() == []


async def test_an_exchange_whose_ids_have_no_name_links_nothing(port: EventsPort) -> None:
    assert (await port.call("GET", "/sync/plain", {"partner_uid": "88"}, OURS)).status == 200
    assert await port.client.keys() == []


async def test_without_consent_nothing_is_linked_set_or_sent_on(port: EventsPort) -> None:
    for refusal in ({"gdpr": "1"}, {"us_privacy": "1YYN"}):
        answer = await sync(port, OURS, partner_uid="88", redirect=PREBID, **refusal)
        assert (answer.status, answer.body) == (204, b"")
        assert not {"Set-Cookie", "Location"} & answer.headers.keys()
    assert await port.client.keys() == []


async def test_a_sync_that_we_begin_sends_the_browser_on_and_one_that_ends_here_does_not(
    port: EventsPort,
) -> None:
    begun = await sync(port, OURS, gdpr="0")
    assert (begun.status, begun.headers["Location"]) == (302, "https://hosted.example/getuid?to=us&gdpr=0")
    ended = await sync(port, OURS, partner_uid="${UID}")
    assert (ended.status, "Location" in ended.headers) == (200, False)


async def test_a_prebid_server_is_told_our_id(port: EventsPort) -> None:
    answer = await sync(port, OURS, redirect=PREBID, gdpr="0", gpp="DBABTA~1YNN", gpp_sid="6")
    assert answer.headers["Location"] == (
        "https://prebid.example/setuid?bidder=hustings&gdpr=0&gpp=DBABTA~1YNN&gpp_sid=6&uid=" + ID_TEXT
    )
    fresh = await sync(port, redirect=PREBID)
    assert fresh.headers["Location"] == PREBID + fresh.cookies["hustings"].value
    both = await sync(port, OURS, redirect=PREBID, partner_uid="88")
    assert (both.status, await whom(port, "88")) == (302, person(ID_TEXT))


async def test_a_place_that_the_profile_does_not_name_is_refused(port: EventsPort) -> None:
    before = counted("hustings_cookie_syncs_total", outcome="foreign_redirect")
    for exchange in ("hosted", "plain"):
        for target in ("https://evil.example/setuid?uid=", "//evil.example", "https://prebid.example/", "x"):
            answer = await port.call("GET", f"/sync/{exchange}", {"redirect": target, "partner_uid": "88"})
            assert answer.status == 400
            assert not {"Set-Cookie", "Location"} & answer.headers.keys()
    assert await port.client.keys() == []
    assert counted("hustings_cookie_syncs_total", outcome="foreign_redirect") == before + 8


async def test_a_browser_that_keeps_no_cookie_stays_one_person(port: EventsPort) -> None:
    first = (await sync(port, partner_uid="88")).cookies["hustings"].value
    second = (await sync(port, partner_uid="88")).cookies["hustings"].value
    assert first != second
    assert await whom(port, "88") == person(first)
    # One that comes back with its cookie has proved that it keeps it.
    await sync(port, {"Cookie": f"hustings={second}"}, partner_uid="88")
    assert await whom(port, "88") == person(second)


async def test_what_the_id_was_known_for_comes_along(port: EventsPort) -> None:
    store, today = SegmentStore(port.client), CLOCK_S // SECONDS_PER_DAY
    await store.write(np.array([partner("88")], np.uint64), bits_from_indices([7], 1)[None], today + 9)
    await port.get("/imp", t=token(1, user_hash=person(ID_TEXT)))
    await port.get("/imp", t=token(2, user_hash=partner("88")))
    await sync(port, OURS, partner_uid="88")
    # A bid made before the sync, whose ad is shown after it.
    await port.get("/imp", t=token(3, user_hash=partner("88")))
    found: Any = await store.read(person(ID_TEXT), 1, today)
    assert (indices_from_bits(found[0]), await store.read(partner("88"), 1, today)) == ([7], None)
    value: Any = await port.client.get(redis_keys.caps(person(ID_TEXT).to_bytes(8, "big")))
    records = np.frombuffer(value, CAP_RECORD)
    assert {int(record["key"]): int(record["count_day"]) for record in records} == {
        CODE: 3,
        code_of(LINE_ITEM): 3,
    }


async def seen_today(port: EventsPort, user_hash: int) -> dict[int, int]:
    value: Any = await port.client.get(caps_key(user_hash))
    return {int(row["key"]): int(row["count_day"]) for row in np.frombuffer(value or b"", CAP_RECORD)}


async def test_what_was_counted_for_an_id_outlives_a_redis_that_fails_just_as_it_moves(
    port: EventsPort,
) -> None:
    await port.get("/imp", t=token(1, user_hash=partner("88")))
    await port.client.hset(caps_key(person(ID_TEXT)), "no", "records")
    unavailable = counted("hustings_links_total", outcome="unavailable")
    await sync(port, OURS, partner_uid="88")
    assert counted("hustings_links_total", outcome="unavailable") == unavailable + 1
    assert await whom(port, "88") == person(ID_TEXT)
    await port.client.delete(caps_key(person(ID_TEXT)))
    for _ in range(2):
        await sync(port, OURS, partner_uid="88")
        assert await seen_today(port, person(ID_TEXT)) == {CODE: 1, code_of(LINE_ITEM): 1}


async def test_who_is_forgotten_while_counts_move_has_none_left(port: EventsPort) -> None:
    await port.get("/imp", t=token(1, user_hash=partner("88")))
    await port.client.hset(caps_key(person(ID_TEXT)), "no", "records")
    await sync(port, OURS, partner_uid="88")
    await port.client.delete(caps_key(person(ID_TEXT)))
    assert await what_is_left(port.client, [partner("88")]) == ("frequency caps",)
    forgotten = await forget(port.client, person(ID_TEXT), CLOCK_S)
    assert (forgotten.ids, forgotten.caps, forgotten.left) == (2, True, ())
    await sync(port, OURS, partner_uid="88")
    assert await port.client.get(caps_key(person(ID_TEXT))) == FORGOTTEN


async def test_without_redis_the_browser_is_answered_all_the_same(tmp_path: Path) -> None:
    server = EmbeddedServer.start(tmp_path, durable=False)
    async with redis.asyncio.Redis.from_url(server.url) as client, events_port(client, bundle()) as port:
        server.stop()
        unavailable = counted("hustings_links_total", outcome="unavailable")
        answer = await sync(port, OURS, partner_uid="88")
        assert (answer.status, answer.body) == (200, GIF)
        assert counted("hustings_links_total", outcome="unavailable") == unavailable + 1


async def test_a_person_forgotten_by_a_partners_id_is_gone_under_every_id(port: EventsPort) -> None:
    store, today = SegmentStore(port.client), CLOCK_S // SECONDS_PER_DAY
    for uid in ("88", "89"):
        await sync(port, OURS, partner_uid=uid)
    await store.write(np.array([person(ID_TEXT)], np.uint64), bits_from_indices([7], 1)[None], today + 9)
    await port.get("/imp", t=token(1, user_hash=person(ID_TEXT)))
    forgotten = await forget(port.client, partner("88"), CLOCK_S)
    assert (forgotten.ids, forgotten.segments, forgotten.caps, forgotten.links, forgotten.left) == (
        *(3, True, True, True),
        (),
    )
    assert [await whom(port, uid) for uid in ("88", "89")] == [partner("88"), partner("89")]
    assert await store.read(person(ID_TEXT), 1, today) is None
    # A click on an ad shown before, and the same browser's next page, bring nobody back yet.
    await port.get("/imp", t=token(2, user_hash=partner("89")))
    await sync(port, OURS, partner_uid="88")
    assert not (await forget(port.client, person(ID_TEXT), CLOCK_S)).anything
