"""A bid worker and an events process running inside the test, on a real server and real ports."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import numpy as np
import pytest
import redis.asyncio

from bidder.events.main import serve as serve_events
from bidder.port.main import serve
from bidder.redis_client import redis_client
from config import bundle_store
from config.calendar import local_day
from config.schema import Bundle, code_of
from config.settings import Settings, ensure_secret_file, load_secrets
from pacing.ledger import Ledger
from segments.bitsets import bits_from_indices
from segments.expressions import words_for
from segments.identity import Identity
from segments.registry import SegmentRegistry
from segments.store import SegmentStore
from tests.waiting import SECONDS_MAX

EVENTS_URL = "http://127.0.0.1:1"
PATIENT_MS = 4_000
"""A look-up of a test may take this long: a machine that is busy for a moment makes nobody a stranger."""


class RunningWorker:
    """A worker that serves `bundle`; budgets are registered, nothing else runs."""

    def __init__(self, settings: Settings, client: redis.asyncio.Redis, http: aiohttp.ClientSession) -> None:
        self.settings = settings
        self.redis = client
        self.ledger = Ledger(client)
        self.port = 0
        self.http = http

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/bid/plain"

    async def ask(self, request: Mapping[str, Any] | bytes, **options: Any) -> tuple[int, bytes]:
        """POST a request; return status and body."""
        body = request if isinstance(request, bytes) else msgspec.json.encode(request)
        async with self.http.post(options.pop("url", self.url), data=body, **options) as response:
            return response.status, await response.read()

    async def bids(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the bids on a request, seats taken apart."""
        status, body = await self.ask(request)
        if status == 204:
            assert body == b""
            return []
        assert status == 200
        return [bid for seat in json.loads(body)["seatbid"] for bid in seat["bid"]]

    async def register(self, bundle: Bundle) -> None:
        """Open a ledger for each campaign, as the controller does."""
        for campaign in bundle.campaigns_by_code().values():
            await self.ledger.open(campaign)
        for campaign, line_item in bundle.line_items_by_account().values():
            today = local_day(int(time.time()), campaign.time_zone)
            await self.ledger.open_line_item(campaign, line_item, today)

    async def until_funded(self, bundle: Bundle) -> None:
        """Wait until the worker has a lease on every account that has money."""
        codes = [code_of(campaign.id) for a in bundle.advertisers for campaign in a.campaigns]
        codes += bundle.line_items_by_account()
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                accounts = await self.ledger.accounts(codes)
                if all(account.leased or not account.free for account in accounts.values()):
                    return
                await asyncio.sleep(0.02)

    async def put_in_segments(self, cookie: str, *names: str) -> None:
        """Store a cookie as a member of segments."""
        indices = await SegmentRegistry(self.redis).define(dict.fromkeys(names, ""))
        words = words_for(max(indices.values()) + 1)
        bits = bits_from_indices([indices[name] for name in names], words)
        await SegmentStore(self.redis).write(
            np.array([self.identity.hash("cookie", cookie)], np.uint64), bits[None, :], 40_000
        )

    @property
    def bundle_key(self) -> bytes:
        return load_secrets(Path(self.settings.secret_file)).bundle_key

    @property
    def identity(self) -> Identity:
        return Identity(load_secrets(Path(self.settings.secret_file)).identity_key)

    async def account_check(self, campaign_id: str) -> Any:
        account = await self.ledger.account(code_of(campaign_id))
        assert account is not None
        account.check()
        return account


@contextlib.asynccontextmanager
async def running_worker(
    redis_url: str,
    bundle: Bundle,
    data_dir: Path,
    *,
    events_url: str = EVENTS_URL,
    lookup_timeout_ms: int = PATIENT_MS,
) -> AsyncIterator[RunningWorker]:
    """Publish a bundle, open its budgets, and serve it on any free port until the block ends."""
    settings = Settings(
        redis_url=redis_url,
        secret_file=str(ensure_secret_file(data_dir)),
        data_dir=str(data_dir),
        metrics_dir=str(data_dir / "metrics"),
        bid_port=0,
        events_url=events_url,
        drain_seconds=0.0,
    )
    stop = asyncio.Event()
    async with redis_client(redis_url) as client, aiohttp.ClientSession() as http:
        worker = RunningWorker(settings, client, http)
        await bundle_store.publish(client, bundle, worker.bundle_key)
        await worker.register(bundle)
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("bidder.port.main.LOOKUP_TIMEOUT_MS", lookup_timeout_ms)
            task = asyncio.create_task(serve(settings, ready.set_result, stop))
            await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        worker.port = await ready
        try:
            await worker.until_funded(bundle)
            yield worker
        finally:
            stop.set()
            await task


@contextlib.asynccontextmanager
async def running_events(redis_url: str, data_dir: Path) -> AsyncIterator[str]:
    """Serve the events port on any free port until the block ends; yields its URL."""
    settings = Settings(
        redis_url=redis_url,
        secret_file=str(ensure_secret_file(data_dir)),
        data_dir=str(data_dir),
        metrics_dir=str(data_dir / "metrics"),
        events_port=0,
        drain_seconds=0.0,
    )
    stop = asyncio.Event()
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve_events(settings, ready.set_result, stop))
    await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    try:
        yield f"http://127.0.0.1:{await ready}"
    finally:
        stop.set()
        await task
