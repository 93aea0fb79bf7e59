"""The global stop, as a running worker obeys it."""

import asyncio
import json
from pathlib import Path

import redis.asyncio

from bidder.decision.reasons import Reason
from bidder.openrtb.no_bid import NBR_OWN
from config.redis_keys import STOP
from config.schema import ExchangeProfile
from pacing import stop as global_stop
from pacing.stop import Stop
from tests import factories
from tests.running import RunningWorker, running_worker
from tests.waiting import SECONDS_MAX


async def until_bids(worker: RunningWorker, wanted: bool) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while bool(await worker.bids(factories.bid_request())) is not wanted:
            pass


async def test_a_stop_holds_all_bids_until_it_is_lifted(
    redis_url: str, redis_client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    bundle = factories.bundle()
    async with running_worker(redis_url, bundle, tmp_path) as worker:
        await worker.until_funded(bundle)
        await until_bids(worker, True)
        await global_stop.put(redis_client, Stop("ann", 1.0))
        await until_bids(worker, False)
        await global_stop.lift(redis_client)
        await until_bids(worker, True)


async def test_a_worker_that_starts_in_a_stop_never_bids_even_if_it_cannot_read_it(
    redis_url: str, redis_client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    bundle = factories.bundle()
    await redis_client.set(STOP, b"of another release")
    async with running_worker(redis_url, bundle, tmp_path) as worker:
        await worker.until_funded(bundle)
        for _ in range(20):
            assert await worker.bids(factories.bid_request()) == []
        assert await redis_client.exists(STOP)
        await global_stop.lift(redis_client)
        await until_bids(worker, True)


async def test_a_request_is_told_and_counted_as_stopped(
    redis_url: str, redis_client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    bundle = factories.bundle(exchanges=[ExchangeProfile(id="plain", no_bid="reason")])
    await global_stop.put(redis_client, Stop("ann", 1.0))
    async with running_worker(redis_url, bundle, tmp_path) as worker:
        await worker.until_funded(bundle)
        status, body = await worker.ask(factories.bid_request())
        assert (status, json.loads(body)["nbr"]) == (200, NBR_OWN + Reason.STOPPED)
