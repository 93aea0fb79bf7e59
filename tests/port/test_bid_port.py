"""The bid port as an exchange meets it: statuses, framing, limits."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import msgspec
import pytest
import pytest_asyncio

from bidder.port.protocol import NO_CONTENT, BidCall, BidConnection, Connections
from config.limits import BODY_BYTES_MAX, HEADER_BYTES_MAX, PIPELINED_REQUESTS_MAX
from config.schema import Bundle, Engine
from tests.factories import bid_request, bundle
from tests.running import RunningWorker, running_worker
from tests.waiting import SECONDS_MAX

BODY = msgspec.json.encode(bid_request())


@pytest_asyncio.fixture
async def worker(redis_url: str, tmp_path: Path) -> AsyncIterator[RunningWorker]:
    async with running_worker(redis_url, bundle(), tmp_path) as running:
        yield running


def post(body: bytes, *headers: bytes, path: bytes = b"/bid/plain") -> bytes:
    head = [b"POST %b HTTP/1.1" % path, b"host: bidder", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


class Connection:
    """A raw HTTP connection: what is sent is exactly what the test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, worker: RunningWorker) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", worker.port))

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def send_for_ever(self, data: bytes, pause_s: float = 0.0) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                await self.send(data)
                await asyncio.sleep(pause_s)

    async def receive(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(SECONDS_MAX):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
            return int(head[0].split()[1]), headers, body

    async def at_end(self) -> bool:
        async with asyncio.timeout(SECONDS_MAX):
            return await self._reader.read(1) == b""

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


@pytest_asyncio.fixture
async def connection(worker: RunningWorker) -> AsyncIterator[Connection]:
    opened = await Connection.open(worker)
    yield opened
    await opened.close()


async def test_a_bid_is_200_json_with_the_openrtb_version(connection: Connection) -> None:
    await connection.send(post(BODY))
    status, headers, body = await connection.receive()
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert headers["x-openrtb-version"] == "2.6"
    assert json.loads(body)["id"] == "request-1"


async def test_no_bid_is_204_without_a_body(connection: Connection) -> None:
    await connection.send(post(msgspec.json.encode(bid_request(imp=[{"id": "1", "bidfloor": 99.0}]))))
    status, headers, body = await connection.receive()
    assert (status, body) == (204, b"")
    assert "content-length" not in headers


FAULTS = {
    "not JSON": (post(b"{"), 400),
    "no id": (post(b'{"imp":[{"id":"1"}]}'), 400),
    "no imp": (post(b'{"id":"1","imp":[]}'), 400),
    "empty": (post(b""), 400),
    "5,000 deep": (post(b'{"id":"1","x":' + b"[" * 5_000 + b"]" * 5_000 + b"}"), 400),
    "oversize": (post(b" " * (BODY_BYTES_MAX + 1)), 413),
    "bad gzip": (post(BODY, b"content-encoding: gzip"), 400),
    "cut gzip": (post(gzip.compress(BODY)[:-9], b"content-encoding: gzip"), 400),
    "gzip bomb": (post(gzip.compress(b" " * (BODY_BYTES_MAX * 4)), b"content-encoding: gzip"), 413),
    "unknown encoding": (post(BODY, b"content-encoding: br"), 400),
    "unknown exchange": (post(BODY, path=b"/bid/nobody"), 404),
    "unknown path": (post(BODY, path=b"/"), 404),
    "GET": (b"GET /bid/plain HTTP/1.1\r\nhost: bidder\r\n\r\n", 405),
    "PUT": (post(BODY).replace(b"POST", b"PUT", 1), 405),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_answered_empty_and_the_connection_lives_on(
    connection: Connection, fault: str
) -> None:
    data, expected = FAULTS[fault]
    await connection.send(data)
    status, headers, body = await connection.receive()
    assert (status, body) == (expected, b"")
    if expected == 405:
        assert headers["allow"] == "post"
    await connection.send(post(BODY))
    assert (await connection.receive())[0] == 200


async def test_what_is_no_http_ends_the_connection(connection: Connection) -> None:
    await connection.send(b"HELO bidder\r\n\r\n")
    assert (await connection.receive())[0] == 400
    assert await connection.at_end()


async def test_endless_headers_end_the_connection(connection: Connection) -> None:
    await connection.send(b"POST /bid/plain HTTP/1.1\r\nx-filler: ")
    # How much is read before the limit is noticed depends on how the network cuts it.
    with pytest.raises(ConnectionError):
        await connection.send_for_ever(b"a" * HEADER_BYTES_MAX)


async def test_endless_trailers_end_the_connection(connection: Connection) -> None:
    head = b"POST /bid/plain HTTP/1.1\r\nhost: b\r\ntransfer-encoding: chunked\r\n\r\n"
    await connection.send(head + b"1\r\n{\r\n0\r\nx-filler: ")
    with pytest.raises(ConnectionError):
        await connection.send_for_ever(b"a" * HEADER_BYTES_MAX)


async def test_a_trailer_says_nothing_of_the_body(connection: Connection) -> None:
    head = b"POST /bid/plain HTTP/1.1\r\nhost: b\r\ntransfer-encoding: chunked\r\n\r\n"
    await connection.send(head + b"%x\r\n%b\r\n0\r\ncontent-encoding: gzip\r\n\r\n" % (len(BODY), BODY))
    assert (await connection.receive())[0] == 200


async def test_what_came_before_the_end_is_answered_first(connection: Connection) -> None:
    await connection.send(post(BODY) * 2 + b"HELO bidder\r\n\r\n")
    for _ in range(2):
        assert (await connection.receive())[0] == 200
    assert (await connection.receive())[0] == 400
    assert await connection.at_end()


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (post(BODY, b"connection: upgrade", b"upgrade: h2c"), 400),
        (b"CONNECT /bid/plain HTTP/1.1\r\nhost: b\r\n\r\nof another protocol", 405),
    ],
)
async def test_who_asks_for_another_protocol_is_answered_once_and_let_go(
    connection: Connection, said: bytes, status: int
) -> None:
    await connection.send(post(BODY) + said)
    assert (await connection.receive())[0] == 200
    assert (await connection.receive())[0] == status
    assert await connection.at_end()


@pytest.fixture
def short_of_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bidder.port.main.IDLE_SECONDS_MAX", 0.2)


async def test_a_request_that_never_ends_is_cut(short_of_patience: None, connection: Connection) -> None:
    await connection.send(b"POST /bid/plain HTTP/1.1\r\nx-filler: ")
    with pytest.raises(ConnectionError):
        await connection.send_for_ever(b"a", pause_s=0.01)


async def test_who_never_reads_an_answer_is_cut(short_of_patience: None, connection: Connection) -> None:
    with pytest.raises(ConnectionError):
        await connection.send_for_ever(post(BODY) * 64)


async def test_gzip_and_plain_on_one_connection(connection: Connection) -> None:
    for data in (post(gzip.compress(BODY), b"Content-Encoding: gzip"), post(BODY)):
        await connection.send(data)
        assert (await connection.receive())[0] == 200


async def test_pipelined_requests_are_answered_in_order(connection: Connection) -> None:
    ids = [f"request-{n}" for n in range(60)]
    bodies = [msgspec.json.encode(bid_request(id=id_)) for id_ in ids]
    # Every third is refused at once, and must wait its turn all the same.
    await connection.send(b"".join(post(b"{" if n % 3 == 0 else body) for n, body in enumerate(bodies)))
    for n, id_ in enumerate(ids):
        status, _, body = await connection.receive()
        if n % 3 == 0:
            assert status == 400
        else:
            assert status == 200
            assert json.loads(body)["id"] == id_


async def test_a_body_that_comes_in_pieces(connection: Connection) -> None:
    data = post(BODY)
    for start in range(0, len(data), 100):
        await connection.send(data[start : start + 100])
    assert (await connection.receive())[0] == 200


async def test_a_chunked_body(connection: Connection) -> None:
    head = b"POST /bid/plain HTTP/1.1\r\nhost: b\r\ntransfer-encoding: chunked\r\n\r\n"
    await connection.send(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
    assert (await connection.receive())[0] == 200


async def test_expect_100_continue(connection: Connection) -> None:
    head, _, body = post(BODY, b"expect: 100-continue").partition(b"\r\n\r\n")
    await connection.send(head + b"\r\n\r\n")
    assert (await connection.receive())[0] == 100
    await connection.send(body)
    assert (await connection.receive())[0] == 200


async def test_connection_close_is_honoured(connection: Connection) -> None:
    await connection.send(post(BODY, b"connection: close"))
    assert (await connection.receive())[0] == 200
    assert await connection.at_end()


async def test_ready_is_answered_without_bidding(connection: Connection) -> None:
    await connection.send(b"GET /ready HTTP/1.1\r\nhost: b\r\n\r\n")
    status, _, body = await connection.receive()
    assert (status, body) == (200, b"1 ready")


async def test_ten_thousand_requests_on_one_connection(connection: Connection) -> None:
    request = post(BODY)
    for _ in range(100):
        await connection.send(request * 100)
        for _ in range(100):
            assert (await connection.receive())[0] in (200, 204)


async def test_a_worker_without_a_config_is_not_ready(redis_url: str, tmp_path: Path) -> None:
    nothing = Bundle(version="", engine=Engine(), exchanges=(), segments=(), advertisers=())
    async with running_worker(redis_url, nothing, tmp_path) as worker:
        opened = await Connection.open(worker)
        await opened.send(b"GET /ready HTTP/1.1\r\nhost: b\r\n\r\n")
        status, _, body = await opened.receive()
        assert (status, b"1" in body) == (503, False)
        await opened.close()


class SlowReader:
    """A transport whose other end has stopped reading: it records what the connection asks of it."""

    def __init__(self) -> None:
        self._reading = True

    def is_reading(self) -> bool:
        return self._reading

    def write(self, data: bytes) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True


def test_who_does_not_read_their_answers_is_not_read_from() -> None:
    calls: list[BidCall] = []
    connection = BidConnection(calls.append, lambda: True, Connections())
    transport = SlowReader()
    connection.connection_made(cast(asyncio.Transport, transport))
    connection.data_received(post(BODY))
    connection.pause_writing()
    calls[0].answer(NO_CONTENT)
    assert not transport.is_reading(), "an answer makes no room for more"
    connection.resume_writing()
    assert transport.is_reading()
    connection.data_received(post(BODY) * PIPELINED_REQUESTS_MAX)
    assert not transport.is_reading()
    connection.resume_writing()
    assert not transport.is_reading(), "too many still wait"
    for call in calls[1:]:
        call.answer(NO_CONTENT)
    assert transport.is_reading()
