"""The engine at a glance, as `/status.json`: what the dashboard and the command line show.

Money is text, a decimal in currency units that is exact to the billionth: a JSON number would not
survive a reader that has only floats. Counters are since the processes' metric files were made.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from bidder.admin.counts import buckets, quantile, split, total
from bidder.admin.freshness import Freshness
from bidder.admin.pace import Pace, pace_of
from bidder.admin.readiness import WorkerBeat
from bidder.admin.redis_state import RedisState
from bidder.admin.snapshot import Snapshot
from bidder.events.outcome import Outcome
from config.money import money_text
from config.refused_edit import RefusedEdit
from config.schema import Campaign, account_code, code_of
from pacing.plan import MULTIPLIER_ONE_Q16


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds, estimated from the histogram; None before the first request."""

    p50: float | None
    p95: float | None
    p99: float | None


class PaceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Spend against plan in the window that the campaign's money is for now."""

    start_s: int
    end_s: int
    budget: str
    spent: str
    planned: str | None
    """What should be spent by now; None for a campaign that spends as fast as it can."""
    spent_share: float
    planned_share: float | None


class LineItemStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A line item with a budget of its own; figures as of the campaign."""

    id: str
    budget: str | None
    daily_budget: str | None
    spent: str | None
    spent_today: str | None
    leased: str | None


class CampaignStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign of the config. The account's figures are None when the ledger did not give them."""

    id: str
    name: str
    advertiser: str
    budget: str
    daily_budget: str | None
    hourly_budget: str | None = None
    spent: str | None
    spent_today: str | None
    spent_this_hour: str | None = None
    leased: str | None
    line_items: tuple[LineItemStatus, ...] = ()
    """Those with budgets of their own."""
    line_items_left_out: int = 0
    """As `Status.campaigns_left_out`."""
    paused: bool
    in_flight: bool
    pacing: str
    pace: PaceStatus | None
    """None outside the flight."""
    multiplier: float | None
    """The pacing controller's, from 0 to 1; None when no plan names the campaign."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    now_s: float
    ready: bool
    reason: str
    config_version: str
    refused_edits: tuple[RefusedEdit, ...]
    """Edits of watched config folders that are not live, because of their faults."""
    stopped: str | None
    """Who stopped all bidding, and why; None while nobody has."""
    currency: str
    workers: tuple[WorkerBeat, ...]
    requests: int
    bids: int
    wins: int
    impressions: int
    clicks: int
    conversions: int
    losses: int
    spent: str
    """Of all campaigns in the config, from the ledger."""
    latency_ms: Latency
    no_bid_reasons: dict[str, int]
    lookup_failures: dict[str, int]
    trouble: dict[str, int]
    """What an operator should look into: refused notices, failed look-ups, failed syncs. Zeros left out."""
    plan_age_s: float | None
    """Since the pacing controller's last plan."""
    redis: RedisState | None
    """None when it does not answer, or may not be asked for INFO."""
    audiences: Freshness | None
    campaigns: tuple[CampaignStatus, ...]
    campaigns_left_out: int = 0
    """Of the dashboard's list alone; /status.json has them all."""


_Row = TypeVar("_Row")
_OUTCOMES_OF_TROUBLE = (
    Outcome.FORGED,
    Outcome.OVERPRICED,
    Outcome.UNPRICED,
    Outcome.BAD_SIGNATURE,
    Outcome.STALE_PRICE,
    Outcome.LATE,
    Outcome.EXPIRED,
    Outcome.UNKNOWN_CAMPAIGN,
    Outcome.UNAVAILABLE,
)


def status(snapshot: Snapshot) -> Status:
    """Summarise a snapshot; pure."""
    metrics = snapshot.metrics
    happened = split(metrics, "hustings_notices", "kind", outcome="ok")
    cumulative = buckets(metrics, "hustings_bid_latency_seconds")
    return Status(
        now_s=snapshot.now_s,
        ready=snapshot.readiness.ready,
        reason=snapshot.readiness.reason,
        config_version=snapshot.bundle.version if snapshot.bundle else "",
        refused_edits=snapshot.refused_edits,
        stopped=_stopped(snapshot),
        currency=snapshot.bundle.engine.currency if snapshot.bundle else "USD",
        workers=snapshot.readiness.workers,
        requests=total(metrics, "hustings_bid_requests"),
        bids=total(metrics, "hustings_bids"),
        wins=happened.get("win", 0),
        impressions=happened.get("impression", 0),
        clicks=happened.get("click", 0),
        conversions=happened.get("conversion", 0),
        losses=happened.get("loss", 0),
        spent=money_text(sum(account.spent for account in snapshot.accounts.values())),
        latency_ms=Latency(*(_ms(quantile(cumulative, share)) for share in (0.5, 0.95, 0.99))),
        no_bid_reasons=split(metrics, "hustings_no_bids", "reason"),
        lookup_failures=split(metrics, "hustings_lookup_failures", "kind"),
        trouble=_trouble(snapshot),
        plan_age_s=round(max(snapshot.now_s - snapshot.plan.made_at_s, 0.0), 1) if snapshot.plan else None,
        redis=snapshot.redis,
        audiences=snapshot.freshness,
        campaigns=_campaigns(snapshot),
    )


def abridged(status: Status, campaigns_max: int, line_items_max: int) -> Status:
    """Return a status with those that spend the most today, or ever, in the order of the config."""

    def weight(row: CampaignStatus) -> tuple[bool, float, float]:
        return row.in_flight and not row.paused, float(row.spent_today or 0), float(row.spent or 0)

    kept, left_out = _heaviest(status.campaigns, weight, campaigns_max)
    return msgspec.structs.replace(
        status,
        campaigns=tuple(_with_few_line_items(row, line_items_max) for row in kept),
        campaigns_left_out=left_out,
    )


def _with_few_line_items(row: CampaignStatus, line_items_max: int) -> CampaignStatus:
    def weight(item: LineItemStatus) -> tuple[float, float]:
        return float(item.spent_today or 0), float(item.spent or 0)

    kept, left_out = _heaviest(row.line_items, weight, line_items_max)
    return msgspec.structs.replace(row, line_items=kept, line_items_left_out=left_out) if left_out else row


def _heaviest(
    rows: tuple[_Row, ...], weight: Callable[[_Row], tuple[float, ...]], most: int
) -> tuple[tuple[_Row, ...], int]:
    """Return the heaviest rows, in their order, and how many others there are."""
    if len(rows) <= most:
        return rows, 0
    heaviest = set(sorted(range(len(rows)), key=lambda index: weight(rows[index]))[-most:])
    return tuple(row for index, row in enumerate(rows) if index in heaviest), len(rows) - most


def _stopped(snapshot: Snapshot) -> str | None:
    if snapshot.stop is None:
        return None
    return f"{snapshot.stop.by}: {snapshot.stop.reason or 'no reason given'}"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1_000, 3)


def _trouble(snapshot: Snapshot) -> dict[str, int]:
    outcomes = split(snapshot.metrics, "hustings_notices", "outcome")
    found = {f"notices {outcome}": outcomes.get(outcome, 0) for outcome in _OUTCOMES_OF_TROUBLE}
    for kind, times in split(snapshot.metrics, "hustings_lookup_failures", "kind").items():
        found[f"look-ups {kind}"] = times
    for reason, times in split(snapshot.metrics, "hustings_configs_refused", "reason").items():
        found[f"configs refused, {reason}"] = times
    found["syncs with the ledger failed"] = total(snapshot.metrics, "hustings_sync_failures")
    return {what: times for what, times in found.items() if times}


def _campaigns(snapshot: Snapshot) -> tuple[CampaignStatus, ...]:
    planned = snapshot.plan.campaigns if snapshot.plan else {}
    rows = []
    for advertiser, campaign in snapshot.campaigns():
        code = code_of(campaign.id)
        account = snapshot.accounts.get(code)
        plan = planned.get(code)
        daily, hourly = campaign.budget.daily, campaign.budget.hourly
        rows.append(
            CampaignStatus(
                id=campaign.id,
                name=campaign.name,
                advertiser=advertiser.name or advertiser.id,
                budget=money_text(campaign.budget.total),
                daily_budget=None if daily is None else money_text(daily),
                hourly_budget=None if hourly is None else money_text(hourly),
                spent=money_text(account.spent) if account else None,
                spent_today=money_text(account.spent_on(snapshot.today(campaign))) if account else None,
                spent_this_hour=money_text(account.spent_in(snapshot.hour(campaign))) if account else None,
                leased=money_text(account.leased) if account else None,
                line_items=_line_items(snapshot, campaign),
                paused=campaign.paused or (account is not None and account.paused),
                in_flight=snapshot.in_flight(campaign),
                pacing=campaign.pacing,
                pace=_pace(pace_of(campaign, account, snapshot.now_s, plan)) if account else None,
                multiplier=plan.multiplier_q16 / MULTIPLIER_ONE_Q16 if plan else None,
            )
        )
    return tuple(rows)


def _line_items(snapshot: Snapshot, campaign: Campaign) -> tuple[LineItemStatus, ...]:
    rows = []
    for line_item in campaign.line_items:
        if not line_item.has_budget:
            continue
        account = snapshot.line_item_accounts.get(account_code(campaign.id, line_item.id))
        total, daily = line_item.budget.total, line_item.budget.daily
        rows.append(
            LineItemStatus(
                id=line_item.id,
                budget=None if total is None else money_text(total),
                daily_budget=None if daily is None else money_text(daily),
                spent=money_text(account.spent) if account else None,
                spent_today=money_text(account.spent_on(snapshot.today(campaign))) if account else None,
                leased=money_text(account.leased) if account else None,
            )
        )
    return tuple(rows)


def _pace(pace: Pace | None) -> PaceStatus | None:
    if pace is None:
        return None
    budget = max(pace.budget, 1)
    return PaceStatus(
        start_s=pace.start_s,
        end_s=pace.end_s,
        budget=money_text(pace.budget),
        spent=money_text(pace.spent),
        planned=None if pace.planned is None else money_text(pace.planned),
        spent_share=round(pace.spent / budget, 4),
        planned_share=None if pace.planned is None else round(pace.planned / budget, 4),
    )
