"""The events process: assembles the events port and serves it until told to stop.

Started by the supervisor as `python -m bidder.events.main` (`bidder.child` says how).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import redis

from bidder import child
from bidder.background import end_task, stopped_or_failed
from bidder.events.app import SHUTDOWN_SECONDS_MAX, events_app, take_leave
from bidder.events.directory import LiveDirectory
from bidder.events.intake import Intake
from bidder.events.links import Linker
from bidder.events.notices import NoticeDesk
from bidder.events.segment_rules import RuleBook
from bidder.events.spool import SPOOL_FOLDER, SpoolTakenError, left_behind, open_spools
from bidder.http_runner import http_runner
from bidder.listener import Listener, limited
from bidder.metrics import NOTICE_KEYS, note_refusal, notice_keys_number
from bidder.openrtb.notice_token import TokenReader
from bidder.redis_client import live_bundle, redis_client, server_life
from config import bundle_store
from config.limits import EVENTS_CONNECTIONS_MAX
from config.notice_keys import KeyFile, Keyring
from config.price_keys import load_price_keys
from config.settings import Settings, SettingsError, load_secrets
from pacing.ledger import Ledger
from segments.identity import Identity

KEYS_CHECK_SECONDS: Final = 1.0
"""Between two looks at the file of notice keys."""
ADOPTION_SECONDS: Final = 2.0
"""Between two looks for spools that belong to nobody."""
REPLAY_END_SECONDS_MAX: Final = 3.0
"""How long the notice that is being replayed may take to end when the process stops."""

logger = logging.getLogger("bidder.events.main")


async def serve(settings: Settings, announce_ready: Callable[[int], None], stop: asyncio.Event) -> None:
    """Serve the events port from start to stop; a `bidder.child.Serve`."""
    keys = load_secrets(Path(settings.secret_file))
    price_keys = load_price_keys(settings.price_keys_file)
    async with contextlib.AsyncExitStack() as closing:
        client = redis_client(settings.redis_url)
        closing.push_async_callback(client.aclose)
        bundle, away = None, False
        try:
            bundle = await live_bundle(client, keys.bundle_key)
        except redis.RedisError as error:
            # Notices come now, and can wait in the spool.
            logger.warning("Redis can't be used yet, notices go to the spool: %s", error)
            away = True
        directory = LiveDirectory(bundle, price_keys)
        identity = Identity(keys.identity_key)
        rules = RuleBook(client, identity)
        key_file = KeyFile(Path(settings.secret_file), keys.notice_key)
        tokens = TokenReader(_shown(key_file.read()))
        desk = NoticeDesk(client, Ledger(client), tokens, directory, rules)
        folder = Path(settings.data_dir) / SPOOL_FOLDER
        try:
            spools = await asyncio.to_thread(open_spools, folder)
        except SpoolTakenError as error:
            raise SettingsError(str(error)) from None
        for spool in spools:
            closing.callback(spool.close)

        async def is_at_home() -> bool:
            return bool(directory.current.version) or not await bundle_store.published_version(client)

        intake = Intake(desk, spools, is_at_home, lambda: server_life(client), away=away)
        app = events_app(desk, intake, directory, Linker(client, identity), rules)
        runner = http_runner(app, SHUTDOWN_SECONDS_MAX)
        await runner.setup()
        closing.push_async_callback(runner.cleanup)
        server = runner.server
        assert server is not None
        listener = await Listener.open(
            settings.events_host,
            settings.events_port,
            limited(server, lambda: len(server.connections), EVENTS_CONNECTIONS_MAX),
        )
        bundles = bundle_store.watch(
            client, directory.current.version, keys.bundle_key, on_refused=note_refusal
        )
        follower = asyncio.create_task(directory.follow(bundles))
        closing.push_async_callback(end_task, follower)
        # From the beginning: the registry may have to be waited for.
        ruler = asyncio.create_task(rules.follow(bundle_store.watch(client, "", keys.bundle_key)))
        closing.push_async_callback(end_task, ruler)
        replay = asyncio.create_task(intake.replay_until(stop))
        closing.push_async_callback(end_task, replay)
        adoption = asyncio.create_task(_adopt_forever(intake, folder, closing))
        closing.push_async_callback(end_task, adoption)
        rotation = asyncio.create_task(_follow_keys(key_file, tokens))
        closing.push_async_callback(end_task, rotation)
        announce_ready(listener.port)
        await stopped_or_failed(stop, follower, ruler, replay, adoption, rotation)
        await listener.close()
        await take_leave(runner, settings.drain_seconds)
        await asyncio.wait([replay], timeout=REPLAY_END_SECONDS_MAX)


def _shown(ring: Keyring) -> Keyring:
    NOTICE_KEYS.labels("events").set(notice_keys_number(ring))
    return ring


async def _follow_keys(key_file: KeyFile, tokens: TokenReader) -> None:
    """Accept the tokens of new keys as soon as the file has them."""
    while True:
        await asyncio.sleep(KEYS_CHECK_SECONDS)
        try:
            ring = key_file.read_if_changed()
        except SettingsError as error:
            logger.warning("the notice keys stay as they were: %s", error)
            continue
        if ring is not None:
            tokens.use(_shown(ring))


async def _adopt_forever(intake: Intake, folder: Path, closing: contextlib.AsyncExitStack) -> None:
    """Take over what a predecessor on this folder left behind, who may end only after this process began."""
    while True:
        await asyncio.sleep(ADOPTION_SECONDS)
        try:
            found = await asyncio.to_thread(left_behind, folder)
        except OSError as error:
            logger.warning("the spools in %s can't be looked at: %s", folder, error.strerror)
            continue
        for spool in found:
            closing.callback(spool.close)
        intake.adopt(found)


if __name__ == "__main__":
    child.run(serve)
