"""The admin process: the admin port, and this host's candidate for pacing controller and for keeper
of audiences.

Started by the supervisor as `python -m bidder.admin.main` (`bidder.child` says how). Every host may
run one; the controllers elect a leader among themselves (`pacing.controller`), and so do the keepers
(`bidder.admin.audience_keeper`).
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

import redis.asyncio

from bidder import child
from bidder.admin.access import only_by_address, only_with
from bidder.admin.app import admin_app
from bidder.admin.audience_keeper import AudienceKeeper
from bidder.admin.auditor import audit_until
from bidder.admin.pace import PaceRecord
from bidder.admin.pulse import Pulses
from bidder.admin.snapshot import Watcher
from bidder.admin.stream import Stream
from bidder.background import end_task, stopped_or_failed
from bidder.http_runner import http_runner
from bidder.listener import Listener, limited
from bidder.metrics import CONFIG_VERSION, WORKERS_WANTED, config_number, note_refusal
from bidder.redis_client import live_bundle, redis_client
from config import bundle_store
from config.limits import ADMIN_CONNECTIONS_MAX
from config.schema import Bundle
from config.settings import Role, Settings, load_admin_token, load_secrets
from pacing.controller import Controller
from pacing.ledger import Ledger, LedgerError
from pacing.reaper import reap_until

SHUTDOWN_SECONDS_MAX = 2.0
RESIGN_SECONDS_MAX = 5.0

logger = logging.getLogger("bidder.admin.main")


async def serve(settings: Settings, announce_ready: Callable[[int], None], stop: asyncio.Event) -> None:
    """Serve the admin port and pace campaigns from start to stop; a `bidder.child.Serve`."""
    async with contextlib.AsyncExitStack() as closing:
        client = redis_client(settings.redis_url)
        closing.push_async_callback(client.aclose)
        bundle_key = load_secrets(Path(settings.secret_file)).bundle_key
        bundle = await live_bundle(client, bundle_key)
        ledger = Ledger(client)
        watcher = Watcher(client, ledger, _metrics_dir(settings), bundle)
        pulses = Pulses(watcher.metrics)
        stream = Stream(watcher, pulses)
        app = admin_app(watcher, stream)
        if settings.admin_token_file:
            app.middlewares.append(only_with(load_admin_token(Path(settings.admin_token_file))))
        else:
            app.middlewares.append(only_by_address())
        runner = http_runner(app, SHUTDOWN_SECONDS_MAX)
        await runner.setup()
        closing.push_async_callback(runner.cleanup)
        server = runner.server
        assert server is not None
        listener = await Listener.open(
            settings.admin_host,
            settings.admin_port,
            limited(server, lambda: len(server.connections), ADMIN_CONNECTIONS_MAX),
        )
        controller = Controller(client, ledger, f"{socket.gethostname()}-{os.getpid()}")
        changed = asyncio.Event()
        follower = asyncio.create_task(_follow(watcher, client, bundle_key, changed))
        closing.push_async_callback(end_task, follower)
        keeper = AudienceKeeper(client, f"{socket.gethostname()}-{os.getpid()}")
        keeping = asyncio.create_task(keeper.run(stop, lambda: watcher.bundle))
        closing.push_async_callback(end_task, keeping)
        pacing = asyncio.create_task(_pace(watcher, controller, changed, stop))
        closing.push_async_callback(end_task, pacing)
        reaping = asyncio.create_task(reap_until(stop, ledger, lambda: watcher.bundle))
        closing.push_async_callback(end_task, reaping)
        auditing = asyncio.create_task(audit_until(stop, client, ledger))
        closing.push_async_callback(end_task, auditing)
        counting = asyncio.create_task(pulses.run(stop))
        closing.push_async_callback(end_task, counting)
        showing = asyncio.create_task(stream.run(stop))
        closing.push_async_callback(end_task, showing)
        recording = asyncio.create_task(PaceRecord(client).run(stop, watcher, ledger))
        closing.push_async_callback(end_task, recording)
        WORKERS_WANTED.set(settings.workers if Role.BID in settings.roles else 0)
        announce_ready(listener.port)
        beside = (follower, pacing, keeping, reaping, auditing, counting, showing, recording)
        await stopped_or_failed(stop, *beside)
        await listener.close()
        # The controller gives up its lease, so that another host takes over at once.
        stop.set()
        changed.set()
        await asyncio.wait([pacing], timeout=RESIGN_SECONDS_MAX)


def _metrics_dir(settings: Settings) -> Path:
    folder = Path(settings.metrics_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def _follow(
    watcher: Watcher, client: redis.asyncio.Redis, bundle_key: bytes, changed: asyncio.Event
) -> None:
    seen_version = ""
    if watcher.bundle is not None:
        seen_version = watcher.bundle.version
        _swap(watcher, watcher.bundle, changed)
    async for newer in bundle_store.watch(client, seen_version, bundle_key, on_refused=note_refusal):
        _swap(watcher, newer, changed)


def _swap(watcher: Watcher, bundle: Bundle, changed: asyncio.Event) -> None:
    watcher.bundle = bundle
    CONFIG_VERSION.labels("admin").set(config_number(bundle.version))
    changed.set()


async def _pace(
    watcher: Watcher, controller: Controller, changed: asyncio.Event, stop: asyncio.Event
) -> None:
    def current() -> Bundle:
        assert watcher.bundle is not None, "pacing starts when there is a bundle, and bundles never go"
        return watcher.bundle

    await changed.wait()
    while not stop.is_set():
        changed.clear()
        try:
            await controller.run(stop, current, changed)
        except LedgerError as error:
            logger.error("pacing stands still until the config is mended: %s", error)
            await changed.wait()


if __name__ == "__main__":
    child.run(serve)
