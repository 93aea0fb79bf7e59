"""The processes of an engine, and a browser that watches them: from a bid to the picture and the report."""

import asyncio
import time
from pathlib import Path

import aiohttp
import msgspec
import redis.asyncio

from bidder.campaign_report import take_report
from config import bundle_store
from tests.browser.chromium import Browser
from tests.browser.test_dashboard import texts
from tests.events.processes import bundle_key, child, settings
from tests.factories import advertiser, bid_request, bundle, campaign
from tests.waiting import SECONDS_MAX

CONFIG = bundle(advertiser("shop", [campaign("harvest", name="Harvest days")], name="Hilltop Books"))


async def test_what_a_worker_bids_is_on_the_page_and_in_the_report(
    browser: Browser, redis_client: redis.asyncio.Redis, redis_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "engine"
    folder.mkdir()
    given = settings(redis_url, folder)
    await bundle_store.publish(redis_client, CONFIG, bundle_key(given))
    with child("bidder.admin.main", given) as admin, child("bidder.port.main", given) as worker:
        admin_port = await asyncio.to_thread(admin.wait_until_ready)
        bid_port = await asyncio.to_thread(worker.wait_until_ready)
        page = await browser.page()
        await page.open(f"http://127.0.0.1:{admin_port}/")
        await page.until("document.getElementById('state-text').textContent === 'ready'")
        assert await page.value(texts("#campaigns th")) == ["Harvest daysHilltop Books · as soon as possible"]
        bids = 0
        async with aiohttp.ClientSession() as session, asyncio.timeout(SECONDS_MAX):
            while bids < 5:
                url = f"http://127.0.0.1:{bid_port}/bid/plain"
                async with session.post(url, data=msgspec.json.encode(bid_request())) as answer:
                    bids += answer.status == 200
        # The second figure of that list is bids.
        await page.until(f"document.querySelectorAll('#since dd')[1]?.textContent === '{bids}'")
        assert await page.value("document.querySelectorAll('#workers th').length") == 1
        assert page.faults == []
        worker.terminate()
        assert (await asyncio.to_thread(worker.end))[0] == 0
        admin.terminate()
        assert (await asyncio.to_thread(admin.end))[0] == 0
    report = await take_report(redis_client, CONFIG, ["harvest"], int(time.time()), 2)
    assert report.campaigns[0].figures.bids == bids
