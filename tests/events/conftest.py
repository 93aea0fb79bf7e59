"""The events port as exchanges meet it: an aiohttp server on loopback over a real Redis."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest_asyncio
import redis.asyncio
from aiohttp import web
from multidict import CIMultiDictProxy
from prometheus_client import REGISTRY

from bidder.background import end_task
from bidder.events.app import SHUTDOWN_SECONDS_MAX, events_app
from bidder.events.directory import LiveDirectory
from bidder.events.intake import Intake
from bidder.events.links import Linker
from bidder.events.notices import NoticeDesk
from bidder.events.segment_rules import RuleBook
from bidder.events.spool import Spool
from bidder.http_runner import http_runner
from bidder.redis_client import server_life
from config.calendar import local_day
from config.limits import SPOOL_BYTES_MAX
from config.money import BILLION
from config.schema import Bundle, code_of
from pacing.account import Account
from pacing.ledger import Ledger
from tests.events.factories import (
    BID_MINUTE,
    CAMPAIGN,
    CLOCK_S,
    IDENTITY,
    OWNER,
    PRICE_KEYS,
    PRICE_MAX_CPM_MICROS,
    SIGNER,
    bundle,
)

CODE = code_of(CAMPAIGN)
DAY = local_day(BID_MINUTE * 60, "UTC")
USER_HASH = 0x0123456789ABCDEF
Stream = list[dict[str, str]]


class Answer(NamedTuple):
    """What came back, with its body read."""

    status: int
    headers: CIMultiDictProxy[str]
    cookies: SimpleCookie
    body: bytes


class EventsPort:
    """A running events port, a client of it, and the Redis behind it."""

    def __init__(
        self, url: str, client: redis.asyncio.Redis, session: aiohttp.ClientSession, spool: Spool
    ) -> None:
        self.url = url
        self.spool = spool
        self.client = client
        self.ledger = Ledger(client)
        self.session = session

    async def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Answer:
        """Send a request and return the answer; follow no redirect."""
        async with self.session.request(
            method, self.url + path, params=query, headers=headers, data=data, allow_redirects=False
        ) as response:
            return Answer(response.status, response.headers, response.cookies, await response.read())

    async def get(self, path: str, **query: str) -> Answer:
        return await self.call("GET", path, query)

    async def status(self, path: str, **query: str) -> int:
        return (await self.get(path, **query)).status

    async def stream(self, key: bytes) -> Stream:
        """Return a stream's entries, oldest first."""
        entries: list[tuple[bytes, dict[bytes, bytes]]] = await self.client.xrange(key)  # type: ignore[assignment] # bytes: this client does not decode
        return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in entries]


@asynccontextmanager
async def events_port(
    client: redis.asyncio.Redis,
    config: Bundle | None,
    folder: Path | None = None,
    clock: Callable[[], float] = lambda: CLOCK_S,
    *,
    spool_bytes_max: int = SPOOL_BYTES_MAX,
) -> AsyncIterator[EventsPort]:
    """Serve the events port of one config over one Redis; `folder` is its spool's, which it replays."""
    directory = LiveDirectory(config, PRICE_KEYS)
    rules = RuleBook(client, IDENTITY, clock=clock)
    if config is not None:
        await rules.use(config)
    desk = NoticeDesk(client, Ledger(client), SIGNER, directory, rules, clock=clock)
    temporary = tempfile.TemporaryDirectory()
    spool = Spool((folder or Path(temporary.name)) / "notices-0.spool", spool_bytes_max)

    async def is_at_home() -> bool:
        return True

    intake = Intake(desk, [spool], is_at_home, lambda: server_life(client), clock)
    app = events_app(desk, intake, directory, Linker(client, IDENTITY), rules)
    runner = http_runner(app, SHUTDOWN_SECONDS_MAX)
    replay = asyncio.create_task(intake.replay_until(asyncio.Event()))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        try:
            yield EventsPort(url, client, session, spool)
        finally:
            await end_task(replay)
            await runner.cleanup()
            spool.close()
            temporary.cleanup()


@pytest_asyncio.fixture
async def port(redis_client: redis.asyncio.Redis) -> AsyncIterator[EventsPort]:
    async with events_port(redis_client, bundle()) as running:
        yield running


def counted(name: str, **labels: str) -> float:
    """Return a metric's value in this process; 0 when nobody has written it."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest_asyncio.fixture
async def funded(port: EventsPort) -> EventsPort:
    """The port, with an account for the campaign and money leased to the worker."""
    await port.ledger.register(CODE, CAMPAIGN, 100 * BILLION, None, "UTC")
    owner = await port.ledger.new_owner()
    while owner < OWNER:
        owner = await port.ledger.new_owner()
    await port.ledger.grant(CODE, OWNER, BILLION, DAY, PRICE_MAX_CPM_MICROS, 1)
    return port


async def account(port: EventsPort) -> Account:
    found = await port.ledger.account(CODE)
    assert found is not None
    found.check()
    return found


def notices(kind: str, outcome: str) -> float:
    return counted("hustings_notices_total", kind=kind, outcome=outcome)
