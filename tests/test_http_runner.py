"""What the events and the admin port have in common against callers who mean no good."""

import asyncio
import contextlib
import gzip
import logging
import socket
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from bidder import http_runner
from bidder.listener import bound_socket
from config.limits import IDLE_SECONDS_MAX
from tests.waiting import SECONDS_MAX

SECRET = "of-somebody"


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Serve an application that says hello, and connect to it."""

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_route("*", "/", hello)
    runner = http_runner.http_runner(app, 1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
    try:
        yield reader, writer
    finally:
        writer.close()
        await runner.cleanup()


@pytest.mark.parametrize("spoken", [b"", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"])
async def test_who_begins_a_request_and_never_ends_it_is_cut(
    spoken: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_runner, "IDLE_SECONDS_MAX", 0.2)
    async with served() as (_, writer):
        writer.write(spoken + b"GET / HTTP/1.1\r\nx-filler: ")

        async def dribble() -> None:
            while True:
                writer.write(b"a")
                await writer.drain()
                await asyncio.sleep(0.01)

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(dribble(), SECONDS_MAX)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %b\x01\r\n\r\n",
        b"GET /?uid=%b HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-encoding: gzip\r\ncontent-length: 11\r\n\r\n%b",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n%b\r\n",
    ],
    ids=["header", "no host", "no gzip", "no chunk"],
)
async def test_nothing_a_caller_says_gets_into_the_log(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "aiohttp.server"):
        async with served() as (reader, writer):
            writer.write(said % SECRET.encode())
            async with asyncio.timeout(SECONDS_MAX):
                assert (await reader.read(100)).startswith(b"HTTP/1.")
    assert not [record for record in caplog.records if record.name == "aiohttp.server"]


async def test_no_body_is_inflated() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    async with served() as (reader, writer):
        head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
        writer.write((head % len(bomb) + bomb) * 2)
        async with asyncio.timeout(SECONDS_MAX):
            for _ in range(2):
                assert b"200" in await reader.readuntil(b"hello")


@pytest.mark.skipif(sys.platform != "linux", reason="an option of Linux")
def test_answers_that_nobody_takes_are_given_up() -> None:
    with bound_socket("127.0.0.1", 0) as bound:
        bound.listen()
        with socket.create_connection(bound.getsockname()), bound.accept()[0] as accepted:
            waits_ms = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert waits_ms == 1_000 * IDLE_SECONDS_MAX
