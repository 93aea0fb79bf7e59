"""The bids a worker reports: all of them, a few line items at a time, and a worker's own at its end."""

import time
from pathlib import Path

import pytest
import redis.asyncio

from bidder.port import bid_reports
from bidder.port.bid_reports import BidReports
from bidder.redis_client import redis_client as client_of
from config.calendar import local_day
from config.schema import code_of
from pacing.delivery import delivered_days
from tests.factories import bid_request, bundle
from tests.running import running_worker

CODE, ITEM = code_of("campaign-1"), code_of("line-1")
NOW_S = 1_772_000_000.0
CAMPAIGNS = bundle().campaigns_by_code()
TODAY = local_day(int(NOW_S), "UTC")


async def test_line_items_take_turns_and_none_is_lost(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bid_reports, "DELIVERY_CALLS_PER_TICK_MAX", 2)
    reports = BidReports(redis_client)
    reports.add({(CODE, 1): 5, (CODE, 2): 1, (CODE, 3): 7})

    async def reported() -> dict[int, int]:
        days = await delivered_days(redis_client, CODE, [TODAY])
        return {item: sums["bids"] for day in days for item, sums in day.line_items.items()}

    await reports.send(CAMPAIGNS, NOW_S)
    assert await reported() == {1: 5, 2: 1}
    # The first comes again, and waits for the third.
    reports.add({(CODE, 1): 1})
    reports.add({(CODE, 2): 1})
    await reports.send(CAMPAIGNS, NOW_S)
    assert await reported() == {1: 6, 2: 1, 3: 7}
    await reports.send_all(CAMPAIGNS, NOW_S)
    assert await reported() == {1: 6, 2: 2, 3: 7}
    (day,) = await delivered_days(redis_client, CODE, [TODAY])
    assert day.sums == {"bids": 15}


async def test_a_worker_reports_every_bid_before_it_ends(redis_url: str, tmp_path: Path) -> None:
    async with running_worker(redis_url, bundle(), tmp_path) as worker:
        for _ in range(3):
            assert len(await worker.bids(bid_request())) == 1
        today = local_day(int(time.time()), "UTC")
    async with client_of(redis_url) as client:
        # The run may have crossed midnight.
        days = await delivered_days(client, CODE, [today, today + 1])
    assert sum(day.sums["bids"] for day in days) == 3
    assert sum(day.line_items[ITEM]["bids"] for day in days) == 3
