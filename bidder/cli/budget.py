"""`hustings budget`: what campaigns have spent, against plan; stop and restart one, or all.

hustings budget status --watch
hustings budget pause harvest-days
hustings budget resume harvest-days

A pause here lasts until it is resumed, whatever config is applied meanwhile; `paused` in a config
file is another switch, and either stops a campaign. The other commands are in
`bidder.cli.budget_changes` and `bidder.cli.budget_audit`.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
import typer
from redis.asyncio import Redis as AsyncRedis
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.live import Live
from rich.table import Table

from bidder.cli.budget_access import CampaignArgument, named_campaign, open_account, required_bundle, run
from bidder.cli.budget_audit import audit_command, reconcile_command
from bidder.cli.budget_bidding import DAYS_DEFAULT, DAYS_MAX, Bidding, bidding_table, read_bidding
from bidder.cli.budget_changes import adjust_command, log_command, start_command, stop_command
from bidder.cli.logged_changes import ByOption, who
from bidder.cli.redis_option import DATA_DIR_DEFAULT, DataOption, RedisOption, redis_url
from bidder.cli.whole import print_whole
from config.calendar import local_day, local_hour
from config.money import format_money, money_text
from config.schema import Campaign, LineItem, account_code, code_of
from pacing import plan as pacing_plan
from pacing import stop as global_stop
from pacing.account import Account
from pacing.change_log import LoggedChange, record
from pacing.ledger import Ledger
from pacing.stop import Stop

WATCH_INTERVAL_S: Final = 1.0
_AMOUNTS: Final = (
    *("total", "daily", "hourly", "spent", "today", "this_hour", "leased", "free"),
    *("window", "window_spent", "planned"),
)

app = typer.Typer(no_args_is_help=True, help="Spend against plan; pause and resume; audit and reconcile.")
for _name, _command in (
    ("stop", stop_command),
    ("start", start_command),
    ("adjust", adjust_command),
    ("log", log_command),
    ("audit", audit_command),
    ("reconcile", reconcile_command),
):
    app.command(_name)(_command)


class LineItemStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A line item with a budget of its own; amounts in billionths."""

    line_item: str
    total: int | None
    daily: int | None
    spent: int
    today: int
    leased: int
    free: int | None
    """None, as `total` is, where the campaign's total is the limit."""


class CampaignStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign's row; amounts in billionths."""

    campaign: str
    advertiser: str
    pacing: str
    paused: str | None
    """Who paused it: "config" or "operator"."""
    total: int
    daily: int | None
    hourly: int | None
    spent: int
    today: int
    this_hour: int
    leased: int
    free: int
    window: int | None
    """The money of the day, or of what is left of the flight; this and what follows None before a plan."""
    window_spent: int | None
    planned: int | None
    """What of it should be spent by now."""
    plan_share: float | None
    """The same as a share of it, 0 to 1."""
    multiplier: float | None
    """The lower of the next two."""
    budget_multiplier: float | None
    goal_multiplier: float | None
    """None without a goal."""
    line_items: tuple[LineItemStatus, ...]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    currency: str
    version: str
    plan_age_s: float | None
    stop: Stop | None
    """What holds all bidding."""
    campaigns: tuple[CampaignStatus, ...]
    bidding: Bidding


@app.command("status")
def status_command(
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every second until Ctrl-C.")] = False,
    days: Annotated[
        int, typer.Option(min=1, max=DAYS_MAX, help="How bids did in so many days, today included.")
    ] = DAYS_DEFAULT,
) -> None:
    """Show what each campaign has spent, against its budget and its plan, and how its bids did."""

    async def read(client: AsyncRedis) -> Status:
        return await read_status(client, time.time(), days)

    async def show(client: AsyncRedis) -> None:
        if as_json:
            typer.echo(_as_json(await read(client)))
        else:
            print_whole(_tables(await read(client)))

    async def show_on(client: AsyncRedis) -> None:
        if as_json:
            while True:
                typer.echo(_as_json(await read(client)))
                await asyncio.sleep(WATCH_INTERVAL_S)
        with Live(_tables(await read(client)), auto_refresh=False) as live:
            while True:
                await asyncio.sleep(WATCH_INTERVAL_S)
                live.update(_tables(await read(client)), refresh=True)

    try:
        run(redis_url(redis, data), show_on if watch else show)
    except KeyboardInterrupt:
        if not watch:
            raise


@app.command("pause")
def pause_command(
    campaign: CampaignArgument,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    by: ByOption = "",
) -> None:
    """Lease no more money to a campaign until it is resumed."""

    async def pause(client: AsyncRedis) -> None:
        found = named_campaign(await required_bundle(client), campaign)
        ledger = Ledger(client)
        if not await ledger.pause(code_of(found.id)):
            await open_account(ledger, found)
            await ledger.pause(code_of(found.id))
        await record(client, [LoggedChange(by=who(by), action="pause", campaign=found.id)])

    run(redis_url(redis, data), pause)
    typer.echo(f"{campaign} is paused: it gets no more money until `hustings budget resume {campaign}`")


@app.command("resume")
def resume_command(
    campaign: CampaignArgument,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    by: ByOption = "",
) -> None:
    """Undo `pause`."""

    async def resume(client: AsyncRedis) -> Campaign:
        found = named_campaign(await required_bundle(client), campaign)
        await Ledger(client).resume(code_of(found.id))
        await record(client, [LoggedChange(by=who(by), action="resume", campaign=found.id)])
        return found

    resumed = run(redis_url(redis, data), resume)
    if resumed.paused:
        typer.echo(f"{campaign} is resumed here, but its config file says `paused: true`, which still holds")
    else:
        typer.echo(f"{campaign} is resumed")


async def read_status(client: AsyncRedis, now_s: float, days: int = DAYS_DEFAULT) -> Status:
    """Read every campaign of the live bundle; exits with status 2 when there is none.

    days: how far back the bids are looked at. Raises redis.RedisError.
    """
    bundle = await required_bundle(client)
    codes = [*bundle.campaigns_by_code(), *bundle.line_items_by_account()]
    accounts = await Ledger(client).accounts(codes)
    plan = await pacing_plan.fetch(client)
    return Status(
        currency=bundle.engine.currency,
        version=bundle.version,
        plan_age_s=None if plan is None else round(max(now_s - plan.made_at_s, 0.0), 1),
        stop=await global_stop.fetch(client),
        campaigns=tuple(
            _campaign_status(advertiser.id, campaign, accounts, plan, now_s)
            for advertiser in bundle.advertisers
            for campaign in advertiser.campaigns
        ),
        bidding=await read_bidding(client, bundle, now_s, days),
    )


def _campaign_status(
    advertiser_id: str,
    campaign: Campaign,
    accounts: Mapping[int, Account],
    plan: pacing_plan.Plan | None,
    now_s: float,
) -> CampaignStatus:
    account = accounts.get(code_of(campaign.id))
    decided = plan.campaigns.get(code_of(campaign.id)) if plan is not None else None
    by_operator = account is not None and account.paused
    today = local_day(int(now_s), campaign.time_zone)
    return CampaignStatus(
        campaign=campaign.id,
        advertiser=advertiser_id,
        pacing=campaign.pacing,
        paused="config" if campaign.paused else "operator" if by_operator else None,
        total=campaign.budget.total,
        daily=campaign.budget.daily,
        hourly=campaign.budget.hourly,
        # An account is opened by the engine's first tick with a campaign: before, nothing has happened.
        spent=account.spent if account is not None else 0,
        today=account.spent_on(today) if account is not None else 0,
        this_hour=account.spent_in(local_hour(int(now_s), campaign.time_zone)) if account is not None else 0,
        leased=account.leased if account is not None else 0,
        free=account.free if account is not None else campaign.budget.total,
        window=decided.budget if decided is not None else None,
        window_spent=decided.spent if decided is not None else None,
        planned=decided.planned if decided is not None else None,
        plan_share=None if decided is None else round(decided.share_millionths / 1_000_000, 4),
        multiplier=None if decided is None else decided.multiplier_q16 / pacing_plan.MULTIPLIER_ONE_Q16,
        budget_multiplier=None if decided is None else decided.budget_q16 / pacing_plan.MULTIPLIER_ONE_Q16,
        goal_multiplier=None
        if decided is None or campaign.goal is None
        else decided.goal_q16 / pacing_plan.MULTIPLIER_ONE_Q16,
        line_items=tuple(
            _line_item_status(line_item, accounts.get(account_code(campaign.id, line_item.id)), today)
            for line_item in campaign.line_items
            if line_item.has_budget
        ),
    )


def _line_item_status(line_item: LineItem, account: Account | None, today: int) -> LineItemStatus:
    own = line_item.budget
    spent = account.spent if account is not None else 0
    leased = account.leased if account is not None else 0
    return LineItemStatus(
        line_item=line_item.id,
        total=own.total,
        daily=own.daily,
        spent=spent,
        today=account.spent_on(today) if account is not None else 0,
        leased=leased,
        free=None if own.total is None else own.total - spent - leased,
    )


def _as_json(status: Status) -> str:
    campaigns = [
        _in_text(row) | {"line_items": [_in_text(line_item) for line_item in row.line_items]}
        for row in status.campaigns
    ]
    return msgspec.json.encode(msgspec.structs.asdict(status) | {"campaigns": campaigns}).decode()


def _in_text(row: CampaignStatus | LineItemStatus) -> dict[str, object]:
    """Return a row with its amounts as exact decimals."""
    return {
        name: money_text(value) if name in _AMOUNTS and value is not None else value
        for name, value in msgspec.structs.asdict(row).items()
    }


def _tables(status: Status) -> Group:
    return Group(_table(status), bidding_table(status.bidding, status.currency))


def _table(status: Status) -> Table:
    age = "no plan yet" if status.plan_age_s is None else f"plan {status.plan_age_s:.0f} s old"
    caption = f"config {status.version}, {age}"
    if status.stop is not None:
        caption += f"\nALL BIDDING IS STOPPED by {status.stop.by}: {status.stop.reason or 'no reason given'}"
    table = Table(
        box=SIMPLE_HEAD,
        padding=0,
        show_edge=False,
        caption=caption,
        caption_justify="left",
    )
    # An id that is cut can't be typed.
    table.add_column("Campaign", overflow="fold")
    table.add_column("State", no_wrap=True)
    # Few campaigns have an hourly budget, and a terminal is narrow.
    hourly = any(row.hourly is not None for row in status.campaigns)
    headings = ("This hour", "of hourly") if hourly else ()
    for heading in (*headings, "Today", "of daily", "In all", "of total", "Spent / plan", "Bid ×"):
        table.add_column(heading, justify="right", no_wrap=True)

    def amounts(row: CampaignStatus | LineItemStatus) -> list[str]:
        pairs: list[tuple[int | None, int | None]] = [(row.today, row.daily), (row.spent, row.total)]
        if hourly:
            in_hour = (row.this_hour, row.hourly) if isinstance(row, CampaignStatus) else (None, None)
            pairs.insert(0, in_hour)
        return [text for spent, limit in pairs for text in _of_limit(spent, limit, status.currency)]

    for row in status.campaigns:
        state = row.pacing if row.paused is None else "paused"
        multiplier = "–" if row.multiplier is None else f"{row.multiplier:.3f}"
        table.add_row(row.campaign, state, *amounts(row), _against_plan(row), multiplier)
        for line_item in row.line_items:
            table.add_row(f"  {line_item.line_item}", "", *amounts(line_item), "", "")
    return table


def _of_limit(spent: int | None, limit: int | None, currency: str) -> tuple[str, str]:
    return (
        "" if spent is None else format_money(spent, currency),
        "–" if limit is None else _whole(limit, currency),
    )


def _against_plan(row: CampaignStatus) -> str:
    """What of the window's money is spent, and should be."""
    if row.pacing == "asap" or not row.window or row.window_spent is None or row.plan_share is None:
        return "–"
    return f"{row.window_spent / row.window:.1%} / {row.plan_share:.1%}"


def _whole(amount: int, currency: str) -> str:
    """A budget, without its cents where it has none: the table must fit a terminal."""
    return format_money(amount, currency).replace(".00", "")
