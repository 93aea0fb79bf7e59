"""The training process: this host's candidate for trainer of the predictions.

Started by the supervisor as `python -m bidder.training.main` (`bidder.child` says how), beside the admin
process. It serves no port. Until a config has something to learn, a price of clicks or conversions or
a goal of them, it holds none of what it takes to learn.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import redis.asyncio

from bidder import child
from bidder.background import end_task, stopped_or_failed
from bidder.metrics import CONFIG_VERSION, config_number, note_refusal
from bidder.redis_client import live_bundle, redis_client
from config import bundle_store
from config.schema import Bundle
from config.settings import Settings, load_secrets

NO_PORT = 0
RESIGN_SECONDS_MAX = 5.0


class _Config:
    """The live config, and the event that one came in which there is something to learn."""

    def __init__(self, bundle: Bundle | None) -> None:
        self.bundle: Bundle | None = None
        self.worth_learning = asyncio.Event()
        if bundle is not None:
            self.swap(bundle)

    def swap(self, bundle: Bundle) -> None:
        self.bundle = bundle
        CONFIG_VERSION.labels("training").set(config_number(bundle.version))
        if any(campaign.learns for campaign in bundle.campaigns_by_code().values()):
            self.worth_learning.set()


async def serve(settings: Settings, announce_ready: Callable[[int], None], stop: asyncio.Event) -> None:
    """Learn from start to stop; a `bidder.child.Serve`."""
    async with contextlib.AsyncExitStack() as closing:
        client = redis_client(settings.redis_url)
        closing.push_async_callback(client.aclose)
        bundle_key = load_secrets(Path(settings.secret_file)).bundle_key
        config = _Config(await live_bundle(client, bundle_key))
        following = asyncio.create_task(_follow(config, client, bundle_key))
        closing.push_async_callback(end_task, following)
        training = asyncio.create_task(_train(config, client, stop))
        closing.push_async_callback(end_task, training)
        announce_ready(NO_PORT)
        await stopped_or_failed(stop, following, training)
        stop.set()
        config.worth_learning.set()
        # The trainer gives up its lease, so that another host takes over at once.
        await asyncio.wait([training], timeout=RESIGN_SECONDS_MAX)


async def _follow(config: _Config, client: redis.asyncio.Redis, key: bytes) -> None:
    seen_version = config.bundle.version if config.bundle is not None else ""
    async for bundle in bundle_store.watch(client, seen_version, key, on_refused=note_refusal):
        config.swap(bundle)


async def _train(config: _Config, client: redis.asyncio.Redis, stop: asyncio.Event) -> None:
    await config.worth_learning.wait()
    if stop.is_set():
        return
    # It takes the compiler and its memory, which most installations need not spend.
    from bidder.training.trainer import Trainer

    await Trainer(client, f"{socket.gethostname()}-{os.getpid()}").run(stop, lambda: config.bundle)


if __name__ == "__main__":
    child.run(serve)
