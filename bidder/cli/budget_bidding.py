"""How campaigns have bid lately, for `hustings budget status`: won, paid, predicted, and what came.

Bids, bills and what both cost are the sums of `pacing.delivery`; what was predicted of impressions, and what
came of the same ones, is the trainer's record (`pacing.track_record`), some ten minutes behind. Both are of
the campaign's last days, today included.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
from redis.asyncio import Redis as AsyncRedis
from rich.box import SIMPLE_HEAD
from rich.table import Table

from config.calendar import local_day
from config.money import cpm_text, format_money, money_text, parse_money
from config.schema import Bundle, Campaign, Goal, LineItem, code_of
from config.value import Event
from pacing.delivery import delivered_days
from pacing.prediction import PREDICTED, ModelSummary, Predicted, fetch_summary
from pacing.track_record import Tracked, Tracks, fetch_tracked

DAYS_DEFAULT: Final = 7
DAYS_MAX: Final = 400
_EVENT_OF_GOAL: Final[Mapping[str, Predicted]] = {"cpc": "click", "cpa": "conversion"}
_SUM_OF_EVENT: Final[Mapping[Event, str]] = {
    "impression": "impressions",
    "click": "clicks",
    "conversion": "conversions",
    "completion": "completions",
}
"""The sums of `pacing.delivery` of the events that are counted."""

_BY_THE_THOUSAND: Final[tuple[Event, ...]] = ("impression", "view")
_UNIT_OF_EVENT: Final[Mapping[Event, str]] = {
    "impression": "CPM",
    "view": "vCPM",
    "click": "click",
    "conversion": "conv.",
    "completion": "play",
}

RateSource = Literal["model", "config", "usual", "exchange"]
"""Whose word a rate is: a model's, the line item's `expected_rate`, the usual rate of the format, or the
exchange's in each request, for which the other two stand in."""
_UNPREDICTED: Final[Mapping[Event, RateSource]] = {"completion": "exchange"}
"""Whose word it is without a model, where an exchange may give its own."""


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What predicts one event."""

    event: Predicted
    live: bool
    """Whether a model does; else the config, or the usual rates."""
    since: str | None
    """When that began, ISO 8601; None: it was never otherwise."""


class GoalStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign's clicks or conversions may cost, and have cost."""

    type: str
    target: str
    cost: str | None
    """Of each that came, in currency units; None while none has."""


class Auctions(msgspec.Struct, frozen=True, kw_only=True):
    """How a campaign, or one line item of it, has bid. Prices are CPMs, means of all billed bids."""

    bids: int
    billed: int
    win_rate: float | None
    """Billed of the bids made."""
    bid_cpm: str | None
    paid_cpm: str | None


class LineItemBidding(msgspec.Struct, frozen=True, kw_only=True):
    """A line item: what it pays for, what that costs, and what was predicted against what came."""

    line_item: str
    auctions: Auctions
    pays_for: Event
    price: str
    """Of one of these, in currency units; of impressions and views, of a thousand."""
    cost: str | None
    """What each that came has cost; None where none has, or no event tells."""
    predicts: Event | None
    """Whose rate decides what it bids, or what its campaign's goal makes of that; None: nothing's."""
    rate_by: RateSource | None
    predicted_rate: float | None
    observed_rate: float | None
    """Both of the same impressions."""
    calibration: float | None
    """Predicted for each that came: 1 is right, above it too much was bid."""


class CampaignBidding(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign and its line items."""

    campaign: str
    auctions: Auctions
    goal: GoalStatus | None
    line_items: tuple[LineItemBidding, ...]


class Bidding(msgspec.Struct, frozen=True, kw_only=True):
    """What `hustings budget status` says beside the budgets."""

    days: int
    model_version: int | None
    models: tuple[ModelStatus, ...]
    campaigns: tuple[CampaignBidding, ...]


async def read_bidding(client: AsyncRedis, bundle: Bundle, now_s: float, days: int) -> Bidding:
    """Read how every campaign of a bundle has bid in its last local days. Raises redis.RedisError."""
    summary = await fetch_summary(client)
    campaigns = []
    for code, campaign in bundle.campaigns_by_code().items():
        today = local_day(int(now_s), campaign.time_zone)
        span = range(today - days + 1, today + 1)
        sums: Counter[str] = Counter()
        of_items: dict[int, Counter[str]] = {}
        for day in await delivered_days(client, code, span):
            sums.update(day.sums)
            for item_code, of_item in day.line_items.items():
                of_items.setdefault(item_code, Counter()).update(of_item)
        tracks = await fetch_tracked(client, code, span) if campaign.learns else {}
        campaigns.append(_campaign(campaign, sums, of_items, tracks, summary))
    return Bidding(
        days=days,
        model_version=summary.version if summary is not None else None,
        models=tuple(_model(event, summary) for event in PREDICTED),
        campaigns=tuple(campaigns),
    )


def _model(event: Predicted, summary: ModelSummary | None) -> ModelStatus:
    since_s = summary.since_s.get(event) if summary is not None else None
    return ModelStatus(
        event=event,
        live=summary is not None and event in summary.live,
        since=None if since_s is None else datetime.fromtimestamp(since_s, UTC).isoformat(),
    )


def _campaign(
    campaign: Campaign,
    sums: Mapping[str, int],
    of_items: Mapping[int, Mapping[str, int]],
    tracks: Tracks,
    summary: ModelSummary | None,
) -> CampaignBidding:
    goal = None
    if campaign.goal is not None:
        cost = _cost(sums, _EVENT_OF_GOAL[campaign.goal.type])
        goal = GoalStatus(type=campaign.goal.type, target=money_text(campaign.goal.target), cost=cost)
    line_items = tuple(
        _line_item(line_item, campaign.goal, of_items.get(code_of(line_item.id), {}), tracks, summary)
        for line_item in campaign.line_items
    )
    return CampaignBidding(campaign=campaign.id, auctions=_auctions(sums), goal=goal, line_items=line_items)


def _line_item(
    line_item: LineItem,
    goal: Goal | None,
    sums: Mapping[str, int],
    tracks: Tracks,
    summary: ModelSummary | None,
) -> LineItemBidding:
    event, amount = line_item.price
    predicts = event if event != "impression" else _EVENT_OF_GOAL[goal.type] if goal is not None else None
    tracked = Tracked()
    rate_by: RateSource | None = None
    if predicts in PREDICTED:
        tracked = tracks.get((code_of(line_item.id), predicts), tracked)
        stated = line_item.expected_rate is not None and predicts == event
        live = summary is not None and predicts in summary.live
        rate_by = "model" if live else _UNPREDICTED.get(predicts, "config" if stated else "usual")
    elif predicts is not None:
        rate_by = "exchange"
    return LineItemBidding(
        line_item=line_item.id,
        auctions=_auctions(sums),
        pays_for=event,
        price=cpm_text(amount) if event in _BY_THE_THOUSAND else money_text(amount),
        cost=_cost(sums, event),
        predicts=predicts,
        rate_by=rate_by,
        # What an exchange said is not known any more.
        predicted_rate=tracked.predicted_rate if rate_by != "exchange" else None,
        observed_rate=tracked.observed_rate,
        calibration=tracked.calibration if rate_by != "exchange" else None,
    )


def _auctions(sums: Mapping[str, int]) -> Auctions:
    bids, billed = sums.get("bids", 0), sums.get("bills", 0)
    return Auctions(
        bids=bids,
        billed=billed,
        win_rate=billed / bids if bids else None,
        bid_cpm=cpm_text(sums.get("offered", 0) // billed) if billed else None,
        paid_cpm=cpm_text(sums.get("spent", 0) // billed) if billed else None,
    )


def _cost(sums: Mapping[str, int], event: Event) -> str | None:
    came = sums.get(_SUM_OF_EVENT[event], 0) if event in _SUM_OF_EVENT else 0
    return money_text(sums.get("spent", 0) // came) if came else None


def bidding_table(bidding: Bidding, currency: str) -> Table:
    """Return the table of campaigns, and of their line items that go by a rate."""
    days = "bids of today" if bidding.days == 1 else f"bids of the last {bidding.days} days"
    caption = days + _models_text(bidding)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=caption, caption_justify="left")
    table.add_column("Campaign")
    for heading in ("Pays", "Cost", "Won", "Bid", "Paid", "Predicted", "Came", "Pred/came"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in bidding.campaigns:
        aims = cost = ""
        if row.goal is not None:
            aims = f"≤{_money(row.goal.target, currency)}/{_EVENT_OF_GOAL[row.goal.type]}"
            cost = _money(row.goal.cost, currency)
        table.add_row(row.campaign, aims, cost, *_auction_cells(row.auctions, currency), "", "", "")
        for item in row.line_items:
            if item.predicts is None:
                continue
            table.add_row(
                f"  {item.line_item}",
                f"{_money(item.price, currency)}/{_UNIT_OF_EVENT[item.pays_for]}",
                _money(item.cost, currency) if item.pays_for in PREDICTED else "",
                *_auction_cells(item.auctions, currency),
                "exchange" if item.rate_by == "exchange" else _rate(item.predicted_rate),
                _rate(item.observed_rate),
                "–" if item.calibration is None else f"{item.calibration:.2f}",
            )
    return table


def _auction_cells(auctions: Auctions, currency: str) -> tuple[str, str, str]:
    return (
        _rate(auctions.win_rate),
        _money(auctions.bid_cpm, currency),
        _money(auctions.paid_cpm, currency),
    )


def _models_text(bidding: Bidding) -> str:
    """Say what predicts the events that any bid goes by, and since when."""
    predicted = {item.predicts for row in bidding.campaigns for item in row.line_items}
    said = []
    for model in bidding.models:
        if model.event not in predicted:
            continue
        by = f"model {bidding.model_version}" if model.live else "expected or usual rates"
        if model.event == "completion" and not model.live:
            by = "what exchanges say, or " + by
        since = "" if model.since is None else f" since {model.since[:16].replace('T', ' ')} UTC"
        said.append(f"{model.event}s by {by}{since}")
    return "".join(f"\n{one}" for one in said)


def _rate(rate: float | None) -> str:
    """Write a rate with the decimals it needs: clicks are one in a thousand, whole plays one in two."""
    if rate is None:
        return "–"
    return f"{rate:.{1 if rate >= 0.1 else 2 if rate >= 0.01 else 3}%}"


def _money(text: str | None, currency: str) -> str:
    return "–" if text is None else format_money(parse_money(text), currency)
