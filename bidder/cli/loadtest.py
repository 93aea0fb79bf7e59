"""`hustings loadtest`: point the simulated exchange at a bid URL and see what it can take.

Exit status 0 when nothing went wrong, 1 when errors were counted (timeouts are not errors, they
are the measurement), 2 when the run could not start.
"""

import asyncio
import contextlib
import gc
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import orjson
import typer
import uvloop
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from config.money import format_money
from loadtest.client import TargetError
from loadtest.exchange import Exchange, ExchangeSettings
from loadtest.limits import CONNECTIONS_MAX, RATE_MAX, SECONDS_MAX
from loadtest.loopback import host_of, is_loopback
from loadtest.notices import NoticeHabits
from loadtest.replay import ReplayError, read_requests, replayed
from loadtest.report import RunLabel, page, result
from loadtest.schedule import arrivals
from loadtest.tally import Summary
from loadtest.traffic import TrafficMix, requests

_LIVE_EVERY_SECONDS = 0.25
_BAR_CHARS = 12


def loadtest(
    target: Annotated[
        str, typer.Option(help="The bid URL, such as http://127.0.0.1:8080/bid/plain.", show_default=False)
    ],
    rate: Annotated[float, typer.Option(min=0.1, max=RATE_MAX, help="Requests a second.")] = 500,
    seconds: Annotated[float, typer.Option(min=0.1, max=SECONDS_MAX, help="How long to send.")] = 10,
    seed: Annotated[int, typer.Option(help="The same seed sends the same traffic.")] = 1,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here.", dir_okay=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
    replay: Annotated[
        Path | None, typer.Option(help="Send the requests of this JSON Lines file instead.", dir_okay=False)
    ] = None,
    duplicates: Annotated[float, typer.Option(min=0, max=1, help="Share of notices sent twice.")] = 0.0,
    lost: Annotated[float, typer.Option(min=0, max=1, help="Share of notices never sent.")] = 0.0,
    delayed: Annotated[
        float, typer.Option(min=0, max=1, help="Share of notices sent two seconds late.")
    ] = 0.0,
    connections: Annotated[
        int, typer.Option(min=1, max=CONNECTIONS_MAX, help="Connections to the bidder, kept open.")
    ] = 64,
    i_own_this_target: Annotated[
        bool, typer.Option("--i-own-this-target", help="Allow a target that is not this machine.")
    ] = False,
) -> None:
    """Send seeded OpenRTB traffic on a fixed schedule, auction the bids, fire the notices."""
    host = host_of(target)
    if not host:
        _refuse(
            f"--target {target!r} is not an http or https URL; it looks like http://127.0.0.1:8080/bid/plain"
        )
    if not is_loopback(host) and not i_own_this_target:
        _refuse(f"{host} is not this machine; add --i-own-this-target if it is yours and you may load it")
    if report and not report.parent.is_dir():
        _refuse(f"can't write the report {report}: there is no folder {report.parent}")
    try:
        source = replayed(read_requests(replay)) if replay else requests(TrafficMix(), random.Random(seed))
    except ReplayError as error:
        _refuse(str(error))
    habits = NoticeHabits(
        repeated_share=duplicates, lost_share=lost, delayed_share=delayed, target_is_owned=i_own_this_target
    )
    exchange = Exchange(ExchangeSettings(seed=seed, connections=connections, habits=habits))
    schedule = arrivals(rate, seconds, random.Random(seed))
    # A full collection would stop the clock for 16 ms; what exists by now stays until the end anyway.
    gc.collect()
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            summary = runner.run(_watched(exchange, target, source, schedule, seconds))
    except TargetError as error:
        _refuse(str(error))
    if report:
        label = RunLabel(
            target=target,
            rate_per_s=rate,
            seconds=seconds,
            seed=seed,
            connections=connections,
            source=replay.name if replay else "generated",
        )
        try:
            report.write_text(page(label, summary, exchange.timeline), encoding="utf-8")
        except OSError as error:
            _refuse(f"can't write the report {report}: {error.strerror}")
    if as_json:
        typer.echo(orjson.dumps(result(summary)).decode())
    else:
        _show(summary, report)
    if summary.errors:
        raise typer.Exit(1)


def _refuse(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(2)


async def _watched(
    exchange: Exchange,
    target: str,
    source: Iterator[dict[str, Any]],
    schedule: Iterator[float],
    seconds: float,
) -> Summary:
    """Run with a live line on a terminal's stderr; the first Ctrl-C ends sending, the second all."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end_sending() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, end_sending)
    console = Console(stderr=True)
    try:
        with contextlib.ExitStack() as stack:
            run = asyncio.ensure_future(exchange.run(target, source, schedule, stop))
            if console.is_terminal:
                live = stack.enter_context(Live(console=console, auto_refresh=False, transient=True))
                while not run.done():
                    live.update(_line(exchange.snapshot(), seconds), refresh=True)
                    await asyncio.wait([run], timeout=_LIVE_EVERY_SECONDS)
            return await run
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _line(summary: Summary, seconds: float) -> Text:
    done = "━" * round(_BAR_CHARS * min(summary.elapsed_s / seconds, 1.0))
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(done, "green").append("━" * (_BAR_CHARS - len(done)), "dim")
    line.append(f" {summary.requests:,} requests", "bold").append(f" {summary.rate_per_s:,.0f}/s  ")
    line.append(f"{summary.bid_rate:.0%} bid  {summary.wins:,} won  ")
    line.append(format_money(summary.spend, summary.currency), "bold green")
    line.append(f"  p99 {summary.latency_ms.p99:.0f} ms  {summary.timeouts:,} late  ")
    return line.append(f"{summary.errors:,} errors", "bold red" if summary.errors else "dim")


def _show(summary: Summary, report: Path | None) -> None:
    console = Console()
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    latency = summary.latency_ms
    table.add_row("requests", f"{summary.requests:,} ({summary.rate_per_s:,.0f} a second)")
    table.add_row("bids", f"{summary.bids:,} (on {summary.bid_rate:.1%} of requests)")
    table.add_row("wins", f"{summary.wins:,}")
    table.add_row("impressions", f"{summary.impressions:,}")
    table.add_row("clicks", f"{summary.clicks:,}")
    table.add_row("spend", format_money(summary.spend, summary.currency))
    table.add_row(
        "latency", f"p50 {latency.p50:.1f} ms, p99 {latency.p99:.1f} ms, p99.9 {latency.p999:.1f} ms"
    )
    table.add_row("timeouts", f"{summary.timeouts:,}")
    table.add_row("errors", f"{summary.errors:,}")
    for kind, count in summary.errors_by_kind.items():
        table.add_row("", f"{kind}: {count:,}")
    console.print(table)
    # Sentences quote the bidder's answers, so they are printed as they are, never as rich markup.
    for problem in summary.problems:
        console.print(Text(f"{problem.sentence} ({problem.times:,} times)", "red"))
    if summary.client_note:
        console.print(Text(summary.client_note, "yellow"))
    if report:
        console.print(Text(f"Report: {report}"))
