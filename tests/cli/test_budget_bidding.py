"""What `hustings budget status` says of bids: won, paid against bid, goals, predictions against what came."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis as AsyncRedis
from typer.testing import CliRunner, Result

from bidder.cli.budget import app
from config.bundle_store import publish as publish_bundle
from config.calendar import local_day
from config.money import BILLION, CpmMicros, Money
from config.redis_keys import delivered, predicted
from config.schema import Bundle, Goal, code_of
from config.value import Rate
from pacing.prediction import Model, publish
from tests.factories import BUNDLE_KEY, advertiser, bundle, campaign, line_item

ZONE = "UTC"
SINCE_S = 1_771_372_800
"""2026-02-18 00:00 UTC."""
CLICKS, CONVERSIONS, FLAT, SEEN = "for-clicks", "for-conversions", "flat-price", "for-views"
PLAYED = "for-plays"
AIMED, PRICED = "aimed-at-clicks", "pays-for-events"


def config() -> Bundle:
    clicks = line_item(CLICKS, bid_cpm=None, bid_cpc=Money(BILLION // 2), bid_cpm_max=CpmMicros(9_000_000))
    conversions = line_item(
        CONVERSIONS,
        bid_cpm=None,
        bid_cpa=Money(12 * BILLION),
        bid_cpm_max=CpmMicros(9_000_000),
        expected_rate=Rate(100_000),
    )
    played = line_item(PLAYED, bid_cpm=None, bid_cpcv=Money(BILLION // 50), bid_cpm_max=CpmMicros(30_000_000))
    seen = line_item(SEEN, bid_cpm=None, bid_vcpm=CpmMicros(4_000_000))
    goal = Goal(type="cpc", target=Money(BILLION * 2 // 5))
    return bundle(
        advertiser(
            campaigns=[
                campaign(PRICED, [clicks, conversions, seen, played], time_zone=ZONE),
                campaign(AIMED, [line_item(FLAT)], goal=goal, time_zone=ZONE),
                campaign("plain", [line_item("nothing-special")], time_zone=ZONE),
            ]
        )
    )


async def happened(client: AsyncRedis, campaign_id: str, line_item_id: str, day: int, **sums: int) -> None:
    for what, amount in sums.items():
        await client.hincrby(delivered(code_of(campaign_id), day), what, amount)
        await client.hincrby(delivered(code_of(campaign_id), day), f"{code_of(line_item_id)} {what}", amount)


async def was_predicted(
    client: AsyncRedis, campaign_id: str, line_item_id: str, day: int, event: str, *sums: int
) -> None:
    for what, amount in zip(("impressions", "predicted", "came"), sums, strict=True):
        field = f"{code_of(line_item_id)} {event} {what}"
        await client.hincrby(predicted(code_of(campaign_id), day), field, amount)


async def set_up(client: AsyncRedis) -> None:
    await publish_bundle(client, config(), BUNDLE_KEY)
    today = local_day(int(time.time()), ZONE)
    for day in (today, today - 6, today - 7):
        cost = {"spent": 40 * 2_100_000, "offered": 40 * 3_500_000}
        await happened(client, PRICED, CLICKS, day, bids=200, bills=40, clicks=2, **cost)
        await was_predicted(client, PRICED, CLICKS, day, "click", 1_000, 3 * BILLION, 2)
    await was_predicted(client, PRICED, CONVERSIONS, today, "conversion", 1_000, BILLION // 10, 0)
    await was_predicted(client, PRICED, PLAYED, today, "completion", 1_000, 600 * BILLION, 850)
    await happened(client, AIMED, FLAT, today, bids=10, bills=10, clicks=2, spent=BILLION, offered=BILLION)
    await publish(client, Model(version=12, made_at_s=SINCE_S, events={}, since_s={"conversion": SINCE_S}))


def with_redis(url: str, work: Callable[[AsyncRedis], Awaitable[None]]) -> None:
    async def connected() -> None:
        async with AsyncRedis.from_url(url) as client:
            await work(client)

    asyncio.run(connected())


def status(url: str, *options: str) -> Result:
    result = CliRunner().invoke(app, ["status", "--redis", url, *options], env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def live(redis_url: str) -> str:
    with_redis(redis_url, set_up)
    return redis_url


def test_bids_of_the_last_days_for_a_program(live: str) -> None:
    bidding = json.loads(status(live, "--json").stdout)["bidding"]
    assert (bidding["days"], bidding["model_version"]) == (7, 12)
    assert bidding["models"] == [
        {"event": "click", "live": False, "since": None},
        {"event": "conversion", "live": False, "since": "2026-02-18T00:00:00+00:00"},
        {"event": "completion", "live": False, "since": None},
    ]
    priced, aimed, plain = bidding["campaigns"]
    won = {"bids": 400, "billed": 80, "win_rate": 0.2, "bid_cpm": "3.5", "paid_cpm": "2.1"}
    assert (priced["auctions"], priced["goal"]) == (won, None)
    clicks, conversions, seen, played = priced["line_items"]
    assert clicks == {
        "line_item": CLICKS,
        "auctions": won,
        "pays_for": "click",
        "price": "0.5",
        "cost": "0.042",
        "predicts": "click",
        "rate_by": "usual",
        "predicted_rate": 0.003,
        "observed_rate": 0.002,
        "calibration": 1.5,
    }
    assert (conversions["rate_by"], conversions["predicted_rate"]) == ("config", 0.0001)
    assert (conversions["calibration"], conversions["cost"]) == (None, None)
    assert (seen["pays_for"], seen["price"], seen["rate_by"]) == ("view", "4", "exchange")
    assert (played["rate_by"], played["predicted_rate"], played["observed_rate"]) == ("exchange", None, 0.85)
    assert aimed["goal"] == {"type": "cpc", "target": "0.4", "cost": "0.5"}
    assert aimed["line_items"][0]["predicts"] == "click"
    assert plain["line_items"][0]["predicts"] is None
    assert plain["auctions"] == dict.fromkeys(("win_rate", "bid_cpm", "paid_cpm")) | {"bids": 0, "billed": 0}


def test_other_days_can_be_asked_for(live: str) -> None:
    of_days = {
        days: json.loads(status(live, "--json", "--days", str(days)).stdout)["bidding"]["campaigns"][0]
        for days in (1, 8)
    }
    assert {days: of["auctions"]["bids"] for days, of in of_days.items()} == {1: 200, 8: 600}


def test_the_tables_fit_a_hundred_columns(live: str) -> None:
    shown = status(live).stdout
    assert "bids of the last 7 days" in shown
    assert max(len(line) for line in shown.splitlines()) <= 100
    rows = {line.split()[0]: line.split() for line in shown.splitlines() if line.strip()}
    assert rows[PLAYED][1:] == ["$0.02/play", "–", "–", "–", "–", "exchange", "85.0%", "–"]
    assert rows[CLICKS][1:] == ["$0.50/click", "$0.04", "20.0%", "$3.50", "$2.10", "0.300%", "0.200%", "1.50"]
    assert rows[SEEN][1] == "$4.00/vCPM"
    assert "exchange" in rows[SEEN]
    assert rows[FLAT][-3:] == ["–", "–", "–"]
    assert "nothing-special" not in shown, "its price depends on no rate"
    assert "conversions by expected or usual rates since 2026-02-18 00:00 UTC" in " ".join(shown.split())
