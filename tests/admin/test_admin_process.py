"""The admin process as the supervisor runs it: it serves, and paces when it is elected."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
import redis.asyncio

from bidder.admin import main
from config import bundle_store, redis_keys
from config.schema import code_of
from pacing import plan
from pacing.ledger import Ledger
from tests.events.factories import CAMPAIGN, bundle
from tests.events.processes import bundle_key, child, settings
from tests.waiting import SECONDS_MAX

MODULE = "bidder.admin.main"


async def test_it_paces_the_config_that_arrives_and_hands_the_office_over_when_it_ends(
    redis_client: redis.asyncio.Redis, redis_url: str, tmp_path: Path
) -> None:
    given = settings(redis_url, tmp_path)
    with child(MODULE, given) as process:
        port = await asyncio.to_thread(process.wait_until_ready)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            async with session.get("/ready") as response:
                assert response.status == 503
            await bundle_store.publish(redis_client, bundle(), bundle_key(given))
            async with asyncio.timeout(SECONDS_MAX):
                while (live := await plan.fetch(redis_client)) is None:
                    pass
            assert live.campaigns.keys() == {code_of(CAMPAIGN)}
            assert await redis_client.exists(redis_keys.CONTROLLER_LEASE) == 1
            async with session.get("/metrics") as response:
                text = await response.text()
            assert f'hustings_campaign_budget{{advertiser="shop",campaign="{CAMPAIGN}"}} 100.0' in text
        account = await Ledger(redis_client).account(code_of(CAMPAIGN))
        assert account is not None
        process.terminate()
        status, errors = await asyncio.to_thread(process.end)
    assert (status, "Traceback" in errors) == (0, False)
    assert await redis_client.exists(redis_keys.CONTROLLER_LEASE) == 0


async def test_it_ends_with_its_supervisor_config_or_not(redis_url: str, tmp_path: Path) -> None:
    with child(MODULE, settings(redis_url, tmp_path)) as process:
        await asyncio.to_thread(process.wait_until_ready)
        process.close_stdin()
        status, errors = await asyncio.to_thread(process.end)
    assert (status, "Traceback" in errors) == (0, False)


async def test_it_waits_for_nothing_when_it_ends(
    redis_client: redis.asyncio.Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "RESIGN_SECONDS_MAX", 10 * SECONDS_MAX)
    given = settings(redis_url, tmp_path)
    await bundle_store.publish(redis_client, bundle(), bundle_key(given))
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    serving = asyncio.create_task(main.serve(given, ready.set_result, stop))
    async with asyncio.timeout(SECONDS_MAX):
        await ready
        while not await redis_client.exists(redis_keys.CONTROLLER_LEASE):
            pass
        stop.set()
        await serving
