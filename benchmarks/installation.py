"""One bid worker with everything on, as it runs in production, for a benchmark to load.

    async with installation(config, people_count, folder, redis_url) as installed: ...

Redis holds the config, the people with their segments and caps, and an open ledger for every campaign.
There is no controller, so this process publishes a pacing plan every few seconds: without one a worker
stops bidding. The plan has multipliers below one, and shades.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import redis.asyncio

from benchmarks.sample_config import sample_plan, sample_shading, segment_names
from benchmarks.sample_traffic import People, sample_people
from config import bundle_store
from config.embedded_server import EmbeddedServer
from config.limits import STORE_PIPELINE_COMMANDS_MAX
from config.schema import Bundle, code_of
from config.settings import Settings, ensure_secret_file, load_secrets
from pacing import plan as pacing_plan
from pacing.ledger import Ledger
from pacing.plan import Plan
from pacing.shading import publish_shading
from segments.identity import Identity
from segments.location import caps_key
from segments.registry import SegmentRegistry
from segments.store import SegmentStore

EVENTS_URL = "https://events.benchmark.example"
PLAN_SECONDS = 5.0


class Installation(msgspec.Struct, frozen=True):
    """What a worker needs to be started with, and what it will read."""

    settings: Settings
    config: Bundle
    people: People
    plan: Plan
    identity: Identity


@contextlib.asynccontextmanager
async def installation(
    config: Bundle, people_count: int, folder: Path, redis_url: str | None
) -> AsyncIterator[Installation]:
    """Fill a Redis, and keep the plan fresh until the block ends.

    The files go into an existing folder. Without a URL, which must be of an empty Redis, a private
    server is started.
    """
    with contextlib.ExitStack() as closing:
        if redis_url is None:
            redis_url = closing.enter_context(EmbeddedServer.start(folder / "valkey", durable=False)).url
        async with _filled(config, people_count, folder, redis_url) as installed:
            yield installed


@contextlib.asynccontextmanager
async def _filled(
    config: Bundle, people_count: int, folder: Path, redis_url: str
) -> AsyncIterator[Installation]:
    metrics_dir = folder / "metrics"
    metrics_dir.mkdir()
    settings = Settings(
        redis_url=redis_url,
        secret_file=str(ensure_secret_file(folder)),
        data_dir=str(folder),
        metrics_dir=str(metrics_dir),
        bid_port=0,
        events_url=EVENTS_URL,
    )
    keys = load_secrets(Path(settings.secret_file))
    identity = Identity(keys.identity_key)
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        people = await settle_people(client, config, people_count, identity)
        await _open_accounts(client, config)
        await bundle_store.publish(client, config, keys.bundle_key)
        plan = sample_plan(config, time.time())
        await publish_shading(client, sample_shading(config))
        await pacing_plan.publish(client, plan)
        publisher = asyncio.create_task(_publish_forever(client, plan))
        try:
            yield Installation(settings, config, people, plan, identity)
        finally:
            publisher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await publisher


async def settle_people(
    client: redis.asyncio.Redis, config: Bundle, people_count: int, identity: Identity
) -> People:
    """Write people with their segments and caps into a Redis that knows no segments yet."""
    names = segment_names(len(config.segments))
    indices = await SegmentRegistry(client).define(dict.fromkeys(names, ""))
    codes = [code_of(campaign.id) for a in config.advertisers for campaign in a.campaigns]
    people = sample_people(people_count, indices, identity, codes, int(time.time()))
    await SegmentStore(client).write(people.hashes, people.bits, people.expiry_day)
    strings = list(people.caps.items())
    for start in range(0, len(strings), STORE_PIPELINE_COMMANDS_MAX):
        pipeline = client.pipeline(transaction=False)
        for user_hash, value in strings[start : start + STORE_PIPELINE_COMMANDS_MAX]:
            pipeline.set(caps_key(user_hash), value)
        await pipeline.execute()
    return people


async def _open_accounts(client: redis.asyncio.Redis, config: Bundle) -> None:
    ledger = Ledger(client)
    for campaign in config.campaigns_by_code().values():
        await ledger.open(campaign)


async def _publish_forever(client: redis.asyncio.Redis, plan: Plan) -> None:
    while True:
        await asyncio.sleep(PLAN_SECONDS)
        plan = msgspec.structs.replace(plan, version=plan.version + 1, made_at_s=time.time())
        await pacing_plan.publish(client, plan)
