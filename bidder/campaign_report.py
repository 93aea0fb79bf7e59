"""What campaigns delivered so far: figures, spend against plan, people reached, and why they did not bid.

    report = await take_report(client, bundle, campaigns, now_s, days=31)

Everything comes from the sums of `pacing.delivery`, which are kept for DELIVERED_SECONDS, hours for
DELIVERED_HOURS_SECONDS; what is spent and what it was budgeted comes from the ledger. Figures are of the days
asked for, in the campaign's time zone, today included. Reach and frequency are of all that is kept: people
can't be taken out of a day again.

*Win rate* is wins over bids; an exchange that sends no win notices has none, so bills count where there are
more of them. *Frequency* is impressions shown to people whom the engine knows and may count, over how many
they are. *Reasons* are a sample (`bidder.port.reason_sample`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import redis.asyncio

from bidder.decision.reasons import Mismatch, Reason
from bidder.port.reason_sample import BID, OUTRANKED
from config.calendar import SECONDS_PER_DAY, local_day
from config.limits import DELIVERED_HOURS_SECONDS, DELIVERED_SECONDS
from config.schema import Advertiser, Bundle, Campaign, code_of
from pacing.account import Account
from pacing.delivery import (
    PLAN,
    WINDOW_SPENT,
    WINDOW_START,
    Day,
    Hour,
    delivered_days,
    delivered_hours,
    reach_of,
    sampled_frequencies,
)
from pacing.ledger import Ledger

DAYS_MAX: Final = DELIVERED_SECONDS // SECONDS_PER_DAY
HOURS_DAYS_MAX: Final = DELIVERED_HOURS_SECONDS // SECONDS_PER_DAY
FREQUENCY_SHOWN_MAX: Final = 10
"""Frequencies from this on are one group."""

_SENTENCES: Final = {
    BID: "it bid",
    OUTRANKED: "another ad of this engine was worth more",
    Reason.BELOW_FLOOR.name.lower(): "its price, paced, was below the floor",
    Reason.OUT_OF_AUDIENCE.name.lower(): "the person was not in its audience",
    Reason.CAPPED.name.lower(): "a frequency cap was reached, or the person was not known",
    Reason.NO_BUDGET.name.lower(): "it had no money left for this price",
}


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was delivered; money in billionths."""

    bids: int = 0
    wins: int = 0
    losses: int = 0
    impressions: int = 0
    clicks: int = 0
    conversions: int = 0
    completions: int = 0
    bills: int = 0
    spent: int = 0

    @property
    def win_rate(self) -> float | None:
        """None when nothing was bid."""
        return min(max(self.wins, self.bills) / self.bids, 1.0) if self.bids else None

    @property
    def click_rate(self) -> float | None:
        """None when nothing was shown."""
        return self.clicks / self.impressions if self.impressions else None

    @property
    def cpm_micros(self) -> int | None:
        """What an impression cost: billionths for one are millionths for a thousand."""
        return self.spent // self.impressions if self.impressions else None


class Moment(msgspec.Struct, frozen=True):
    """Where a campaign stood at the end of an hour, since the first hour that is kept; billionths."""

    hour: int
    """The second it began in."""
    spent: int
    planned: int | None


class DayFigures(msgspec.Struct, frozen=True):
    """What a campaign did on one day."""

    day: int
    """Local days since 1970."""
    figures: Figures


class LineItemFigures(msgspec.Struct, frozen=True):
    """What a line item did on all days of the report."""

    id: str
    name: str
    figures: Figures
    reach: int


class ReasonShare(msgspec.Struct, frozen=True):
    """How often sampled requests ended so."""

    reason: str
    sentence: str
    times: int
    share: float


class CampaignReport(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign on the days of the report; amounts in billionths."""

    id: str
    name: str
    advertiser: str
    pacing: str
    time_zone: str
    budget: int
    daily_budget: int | None
    spent_ever: int
    """By the ledger, corrections by hand included."""
    first_day: int
    last_day: int
    figures: Figures
    days: tuple[DayFigures, ...]
    moments: tuple[Moment, ...]
    line_items: tuple[LineItemFigures, ...]
    reach: int
    frequency: float | None
    frequencies: tuple[float, ...]
    """The share of people who saw 1, 2, ... impressions; the last place is that many or more."""
    sampled_people: int
    reasons: tuple[ReasonShare, ...]
    """The most frequent first."""
    sampled_requests: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the page, the tables and the JSON are made of."""

    made_at_s: int
    currency: str
    config_version: str
    campaigns: tuple[CampaignReport, ...]


async def take_report(
    client: redis.asyncio.Redis, bundle: Bundle, campaign_ids: Iterable[str], now_s: int, days: int
) -> Report:
    """Read what is known of campaigns of a bundle over so many local days. Raises redis.RedisError."""
    wanted = set(campaign_ids)
    chosen = [
        (advertiser, campaign)
        for advertiser in bundle.advertisers
        for campaign in advertiser.campaigns
        if campaign.id in wanted
    ]
    accounts = await Ledger(client).accounts([code_of(campaign.id) for _, campaign in chosen])
    reports = [
        await _campaign(client, advertiser, campaign, accounts.get(code_of(campaign.id)), now_s, days)
        for advertiser, campaign in chosen
    ]
    return Report(
        made_at_s=now_s,
        currency=bundle.engine.currency,
        config_version=bundle.version,
        campaigns=tuple(reports),
    )


async def _campaign(
    client: redis.asyncio.Redis,
    advertiser: Advertiser,
    campaign: Campaign,
    account: Account | None,
    now_s: int,
    days: int,
) -> CampaignReport:
    code, today = code_of(campaign.id), local_day(now_s, campaign.time_zone)
    first = today - days + 1
    kept = await delivered_days(client, code, range(today - DAYS_MAX + 1, today + 1))
    shown = [day for day in kept if day.day >= first]
    hours_first = max(first, today - HOURS_DAYS_MAX + 1)
    hours = await delivered_hours(client, code, range(hours_first, today + 1))
    reach = await reach_of(client, code)
    people = await sampled_frequencies(client, code)
    recognised = sum(day.sums.get("recognised", 0) for day in kept)
    reasons = reason_shares(shown)
    return CampaignReport(
        id=campaign.id,
        name=campaign.name,
        advertiser=advertiser.name or advertiser.id,
        pacing=campaign.pacing,
        time_zone=campaign.time_zone,
        budget=campaign.budget.total,
        daily_budget=campaign.budget.daily,
        spent_ever=account.spent if account is not None else 0,
        first_day=first,
        last_day=today,
        figures=figures_of(day.sums for day in shown),
        days=tuple(DayFigures(day.day, figures_of([day.sums])) for day in shown),
        moments=moments_of(hours),
        line_items=await _line_items(client, campaign, shown),
        reach=reach,
        frequency=recognised / reach if reach else None,
        frequencies=frequency_shares(people),
        sampled_people=len(people),
        reasons=reasons,
        sampled_requests=sum(one.times for one in reasons),
    )


async def _line_items(
    client: redis.asyncio.Redis, campaign: Campaign, days: Sequence[Day]
) -> tuple[LineItemFigures, ...]:
    """Those of the config first, in its order, then those that have left it."""
    known = {code_of(item.id): item for item in campaign.line_items}
    gone = {code for day in days for code in day.line_items} - known.keys()
    found = []
    for item_code in (*known, *sorted(gone)):
        item = known.get(item_code)
        found.append(
            LineItemFigures(
                item.id if item is not None else f"not in the config ({item_code:08x})",
                item.name if item is not None else "",
                figures_of(day.line_items.get(item_code, {}) for day in days),
                await reach_of(client, code_of(campaign.id), item_code),
            )
        )
    return tuple(found)


def figures_of(sums: Iterable[Mapping[str, int]]) -> Figures:
    """Add up sums by what."""
    total: Counter[str] = Counter()
    for one in sums:
        total.update({name: one[name] for name in Figures.__struct_fields__ if name in one})
    return Figures(**total)


def moments_of(hours: Sequence[Hour]) -> tuple[Moment, ...]:
    """Join the windows that hours were recorded in: what was spent and planned before is carried on.

    Hours that nobody recorded, because no admin process ran, are left out. A campaign that was without a
    plan for some of the time has none.
    """
    moments: list[Moment] = []
    window, spent_before, planned_before = None, 0, 0
    spent = planned = 0
    even = all(PLAN in hour.sums for hour in hours if WINDOW_START in hour.sums)
    for hour in hours:
        if WINDOW_START not in hour.sums:
            continue
        if window is not None and hour.sums[WINDOW_START] != window:
            spent_before, planned_before = spent_before + spent, planned_before + planned
        window = hour.sums[WINDOW_START]
        spent, planned = hour.sums[WINDOW_SPENT], hour.sums.get(PLAN, 0)
        moments.append(Moment(hour.hour, spent_before + spent, planned_before + planned if even else None))
    return tuple(moments)


def frequency_shares(people: Sequence[int]) -> tuple[float, ...]:
    """Return the share of the sampled people for each frequency, to FREQUENCY_SHOWN_MAX and more."""
    if not people:
        return ()
    counts = Counter(min(times, FREQUENCY_SHOWN_MAX) for times in people)
    return tuple(counts[times] / len(people) for times in range(1, max(counts) + 1))


def reason_shares(days: Iterable[Day]) -> tuple[ReasonShare, ...]:
    """Add up sampled reasons, the most frequent first."""
    counts: Counter[str] = Counter()
    for day in days:
        counts.update(day.reasons)
    total = counts.total()
    return tuple(
        ReasonShare(reason, sentence_of(reason), times, times / total)
        for reason, times in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def sentence_of(reason: str) -> str:
    """Say a sampled reason in words; one of another release is its own name."""
    if reason in _SENTENCES:
        return _SENTENCES[reason]
    mismatch = Mismatch.__members__.get(reason.upper())
    return mismatch.value if mismatch is not None else reason.replace("_", " ")
