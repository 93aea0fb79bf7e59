"""One drill: an engine of real processes, kills among them, and the ledger against the exchange's books.

The engine is the one that `hustings serve` runs, with its supervisor in this process: bid workers, events,
admin, and the private server with its append-only file. Killed processes are started again by their
owners. Two campaigns have a little less than half of the money that the auctions could take, so both run dry
on the way; every bill is sent in time.
"""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import aiohttp
import msgspec
import redis
import redis.asyncio

from bidder.cli.serve import running_engine
from bidder.port.main import warm_up
from bidder.redis_client import redis_client
from config import redis_keys
from config.money import Money
from config.schema import Budget, Bundle, code_of
from config.settings import Settings
from pacing.account import Account
from pacing.ledger import Ledger
from tests.drill.auctions import market_prices
from tests.drill.market import Market
from tests.factories import advertiser, bundle, campaign, line_item
from tests.waiting import SECONDS_MAX

CAMPAIGNS = ("harvest-fair", "river-state")
BID_CPM = 3.0
COST_MEAN = 650_000
"""Billionths, roughly, of an impression at the replayed prices."""
BUDGET_SHARE = 0.45
"""Of what the auctions could take.

A bid reserves four and a half times what it pays, and its bill takes seconds: at the end all that is left is
reserved all the time, and a fifth of it is spent every two seconds or so. So the last percent takes some
25 s, however well it is shared, and a drill has to leave them.
"""
KILLS_UNTIL_SHARE = 0.4
"""Of the time: what the last killed worker held comes back, and there are auctions left to spend it in."""
WATCH_S = 0.1
VANISHED_S = 4.0
"""A worker that has been silent for so long was killed."""
STRANDED_WAIT_S = 20.0
BOOKED_SECONDS_MAX = 60.0
CONNECTIONS_MAX = 4
WORKER_MODULE = "bidder.port.main"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How large a drill is."""

    workers: int = 4
    rate: float = 120.0
    seconds: float = 90.0
    worker_kill_every_s: float = 6.0
    server_kills: int = 2
    seed: int = 0
    wait_for_leases: bool = True
    """Whether to wait until the leases of the last killed worker are back."""


class DrillFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a drill came to. Money in billionths."""

    prices: str
    requests: int
    bids: int
    bills: int
    unanswered: int
    undelivered: int
    """Bills nobody acknowledged; a reply may be lost after the booking, so each may or may not be booked."""
    workers_killed: int
    servers_killed: int
    overspend_units_max: int
    unexplained_units_max: int
    """What ledger and exchange disagree on, beyond what undelivered bills explain."""
    late_units: int
    held_units: int
    """Kept back at the end for bills that come late."""
    stranded_s_max: float | None
    used_share_min: float
    duplicates_booked: int


@dataclass
class Watch:
    """Looks at the ledger all along: every account must add up, and what a silent worker held must return."""

    ledger: Ledger
    codes: list[int]
    last_beat_s: dict[int, float] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    """Who held a lease at the last look."""
    stranded_s: float | None = None

    async def run(self) -> None:
        """Look until cancelled; a server that was just killed is waited for."""
        while True:
            with contextlib.suppress(redis.RedisError):
                await self._look()
            await asyncio.sleep(WATCH_S)

    async def _look(self) -> None:
        now_s = asyncio.get_running_loop().time()
        accounts = await self.ledger.accounts(self.codes)
        holders: set[int] = set()
        for account in accounts.values():
            account.check()
            holders.update(account.leases)
        for owner, silent_s in (await self.ledger.beats()).items():
            self.last_beat_s[owner] = now_s - silent_s
        for owner in self.held - holders:
            silent_s = now_s - self.last_beat_s[owner]
            if silent_s > VANISHED_S:
                self.stranded_s = max(self.stranded_s or 0.0, silent_s)
        self.held = holders


def drill_bundle(plan: Plan) -> Bundle:
    """Return two campaigns that bid alike, with BUDGET_SHARE of the money the auctions could take."""
    total = Money(int(plan.rate * plan.seconds * COST_MEAN * BUDGET_SHARE / len(CAMPAIGNS)))
    campaigns = [
        campaign(name, [line_item(f"line-{name}", BID_CPM)], budget=Budget(total=total)) for name in CAMPAIGNS
    ]
    return bundle(advertiser(campaigns=campaigns))


async def run_drill(plan: Plan, data: Path) -> DrillFigures:
    """Run a drill in a data folder; raises AssertionError when an account does not add up."""
    settings = Settings(
        redis_url="",
        secret_file="",
        data_dir=str(data),
        metrics_dir="",
        workers=plan.workers,
        bid_port=0,
        events_port=0,
        admin_port=0,
    )
    # A test run has a server of its own among this process's children.
    spared = {pid for pid, _ in _children()}
    # Else all workers, which start together, would compile the kernels at once.
    warm_up()
    chance, config = random.Random(plan.seed), drill_bundle(plan)
    source, prices = market_prices(plan.seed)
    codes = [code_of(name) for name in CAMPAIGNS]
    async with contextlib.AsyncExitStack() as closing:
        engine = await closing.enter_async_context(running_engine(settings, config))
        client = await closing.enter_async_context(redis_client(engine.settings.redis_url))
        http = await closing.enter_async_context(session())
        connections = [
            await closing.enter_async_context(session()) for _ in range(1 + plan.seed % CONNECTIONS_MAX)
        ]
        watch = Watch(Ledger(client), codes)
        url = f"http://127.0.0.1:{engine.settings.bid_port}/bid/plain"
        market = Market(http, connections, url, prices, chance)
        await _until_funded(watch.ledger, codes)
        watching = asyncio.create_task(watch.run())
        killing = asyncio.create_task(_kills(plan, chance, spared, client))
        await market.run(plan.rate, plan.seconds)
        workers_killed, servers_killed = await killing
        if plan.wait_for_leases:
            await asyncio.sleep(STRANDED_WAIT_S)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        accounts = await _booked(watch.ledger, codes, market)
        duplicates = sum([await _duplicates(client, code) for code in codes])
    return _figures(source, market, config, accounts, watch, duplicates, workers_killed, servers_killed)


def _figures(
    source: str,
    market: Market,
    config: Bundle,
    accounts: dict[int, Account],
    watch: Watch,
    duplicates: int,
    workers_killed: int,
    servers_killed: int,
) -> DrillFigures:
    ledgers = [accounts[code] for code in config.campaigns_by_code()]
    return DrillFigures(
        prices=source,
        requests=market.requests,
        bids=market.bids,
        bills=market.bills,
        unanswered=market.unanswered,
        undelivered=market.undelivered,
        workers_killed=workers_killed,
        servers_killed=servers_killed,
        overspend_units_max=max(
            0, *(max(account.spent, market.spent[account.campaign_id]) - account.total for account in ledgers)
        ),
        unexplained_units_max=_unexplained(accounts, market),
        late_units=sum(account.late for account in ledgers),
        held_units=sum(account.held for account in ledgers),
        stranded_s_max=watch.stranded_s,
        used_share_min=min(account.spent / account.total for account in ledgers),
        duplicates_booked=duplicates,
    )


@contextlib.asynccontextmanager
async def session(timeout_s: float = 3.0) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        yield http


async def _until_funded(ledger: Ledger, codes: list[int]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            accounts = await ledger.accounts(codes)
            if len(accounts) == len(codes) and all(account.leased for account in accounts.values()):
                return
            await asyncio.sleep(0.05)


async def _booked(ledger: Ledger, codes: list[int], market: Market) -> dict[int, Account]:
    """Return the accounts when the market explains them, or when that takes too long.

    A bill that Redis did not take in time waits on disk, acknowledged.
    """
    end_s = asyncio.get_running_loop().time() + BOOKED_SECONDS_MAX
    while True:
        accounts = await ledger.accounts(codes)
        if not _unexplained(accounts, market) or asyncio.get_running_loop().time() > end_s:
            return accounts
        await asyncio.sleep(WATCH_S)


def _unexplained(accounts: dict[int, Account], market: Market) -> int:
    """Return the most on which an account and the market disagree, beyond what undelivered bills explain."""
    disagreement = max(
        abs(market.spent[account.campaign_id] - account.spent) for account in accounts.values()
    )
    return max(0, disagreement - market.undelivered * round(BID_CPM * 1_000_000))


async def _kills(
    plan: Plan, chance: random.Random, spared: set[int], client: redis.asyncio.Redis
) -> tuple[int, int]:
    """kill -9 a random worker now and then, and the server a few times; return how many of each died."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    end_s = KILLS_UNTIL_SHARE * plan.seconds
    kills = [
        (number * plan.worker_kill_every_s, True)
        for number in range(1, int(end_s / plan.worker_kill_every_s) + 1)
    ]
    kills += [(end_s * (number + 0.5) / plan.server_kills, False) for number in range(plan.server_kills)]
    killed: Counter[bool] = Counter()
    for after_s, is_worker in sorted(kills):
        await asyncio.sleep(max(0.0, start_s + after_s - loop.time()))
        if not is_worker:
            # What it answered is in its file then: a sync on a slow disk holds writes up, and a kill of the
            # process is on trial here, not of the machine.
            with contextlib.suppress(redis.RedisError):
                await client.config_set("appendfsync", "no")
        wanted = WORKER_MODULE if is_worker else ""
        pids = [pid for pid, module in _children() if module == wanted and pid not in spared]
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(pids), signal.SIGKILL)
                killed[is_worker] += 1
    return killed[True], killed[False]


def _children() -> list[tuple[int, str]]:
    """Return this process's children as (pid, Python module, or "" for the server)."""
    listing = subprocess.run(["ps", "-wweo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    found = []
    for line in listing.stdout.splitlines():
        pid, parent, args = line.split(None, 2)
        _, _, module = args.partition(" -m ")
        if int(parent) == os.getpid() and (module or "-server " in args):
            found.append((int(pid), module.split()[0] if module else ""))
    return found


async def _duplicates(client: redis.asyncio.Redis, code: int) -> int:
    """Count the bills of a campaign that are in its stream more than once."""
    entries = cast(list[tuple[bytes, dict[bytes, bytes]]], await client.xrange(redis_keys.bills(code)))
    bids = Counter(fields[b"bid"] for _, fields in entries)
    return sum(times - 1 for times in bids.values())
