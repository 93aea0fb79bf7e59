"""`hustings budget audit` and `reconcile`: do the books agree, with themselves and with an exchange's?

hustings budget audit --watch
hustings budget reconcile REPORT.csv --exchange plain --day 2026-03-01

Both end with exit status 1 when something disagrees.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Final, cast, get_args

import msgspec
import typer
from redis.asyncio import Redis as AsyncRedis
from rich.box import SIMPLE_HEAD
from rich.live import Live
from rich.table import Table

from bidder.cli.budget_access import booked_campaign, required_bundle, run
from bidder.cli.logged_changes import ByOption, who
from bidder.cli.redis_option import DATA_DIR_DEFAULT, DataOption, RedisOption, redis_url, say_and_exit
from bidder.cli.whole import print_whole
from config.calendar import day_bounds_s, epoch_s
from config.limits import REPORT_BYTES_MAX
from config.money import format_money, money_text, parse_money
from config.schema import When
from pacing import reconcile
from pacing.change_log import LoggedChange, record
from pacing.exchange_report import Booked, Difference, booked_on, compare
from pacing.ledger import Ledger
from pacing.reconcile import Audit
from pacing.report_file import Column, DecimalMark, Group, Report, ReportError, read_report

WATCH_INTERVAL_S: Final = 1.0
EXIT_DISAGREES: Final = 1


def audit_command(
    accept: Annotated[
        str | None,
        typer.Option(metavar="CAMPAIGN", help="Take this account as it stands for right, from now on."),
    ] = None,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Audit again every second until Ctrl-C.")] = False,
    by: ByOption = "",
) -> None:
    """Hold every account against its leases and the sum of its bills; exit status 1 if one disagrees."""

    async def take(client: AsyncRedis) -> list[Audit]:
        return await reconcile.audit_all(client, Ledger(client), time.time())

    async def once(client: AsyncRedis) -> bool:
        if accept is not None:
            await _accept(client, accept, who(by))
        audits = await take(client)
        if as_json:
            typer.echo(_audits_json(audits))
        else:
            print_whole(_audits_table(audits))
        return any(audit.faults for audit in audits)

    async def again(client: AsyncRedis) -> bool:
        if as_json:
            while True:
                await once(client)
                await asyncio.sleep(WATCH_INTERVAL_S)
        with Live(_audits_table(await take(client)), auto_refresh=False) as live:
            while True:
                await asyncio.sleep(WATCH_INTERVAL_S)
                live.update(_audits_table(await take(client)), refresh=True)

    try:
        disagrees = run(redis_url(redis, data), again if watch else once)
    except KeyboardInterrupt:
        if not watch:
            raise
        return
    if disagrees:
        raise typer.Exit(EXIT_DISAGREES)


def reconcile_command(
    report: Annotated[Path, typer.Argument(metavar="REPORT.csv", help="The exchange's report of a day.")],
    exchange: Annotated[str, typer.Option(metavar="ID", help="The exchange's id in the config.")],
    day: Annotated[str, typer.Option(metavar="DAY", help="The day, like 2026-03-01.")],
    zone: Annotated[str, typer.Option(metavar="ZONE", help="The time zone of the report's days.")] = "UTC",
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=HEADING", help="Where a column is called otherwise, like spend='Net cost'."
        ),
    ] = None,
    group: Annotated[
        str,
        typer.Option(
            "--group-by", metavar="NAME", help="campaign, line_item or all; else what the report has."
        ),
    ] = "",
    tolerance: Annotated[
        str, typer.Option(metavar="AMOUNT", help="A difference of a row up to this is the report's rounding.")
    ] = "0.01",
    decimal: Annotated[
        str,
        typer.Option(
            metavar="MARK", help="What comes before the cents, . or , where the report does not say."
        ),
    ] = "",
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Put an exchange's report of a day beside our bills; exit status 1 if they differ."""
    day, begin_minute, end_minute = _day(day, zone)
    rounding = _tolerance(tolerance)
    if group not in ("", *get_args(Group)):
        say_and_exit(f"--group-by {group} is not one of {', '.join(get_args(Group))}")
    if decimal not in ("", *get_args(DecimalMark)):
        say_and_exit(f"--decimal {decimal} is neither . nor ,")
    given = _given(column or [])

    async def both(client: AsyncRedis) -> tuple[Report, Booked, str]:
        bundle = await required_bundle(client)
        if exchange not in {profile.id for profile in bundle.exchanges}:
            known = ", ".join(profile.id for profile in bundle.exchanges)
            say_and_exit(f"no exchange is called `{exchange}` in the live config; it has {known}")
        currency = bundle.engine.currency
        by, mark = cast(Group | None, group or None), cast(DecimalMark | None, decimal or None)
        theirs = _read(
            report, lambda lines: read_report(lines, given, day, by, currency=currency, decimal_mark=mark)
        )
        ours = await booked_on(client, Ledger(client), exchange, begin_minute, end_minute, theirs.grouped_by)
        return theirs, ours, currency

    theirs, booked, currency = run(redis_url(redis, data), both)
    rows = compare(theirs, booked)
    if as_json:
        typer.echo(_differences_json(rows, theirs, booked, rounding))
    else:
        print_whole(_differences_table(rows, theirs, currency, rounding))
        for campaign in booked.trimmed:
            typer.echo(f"{campaign}: its bills of that day are not all kept any more", err=True)
        if theirs.repeated_rows:
            typer.echo(
                f"{theirs.repeated_rows} rows of the report repeat another to the letter, and are added up "
                "all the same; was it saved twice?",
                err=True,
            )
    if any(abs(row.spend) > rounding for row in rows):
        raise typer.Exit(EXIT_DISAGREES)


async def _accept(client: AsyncRedis, campaign_id: str, by: str) -> None:
    code = await booked_campaign(client, await required_bundle(client), campaign_id)
    difference = await reconcile.accept(client, code, time.time())
    if difference is None:
        say_and_exit(f"{campaign_id} has no account yet")
    change = LoggedChange(
        by=by,
        action="accept",
        campaign=campaign_id,
        what="difference",
        before=money_text(difference),
        after="0",
    )
    await record(client, [change])


def _audits_table(audits: list[Audit]) -> Table:
    faults = [fault for audit in audits for fault in audit.faults]
    caption = "\n".join(faults) if faults else f"{len(audits)} accounts agree"
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=caption, caption_justify="left")
    table.add_column("Campaign", no_wrap=True)
    for heading in ("Budget", "= Spent", "+ Leases", "+ Free", "Bills", "Adjusted", "Late"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for audit in audits:
        account = audit.account
        table.add_row(
            account.campaign_id,
            money_text(account.total),
            money_text(account.spent),
            money_text(sum(account.leases.values())),
            money_text(account.free),
            money_text(audit.billed),
            money_text(account.adjusted),
            money_text(account.late),
            "agrees" if not audit.faults else "DISAGREES",
        )
    return table


def _audits_json(audits: list[Audit]) -> str:
    rows = [
        {
            "campaign": audit.account.campaign_id,
            "total": money_text(audit.account.total),
            "spent": money_text(audit.account.spent),
            "leases": {owner: money_text(amount) for owner, amount in audit.account.leases.items()},
            "leased": money_text(audit.account.leased),
            "free": money_text(audit.account.free),
            "billed": money_text(audit.billed),
            "adjusted": money_text(audit.account.adjusted),
            "late": money_text(audit.account.late),
            "mismatch": money_text(audit.mismatch),
            "bills_since_s": audit.since_s or None,
            "faults": audit.faults,
        }
        for audit in audits
    ]
    return msgspec.json.encode(
        {"agrees": not any(audit.faults for audit in audits), "accounts": rows}
    ).decode()


def _differences_table(rows: list[Difference], report: Report, currency: str, rounding: int) -> Table:
    total = sum(row.spend for row in rows)
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption=f"the exchange asks for {format_money(total, currency)} more than is booked"
        if total >= 0
        else f"{format_money(-total, currency)} more is booked than the exchange asks for",
        caption_justify="left",
    )
    table.add_column(report.grouped_by.replace("_", " ").capitalize(), no_wrap=True)
    for heading in ("Imps theirs", "ours", "Spend theirs", "ours", "Difference", "%"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Explained by")
    for row in rows:
        share = f"{row.spend / row.ours.spend:+.2%}" if row.ours.spend else "–"
        table.add_row(
            row.key,
            f"{row.theirs.impressions:,}" if report.counts_impressions else "–",
            f"{row.ours.impressions:,}",
            money_text(row.theirs.spend),
            money_text(row.ours.spend),
            money_text(row.spend),
            share,
            _explained(row, report, rounding),
        )
    return table


def _explained(row: Difference, report: Report, rounding: int) -> str:
    parts = []
    if abs(row.spend) <= rounding:
        parts.append("agrees")
    elif row.key not in report.tallies:
        parts.append("not in the report")
    elif not row.ours.impressions:
        parts.append("nothing booked")
    parts += [
        f"{tally.impressions} {reason}, {money_text(tally.spend)}"
        for reason, tally in sorted(row.refused.items())
    ]
    return "; ".join(parts)


def _differences_json(rows: list[Difference], report: Report, booked: Booked, rounding: int) -> str:
    listed = [
        {
            report.grouped_by: row.key,
            "theirs": {
                "impressions": row.theirs.impressions if report.counts_impressions else None,
                "spend": money_text(row.theirs.spend),
            },
            "ours": {"impressions": row.ours.impressions, "spend": money_text(row.ours.spend)},
            "difference": money_text(row.spend),
            "agrees": abs(row.spend) <= rounding,
            "refused": {
                reason: {"notices": tally.impressions, "spend": money_text(tally.spend)}
                for reason, tally in row.refused.items()
            },
        }
        for row in rows
    ]
    summary = {
        "agrees": all(abs(row.spend) <= rounding for row in rows),
        "difference": money_text(sum(row.spend for row in rows)),
        "incomplete": booked.trimmed,
        "repeated_rows": report.repeated_rows,
        "rows": listed,
    }
    return msgspec.json.encode(summary).decode()


def _day(day: str, zone: str) -> tuple[str, int, int]:
    """Return a day as a report has it, and its first minute in a time zone and the next day's, since 1970."""
    try:
        iso_day = date.fromisoformat(day).isoformat()
        begin_s, end_s = day_bounds_s(epoch_s(When(iso_day), zone), zone)
    except ValueError as error:
        say_and_exit(f"--day {day} --zone {zone}: {error}")
    return iso_day, begin_s // 60, end_s // 60


def _tolerance(text: str) -> int:
    try:
        return int(parse_money(text))
    except ValueError as error:
        say_and_exit(f"--tolerance: {error}")


def _given(columns: list[str]) -> dict[Column, str]:
    given: dict[Column, str] = {}
    for text in columns:
        name, equals, heading = text.partition("=")
        if name not in get_args(Column) or not equals:
            say_and_exit(
                f"--column {text} is not like spend='Net cost', with one of {', '.join(get_args(Column))}"
            )
        given[cast(Column, name)] = heading
    return given


def _read(path: Path, read: Callable[[Iterable[str]], Report]) -> Report:
    try:
        if path.stat().st_size > REPORT_BYTES_MAX:
            say_and_exit(f"{path} is larger than {REPORT_BYTES_MAX >> 20} MB; compare it in parts")
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return read(lines)
    except OSError as error:
        say_and_exit(f"can't read {path}: {error.strerror}")
    except UnicodeDecodeError:
        say_and_exit(f"{path} is not text in UTF-8; save the report so")
    except ReportError as error:
        say_and_exit(f"{path}: {error}")
