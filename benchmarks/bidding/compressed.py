"""engine: a day of real traffic through the whole engine, in DAY_REAL_S seconds.

Four bid workers, an events process and a Valkey run as they do in production; the load test's exchange sends
requests in the shape of one day of one region (`traffic/hour_of_week.csv`), holds second-price auctions
against rivals drawn from a recorded landscape, and sends the notices. The campaign has a budget for the day
and delivers evenly. Its plan is made of learned traffic: the region's other six days, never the one that is
run.

Only the controller lives in the compressed day: the engine's `Controller.tick` is called with a time that
runs faster than the clock, so that the 24 hours of plan fit. For the day to lie whole within one local day of
the ledger, the campaign's time zone is the one in which the run begins at midnight. Reservations last two
seconds instead of ten: some minutes of the day, where a live engine has ten seconds.

Spend is read from the ledger at every tick. The pacing error is that of `benchmarks.bidding.day`, over the 24
hours.
"""

import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import redis.asyncio

from benchmarks.bidding.auctions import HOURS_PER_WEEK, SharedData
from benchmarks.bidding.results import Line, Picture, Result, at_least, at_most
from benchmarks.bidding.shop import CREATIVE, shop
from benchmarks.server_process import ServerProcess
from config import bundle_store
from config.embedded_server import EmbeddedServer
from config.money import CpmMicros, Money
from config.redis_keys import TRAFFIC_CLOSED, traffic_week
from config.schema import Budget, Bundle, Campaign, ExchangeProfile, Flight, LineItem, When, code_of
from config.settings import Settings, ensure_secret_file, load_secrets
from loadtest.exchange import Exchange, ExchangeSettings
from loadtest.landscape import TICK_CPM_MICROS, Landscapes, histogram
from loadtest.lane import Target
from loadtest.notices import NoticeHabits
from loadtest.schedule import arrivals
from pacing.controller import Controller
from pacing.ledger import Ledger
from pacing.plan import fetch
from pacing.traffic import ALL, WEEKS_MAX
from pacing.window import window

REGION: Final = "645530"
LANDSCAPE: Final = 2997
WORKERS: Final = 4
DAY_S: Final = 86_400
DAY_REAL_S: Final = 480.0
DAY_REAL_SMALL_S: Final = 20.0
REQUESTS_PER_S: Final = 120.0
TICK_REAL_S: Final = 0.25
START_SECONDS_MAX: Final = 30.0
BUDGET_SHARE: Final = 1 / 4
"""Of what it would cost to win everything."""
BID_CPM_MICROS: Final = CpmMicros(3_000_000)
CAMPAIGN: Final = "compressed"
SEED: Final = 7
ERROR_MAX: Final = 0.06
SPENT_MIN: Final = 0.995


class Ticks(msgspec.Struct, frozen=True):
    """What was read at every tick."""

    hour: list[float]
    spent: list[float]
    planned: list[float]
    multiplier: list[float]


def run(data: SharedData, small: bool = False) -> Result:
    """Run the day; small: in DAY_REAL_SMALL_S, which paces nothing well."""
    return asyncio.run(_run(data, DAY_REAL_SMALL_S if small else DAY_REAL_S))


async def _run(data: SharedData, day_real_s: float) -> Result:
    week = data.hour_of_week([REGION])
    landscape = data.landscape(LANDSCAPE)
    price = landscape.cost / landscape.impressions * TICK_CPM_MICROS
    budget = int(day_real_s * REQUESTS_PER_S * price * BUDGET_SHARE)
    # Minutes have no seconds: the day begins with the next one.
    midnight_s = int(time.time()) // 60 * 60
    config = _config(midnight_s, budget)
    rivals = Landscapes.alike(histogram(landscape.prices.tolist()))
    with tempfile.TemporaryDirectory() as folder:
        async with _engine(Path(folder), config) as (client, url):
            weekday = ((midnight_s + _utc_ahead_s(midnight_s)) // DAY_S + 3) % 7
            await _teach(client, week, weekday, _utc_ahead_s(midnight_s))
            hours = week[weekday * 24 : (weekday + 1) * 24].tolist()
            ticks = await _day(client, config, url, hours, rivals, midnight_s, day_real_s)
            account = await Ledger(client).account(code_of(CAMPAIGN))
    assert account is not None
    spent = account.spent / budget
    return Result(
        about=f"a day of region {REGION}'s traffic in {day_real_s:.0f} s through {WORKERS} workers",
        cells=[
            at_most("pacing error", _error(ticks), ERROR_MAX),
            at_least("budget spent, least", spent, SPENT_MIN),
            at_most("budget spent, most", spent, 1.0),
        ],
        pictures=[
            Picture(
                title="Spend against plan, through the engine",
                x_label="hour",
                y_label="share of the budget",
                lines=[
                    Line("spend", ticks.hour, ticks.spent),
                    Line("plan", ticks.hour, ticks.planned),
                    Line("multiplier", ticks.hour, ticks.multiplier),
                ],
            )
        ],
    )


def _utc_ahead_s(midnight_s: int) -> int:
    """Return how far the zone is ahead of UTC in which a moment is midnight, at most half a day."""
    ahead_s = -midnight_s % DAY_S
    return ahead_s if ahead_s <= DAY_S // 2 else ahead_s - DAY_S


def _config(midnight_s: int, budget: int) -> Bundle:
    ahead_minutes = _utc_ahead_s(midnight_s) // 60
    sign = "+" if ahead_minutes >= 0 else "-"
    zone = f"{sign}{abs(ahead_minutes) // 60:02d}:{abs(ahead_minutes) % 60:02d}"
    today = time.strftime("%Y-%m-%d", time.gmtime(midnight_s + ahead_minutes * 60))
    tomorrow = time.strftime("%Y-%m-%d", time.gmtime(midnight_s + ahead_minutes * 60 + DAY_S))
    campaign = Campaign(
        id=CAMPAIGN,
        time_zone=zone,
        budget=Budget(total=Money(budget)),
        flight=Flight(start=When(today), end=When(tomorrow)),
        line_items=(LineItem(id="all", bid_cpm=BID_CPM_MICROS, creatives=(CREATIVE.id,)),),
    )
    return shop(campaign, ExchangeProfile(id="plain", notice_timeout_seconds=2))


@contextlib.asynccontextmanager
async def _engine(folder: Path, config: Bundle) -> AsyncIterator[tuple[redis.asyncio.Redis, str]]:
    """Start everything but a controller; yield a client of its Redis, and where it takes requests."""
    async with contextlib.AsyncExitStack() as closing:
        server = closing.enter_context(EmbeddedServer.start(folder / "valkey", durable=False))
        metrics_dir = folder / "metrics"
        metrics_dir.mkdir()
        settings = Settings(
            redis_url=server.url,
            secret_file=str(ensure_secret_file(folder)),
            data_dir=str(folder),
            metrics_dir=str(metrics_dir),
            bid_port=0,
            events_port=0,
        )
        client = await closing.enter_async_context(redis.asyncio.Redis.from_url(server.url))
        await bundle_store.publish(client, config, load_secrets(Path(settings.secret_file)).bundle_key)
        environment = {"PROMETHEUS_MULTIPROC_DIR": str(metrics_dir)}
        started = ServerProcess.started
        events = await closing.enter_async_context(started("bidder.events.main", settings, environment))
        settings = msgspec.structs.replace(settings, events_url=f"http://127.0.0.1:{events.port}")
        for _ in range(WORKERS):
            worker = await closing.enter_async_context(started("bidder.port.main", settings, environment))
            # All of them on the port of the first: the system deals out connections.
            settings = msgspec.structs.replace(settings, bid_port=worker.port)
        yield client, f"http://127.0.0.1:{settings.bid_port}/bid/plain"


async def _teach(
    client: redis.asyncio.Redis, week: npt.NDArray[np.float64], weekday: int, utc_ahead_s: int
) -> None:
    """Leave what a controller would have learned that has seen every day of the week but this one."""
    days = week.reshape(7, 24)
    others = np.tile(np.delete(days, weekday, axis=0).mean(axis=0), 7)
    for hour in range(HOURS_PER_WEEK):
        # An hour of UTC is parts of two local ones.
        local, part = divmod(hour + utc_ahead_s / 3_600, 1)
        first, second = (others[int(local + each) % HOURS_PER_WEEK] for each in (0, 1))
        learned = f"{(first * (1 - part) + second * part) * 1e9:.1f} {WEEKS_MAX}"
        await client.hset(
            traffic_week(hour), mapping={str(code): learned for code in (ALL, code_of(CAMPAIGN))}
        )
    await client.set(TRAFFIC_CLOSED, int(time.time()) // 3_600)


async def _day(
    client: redis.asyncio.Redis,
    config: Bundle,
    url: str,
    hours: list[float],
    rivals: Landscapes,
    midnight_s: int,
    day_real_s: float,
) -> Ticks:
    """Send the day's traffic, and tick meanwhile; return when every notice is in."""
    controller = Controller(client, Ledger(client), "benchmark", interval_s=TICK_REAL_S * 8)
    ledger, code = Ledger(client), code_of(CAMPAIGN)
    async with asyncio.timeout(START_SECONDS_MAX):
        while (account := await ledger.account(code)) is None or not account.leased:
            await controller.tick(config, midnight_s)
            await asyncio.sleep(TICK_REAL_S)
    exchange = Exchange(
        ExchangeSettings(
            seed=SEED,
            landscapes=rivals,
            habits=NoticeHabits(impression_after_min_s=0.01, impression_after_max_s=0.03),
        ),
        [Target("engine", url)],
    )
    schedule = arrivals(REQUESTS_PER_S, day_real_s, random.Random(SEED), hours)
    sending = asyncio.create_task(exchange.run(_requests(), schedule, asyncio.Event()))
    begun_s, ticks = time.monotonic(), Ticks([], [], [], [])
    total = config.campaigns_by_code()[code].budget.total
    start_s, end_s = window(config.campaigns_by_code()[code], midnight_s)
    assert (start_s, end_s) == (midnight_s, midnight_s + DAY_S), "the day is one local day"
    while not sending.done():
        share = min((time.monotonic() - begun_s) / day_real_s, 1.0)
        await controller.tick(config, min(midnight_s + share * DAY_S, end_s - 1))
        account, plan = await ledger.account(code), await fetch(client)
        assert account is not None
        assert plan is not None
        decided = plan.campaigns[code]
        ticks.hour.append(share * 24)
        ticks.spent.append(account.spent / total)
        ticks.planned.append(decided.share_millionths / 1e6)
        ticks.multiplier.append(decided.multiplier_q16 / 65_536)
        await asyncio.sleep(TICK_REAL_S)
    await sending
    return ticks


def _requests() -> Iterator[dict[str, Any]]:
    number = 0
    while True:
        number += 1
        yield {
            "id": f"{number}",
            "imp": [{"id": "1", "banner": {"w": 300, "h": 250}, "secure": 1}],
            "site": {"domain": "news.example", "page": "https://news.example/"},
            "device": {"devicetype": 2},
            "at": 2,
            "tmax": 1_000,
            "cur": ["USD"],
        }


def _error(ticks: Ticks) -> float:
    """Return the root mean square of what an hour's spend is off its plan, in shares of the mean hour's."""
    edges = np.arange(25)
    spent = np.diff(np.interp(edges, ticks.hour, ticks.spent))
    planned = np.diff(np.interp(edges, ticks.hour, ticks.planned))
    return float(np.sqrt(np.mean((spent - planned) ** 2))) * 24
