"""The audit that runs in the admin process, as its metrics tell of it."""

import asyncio

import pytest
import redis.asyncio
from prometheus_client import REGISTRY

from bidder.admin.auditor import audit_once, audit_until
from config import redis_keys
from config.money import BILLION
from pacing.ledger import Ledger
from tests.waiting import SECONDS_MAX

CODE = 0xABCDEF


def mismatch() -> float | None:
    return REGISTRY.get_sample_value("hustings_ledger_mismatch", {"campaign": "audited"})


async def test_a_mismatch_is_a_metric_and_a_line_of_the_log(
    redis_client: redis.asyncio.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(redis_client)
    await ledger.register(CODE, "audited", 10 * BILLION, None, "UTC")
    await audit_once(redis_client, ledger, 5_000.0)
    assert (mismatch(), caplog.text) == (0.0, "")
    await redis_client.hincrby(redis_keys.ledger(CODE), "spent", BILLION // 2)
    await audit_once(redis_client, ledger, 5_060.0)
    assert mismatch() == 0.5
    assert "audited says 0.5 is spent, and its bills come to 0" in caplog.text
    assert REGISTRY.get_sample_value("hustings_ledger_audited_timestamp_seconds") == 5_060.0


async def test_without_redis_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    client = redis.asyncio.Redis.from_url("redis://127.0.0.1:1/0")
    stop = asyncio.Event()
    task = asyncio.create_task(audit_until(stop, client, Ledger(client)))
    async with asyncio.timeout(SECONDS_MAX):
        while "the ledger can't be audited" not in caplog.text:  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0.01)
    assert not task.done()
    stop.set()
    await task
    await client.aclose()
