"""One drill: traffic all along, one fault after the other, and the ledger against the exchange's books.

What counts as lost is what somebody else was left with: a request without an answer, a bill that was sent
again and again and never taken, money that ledger and exchange do not agree on. Two campaigns bid
alike, one with more money than it can spend and one that runs dry on the way.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import msgspec
import redis.asyncio

from bidder.port.main import warm_up
from bidder.redis_client import redis_client
from config import bundle_store, redis_keys
from config.embedded_server import EmbeddedServer
from config.money import BILLION, Money, format_money
from config.schema import Budget, Bundle, code_of
from config.settings import ensure_secret_file, load_secrets
from pacing.account import Account
from pacing.ledger import Ledger
from tests.drill.auctions import market_prices
from tests.drill.drill import session
from tests.drill.market import Market
from tests.factories import advertiser, bundle, campaign, line_item
from tests.fault_drill.clock import clock_by
from tests.fault_drill.engine import drilled_engine
from tests.fault_drill.faults import FAULTS, Scene, why_not

RICH, POOR = "harvest-fair", "river-state"
BID_CPM = 3.0
COST_MEAN = 650_000
"""Billionths, roughly, of an impression at the replayed prices."""
POOR_SHARE = 0.2
"""Of what the auctions could take."""
CONNECTIONS = 8
ANSWERED_SECONDS_MAX = 20.0
"""That an answer comes is what counts here: a busy machine is no fault."""
WELL_AGAIN_SECONDS_MAX = 180.0
BOOKED_SECONDS_MAX = 180.0
BIDS_SHARE_MIN = 0.9
"""Of the requests during a fault that is to be no reason not to bid."""


class Allowance(msgspec.Struct, frozen=True):
    """What docs/money.md and docs/operations.md allow a fault to cost."""

    because: str
    requests_lost_max: int = 0
    """Of each worker that is killed."""
    late: bool = False
    """Bills may be booked when their money is in no lease any more."""
    bids: bool = True
    """Nearly all requests are to be bid on all the same."""


ALLOWED = {
    "workers": Allowance("a killed worker takes along what is in its hands", 2 * CONNECTIONS, bids=False),
    "redis": Allowance(
        "without the ledger workers stop after 2.5 seconds, and an outage longer than the notice timeout "
        "makes bills late that came in time",
        late=True,
        bids=False,
    ),
    "disk": Allowance("as without Redis; the exchange repeats what met a full disk", late=True, bids=False),
    "config": Allowance("a config that can't be used changes nothing"),
    "clock": Allowance("a host's clock that is set changes nothing"),
    "redis_clock": Allowance(
        "when Redis's clock is set, each worker starts afresh at its next sync", bids=False
    ),
}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How large a drill is."""

    faults: tuple[str, ...] = tuple(FAULTS)
    workers: int = 2
    rate: float = 100.0
    seconds: float = 15.0
    """Of each fault."""
    worker_kills: int = 2
    seed: int = 0


class FaultFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The traffic during one fault, until the engine bid again."""

    fault: str
    skipped: str = ""
    """Why it was not made."""
    requests: int = 0
    bids: int = 0
    requests_lost: int = 0
    """Without an answer."""
    late_units: int = 0
    """Billed when their money was in no lease any more, in billionths."""
    well_again_s: float = 0.0
    """From the end of the fault to the next bid."""

    def lost(self) -> str:
        """Say what it cost, and what allows that."""
        if self.skipped:
            return f"not tried: {self.skipped}"
        counts = {
            "without an answer": self.requests_lost,
            "without a bid": self.requests - self.bids - self.requests_lost,
        }
        said = [f"{count:,} {what}" for what, count in counts.items() if count]
        if self.late_units:
            said.append(f"{format_money(self.late_units, 'USD')} billed late")
        costs = ", ".join(said) or "nothing lost"
        return f"of {self.requests:,} requests {costs}; allowed: {ALLOWED[self.fault].because}"


class DrillFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a drill came to. Money in billionths."""

    faults: list[FaultFigures]
    requests: int
    bids: int
    bills: int
    requests_lost: int
    """Without an answer. A killed worker takes those with it that were in its hands."""
    bills_lost: int
    """That were given up by the exchange after its repeats."""
    units_lost: int
    """On which the ledger and the exchange's books disagree at the end."""
    duplicates_booked: int
    overspend_units: int
    late_units: int
    """Billed when their money was in no lease any more."""


def broken(plan: Plan, figures: DrillFigures) -> list[str]:
    """Return what was lost that docs/money.md does not allow for."""
    faults = [name for name in ("bills_lost", "units_lost", "duplicates_booked") if getattr(figures, name)]
    # A bill whose money was given up is charged all the same.
    if figures.overspend_units > figures.late_units:
        faults.append("overspend_units")
    for fault in figures.faults:
        allowed = ALLOWED[fault.fault]
        if fault.requests_lost > allowed.requests_lost_max * plan.worker_kills:
            faults.append(f"requests_lost ({fault.fault})")
        if fault.late_units and not allowed.late:
            faults.append(f"late_units ({fault.fault})")
        if allowed.bids and fault.bids < BIDS_SHARE_MIN * fault.requests:
            faults.append(f"bids ({fault.fault})")
    return faults


def drill_bundle(plan: Plan) -> Bundle:
    auctions = plan.rate * plan.seconds * len(plan.faults)
    poor = Budget(total=Money(int(auctions * COST_MEAN * POOR_SHARE)))
    rich = Budget(total=Money(1_000_000 * BILLION))
    campaigns = [
        campaign(name, [line_item(f"line-{name}", BID_CPM)], budget=budget)
        for name, budget in ((RICH, rich), (POOR, poor))
    ]
    return bundle(advertiser(campaigns=campaigns))


async def run_drill(plan: Plan, data: Path) -> DrillFigures:
    """Run a drill in a data folder; raises AssertionError when an account does not add up."""
    chance, config = random.Random(plan.seed), drill_bundle(plan)
    _, prices = market_prices(plan.seed)
    secrets = load_secrets(ensure_secret_file(data))
    # Else the workers would compile the kernels, both at once.
    warm_up()
    async with contextlib.AsyncExitStack() as closing:
        server_clock = clock_by(data / "redis-clock")
        with server_clock.for_children() if server_clock else contextlib.nullcontext():
            server = closing.enter_context(EmbeddedServer.start(data / "redis"))
        async with redis_client(server.url) as client:
            await bundle_store.publish(client, config, secrets.bundle_key)
        engine = await closing.enter_async_context(drilled_engine(server, server_clock, data, plan.workers))
        http = await closing.enter_async_context(session(ANSWERED_SECONDS_MAX))
        connections = [
            await closing.enter_async_context(session(ANSWERED_SECONDS_MAX)) for _ in range(CONNECTIONS)
        ]
        market = Market(http, connections, engine.bid_url, prices, chance)
        stop = asyncio.Event()
        trading = asyncio.create_task(market.run(plan.rate, float("inf"), stop))
        try:
            await _until_a_bid(market)
            scene = Scene(engine, config, secrets.bundle_key, chance, plan.seconds, plan.worker_kills)
            figures = [await _under(fault, scene, market) for fault in plan.faults]
        finally:
            stop.set()
            await trading
        # A client of before would have the connections of a server that was killed.
        client = await closing.enter_async_context(redis_client(server.url))
        accounts = await _booked(Ledger(client), market)
        duplicates = sum([await _duplicates(client, code_of(name)) for name in (RICH, POOR)])
    return DrillFigures(
        faults=figures,
        requests=market.requests,
        bids=market.bids,
        bills=market.bills,
        requests_lost=market.unanswered,
        bills_lost=market.undelivered,
        units_lost=_disagreement(accounts, market),
        duplicates_booked=duplicates,
        overspend_units=max(0, *(account.spent - account.total for account in accounts)),
        late_units=sum(account.late for account in accounts),
    )


async def _under(fault: str, scene: Scene, market: Market) -> FaultFigures:
    """Let a fault happen, wait until the engine bids again, and count what came of the traffic."""
    skipped = why_not(fault, scene.engine)
    if skipped:
        return FaultFigures(fault=fault, skipped=skipped)
    requests, bids, unanswered = market.requests, market.bids, market.unanswered
    late = await _late(scene)
    await FAULTS[fault](scene)
    ended_s = asyncio.get_running_loop().time()
    await _until_a_bid(market)
    well_again_s = round(asyncio.get_running_loop().time() - ended_s, 2)
    figures = FaultFigures(
        fault=fault,
        requests=market.requests - requests,
        bids=market.bids - bids,
        requests_lost=market.unanswered - unanswered,
        well_again_s=well_again_s,
    )
    await _until_caught_up(scene, market)
    return msgspec.structs.replace(figures, late_units=await _late(scene) - late)


async def _late(scene: Scene) -> int:
    return sum(account.late for account in await _accounts(scene))


async def _until_caught_up(scene: Scene, market: Market) -> None:
    """Wait until the ledger has as much as the exchange has by now: what waited on disk is booked.

    On a machine too slow for the traffic that takes too long, and what is late shows in the next fault.
    """
    acknowledged = market.spent.copy()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BOOKED_SECONDS_MAX):
            await _caught_up(scene, acknowledged)


async def _caught_up(scene: Scene, acknowledged: Mapping[str, int]) -> None:
    while any(  # noqa: ASYNC110 - nobody tells
        account.spent < acknowledged[account.campaign_id] for account in await _accounts(scene)
    ):
        await asyncio.sleep(0.1)


async def _accounts(scene: Scene) -> list[Account]:
    # A client of before would have the connections of a server that was killed.
    async with redis_client(scene.engine.server.url) as client:
        return list((await Ledger(client).accounts([code_of(name) for name in (RICH, POOR)])).values())


async def _until_a_bid(market: Market) -> None:
    bids = market.bids
    async with asyncio.timeout(WELL_AGAIN_SECONDS_MAX):
        while market.bids == bids:  # noqa: ASYNC110 - the market tells nobody
            await asyncio.sleep(0.02)


async def _booked(ledger: Ledger, market: Market) -> list[Account]:
    """Return the accounts when they agree with the market, or when that takes too long."""
    end_s = asyncio.get_running_loop().time() + BOOKED_SECONDS_MAX
    while True:
        accounts = list((await ledger.accounts([code_of(name) for name in (RICH, POOR)])).values())
        for account in accounts:
            account.check()
        if not _disagreement(accounts, market) or asyncio.get_running_loop().time() > end_s:
            return accounts
        await asyncio.sleep(0.1)


def _disagreement(accounts: list[Account], market: Market) -> int:
    return sum(abs(market.spent[account.campaign_id] - account.spent) for account in accounts)


async def _duplicates(client: redis.asyncio.Redis, code: int) -> int:
    """Count the bills of a campaign that are in its stream more than once."""
    entries = cast(list[tuple[bytes, dict[bytes, bytes]]], await client.xrange(redis_keys.bills(code)))
    bids = Counter(fields[b"bid"] for _, fields in entries)
    return sum(times - 1 for times in bids.values())
