"""A worker and the age of the pacing plan it finds."""

import time
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from config.limits import PLAN_STALE_SECONDS_MAX
from pacing.lease import LeaseBook
from pacing.plan import Plan, publish
from tests import factories
from tests.port.test_stop import until_bids
from tests.running import running_worker


async def test_a_worker_that_finds_an_old_plan_bids_when_a_new_one_comes(
    redis_url: str, redis_client: redis.asyncio.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish_sync = LeaseBook.finish_sync
    syncs: list[bool] = []

    def watched(book: LeaseBook, *arguments: Any) -> Any:
        short = finish_sync(book, *arguments)
        syncs.append(bool((book.available > 0).any()))
        return short

    # A worker waits for other answers after a sync, and bids meanwhile if that leaves it anything.
    monkeypatch.setattr(LeaseBook, "finish_sync", watched)
    bundle = factories.bundle()
    old_s = time.time() - PLAN_STALE_SECONDS_MAX - 1
    await publish(redis_client, Plan(made_at_s=old_s, version=7))
    async with running_worker(redis_url, bundle, tmp_path) as worker:
        await worker.until_funded(bundle)
        for _ in range(20):
            assert await worker.bids(factories.bid_request()) == []
        assert syncs
        assert not any(syncs)
        await publish(redis_client, Plan(made_at_s=time.time(), version=8))
        await until_bids(worker, True)
