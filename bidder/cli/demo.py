"""`hustings demo`: the whole engine and an exchange, from nothing, on this machine.

Starts a private server, fills it with a sample audience, serves the example campaigns, and lets a
simulated exchange send traffic, hold auctions and fire notices until Ctrl-C. At the end the ledger
is held against the exchange's own books: they must agree to the last billionth.
"""

import asyncio
import contextlib
import random
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import redis.asyncio
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bidder.cli.serve import run_or_exit, running_engine
from bidder.events.spool import SPOOL_FOLDER, any_waits
from bidder.supervisor import Supervisor
from config.calendar import SECONDS_PER_DAY
from config.load import load_folder
from config.money import BILLION, format_money
from config.schema import Bundle
from config.settings import Settings, load_secrets
from loadtest.exchange import Exchange, ExchangeSettings
from loadtest.landscape import Landscapes, LogNormal
from loadtest.lane import Target
from loadtest.limits import SECONDS_MAX
from loadtest.schedule import arrivals
from loadtest.strain import ClientFigures
from loadtest.tally import Summary
from loadtest.traffic import TrafficMix, requests
from pacing.account import Account
from pacing.ledger import Ledger
from segments.identity import Identity
from segments.registry import Load, SegmentRegistry
from segments.sample import load_sample
from segments.store import SegmentStore

SAMPLE_COOKIES = 200_000
AUDIENCE_DAYS = 30
SEED = 2016
EXCHANGE_ID = "plain"
RIVALS = Landscapes.alike(LogNormal(median_cpm_micros=3_000_000))
"""Strong enough that about half of the bids lose, so that shading has something to learn."""
BAR_CELLS = 10
_REFRESH_SECONDS = 0.5
_LOOKS_MAX = 20
_LOOKS_AT_SPOOL_MAX = 240
"""... while notices wait on the disk. A machine that made them wait is slow to bring them, too."""
_EXIT_DISAGREES = 1


def demo(
    seconds: Annotated[
        float | None, typer.Option(min=1, max=SECONDS_MAX, help="End by itself; else Ctrl-C ends it.")
    ] = None,
    rate: Annotated[float, typer.Option(min=1, max=5_000, help="Bid requests a second.")] = 300,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Bid workers.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Run the engine on sample campaigns against a simulated exchange, and check the books."""
    problems: list[str] = []

    async def run() -> None:
        with tempfile.TemporaryDirectory(prefix="hustings-demo-") as data_dir:
            problems.extend(await _demo(Path(data_dir), seconds, rate, workers, as_json))

    run_or_exit(run())
    for problem in problems:
        typer.echo(f"hustings: {problem}", err=True)
    if problems:
        raise typer.Exit(_EXIT_DISAGREES)


async def _demo(
    data_dir: Path, seconds: float | None, rate: float, workers: int, as_json: bool
) -> Sequence[str]:
    console = Console(stderr=as_json)
    bundle = load_folder(Path(str(resources.files("config"))) / "examples")
    settings = Settings(
        redis_url="",
        secret_file="",
        data_dir=str(data_dir),
        metrics_dir="",
        workers=workers,
        bid_port=_port_or_any(8080),
        events_port=_port_or_any(8081),
        admin_port=_port_or_any(8082),
    )
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = running_engine(settings, bundle, before_start=lambda ready: _load_audience(ready, bundle))
    async with contextlib.AsyncExitStack() as closing:
        with console.status(f"starting a server, {SAMPLE_COOKIES:,} cookies and the engine"):
            supervisor = await closing.enter_async_context(engine)
            client = redis.asyncio.Redis.from_url(supervisor.settings.redis_url)
            await closing.enter_async_context(client)
            ledger = Ledger(client)
            await _funded(ledger, bundle, stop)
        summary, watcher = await _watch(console, supervisor, ledger, bundle, seconds, rate, stop, as_json)
        spool = data_dir / SPOOL_FOLDER
        accounts = await _booked(ledger, bundle, summary, spool)
        kept = still_kept(spool)
    console.print(_picture(bundle, summary, accounts, supervisor.settings))
    if as_json:
        sys.stdout.buffer.write(_JSON.encode(_as_data(bundle, summary, accounts)) + b"\n")
        sys.stdout.flush()
    found = [*disagreements(bundle, summary, accounts), *kept]
    return [*found, *too_busy(watcher, rate)] if found else []


async def _load_audience(settings: Settings, bundle: Bundle) -> None:
    """Write the sample cookies, before any process starts."""
    async with redis.asyncio.Redis.from_url(settings.redis_url) as client:
        registry = SegmentRegistry(client)
        await load_sample(
            np.random.default_rng(SEED),
            SAMPLE_COOKIES,
            [segment.name for segment in bundle.segments],
            store=SegmentStore(client),
            registry=registry,
            identity=Identity(load_secrets(Path(settings.secret_file)).identity_key),
            expiry_day=int(time.time()) // SECONDS_PER_DAY + AUDIENCE_DAYS,
            progress=lambda done: None,
        )
        indices = await registry.indices()
        await registry.note_load(indices.values(), Load(int(time.time()), "sample"))


async def _funded(ledger: Ledger, bundle: Bundle, stop: asyncio.Event) -> None:
    """Wait until a worker holds money: the controller has registered the campaigns by then."""
    codes = list(bundle.campaigns_by_code())
    while not stop.is_set():
        accounts = await ledger.accounts(codes)
        if len(accounts) == len(codes) and any(account.leased for account in accounts.values()):
            return
        await asyncio.sleep(0.05)


async def _watch(
    console: Console,
    supervisor: Supervisor,
    ledger: Ledger,
    bundle: Bundle,
    seconds: float | None,
    rate: float,
    stop: asyncio.Event,
    quiet: bool,
) -> tuple[Summary, ClientFigures]:
    """Run the exchange to its end, showing the live table on the way."""
    settings = supervisor.settings
    target = Target("engine", f"http://{settings.bid_host}:{settings.bid_port}/bid/{EXCHANGE_ID}")
    exchange = Exchange(ExchangeSettings(seed=SEED, landscapes=RIVALS), [target])
    traffic = requests(TrafficMix(), random.Random(SEED))
    schedule = arrivals(rate, seconds or SECONDS_MAX, random.Random(SEED))
    run = asyncio.ensure_future(exchange.run(traffic, schedule, stop))
    live = None if quiet else Live(console=console, auto_refresh=False, transient=True)
    with live or contextlib.nullcontext():
        while not run.done():
            if live is not None:
                accounts = await ledger.accounts(list(bundle.campaigns_by_code()))
                live.update(_picture(bundle, exchange.snapshots()[0], accounts, settings), refresh=True)
            await asyncio.wait([run], timeout=_REFRESH_SECONDS)
    (summary,) = await run
    return summary, exchange.client()


async def _booked(ledger: Ledger, bundle: Bundle, summary: Summary, spool: Path) -> Mapping[int, Account]:
    """Return the accounts as soon as they agree with the exchange, or at last as they are.

    On a busy machine a notice that was answered may still wait in the spool, and is waited for.
    """
    codes = list(bundle.campaigns_by_code())
    looks = 0
    while True:
        looks += 1
        waits = any_waits(spool)
        accounts = await ledger.accounts(codes)
        agree = sum(account.spent for account in accounts.values()) == summary.spend
        if looks >= (_LOOKS_AT_SPOOL_MAX if waits else _LOOKS_MAX) or (agree and not waits):
            return accounts
        await asyncio.sleep(_REFRESH_SECONDS)


def still_kept(spool: Path) -> list[str]:
    """Return a sentence where notices wait that are in nobody's sums yet."""
    if not any_waits(spool):
        return []
    return ["the private server has not taken all notices yet: what waits on the disk is not in the ledger"]


def disagreements(bundle: Bundle, summary: Summary, accounts: Mapping[int, Account]) -> list[str]:
    """Return a sentence for everything that is not as a sound engine leaves it."""
    found = [
        f"no {what} in the whole run" for what in ("bids", "wins", "spend") if getattr(summary, what) <= 0
    ]
    if summary.errors:
        kinds = ", ".join(f"{count} {kind}" for kind, count in summary.errors_by_kind.items())
        found.append(f"{summary.errors} errors: {kinds}")
        found += [f"{problem.times} × {problem.sentence}" for problem in summary.problems]
    booked = {account.id: int(account.spent) for account in summary.campaigns}
    for code, campaign in bundle.campaigns_by_code().items():
        ours = accounts[code].spent if code in accounts else 0
        theirs = booked.pop(campaign.id, 0)
        if ours != theirs:
            found.append(
                f"campaign {campaign.id}: the ledger says {ours} billionths, the exchange's books {theirs}"
            )
    found += [f"the exchange booked spend for an unknown campaign {id_}" for id_ in booked]
    return found


def too_busy(client: ClientFigures, rate: float) -> list[str]:
    """Return a sentence where this machine could not keep up, which is then why things went wrong."""
    if not client.verdict:
        return []
    return [
        f"this machine was too busy for {rate:g} requests a second: stop what else runs, or try a lower "
        f"--rate ({' '.join(client.verdict)})"
    ]


def _port_or_any(port: int) -> int:
    """Return a port to use: this one, or 0 for any where something else has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


_JSON = msgspec.json.Encoder(decimal_format="number")


def _as_data(bundle: Bundle, summary: Summary, accounts: Mapping[int, Account]) -> dict[str, Any]:
    """The summary as one JSON object; money is an exact decimal number of `currency`."""

    def exact(money: int) -> Decimal:
        return Decimal(money) / BILLION

    clicks = {account.id: account.clicks for account in summary.campaigns}
    return {
        "requests": summary.requests,
        "bids": summary.bids,
        "wins": summary.wins,
        "impressions": summary.impressions,
        "clicks": summary.clicks,
        "spend": exact(summary.spend),
        "currency": summary.currency,
        "errors": summary.errors,
        "timeouts": summary.timeouts,
        "latency_ms": {"p50": round(summary.latency_ms.p50, 3), "p99": round(summary.latency_ms.p99, 3)},
        "campaigns": [
            {
                "id": campaign.id,
                "budget": exact(campaign.budget.total),
                "spent": exact(accounts[code].spent if code in accounts else 0),
                "clicks": clicks.get(campaign.id, 0),
            }
            for code, campaign in bundle.campaigns_by_code().items()
        ],
    }


def _picture(
    bundle: Bundle, summary: Summary, accounts: Mapping[int, Account], settings: Settings
) -> RenderableType:
    """The live table: the traffic in one line, then spend against budget, campaign by campaign."""
    latency = summary.latency_ms
    head = Text.assemble(
        (f"{summary.elapsed_s:.0f} s  ", "dim"),
        (f"{summary.requests:,} requests", "bold"),
        f"  {summary.bids:,} bids  {summary.wins:,} wins  {summary.clicks:,} clicks\n",
        (format_money(summary.spend, summary.currency), "bold green"),
        f" for {summary.impressions:,} impressions  p50 {latency.p50:.1f} ms  p99 {latency.p99:.1f} ms  ",
        (f"{summary.errors} errors", "bold red" if summary.errors else "dim"),
    )
    table = Table("campaign", "pacing", box=SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("spent", justify="right", min_width=9)
    table.add_column("of today's", justify="right")
    table.add_column("", min_width=BAR_CELLS)
    for heading in ("clicks", "a click"):
        table.add_column(heading, justify="right", min_width=8)
    clicks = {account.id: account.clicks for account in summary.campaigns}
    for code, campaign in bundle.campaigns_by_code().items():
        account = accounts.get(code)
        spent, clicked = account.spent if account else 0, clicks.get(campaign.id, 0)
        budget = campaign.budget.daily or campaign.budget.total
        filled = min(BAR_CELLS, round(BAR_CELLS * spent / budget))
        table.add_row(
            campaign.id,
            campaign.pacing,
            format_money(spent, summary.currency),
            format_money(budget, summary.currency),
            Text.assemble(("━" * filled, "green"), ("━" * (BAR_CELLS - filled), "dim")),
            f"{clicked:,}",
            format_money(spent // clicked, summary.currency) if clicked else "–",
        )
    where = Text(
        f"dashboard http://{settings.admin_host}:{settings.admin_port}/   Ctrl-C ends the run", "dim"
    )
    return Group(head, table, where)
