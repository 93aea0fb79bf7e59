"""What browsers get from the events port: redirects, cookies, and what is refused."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from bidder.events.app import GIF
from config.embedded_server import EmbeddedServer
from config.limits import (
    NOTICE_BODY_BYTES_MAX,
    NOTICE_URL_CHARS_MAX,
    SYNC_URL_CHARS_MAX,
)
from config.money import BILLION
from tests.events.conftest import CODE, EventsPort, counted, events_port, notices
from tests.events.factories import (
    CAMPAIGN,
    GVL_VENDOR_ID,
    ID_TEXT,
    LANDING_URL,
    bundle,
    token,
)
from tests.openrtb.consent.strings import tc_string


async def test_a_click_goes_where_the_config_says_and_nowhere_else(port: EventsPort) -> None:
    for extra in ({}, {"url": "https://evil.example/"}, {"redirect": "//evil.example"}):
        answer = await port.call("GET", "/click", {"t": token(1)} | extra)
        assert (answer.status, answer.headers["Location"]) == (302, LANDING_URL)
    unknown = await port.get("/click", t=token(2, creative="no-longer"))
    assert unknown.status == 404
    assert "Location" not in unknown.headers


async def test_a_sync_names_the_browser_to_the_exchange(port: EventsPort) -> None:
    before = counted("hustings_cookie_syncs_total", outcome="redirected")
    answer = await port.get(
        "/sync/matching", gdpr="0", gdpr_consent="CPx", gpp="DBABTA~1YNN", gpp_sid="6", x="y"
    )
    cookie = answer.cookies["hustings"]
    assert len(cookie.value) == 32
    assert answer.headers["Location"] == (
        f"https://match.example/set?dsp=9&uid={cookie.value}&gdpr=0&gdpr_consent=CPx&gpp=DBABTA%7E1YNN&gpp_sid=6"
    ).replace("%7E", "~")
    assert (cookie["max-age"], cookie["httponly"], cookie["path"]) == (str(30 * 86_400), True, "/")
    assert (cookie["samesite"], cookie["secure"]) == ("Lax", "")
    assert counted("hustings_cookie_syncs_total", outcome="redirected") == before + 1
    other = await port.get("/sync/matching")
    assert other.cookies["hustings"].value != cookie.value


async def test_behind_https_the_cookie_may_cross_sites_and_a_known_browser_keeps_its_name(
    port: EventsPort,
) -> None:
    headers = {"X-Forwarded-Proto": "https", "Cookie": f"hustings={ID_TEXT}"}
    answer = await port.call("GET", "/sync/matching", headers=headers)
    cookie = answer.cookies["hustings"]
    assert (cookie.value, cookie["samesite"], cookie["secure"]) == (ID_TEXT, "None", True)
    assert ID_TEXT in answer.headers["Location"]


async def test_an_exchange_without_a_sync_url_gets_a_pixel_and_a_stranger_nothing(port: EventsPort) -> None:
    answer = await port.get("/sync/plain")
    assert (answer.status, answer.body, "hustings" in answer.cookies) == (200, GIF, True)
    stranger = await port.get("/sync/nobody")
    assert (stranger.status, "hustings" in stranger.cookies) == (404, False)


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ({"gdpr": "1", "gdpr_consent": "CPx"}, {}),
        ({"gdpr": "1", "gdpr_consent": tc_string(vendors=(GVL_VENDOR_ID,), purposes=(2, 3, 4))}, {}),
        ({"gdpr_consent": tc_string(vendors=(GVL_VENDOR_ID + 1,), purposes=(1, 2, 3, 4))}, {}),
        ({"us_privacy": "1YYN"}, {}),
        ({"gpp_sid": "2"}, {}),
        ({"gpp": "DBABTA~1YYN", "gpp_sid": "6"}, {}),
        ({}, {"Sec-GPC": "1"}),
        ({}, {"DNT": "1"}),
    ],
)
async def test_a_person_who_did_not_consent_gets_no_cookie_and_no_redirect(
    port: EventsPort, query: dict[str, str], headers: dict[str, str]
) -> None:
    answer = await port.call("GET", "/sync/matching", query, headers)
    assert (answer.status, answer.body) == (204, b"")
    assert not {"Set-Cookie", "Location"} & answer.headers.keys()


async def test_a_person_in_europe_who_consented_is_synced_and_the_consent_travels_on(
    port: EventsPort,
) -> None:
    consent = tc_string(vendors=(GVL_VENDOR_ID,), purposes=(1,))
    answer = await port.get("/sync/matching", gdpr="1", gdpr_consent=consent)
    assert (answer.status, "hustings" in answer.cookies) == (302, True)
    assert answer.headers["Location"].endswith(f"&gdpr=1&gdpr_consent={consent}")


async def test_what_is_too_long_is_refused(port: EventsPort) -> None:
    assert await port.status("/bill", t="A" * NOTICE_URL_CHARS_MAX) == 414
    assert await port.status("/sync/plain", gdpr="0", gdpr_consent="A" * NOTICE_URL_CHARS_MAX) == 200
    assert await port.status("/sync/plain", gdpr_consent="A" * SYNC_URL_CHARS_MAX) == 414
    body = b"x" * (NOTICE_BODY_BYTES_MAX + 1)
    assert (await port.call("POST", "/bill", {"t": token(1)}, data=body)).status == 413
    assert await port.status("/nowhere") == 404


async def test_bytes_that_are_no_http_get_400_and_leave_no_trace_of_the_caller(
    port: EventsPort, caplog: pytest.LogCaptureFixture
) -> None:
    host, number = port.url.removeprefix("http://").split(":")
    for bad in (b"GET /bill?t=\xff\xfe HTTP/9.9\r\n\r\n", b"GET /bill\x00 HTTP/1.1\r\n\r\n"):
        with socket.create_connection((host, int(number))) as connection:
            connection.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(connection, bad)
            assert (await loop.sock_recv(connection, 65_536)).startswith(b"HTTP/1.0 400 ")
            assert "127.0.0.1" not in caplog.text
    raw = f"{port.url}/sync/matching?gpp=%FF%FE&gdpr_consent=%ED%A0%80"
    assert (await port.call("GET", raw.removeprefix(port.url))).status == 204


@pytest.fixture
def own_server(tmp_path: Path) -> EmbeddedServer:
    return EmbeddedServer.start(tmp_path, durable=False)


@pytest_asyncio.fixture
async def doomed(own_server: EmbeddedServer) -> AsyncIterator[EventsPort]:
    """An events port over a server of its own, which has an account and may be stopped."""
    client = redis.asyncio.Redis.from_url(own_server.url, retry=Retry(NoBackoff(), 0))
    async with events_port(client, bundle(), spool_bytes_max=0) as port:
        await port.ledger.register(CODE, CAMPAIGN, 100 * BILLION, None, "UTC")
        yield port
    await client.aclose()
    own_server.stop()


async def test_without_redis_and_spool_the_exchange_is_asked_to_come_again_and_people_are_not(
    own_server: EmbeddedServer, doomed: EventsPort
) -> None:
    unavailable, forged = notices("bill", "unavailable"), notices("bill", "forged")
    own_server.stop()
    for path in ("/bill", "/win", "/loss", "/imp", "/conv"):
        assert await doomed.status(path, t=token(1), p="1", l="102") == 503
    assert notices("bill", "unavailable") == unavailable + 1
    # What needs no memory is answered as ever.
    click = await doomed.get("/click", t=token(1))
    assert (click.status, click.headers["Location"]) == (302, LANDING_URL)
    assert await doomed.status("/bill", t="A" * 76, p="1") == 204
    assert notices("bill", "forged") == forged + 1
    assert await doomed.status("/sync/matching") == 302
