"""What a person at a terminal sees of `hustings loadtest`: a live table, and the figures at the end."""

import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from config.money import BILLION, format_money
from loadtest.exchange import Exchange
from loadtest.lane import Target
from loadtest.precise_loop import new_precise_loop
from loadtest.report import ENDINGS
from loadtest.result import Result, TargetResult
from loadtest.strain import ClientFigures
from loadtest.tally import Summary

_LIVE_EVERY_SECONDS = 0.5
_BAR_CHARS = 24
_THREAD_TURN_SECONDS = 0.0005
_STOPPING = "stopping, waiting for notices; Ctrl-C again ends it at once"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_watched(
    exchange: Exchange,
    targets: Sequence[Target],
    source: Iterator[dict[str, Any]],
    schedule: Iterator[float],
    seconds: float,
) -> None:
    """Run with a live table on a terminal's stderr; raises TargetError.

    The first Ctrl-C ends the sending and waits for the notices, the second does not wait.
    """
    with asyncio.Runner(loop_factory=new_precise_loop) as runner:
        runner.run(_watched(exchange, targets, source, schedule, seconds))


async def _watched(
    exchange: Exchange,
    targets: Sequence[Target],
    source: Iterator[dict[str, Any]],
    schedule: Iterator[float],
    seconds: float,
) -> None:
    stop, cut = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    console = Console(stderr=True)

    def end() -> None:
        if stop.is_set():
            cut.set()
        else:
            stop.set()
            if not console.is_terminal:
                console.print(_STOPPING)

    for number in _SIGNALS:
        loop.add_signal_handler(number, end)
    run = asyncio.create_task(exchange.run(source, schedule, stop, cut))
    try:
        if console.is_terminal:
            await watch(exchange, targets, seconds, run, stop, console)
        await run
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def watch(
    exchange: Exchange,
    targets: Sequence[Target],
    seconds: float,
    run: "asyncio.Task[list[Summary]]",
    stop: asyncio.Event,
    console: Console,
) -> None:
    """Draw twice a second until the run is done, on a thread that gives way to answers."""
    turn_seconds = sys.getswitchinterval()
    sys.setswitchinterval(_THREAD_TURN_SECONDS)
    try:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while not run.done():
                picture = _picture(exchange, targets, seconds, is_stopping=stop.is_set())
                await asyncio.to_thread(live.update, picture, refresh=True)
                await asyncio.wait([run], timeout=_LIVE_EVERY_SECONDS)
    finally:
        sys.setswitchinterval(turn_seconds)


def _picture(
    exchange: Exchange, targets: Sequence[Target], seconds: float, *, is_stopping: bool
) -> RenderableType:
    elapsed_s = exchange.elapsed_s
    done = "━" * round(_BAR_CHARS * min(max(elapsed_s, 0.0) / seconds, 1.0))
    head = Text(no_wrap=True, overflow="ellipsis")
    head.append(done, "green").append("━" * (_BAR_CHARS - len(done)), "dim")
    if is_stopping:
        head.append(f"  {_STOPPING}", "yellow")
    elif elapsed_s < 0:
        head.append(f"  warming up, {-elapsed_s:.0f} s to go", "yellow")
    else:
        head.append(f"  {elapsed_s:.0f} of {seconds:g} s")
    table = Table("target", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("requests", "a second", "bid rate", "wins", "spend", "p50", "p99", "timeouts", "errors"):
        table.add_column(heading, justify="right")
    for target, summary in zip(targets, exchange.snapshots(), strict=True):
        latency = summary.latency_ms
        table.add_row(
            Text(target.name),
            f"{summary.requests:,}",
            f"{summary.rate_per_s:,.0f}",
            f"{summary.bid_rate:.0%}",
            f"{summary.wins:,}",
            format_money(summary.spend, summary.currency),
            f"{latency.p50:.1f} ms",
            f"{latency.p99:.1f} ms",
            f"{summary.timeouts:,}",
            Text(f"{summary.errors:,}", "bold red" if summary.errors else "dim"),
        )
    return Group(head, table, _client_line(exchange.client()))


def _client_line(client: ClientFigures) -> Text:
    text = f"this client: {client.cpu_share:.0%} of a core, sends {client.late_ms.p99:.1f} ms late at p99"
    return Text(text, "bold yellow" if client.verdict else "dim")


def show(result: Result, *, is_quiet: bool, report: Path | None) -> None:
    """Print the figures, unless `is_quiet`; and, always, on stderr, what makes them doubtful."""
    # Sentences and names quote others, so they are printed as they are, never as rich markup.
    console, aside = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    if not is_quiet:
        console.print(_figures(result))
        for target in result.targets:
            for problem in target.problems:
                of = f"{target.name}: " if len(result.targets) > 1 else ""
                console.print(Text(f"{of}{problem.sentence} ({problem.times:,} times)", "red"))
        if report:
            console.print(Text(f"Report: {report}"))
    if result.ending != "complete":
        aside.print(Text(ENDINGS[result.ending], "yellow"))
    if result.client.is_bottleneck:
        aside.print(Text("The client was the bottleneck, so latency and rate are its own:", "bold yellow"))
        for reason in result.client.reasons:
            aside.print(Text(f"  {reason}", "yellow"))
        aside.print(Text("Lower --rate, or give the client a core of its own.", "yellow"))


def _figures(result: Result) -> Table:
    """A row for each figure, a column for each target."""
    targets = result.targets
    table = Table(show_header=len(targets) > 1, box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", style="dim")
    for target in targets:
        table.add_column(Text(target.name))

    def row(name: str, values: Sequence[str]) -> None:
        table.add_row(name, *(Text(value) for value in values))

    row("requests", [f"{t.requests:,} ({t.rate:,.0f} a second)" for t in targets])
    row("bids", [f"{t.bids:,} (on {t.bid_rate:.1%} of requests)" for t in targets])
    row("wins", [f"{t.wins:,}" for t in targets])
    row("impressions", [f"{t.impressions:,}" for t in targets])
    row("clicks", [f"{t.clicks:,}" for t in targets])
    row("spend", [format_money(int(Decimal(t.spend) * BILLION), result.currency) for t in targets])
    row("latency", [_latency(t, with_p999=len(targets) == 1) for t in targets])
    row("timeouts", [f"{t.timeouts:,}" for t in targets])
    row("errors", [f"{t.errors:,}" for t in targets])
    for kind in result.errors_by_kind:
        row(f"  {kind}", [f"{t.errors_by_kind.get(kind, 0):,}" for t in targets])
    return table


def _latency(target: TargetResult, *, with_p999: bool) -> str:
    latency = target.latency_ms
    if not latency.max:
        return "–"
    said = f"p50 {latency.p50:.1f} ms, p99 {latency.p99:.1f} ms"
    return f"{said}, p99.9 {latency.p999:.1f} ms" if with_p999 else said
