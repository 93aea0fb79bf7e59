"""The process of one bid worker: assembles the hot path and keeps it supplied.

    python -m bidder.port.main        started by the supervisor (`bidder.child`)

A new config is compiled aside and swapped in. On stop the port closes, what was taken is answered, and
unreserved leases go back.
"""

import asyncio
import contextlib
import gc
import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import redis
import redis.asyncio

from bidder import metrics
from bidder.background import end_task, stopped_or_failed
from bidder.child import run
from bidder.decision.columns import CandidateColumns
from bidder.decision.decide import Users, decide
from bidder.decision.schedule import active_ads
from bidder.decision.snapshot import Snapshot, compile_snapshot
from bidder.decision.traffic import count_matches
from bidder.listener import Listener, limited
from bidder.openrtb.opportunity import BannerShape, MediaOffer, Opportunity, Slot
from bidder.port.garbage import Garbage
from bidder.port.protocol import BidConnection, Connections
from bidder.port.worker import BidWorker, open_book
from bidder.redis_client import live_bundle, redis_client
from config import bundle_store
from config.compiled import compiled_once
from config.limits import BID_CONNECTIONS_MAX, DRAIN_SECONDS_MAX, IDLE_SECONDS_MAX, LOOKUP_TIMEOUT_MS
from config.schema import Bundle, Engine, ExchangeProfile
from config.settings import Settings, load_secrets
from pacing import prediction
from pacing import stop as global_stop
from pacing.caps import unpack_caps
from pacing.cells import cells_of
from pacing.ledger import Ledger
from pacing.ledger_clock import LedgerClock, elapsed_s
from pacing.pending import open_pending
from pacing.shading import shade_table
from segments.bitsets import unpack_users
from segments.lookup import UserLookup
from segments.registry import RegistryError, SegmentRegistry

_LOG = logging.getLogger("bidder.port.main")
SYNC_SECONDS = 0.5
HURRIED_SYNC_SECONDS = 0.1
HURRIED_SECONDS_MAX = 10.0
"""A worker that starts without money, because the controller is only opening the accounts, asks more often
than every SYNC_SECONDS, for as long as this."""
MODEL_POLL_SECONDS = 2.0
THREAD_SWITCH_SECONDS = 0.001
"""How long a config being compiled in its thread may keep the event loop waiting at a time."""

_NO_CONFIG = Bundle(version="", engine=Engine(), exchanges=(), segments=(), advertisers=())


async def serve(settings: Settings, announce_ready: Callable[[int], None], stop: asyncio.Event) -> None:
    """Run a worker until told to stop."""
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    async with contextlib.AsyncExitStack() as closing:
        keys = load_secrets(Path(settings.secret_file))
        client = redis_client(settings.redis_url)
        closing.push_async_callback(client.aclose)
        snapshot = await _compile(client, await live_bundle(client, keys.bundle_key) or _NO_CONFIG)
        warm_up()
        lookup = await UserLookup.connect(settings.redis_url, LOOKUP_TIMEOUT_MS)
        closing.push_async_callback(lookup.close)
        stop_seen = await global_stop.fetch(client)
        ledger, clock = Ledger(client), LedgerClock()
        owner = await ledger.new_owner()
        clock.anchor((await ledger.bulletin()).now_s, elapsed_s())
        stopped = stop_seen is not None
        worker = BidWorker(settings, keys, client, lookup, owner, clock, snapshot, stopped=stopped)
        closing.push_async_callback(worker.close)
        metrics.CONFIG_VERSION.labels("bid").set(metrics.config_number(snapshot.version))
        metrics.STOPPED.set(stopped)
        connections = Connections()
        listener = await Listener.open(
            settings.bid_host,
            settings.bid_port,
            limited(
                lambda: BidConnection(worker.bidder.submit, worker.bidder.is_ready, connections),
                lambda: len(connections),
                BID_CONNECTIONS_MAX,
            ),
        )
        garbage = Garbage()
        garbage.start(time.monotonic())
        closing.callback(garbage.stop)
        worker.heartbeat.start()
        closing.callback(worker.heartbeat.stop)
        ticks = asyncio.create_task(_tick_forever(worker, connections, garbage))
        closing.push_async_callback(end_task, ticks)
        config = asyncio.create_task(_follow_config(worker, client, keys.bundle_key, snapshot.version))
        closing.push_async_callback(end_task, config)
        predicting = asyncio.create_task(_follow_model(worker, client))
        closing.push_async_callback(end_task, predicting)
        holding = asyncio.create_task(_follow_stop(worker, client, stop_seen))
        closing.push_async_callback(end_task, holding)
        sampling = asyncio.create_task(worker.sample.run())
        closing.push_async_callback(end_task, sampling)
        announce_ready(listener.port)
        await stopped_or_failed(stop, ticks, config, predicting, holding, sampling)
        await listener.close()
        await connections.drain(settings.drain_seconds)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(worker.bidder.finish(), DRAIN_SECONDS_MAX)


def warm_up() -> None:
    """Compile the kernel, or load it from the cache, by deciding on one request."""
    exchange = ExchangeProfile(id="warm-up")
    snapshot = compile_snapshot(msgspec.structs.replace(_NO_CONFIG, exchanges=(exchange,)), {})
    columns = CandidateColumns(snapshot)
    slot = Slot("1", MediaOffer(banner=BannerShape(((300, 250),))), 0)
    columns.add(0, Opportunity("1", exchange.id, (slot,)), 0)
    nobody = unpack_users([None], snapshot.segment_words, 0)
    users = Users(nobody, np.zeros(1, np.bool_), np.zeros(1, np.uint64), *unpack_caps([None]))
    shading = shade_table({}, cells_of([exchange.id]))
    book = open_book(snapshot)
    active = active_ads(snapshot.schedule, 0)
    decide(snapshot, active, columns, users, shading, book, open_pending(), 0, 0)
    count_matches(snapshot, columns, users)


async def _tick_forever(worker: BidWorker, connections: Connections, garbage: Garbage) -> None:
    hurried_until_s = time.monotonic() + HURRIED_SECONDS_MAX
    while True:
        await worker.tick()
        garbage.tick(time.monotonic())
        connections.close_idle(time.monotonic_ns() - IDLE_SECONDS_MAX * 1_000_000_000)
        if not worker.has_money and time.monotonic() < hurried_until_s:
            await asyncio.sleep(HURRIED_SYNC_SECONDS)
        else:
            hurried_until_s = 0.0
            await asyncio.sleep(SYNC_SECONDS)


async def _follow_model(worker: BidWorker, client: redis.asyncio.Redis) -> None:
    version = 0
    while True:
        with contextlib.suppress(redis.RedisError):
            if await prediction.published_version(client) != version:
                model = await prediction.fetch(client)
                if model is not None:
                    await worker.predict_by(model)
                    version = model.version
        await asyncio.sleep(MODEL_POLL_SECONDS)


async def _follow_stop(worker: BidWorker, client: redis.asyncio.Redis, seen: global_stop.Stop | None) -> None:
    async for stop in global_stop.watch(client, seen):
        worker.hold(stop is not None)
        if stop is None:
            _LOG.warning("bidding goes on")
        else:
            _LOG.warning("bidding is stopped by %s: %s", stop.by, stop.reason)


async def _follow_config(
    worker: BidWorker, client: redis.asyncio.Redis, bundle_key: bytes, version: str
) -> None:
    bundles = bundle_store.watch(client, version, bundle_key, on_refused=metrics.note_refusal)
    async for bundle in bundles:
        try:
            snapshot = await _compile(client, bundle)
        except (redis.RedisError, RegistryError) as error:
            _LOG.error("config %s can't be used, the one before it stays live: %s", bundle.version, error)
            metrics.note_refusal("unusable")
            continue
        await worker.swap(snapshot)
        _LOG.info("config %s is live: %d ads", snapshot.version, len(snapshot.ads))


async def _compile(client: redis.asyncio.Redis, bundle: Bundle) -> Snapshot:
    indices = await SegmentRegistry(client).declare(bundle.segments)
    # Beside the loop: a large config takes longer to compile than a request may wait. Without the
    # collector, which would walk what is being built again and again; then out of its sight for good.
    gc.disable()
    try:
        return await asyncio.to_thread(compile_snapshot, bundle, indices)
    finally:
        gc.freeze()
        gc.enable()


if __name__ == "__main__":
    run(serve, prepare=partial(compiled_once, warm_up))
