"""A worker that serves the config of the checklist."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import redis

from tests.openrtb.checklist_config import SEGMENTS, checklist_bundle
from tests.running import RunningWorker, running_worker


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(
    redis_server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningWorker]:
    with redis.Redis.from_url(redis_server_url) as client:
        client.flushdb()
        async with running_worker(
            redis_server_url, checklist_bundle(), tmp_path_factory.mktemp("worker")
        ) as running:
            await running.put_in_segments("member", *SEGMENTS)
            yield running
        client.flushdb()
