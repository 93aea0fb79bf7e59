"""Whatever a target does on the wire is counted by kind, and the run ends."""

import asyncio
import time
from urllib.parse import urlsplit

import pytest
import uvloop

from loadtest.client import BidClient
from loadtest.connection import Answer, Connection
from loadtest.exchange import Exchange, ExchangeSettings
from loadtest.lane import Target
from loadtest.limits import ANSWER_BYTES_MAX, ANSWER_SECONDS_MAX
from loadtest.tally import Summary
from tests.loadtest.answers import BANNER, request
from tests.loadtest.hostile import (
    NO_BID,
    Behave,
    dribbling,
    endless,
    holding,
    hostile_target,
    request_of,
    resetting,
    saying,
    speaking_first,
)
from tests.waiting import SECONDS_MAX

REQUESTS = 12


async def run(behave: Behave, connections: int = 3) -> Summary:
    async with hostile_target(behave) as url, asyncio.timeout(SECONDS_MAX):
        exchange = Exchange(ExchangeSettings(seed=1, connections=connections), [Target("hostile", url)])
        source = iter([{**request(banner=BANNER), "id": str(number)} for number in range(REQUESTS)])
        (summary,) = await exchange.run(source, [n / 100 for n in range(REQUESTS)], asyncio.Event())
    return summary


def answered(text: str, body: bytes = b"") -> Behave:
    return saying(f"HTTP/1.1 {text}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


@pytest.mark.parametrize(
    ("behave", "kind"),
    [
        pytest.param(saying(b"SSH-2.0-OpenSSH_9.6\r\n"), "not_http", id="another protocol"),
        pytest.param(saying(b"\x00\xff" * 500), "not_http", id="garbage"),
        pytest.param(saying(NO_BID + NO_BID), "not_http", id="two answers to one request"),
        pytest.param(saying(b"HTTP/1.1 101 Up\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), "not_http"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), "not_http"),
        pytest.param(saying(b"", then_close=True), "closed", id="closed without a word"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", then_close=True), "closed"),
        pytest.param(resetting, "closed", id="reset in the middle"),
        pytest.param(answered("500 Oh"), "http_500"),
        pytest.param(answered("503 Busy", b"x" * 5_000), "http_503"),
        pytest.param(answered("200 OK", b"x" * (ANSWER_BYTES_MAX + 1)), "too_large"),
        pytest.param(endless, "too_large", id="a head without end"),
        pytest.param(answered("200 OK", b'{"id": '), "not_json"),
        pytest.param(answered("200 OK", b"\xff\xfe"), "not_json"),
        pytest.param(answered("200 OK", b'{"seatbid": 7}'), "invalid_response"),
    ],
)
async def test_each_misdeed_is_an_error_of_its_kind(behave: Behave, kind: str) -> None:
    summary = await run(behave)
    assert summary.errors_by_kind == {kind: REQUESTS}
    assert (summary.requests, summary.bids, summary.timeouts) == (REQUESTS, 0, 0)
    # A refusal has no latency: a fast one is not a fast bidder.
    assert (summary.latency_curve == ()) == (kind not in ("not_json", "invalid_response"))


@pytest.mark.parametrize("behave", [holding, dribbling])
async def test_a_target_that_never_finishes_is_given_up_on(
    behave: Behave, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.pool.ANSWER_SECONDS_MAX", 0.2)
    monkeypatch.setattr("loadtest.lane.ANSWER_SECONDS_MAX", 0.2)
    summary = await run(behave)
    assert (summary.timeouts, summary.answers, summary.errors) == (REQUESTS, 0, 0)
    assert summary.latency_ms.p50 >= 200


async def test_a_connection_that_speaks_before_it_is_asked_is_closed() -> None:
    settled = asyncio.Event()
    async with hostile_target(speaking_first) as url, asyncio.timeout(SECONDS_MAX):
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(time.perf_counter, lambda connection: settled.set()),
            "127.0.0.1",
            urlsplit(url).port or 0,
        )
        await settled.wait()
    assert not connection.is_open


@pytest.mark.parametrize(
    "answer",
    [
        NO_BID,
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.0 204 No Content\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
)
async def test_unusual_answers_are_answers(answer: bytes) -> None:
    summary = await run(saying(answer, then_close=b"close" in answer or b"1.0" in answer), connections=1)
    assert summary.no_bids + summary.errors_by_kind.get("invalid_response", 0) == REQUESTS


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    behave = saying(b'HTTP/1.1 200 OK\r\n\r\n{"id": "x"}', then_close=True)
    async with hostile_target(behave) as url, BidClient(url, 1) as client:
        answer = await client.ask(b"{}")
    assert (answer.status, answer.body, answer.failure) == (200, b'{"id": "x"}', "")


def test_the_client_works_on_the_loop_that_benchmarks_run_on() -> None:
    async def asked() -> Answer:
        async with hostile_target(saying(NO_BID)) as url, BidClient(url, 1) as client:
            return await client.ask(b"{}")

    assert uvloop.run(asked()).status == 204


async def test_an_answer_in_pieces_is_put_together() -> None:
    async def in_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"{}")
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello":
                writer.write(bytes([byte]))
                await writer.drain()

    async with hostile_target(in_pieces) as url, BidClient(url, 1) as client:
        answers = [await client.ask(b"{}") for _ in range(3)]
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"hello")] * 3


async def test_a_target_that_goes_away_is_refused_with_every_request() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with hostile_target(once) as url:
        client = BidClient(url, 2)
        await client.__aenter__()
        assert (await client.ask(b"{}")).failure == "closed"
    failures = {(await client.ask(b"{}")).failure for _ in range(4)}
    await client.__aexit__(None, None, None)
    assert failures <= {"closed", "refused"}
    assert "refused" in failures


async def test_who_waited_for_a_target_that_is_gone_is_refused_at_once() -> None:
    asked = asyncio.Event()

    async def ask_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        asked.set()
        await reader.read()

    async with asyncio.timeout(ANSWER_SECONDS_MAX - 1):
        async with hostile_target(ask_only) as url:
            client = BidClient(url, 1)
            await client.__aenter__()
            waiting = [asyncio.create_task(client.ask(b"{}")) for _ in range(6)]
            await asked.wait()
        failures = [(await task).failure for task in waiting]
        await client.__aexit__(None, None, None)
    assert failures == ["closed"] + ["refused"] * 5


async def test_one_target_that_hangs_does_not_hold_up_the_other() -> None:
    cut, told = asyncio.Event(), 0

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal told
        while True:
            await request_of(reader)
            writer.write(NO_BID)
            told += 1
            if told == REQUESTS:
                asyncio.get_running_loop().call_later(0.1, cut.set)

    async with (
        hostile_target(holding) as slow,
        hostile_target(answering) as quick,
        asyncio.timeout(SECONDS_MAX),
    ):
        targets = [Target("slow", slow), Target("quick", quick)]
        exchange = Exchange(ExchangeSettings(seed=1, connections=1), targets)
        source = iter([request(banner=BANNER) for _ in range(REQUESTS)])
        hung, answered = await exchange.run(source, [0.0] * REQUESTS, asyncio.Event(), cut)
    assert (answered.no_bids, answered.errors) == (REQUESTS, 0)
    assert hung.errors_by_kind == {"undrained": REQUESTS}
    assert exchange.ending == "cut"
