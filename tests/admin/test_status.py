"""/status.json: the engine at a glance, over real HTTP, a real Redis and real metric files."""

import asyncio
from pathlib import Path

import msgspec
import pytest
import redis.asyncio
from msgspec.structs import replace

from bidder.admin.status import CampaignStatus, LineItemStatus, Status, abridged
from config.money import BILLION, Money
from config.schema import LineItemBudget, account_code
from pacing import stop as global_stop
from pacing.stop import Stop
from tests.admin.conftest import AdminPort, admin_port, run_worker
from tests.admin.shop import FIRST_WORKER, SECOND_WORKER, spend
from tests.events.factories import BID_MINUTE, CLOCK_S, bundle


async def test_the_status_adds_up_processes_and_ledger(port: AdminPort, metrics_dir: Path) -> None:
    await asyncio.to_thread(run_worker, metrics_dir, FIRST_WORKER)
    await asyncio.to_thread(run_worker, metrics_dir, SECOND_WORKER)
    await spend(port)
    status = await port.status()
    counts = {name: status[name] for name in ("requests", "bids", "wins", "impressions", "clicks")}
    assert counts == {"requests": 50, "bids": 42, "wins": 7, "impressions": 6, "clicks": 1}
    assert status["no_bid_reasons"] == {"audience": 12, "budget": 5}
    assert status["lookup_failures"] == {"timeout": 2}
    assert status["trouble"] == {"notices forged": 4, "look-ups timeout": 2}
    assert 3 < status["latency_ms"]["p50"] < 4
    assert status["spent"] == "2.500000001"
    (campaign,) = status["campaigns"]
    assert campaign["multiplier"] == 0.25
    money = {name: campaign[name] for name in ("budget", "daily_budget", "spent", "spent_today")}
    assert money == {
        "budget": "100",
        "daily_budget": "10",
        "spent": "2.500000001",
        "spent_today": "2.500000001",
    }
    # Its bills are of an earlier hour.
    assert (campaign["hourly_budget"], campaign["spent_this_hour"]) == (None, "0")
    assert campaign["line_items"] == []
    assert (status["currency"], status["config_version"]) == ("USD", "v1")
    assert (status["redis"]["nodes"], status["redis"]["evicts"]) == (1, False)
    pace = campaign["pace"]
    assert (pace["budget"], pace["spent"], pace["spent_share"]) == ("10", "2.500000001", 0.25)
    # Even, of today: as much as the day has come.
    day_share = CLOCK_S % 86_400 / 86_400
    assert day_share <= pace["planned_share"] <= min(day_share * 1.05, 1)
    assert float(pace["planned"]) == pytest.approx(10 * pace["planned_share"], abs=0.01)
    assert status["plan_age_s"] == CLOCK_S - BID_MINUTE * 60


async def test_a_line_item_with_a_budget_of_its_own_has_its_figures(
    redis_client: redis.asyncio.Redis, metrics_dir: Path
) -> None:
    config = bundle()
    (advertiser,) = config.advertisers
    (campaign,) = advertiser.campaigns
    (line_item,) = campaign.line_items
    own = replace(line_item, budget=LineItemBudget(total=Money(9 * BILLION)))
    budget = replace(campaign.budget, hourly=Money(2 * BILLION))
    campaign = replace(campaign, budget=budget, line_items=(own,))
    config = replace(config, advertisers=(replace(advertiser, campaigns=(campaign,)),))
    async with admin_port(redis_client, metrics_dir, config) as port:
        account = account_code(campaign.id, own.id)
        await port.ledger.register_line_item(account, own.id, 9 * BILLION, None, "UTC")
        await spend(port)
        status = await port.status()
    (row,) = status["campaigns"]
    assert row["hourly_budget"] == "2"
    assert row["line_items"] == [
        {
            "id": own.id,
            "budget": "9",
            "daily_budget": None,
            "spent": "0",
            "spent_today": "0",
            "leased": "0",
        }
    ]
    assert status["spent"] == "2.500000001", "what a line item spends is its campaign's"


async def test_a_stop_is_told_with_its_reason(port: AdminPort) -> None:
    await global_stop.put(port.client, Stop("ann", 5.0, "wrong creative"))
    assert (await port.status())["stopped"] == "ann: wrong creative"


async def test_the_dashboard_lists_the_campaigns_that_spend_most(port: AdminPort) -> None:
    rows = [
        CampaignStatus(
            id=f"c{spent}",
            name="",
            advertiser="shop",
            budget="9",
            daily_budget=None,
            spent=str(spent),
            spent_today=str(spent),
            leased="0",
            paused=paused,
            in_flight=True,
            pacing="even",
            pace=None,
            multiplier=None,
        )
        for spent, paused in ((3, False), (9, True), (1, False), (7, False))
    ]
    whole = msgspec.convert(await port.status(), Status)
    whole = msgspec.structs.replace(whole, campaigns=tuple(rows))
    few = abridged(whole, 2, 9)
    assert ([row.id for row in few.campaigns], few.campaigns_left_out) == (["c3", "c7"], 2)
    assert abridged(whole, 4, 9) == whole
    items = [
        LineItemStatus(id=f"i{n}", budget="9", daily_budget=None, spent=n, spent_today="0", leased="0")
        for n in ("4", "11", "2")
    ]
    crowded = msgspec.structs.replace(
        whole, campaigns=(msgspec.structs.replace(rows[0], line_items=tuple(items)),)
    )
    (row,) = abridged(crowded, 9, 2).campaigns
    assert ([item.id for item in row.line_items], row.line_items_left_out) == (["i4", "i11"], 1)


async def test_before_anything_happened_the_status_is_empty(
    redis_client: redis.asyncio.Redis, metrics_dir: Path
) -> None:
    async with admin_port(redis_client, metrics_dir, None) as port:
        status = await port.status()
        assert (status["requests"], status["campaigns"], status["spent"]) == (0, [], "0")
        assert status["latency_ms"] == {"p50": None, "p95": None, "p99": None}
        assert (status["plan_age_s"], status["audiences"], status["stopped"]) == (None, None, None)
        assert (await port.get("/metrics")).status == 200
