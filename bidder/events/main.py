"""The events process: assembles the events port and serves it until told to stop.

Started by the supervisor as `python -m bidder.events.main` (`bidder.child` says how).
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import redis.asyncio
from aiohttp import web

from bidder import child
from bidder.events.app import events_app, web_runner
from bidder.events.background import end_task, stopped_or_failed
from bidder.events.directory import LiveDirectory
from bidder.events.notices import NoticeDesk
from bidder.openrtb.notice_token import TokenSigner
from config import bundle_store
from config.settings import Settings, SettingsError, load_secrets
from pacing.ledger import Ledger

REDIS_CONNECTIONS_MAX = 32
"""Notices past this many at one time wait for a connection."""
REDIS_TIMEOUT_SECONDS = 2.0
"""Exchanges call a slow notice again; a Redis slower than this is answered 503."""


async def serve(settings: Settings, announce_ready: Callable[[int], None], stop: asyncio.Event) -> None:
    """Serve the events port from start to stop; a `bidder.child.Serve`."""
    signer = TokenSigner(load_secrets(Path(settings.secret_file)).notice_key)
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        settings.redis_url,
        max_connections=REDIS_CONNECTIONS_MAX,
        timeout=REDIS_TIMEOUT_SECONDS,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
    )
    async with contextlib.AsyncExitStack() as closing:
        client = redis.asyncio.Redis.from_pool(pool)
        closing.push_async_callback(client.aclose)
        try:
            bundle = await bundle_store.fetch(client)
        except bundle_store.BundleUnreadableError as error:
            raise SettingsError(str(error)) from None
        directory = LiveDirectory(bundle)
        desk = NoticeDesk(client, Ledger(client), signer, directory)
        runner = web_runner(events_app(desk, directory))
        await runner.setup()
        closing.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, settings.events_host, settings.events_port).start()
        bundles = bundle_store.watch(client, directory.current.version)
        follower = asyncio.create_task(directory.follow(bundles))
        closing.push_async_callback(end_task, follower)
        announce_ready(runner.addresses[0][1])
        await stopped_or_failed(stop, follower)


if __name__ == "__main__":
    child.run(serve)
