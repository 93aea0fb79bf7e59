"""`hustings budget stop`, `start`, `adjust` and `log`: what an operator changes by hand, and who did.

hustings budget stop --reason "wrong creative is live"
hustings budget start
hustings budget adjust harvest-days 12.50 --id march-1-report --reason "billed, lost in the crash"
hustings budget log
"""

import time
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from redis.asyncio import Redis as AsyncRedis

from bidder.cli.budget_access import CampaignArgument, booked_campaign, required_bundle, run
from bidder.cli.logged_changes import ByOption, who
from bidder.cli.redis_option import DATA_DIR_DEFAULT, DataOption, RedisOption, redis_url, say_and_exit
from config import redis_keys
from config.limits import CHANGES_MAX
from config.money import foreign_currency, money_text, parse_money
from config.schema import Bundle, code_of
from pacing import stop as global_stop
from pacing.change_log import LoggedChange, latest, record
from pacing.ledger import Ledger, LedgerError
from pacing.stop import Stop

ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept in the log.")]


def stop_command(
    reason: ReasonOption = "",
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    by: ByOption = "",
) -> None:
    """Stop all bidding of this installation, within a second, until `start`."""

    async def stop(client: AsyncRedis) -> None:
        await global_stop.put(client, Stop(who(by), time.time(), reason))
        await record(client, [LoggedChange(by=who(by), action="stop", reason=reason)])

    run(redis_url(redis, data), stop)
    typer.echo("all bidding stops, and stays stopped through restarts, until `hustings budget start`")


def start_command(
    reason: ReasonOption = "",
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    by: ByOption = "",
) -> None:
    """Undo `stop`."""

    async def start(client: AsyncRedis) -> bool:
        if await global_stop.fetch(client) is None:
            return False
        await global_stop.lift(client)
        await record(client, [LoggedChange(by=who(by), action="start", reason=reason)])
        return True

    started = run(redis_url(redis, data), start)
    typer.echo("bidding goes on" if started else "bidding was not stopped")


def adjust_command(
    campaign: CampaignArgument,
    amount: Annotated[
        str,
        typer.Argument(
            metavar="AMOUNT", help="What is added to its spend, like 12.50; with --back, taken off."
        ),
    ],
    adjustment_id: Annotated[
        str,
        typer.Option(
            "--id", metavar="ID", help="Names the correction: a second one of this id does nothing."
        ),
    ],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept in the log.")],
    line_item: Annotated[
        str,
        typer.Option(metavar="ID", help="The line item of the campaign that it was for, if it was for one."),
    ] = "",
    back: Annotated[bool, typer.Option("--back", help="Take the amount off what is spent.")] = False,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    by: ByOption = "",
) -> None:
    """Correct what a campaign has spent, once."""
    try:
        money = -parse_money(amount) if back else int(parse_money(amount))
    except ValueError as error:
        say_and_exit(str(error))

    async def adjust(client: AsyncRedis) -> tuple[bool, int]:
        bundle = await required_bundle(client)
        foreign = foreign_currency(amount, bundle.engine.currency)
        if foreign is not None:
            say_and_exit(
                f"{amount} is in {foreign}, and the books are in {bundle.engine.currency}; convert it"
            )
        code = await booked_campaign(client, bundle, campaign)
        line_item_code = code_of(line_item) if line_item else 0
        if line_item and not await _has_spent(client, bundle, code, line_item):
            say_and_exit(f"{campaign} has no line item `{line_item}`, and never spent for one")
        ledger = Ledger(client)
        try:
            made = await ledger.adjust(code, adjustment_id, money, reason, line_item=line_item_code)
        except (LedgerError, ValueError) as error:
            say_and_exit(str(error))
        account = await ledger.account(code)
        spent = 0 if account is None else account.spent
        if made:
            change = LoggedChange(
                by=who(by),
                action="adjust",
                campaign=campaign,
                what=f"spent, adjustment {adjustment_id}" + (f" of {line_item}" if line_item else ""),
                before=money_text(spent - money),
                after=money_text(spent),
                reason=reason,
            )
            await record(client, [change])
        return made, spent

    made, spent = run(redis_url(redis, data), adjust)
    if made:
        typer.echo(f"{campaign} has spent {money_text(spent)} now")
    else:
        typer.echo(f"adjustment {adjustment_id} was made before; {campaign} has spent {money_text(spent)}")


async def _has_spent(client: AsyncRedis, bundle: Bundle, campaign_code: int, line_item_id: str) -> bool:
    """Say whether a campaign has a line item, or had one that spent."""
    campaign = bundle.campaigns_by_code().get(campaign_code)
    known = campaign is not None and line_item_id in {item.id for item in campaign.line_items}
    key = redis_keys.spent_by_line_item(campaign_code)
    return known or await client.hexists(key, str(code_of(line_item_id)))


def log_command(
    entries: Annotated[
        int, typer.Option(min=1, max=CHANGES_MAX, help="How many of the latest changes.")
    ] = 50,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line instead.")] = False,
) -> None:
    """Show who changed budgets, pauses, flights and stops, when, and from what to what."""

    async def read(client: AsyncRedis) -> list[tuple[int, LoggedChange]]:
        return await latest(client, entries)

    changes = run(redis_url(redis, data), read)
    if as_json:
        for at_ms, change in changes:
            line = {"at": _when(at_ms)} | msgspec.structs.asdict(change)
            typer.echo(msgspec.json.encode(line).decode())
        return
    if not changes:
        typer.echo("nothing was changed yet")
    for at_ms, change in changes:
        typer.echo(f"{_when(at_ms)}  {change.by}  {_told(change)}")


def _told(change: LoggedChange) -> str:
    """Return what a change did, in one line: to which campaign, from what to what, and why."""
    did = change.what if change.action == "config" else f"{change.action} {change.what}".strip()
    if change.before and change.after:
        did += f" {change.before} -> {change.after}"
    elif change.after:
        did += f": {change.after}"
    elif change.before:
        did += f": {change.before}"
    why = f" ({change.reason})" if change.reason else ""
    return f"{change.campaign or 'all campaigns'}: {did}{why}"


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
