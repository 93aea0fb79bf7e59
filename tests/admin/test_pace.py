"""Spend against plan, as it is written down while an engine runs."""

import asyncio
import logging
from pathlib import Path

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from bidder.admin.pace import PaceRecord, pace_of
from bidder.admin.snapshot import Watcher
from config.calendar import local_day
from config.money import BILLION
from config.schema import Bundle, code_of
from pacing.delivery import PLAN, WINDOW_SPENT, delivered_hours
from pacing.ledger import Ledger
from pacing.plan import CampaignPlan
from tests.events.factories import BID_MINUTE, CAMPAIGN, CLOCK_S, OWNER, bundle
from tests.waiting import SECONDS_MAX

CODE = code_of(CAMPAIGN)
TODAY = local_day(CLOCK_S, "UTC")


async def registered(client: redis.asyncio.Redis, config: Bundle) -> Ledger:
    ledger = Ledger(client)
    (campaign,) = config.campaigns_by_code().values()
    budget = campaign.budget
    await ledger.register(CODE, CAMPAIGN, budget.total, budget.daily, campaign.time_zone)
    await ledger.settle(CODE, OWNER, BID_MINUTE, 0, BILLION, BILLION, TODAY, 0, {})
    return ledger


async def test_it_is_written_down_while_the_process_runs(
    redis_client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    config = bundle()
    ledger = await registered(redis_client, config)
    watcher = Watcher(redis_client, ledger, tmp_path, config, clock=lambda: CLOCK_S)
    stop = asyncio.Event()
    running = asyncio.create_task(PaceRecord(redis_client).run(stop, watcher, ledger))
    async with asyncio.timeout(SECONDS_MAX):
        while not (hours := await delivered_hours(redis_client, CODE, [TODAY])) or PLAN not in hours[-1].sums:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    stop.set()
    await running
    assert hours[-1].sums[WINDOW_SPENT] == BILLION
    assert 0 < hours[-1].sums[PLAN] <= 10 * BILLION


async def test_the_controllers_word_counts_for_its_own_window_alone(
    redis_client: redis.asyncio.Redis,
) -> None:
    config = bundle()
    account = await (await registered(redis_client, config)).account(CODE)
    assert account is not None
    (campaign,) = config.campaigns_by_code().values()
    by_schedule = pace_of(campaign, account, CLOCK_S)
    assert by_schedule is not None
    decided = CampaignPlan(1, share_millionths=250_000, window_s=by_schedule.start_s)
    by_plan = pace_of(campaign, account, CLOCK_S, decided)
    assert by_plan is not None
    assert (by_plan.budget, by_plan.planned) == (10 * BILLION, 10 * BILLION // 4)
    of_yesterday = CampaignPlan(1, share_millionths=250_000, window_s=by_schedule.start_s - 86_400)
    assert pace_of(campaign, account, CLOCK_S, of_yesterday) == by_schedule


async def test_without_redis_it_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client = redis.asyncio.Redis.from_url("redis://127.0.0.1:1/0", retry=Retry(NoBackoff(), 0))
    ledger, stop = Ledger(client), asyncio.Event()
    watcher = Watcher(client, ledger, tmp_path, bundle())
    running = asyncio.create_task(PaceRecord(client).run(stop, watcher, ledger))
    async with asyncio.timeout(SECONDS_MAX):
        while "was not written down" not in caplog.text:  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0.01)
    assert not running.done()
    stop.set()
    await running
    await client.aclose()
