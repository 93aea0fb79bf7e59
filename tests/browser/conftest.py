"""The dashboard of an engine that is at work, for a browser to look at, and where its pictures go."""

import asyncio
import itertools
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
import redis.asyncio

from config import bundle_store, redis_keys
from config.calendar import local_day
from config.money import BILLION, Money
from config.schema import Budget, Bundle, LineItemBudget, account_code, code_of
from pacing.ledger import Ledger
from segments.registry import Load, SegmentRegistry
from tests.admin.conftest import AdminPort, admin_port, run_worker
from tests.browser.chromium import Browser, chromium
from tests.deploy.repository import ROOT
from tests.events.factories import BID_MINUTE, CLOCK_S
from tests.factories import BUNDLE_KEY, advertiser, bundle, campaign, line_item

SCREENSHOTS_ENV = "HUSTINGS_SCREENSHOTS"
HOSTILE = '<img src=x onerror="document.title=1">'


@pytest.fixture
def screenshots() -> Path:
    """Where pictures are kept: a folder that git ignores, unless one is named."""
    return Path(os.environ.get(SCREENSHOTS_ENV) or ROOT / "build" / "screenshots")


@pytest_asyncio.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with chromium(tmp_path / "chromium") as running:
        yield running


def config() -> Bundle:
    names = ("Spring list", "Harvest days", "A long name that has to be broken somewhere on a phone", HOSTILE)
    campaigns = [
        campaign(
            f"campaign-{number}",
            [
                line_item(f"line-{number}", audience="gardeners and not newsletter"),
                *(
                    [line_item("own", budget=LineItemBudget(total=Money(20 * BILLION)))]
                    if number == 0
                    else []
                ),
            ],
            name=name,
            pacing="asap" if number == 2 else "even",
            paused=number == 1,
            budget=Budget(total=Money(1_000 * BILLION), daily=Money(40 * BILLION)),
        )
        for number, name in enumerate(names)
    ]
    return bundle(advertiser("shop", campaigns, name="Hilltop Books"), segments=["gardeners", "newsletter"])


def traffic(random_numbers: random.Random) -> str:
    """What a worker writes in two seconds, as Python."""
    requests = random_numbers.randint(900, 1_400)
    bids = int(requests * random_numbers.uniform(0.5, 0.7))
    counts = [0] * 18
    for _ in range(requests):
        counts[min(int(random_numbers.lognormvariate(1.1, 0.5)), 17)] += 1
    return (
        f'BID_REQUESTS.labels("plain", "bid").inc({bids})\n'
        f'BID_REQUESTS.labels("plain", "no_bid").inc({requests - bids})\n'
        f'BIDS.labels("plain", "banner").inc({bids})\n'
        f'NO_BIDS.labels("no_match").inc({(requests - bids) // 2})\n'
        f'NO_BIDS.labels("out_of_audience").inc({(requests - bids) // 3})\n'
        f'NO_BIDS.labels("below_floor").inc({(requests - bids) // 6})\n'
        f"BID_LATENCY.observe_counts({counts}, 1.0)\n"
        f'NOTICES.labels("win", "ok").inc({bids // 3})\n'
        f'NOTICES.labels("impression", "ok").inc({bids // 3})\n'
        'NOTICES.labels("bill", "forged").inc(1)\n'
    )


class Engine:
    """An admin port, and the counters of a worker that can be made to go on."""

    def __init__(self, port: AdminPort, metrics_dir: Path) -> None:
        self.port = port
        self._metrics_dir = metrics_dir
        self._random = random.Random(2016)

    async def work(self) -> None:
        """Let a worker bid for a while, and look at its counters."""
        await asyncio.to_thread(run_worker, self._metrics_dir, traffic(self._random))
        await self.port.pulses.look()


@asynccontextmanager
async def engine(client: redis.asyncio.Redis, metrics_dir: Path) -> AsyncIterator[Engine]:
    ledger, day = Ledger(client), local_day(BID_MINUTE * 60, "UTC")
    for sequence, one in enumerate(config().advertisers[0].campaigns):
        code = code_of(one.id)
        await ledger.register(code, one.id, one.budget.total, one.budget.daily, "UTC")
        for part in range(4 * (sequence + 1)):
            price = BILLION
            await ledger.settle(code, 7, BID_MINUTE, 100 * sequence + part, price, price, day, 0, {})
    own = account_code("campaign-0", "own")
    await ledger.register_line_item(own, "own", 20 * BILLION, None, "UTC")
    await ledger.settle(
        code_of("campaign-0"), 7, BID_MINUTE, 900, BILLION, BILLION, day, 0, {}, line_item=own >> 32
    )
    seconds, _ = await client.time()
    # Beats that a slow test does not outlast.
    await client.zadd(redis_keys.WORKERS, {"4120464380": seconds + 600, "3680495909": seconds + 600})
    await bundle_store.publish(client, config(), BUNDLE_KEY)
    registry = SegmentRegistry(client)
    indices = await registry.define({"gardeners": "", "newsletter": ""})
    await registry.note_load([indices["gardeners"]], Load(int(CLOCK_S) - 7_200, "gardeners.csv"))
    looks = itertools.count()
    async with admin_port(client, metrics_dir, config(), lambda: CLOCK_S + 2.0 * next(looks)) as port:
        running = Engine(port, metrics_dir)
        await port.pulses.look()
        yield running


@pytest_asyncio.fixture
async def working(redis_client: redis.asyncio.Redis, tmp_path: Path) -> AsyncIterator[Engine]:
    folder = tmp_path / "metrics"
    folder.mkdir()
    async with engine(redis_client, folder) as running:
        yield running
