"""Why campaigns did not bid, as a real worker samples it."""

import asyncio
import time
from pathlib import Path

import pytest
import redis.asyncio

from bidder.port import reason_sample
from config.calendar import local_day
from config.money import Money
from config.schema import Budget, FrequencyCap, Geo, Places, Targeting, code_of
from pacing.delivery import delivered_days
from tests.factories import advertiser, banner, bid_request, bundle, campaign, line_item
from tests.running import running_worker
from tests.waiting import SECONDS_MAX

INDIANA = Targeting(geo=Geo(include=Places(regions=("USA-IN",))))
CAMPAIGNS = [
    campaign("dearest", [line_item("dearest", cpm=9)]),
    campaign("cheaper", [line_item("cheaper", cpm=8)]),
    campaign("under-floor", [line_item("under-floor", cpm=0.4)]),
    campaign("elsewhere", [line_item("elsewhere", cpm=20, targeting=INDIANA)]),
    campaign("another-size", [line_item("another-size", cpm=20, creatives=("banner-728x90",))]),
    campaign("for-others", [line_item("for-others", cpm=20, audience="gardeners")]),
    campaign("for-known", [line_item("for-known", cpm=20, frequency_cap=FrequencyCap(per_day=1))]),
    campaign("broke", [line_item("broke", cpm=20)], budget=Budget(total=Money(1))),
    # Of several ads the one that comes furthest speaks.
    campaign(
        "mixed",
        [line_item("mixed-elsewhere", cpm=20, targeting=INDIANA), line_item("mixed-floor", cpm=0.3)],
    ),
    campaign("resting", [line_item("resting", cpm=20)], paused=True),
]
CONFIG = bundle(
    advertiser("shop", CAMPAIGNS, [banner(), banner("banner-728x90", 728, 90)]), segments=["gardeners"]
)
EXPECTED = {
    "dearest": "bid",
    "cheaper": "outranked",
    "under-floor": "below_floor",
    "elsewhere": "place",
    "another-size": "size",
    "for-others": "out_of_audience",
    "for-known": "capped",
    "broke": "no_budget",
    "mixed": "below_floor",
    "resting": "paused",
}


async def reasons(client: redis.asyncio.Redis) -> dict[str, dict[str, int]]:
    today = local_day(int(time.time()), "UTC")
    found: dict[str, dict[str, int]] = {}
    for one in CAMPAIGNS:
        for day in await delivered_days(client, code_of(one.id), [today - 1, today, today + 1]):
            for why, times in day.reasons.items():
                found.setdefault(one.id, {}).setdefault(why, 0)
                found[one.id][why] += times
    return found


async def test_each_campaign_gets_the_reason_of_its_furthest_ad(
    redis_client: redis.asyncio.Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reason_sample, "LOAD", 1.0)
    monkeypatch.setattr(reason_sample, "PAUSE_SECONDS_MIN", 0.0)
    # A request that names nobody, from Iowa.
    request = bid_request(user={}, device={"devicetype": 2, "geo": {"country": "USA", "region": "IA"}})
    async with running_worker(redis_url, CONFIG, tmp_path) as worker, asyncio.timeout(SECONDS_MAX):
        found: dict[str, dict[str, int]] = {}
        while not all(why in found.get(name, {}) for name, why in EXPECTED.items()):
            for _ in range(len(CAMPAIGNS)):
                await worker.bids(request)
            found = await reasons(redis_client)
    # The worker has sent the rest.
    found = await reasons(redis_client)
    # Nothing else was said, but for moments in which a lease was used up, and the next ad took its place.
    money = {"no_budget", "bid", "outranked"}
    for name, counted in found.items():
        expected = EXPECTED[name]
        assert counted.keys() <= {expected} | (money if expected in money else set()), name
    # They take turns: nobody is asked twice before everybody was asked once.
    turns = [sum(counted.values()) for counted in found.values()]
    assert max(turns) - min(turns) <= 1
