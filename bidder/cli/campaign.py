"""`hustings campaign report`: what campaigns delivered, for the manager who answers for them.

hustings campaign report
hustings campaign report spring-list --days 7 --html report.html --csv report.csv

The figures are those of `bidder.campaign_report`. With --json one object goes to stdout and nothing else.
"""

import time
from pathlib import Path
from typing import Annotated, Final

import typer
from redis.asyncio import Redis as AsyncRedis
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bidder.campaign_page import campaigns_page
from bidder.campaign_report import DAYS_MAX, CampaignReport, Report, take_report
from bidder.campaign_tables import day_text, report_csv, report_json
from bidder.cli.budget_access import named_campaign, required_bundle, run
from bidder.cli.redis_option import DATA_DIR_DEFAULT, DataOption, RedisOption, redis_url, say_and_exit
from config.money import format_money

_REASONS_SHOWN: Final = 3
_REASONS_SHOWN_OF_ONE: Final = 10

app = typer.Typer(no_args_is_help=True, help="What campaigns delivered.")


@app.callback()
def _campaign() -> None:
    """What campaigns delivered."""


@app.command("report")
def report_command(
    campaigns: Annotated[
        list[str] | None, typer.Argument(metavar="[CAMPAIGN]...", help="Their ids; without one, all.")
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=DAYS_MAX, help="How many days, today included, in each's time zone.")
    ] = 31,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write rows for a spreadsheet.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write one page with plots.")] = None,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Show delivery, spend against plan, reach and frequency, win rate, and why campaigns did not bid."""
    for path in (csv, html):
        if path is not None and path.is_dir():
            say_and_exit(f"can't write {path}: it is a folder; name a file")

    async def work(client: AsyncRedis) -> Report:
        bundle = await required_bundle(client)
        if campaigns:
            wanted = [named_campaign(bundle, id_).id for id_ in campaigns]
        else:
            wanted = [campaign.id for campaign in bundle.campaigns_by_code().values()]
        return await take_report(client, bundle, wanted, int(time.time()), days)

    report = run(redis_url(redis, data), work)
    for path, text in ((csv, report_csv), (html, campaigns_page)):
        if path is not None:
            _write(path, text(report))
    if as_json:
        typer.echo(report_json(report))
        return
    console = Console()
    console.print(_table(report))
    shown = _REASONS_SHOWN_OF_ONE if len(report.campaigns) == 1 else _REASONS_SHOWN
    for campaign in report.campaigns:
        console.print(_reasons(campaign, shown), soft_wrap=True, highlight=False)
    for path in (csv, html):
        if path is not None:
            console.print(f"{path} is written", highlight=False)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        say_and_exit(f"can't write {path}: {error.strerror}")


def _table(report: Report) -> Table:
    caption = f"config {report.config_version}"
    if report.campaigns:
        spans = {(one.first_day, one.last_day) for one in report.campaigns}
        first, last = min(spans)[0], max(day for _, day in spans)
        caption += f"; {day_text(first)} to {day_text(last)}, people and times each since the beginning"
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=caption, caption_justify="left")
    table.add_column("Campaign", overflow="fold")
    for heading in ("Spent", "Plan", "Impr.", "Won", "Clicks", "CPM", "People", "Times"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in report.campaigns:
        figures = one.figures
        table.add_row(
            one.id,
            format_money(figures.spent, report.currency),
            _of_plan(one),
            f"{figures.impressions:,}",
            _percent(figures.win_rate),
            f"{figures.clicks:,}",
            "–" if figures.cpm_micros is None else format_money(1_000 * figures.cpm_micros, report.currency),
            f"{one.reach:,}",
            "–" if one.frequency is None else f"{one.frequency:.1f}",
        )
    return table


def _of_plan(campaign: CampaignReport) -> str:
    """How much of what the plan asked for was spent, over the hours that are recorded."""
    last = campaign.moments[-1] if campaign.moments else None
    if last is None or not last.planned:
        return "–"
    return f"{last.spent / last.planned:.0%}"


def _reasons(campaign: CampaignReport, shown: int) -> str:
    if not campaign.reasons:
        return f"{campaign.id}: no request was sampled"
    parts = [f"{one.share:.0%} {one.sentence}" for one in campaign.reasons[:shown]]
    return f"{campaign.id}, of {campaign.sampled_requests:,} sampled requests: {'; '.join(parts)}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
