"""A report on campaigns as rows for a spreadsheet and as JSON for a program.

Both say money as exact decimals in the currency of the books, and dates as 2026-11-03.
"""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import msgspec

from bidder.campaign_report import CampaignReport, Figures, Report
from config.money import cpm_text, money_text

COLUMNS: Final = (
    *("campaign", "line_item", "day", "bids", "wins", "losses", "win_rate", "impressions", "clicks"),
    *(
        "click_rate",
        "conversions",
        "completions",
        "spent",
        "cpm",
        "currency",
        "reach",
        "frequency",
        "reasons",
    ),
)
_REASONS_MAX: Final = 5


def day_text(day: int) -> str:
    """Write a local day, counted from 1970-01-01."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def report_csv(report: Report) -> str:
    """Return rows with a heading: for each campaign one of it all, one a line item, and one a day.

    A row of a campaign has no line item, and one of the whole time no day. Reach, frequency and reasons
    are there where they are known.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for campaign in report.campaigns:
        for row in _rows(campaign):
            writer.writerow({"campaign": campaign.id, "currency": report.currency} | row)
    return text.getvalue()


def _rows(campaign: CampaignReport) -> Iterator[dict[str, object]]:
    reasons = "; ".join(f"{one.reason} {one.share:.1%}" for one in campaign.reasons[:_REASONS_MAX])
    yield _figures(campaign.figures) | {
        "reach": campaign.reach,
        "frequency": "" if campaign.frequency is None else round(campaign.frequency, 2),
        "reasons": reasons,
    }
    for item in campaign.line_items:
        yield _figures(item.figures) | {"line_item": item.id, "reach": item.reach}
    for day in campaign.days:
        yield _figures(day.figures) | {"day": day_text(day.day)}


def _figures(figures: Figures) -> dict[str, object]:
    cpm_micros = figures.cpm_micros
    return {
        "bids": figures.bids,
        "wins": figures.wins,
        "losses": figures.losses,
        "win_rate": _rate(figures.win_rate),
        "impressions": figures.impressions,
        "clicks": figures.clicks,
        "click_rate": _rate(figures.click_rate),
        "conversions": figures.conversions,
        "completions": figures.completions,
        "spent": money_text(figures.spent),
        "cpm": "" if cpm_micros is None else cpm_text(cpm_micros),
    }


def _rate(rate: float | None) -> object:
    return "" if rate is None else round(rate, 6)


def report_json(report: Report) -> bytes:
    """Return one JSON object."""
    return msgspec.json.encode(
        {
            "made_at": datetime.fromtimestamp(report.made_at_s, UTC).isoformat(),
            "currency": report.currency,
            "config_version": report.config_version,
            "campaigns": [_campaign(campaign) for campaign in report.campaigns],
        }
    )


def _campaign(campaign: CampaignReport) -> dict[str, Any]:
    return {
        "id": campaign.id,
        "name": campaign.name,
        "advertiser": campaign.advertiser,
        "pacing": campaign.pacing,
        "time_zone": campaign.time_zone,
        "budget": money_text(campaign.budget),
        "daily_budget": None if campaign.daily_budget is None else money_text(campaign.daily_budget),
        "spent_ever": money_text(campaign.spent_ever),
        "first_day": day_text(campaign.first_day),
        "last_day": day_text(campaign.last_day),
        **_as_json(campaign.figures),
        "reach": campaign.reach,
        "frequency": campaign.frequency,
        "frequency_shares": campaign.frequencies,
        "sampled_people": campaign.sampled_people,
        "reasons": campaign.reasons,
        "sampled_requests": campaign.sampled_requests,
        "days": [{"day": day_text(day.day)} | _as_json(day.figures) for day in campaign.days],
        "line_items": [
            {"id": item.id, "name": item.name, "reach": item.reach} | _as_json(item.figures)
            for item in campaign.line_items
        ],
        "spend": [
            {
                "hour": datetime.fromtimestamp(moment.hour, UTC).isoformat(),
                "spent": money_text(moment.spent),
                "planned": None if moment.planned is None else money_text(moment.planned),
            }
            for moment in campaign.moments
        ],
    }


def _as_json(figures: Figures) -> dict[str, object]:
    return {name: None if value == "" else value for name, value in _figures(figures).items()}
