"""Redis fails in a notice, between any two of its steps: nothing is lost, and nothing is done twice."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from config import redis_keys
from config.embedded_server import EmbeddedServer
from config.money import BILLION
from config.schema import code_of
from pacing.caps import seen_of
from tests.events.conftest import CODE, USER_HASH, EventsPort, account, events_port
from tests.events.factories import CAMPAIGN, CLOCK_S, LINE_ITEM, bundle, token
from tests.events.test_outage import until

STEPS = range(9)
"""More than any notice has round trips."""


class Door:
    """A way to the server that shuts after so many requests, before the next one has passed."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self._inside: set[asyncio.Task[None]] = set()
        self.requests_left: int | None = None

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passing = asyncio.create_task(self._pass(reader, writer))
        self._inside.add(passing)
        await passing
        self._inside.discard(passing)

    async def empty(self) -> None:
        """Wait until nobody is inside."""
        await asyncio.gather(*self._inside)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(self._server.hostname, self._server.port)
        answers = asyncio.create_task(_answer(inner_reader, writer))
        # The client sends a request, or a pipeline, at once, and the next when it has the answer.
        while request := await reader.read(65_536):
            if self.requests_left is not None:
                if self.requests_left == 0:
                    break
                self.requests_left -= 1
            inner_writer.write(request)
        inner_writer.close()
        await inner_writer.wait_closed()
        await answers
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)


@asynccontextmanager
async def fragile(folder: Path) -> AsyncIterator[tuple[Door, EventsPort]]:
    """An events port, with an account, whose Redis is behind a door."""
    inner = EmbeddedServer.start(folder, durable=False)
    door = Door(inner.url)
    server = await asyncio.start_server(door, "127.0.0.1", 0)
    outside = inner.url.rpartition(":")[0] + f":{server.sockets[0].getsockname()[1]}"
    client = redis.asyncio.Redis.from_url(outside, retry=Retry(NoBackoff(), 0))
    try:
        async with events_port(client, bundle()) as port:
            await port.ledger.register(CODE, CAMPAIGN, 100 * BILLION, None, "UTC")
            yield door, port
    finally:
        await client.aclose()
        await door.empty()
        server.close()
        inner.stop()


async def brought(door: Door, port: EventsPort) -> None:
    """Open the door, and wait until what was kept is done."""
    door.requests_left = None
    await until(lambda: port.spool.waiting_count == 0)


async def test_an_impression_is_booked_counted_and_capped_wherever_redis_fails(tmp_path: Path) -> None:
    async with fragile(tmp_path) as (door, port):
        for requests in STEPS:
            shown = token(requests, billed_on_impression=True, user_hash=USER_HASH)
            door.requests_left = requests
            assert (await port.get("/imp", t=shown, p="2")).status == 200
            await brought(door, port)
            # A browser that loads it again is no second person.
            assert (await port.get("/imp", t=shown, p="2")).status == 200
        assert (await account(port)).spent == len(STEPS) * 2_000_000
        assert len(await port.stream(redis_keys.STREAM_IMPRESSIONS)) == len(STEPS)
        records: bytes | None = await port.client.get(redis_keys.caps(USER_HASH.to_bytes(8, "big")))  # type: ignore[assignment] # bytes: this client does not decode
        seen = seen_of(records, CLOCK_S)
        assert {code: counts.day for code, counts in seen.items()} == {
            CODE: len(STEPS),
            code_of(LINE_ITEM): len(STEPS),
        }


@pytest.mark.parametrize(
    ("path", "stream"),
    [
        ("/win", redis_keys.STREAM_WINS),
        ("/loss", redis_keys.STREAM_LOSSES),
        ("/click", redis_keys.STREAM_CLICKS),
        ("/conv", redis_keys.STREAM_CONVERSIONS),
        ("/complete", redis_keys.STREAM_COMPLETIONS),
    ],
)
async def test_every_other_notice_is_remembered_once_wherever_redis_fails(
    tmp_path: Path, path: str, stream: bytes
) -> None:
    async with fragile(tmp_path) as (door, port):
        for requests in STEPS[:4]:
            door.requests_left = requests
            await port.get(path, t=token(requests), p="2")
            await brought(door, port)
            await port.get(path, t=token(requests), p="2")
        assert len(await port.stream(stream)) == len(STEPS[:4])
