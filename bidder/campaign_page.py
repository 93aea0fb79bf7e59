"""One page about campaigns, to open in a browser or to send to somebody. It needs no network and no script.

    html = campaigns_page(await take_report(...))

A line for each campaign first, then each by itself: spend against plan, every day, line items, how often
people saw it, and why it did not bid. Each plot has its numbers in a table behind it. Whoever gets the page
sees what campaigns cost and delivered, and nothing of a person.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from bidder.campaign_report import FREQUENCY_SHOWN_MAX, CampaignReport, Figures, LineItemFigures, Report
from bidder.campaign_tables import day_text
from config.calendar import time_zone
from config.money import format_money
from segments.report_charts import bar, column_plot, compared_plot, even_ticks
from segments.report_style import STYLE

_ITEMS_SHOWN: Final = 20
_REASONS_SHOWN: Final = 12
_DAYS_DRAWN_MIN: Final = 7
_FIGURE_HEADS: Final = "".join(
    f'<th class="n">{head}' for head in ("bids", "won", "impressions", "clicks", "CTR", "spent", "CPM", "CPC")
)


def campaigns_page(report: Report) -> str:
    """Return the page as one HTML document."""
    made = f"{datetime.fromtimestamp(report.made_at_s, UTC):%Y-%m-%d %H:%M} UTC"
    sections = "".join(_section(campaign, report.currency) for campaign in report.campaigns)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Campaigns, {made}</title><style>{STYLE}</style></head><body>"
        f'<header><h1>Campaigns</h1><p class="quiet">As of {made}, config {escape(report.config_version)}. '
        f"Amounts in {escape(report.currency)}.</p></header>"
        f"<main>{_overview(report)}{sections}</main></body></html>\n"
    )


def _overview(report: Report) -> str:
    if not report.campaigns:
        return '<p class="quiet">The config has no campaign.</p>'
    rows = "".join(
        f'<tr><th scope=row><a href="#{escape(one.id)}">{escape(one.name or one.id)}</a>'
        f"<small>{escape(one.advertiser)}</small></th>"
        f'<td class="n">{format_money(one.spent_ever, report.currency)}'
        f"<small>of {format_money(one.budget, report.currency)}</small></td>"
        f'<td class="drawn wide">{bar(min(one.spent_ever / (one.budget or 1), 1.0))}</td>'
        f'<td class="n">{one.figures.impressions:,}<td class="n">{_percent(one.figures.win_rate)}'
        f'<td class="n">{one.reach:,}<td class="n">{_number(one.frequency)}'
        for one in report.campaigns
    )
    return (
        '<div class="scroll" tabindex="0"><table><caption>Spent in all, and delivered in the days below'
        '</caption><thead><tr><th>campaign<th class="n">spent<th class="drawn wide">of its budget'
        '<th class="n">impressions<th class="n">won<th class="n">people<th class="n">times each</thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _section(campaign: CampaignReport, currency: str) -> str:
    figures = campaign.figures
    tiles = (
        ("spent", format_money(figures.spent, currency)),
        ("impressions", f"{figures.impressions:,}"),
        ("CPM", "–" if figures.cpm_micros is None else format_money(1_000 * figures.cpm_micros, currency)),
        ("bids won", _percent(figures.win_rate)),
        ("clicks", f"{figures.clicks:,}"),
        ("a click", _per_click(figures, currency)),
        ("conversions", f"{figures.conversions:,}"),
        ("played to the end", f"{figures.completions:,}"),
        ("people reached", f"{campaign.reach:,}"),
        ("times each", _number(campaign.frequency)),
    )
    head = f"{escape(campaign.advertiser)} · {day_text(campaign.first_day)} to {day_text(campaign.last_day)}"
    return (
        f'<section id="{escape(campaign.id)}"><h2>{escape(campaign.name or campaign.id)}</h2>'
        f'<p class="quiet">{head}, {escape(campaign.time_zone)}</p>'
        f"<dl>{''.join(f'<div><dt>{name}</dt><dd>{value}</dd></div>' for name, value in tiles)}</dl>"
        f"<h3>Spend against plan</h3>{_spend(campaign, currency)}"
        f"<h3>Day by day</h3>{_days(campaign, currency)}"
        f"<h3>Line items</h3>{_line_items(campaign.line_items, currency)}"
        f"<h3>How often people saw it</h3>{_frequencies(campaign)}"
        f"<h3>Why it did not bid</h3>{_reasons(campaign)}</section>"
    )


def _spend(campaign: CampaignReport, currency: str) -> str:
    moments = campaign.moments
    if len(moments) < 2:
        return '<p class="quiet">Fewer than two hours are recorded.</p>'
    first, span = moments[0].hour, moments[-1].hour - moments[0].hour or 1
    spent = [((one.hour - first) / span, one.spent) for one in moments]
    planned = [((one.hour - first) / span, one.planned) for one in moments if one.planned is not None]
    zone, last = time_zone(campaign.time_zone), moments[-1]

    def moment(hour: int) -> str:
        return f"{datetime.fromtimestamp(hour, zone):%m-%d %H:%M}"

    says = f"{format_money(last.spent, currency)} spent"
    if last.planned is not None:
        says += f"; the plan was {format_money(last.planned, currency)}"
    keys = '<p class="keys"><span>spent</span>'
    keys += '<span class="goal-key">plan</span></p>' if planned else "</p>"
    ticks = [moment(first + span * part // 4) for part in range(5)]
    plot = compared_plot(spent, planned, lambda value: format_money(value, currency), ticks, says)
    rows = [
        (
            moment(one.hour),
            format_money(one.spent, currency),
            "–" if one.planned is None else format_money(one.planned, currency),
        )
        for one in reversed(moments)
    ]
    return f"<p>{says}.</p>{keys}{plot}{_folded('Every hour', ('hour', 'spent', 'plan'), rows)}"


def _days(campaign: CampaignReport, currency: str) -> str:
    if not campaign.days:
        return '<p class="quiet">Nothing was delivered on these days.</p>'
    by_day = {one.day: one.figures for one in campaign.days}
    # A week at least, as far as the report goes back: a single day would fill the plot, and show nothing.
    first = max(campaign.first_day, min(campaign.days[0].day, campaign.last_day - _DAYS_DRAWN_MIN + 1))
    days = range(first, campaign.last_day + 1)
    values = [by_day[day].impressions if day in by_day else 0 for day in days]
    count = len(campaign.days)
    says = f"{sum(values):,} impressions on {count} day{'s' * (count != 1)}, at most {max(values):,} on one"
    rows = "".join(
        f"<tr><th scope=row>{day_text(one.day)}{_cells(one.figures, currency)}"
        for one in reversed(campaign.days)
    )
    return (
        f"<p>{says}.</p>{column_plot(values, even_ticks([day_text(day) for day in days]), says)}"
        '<details><summary>Every day</summary><div class="scroll" tabindex="0"><table><thead><tr><th>day'
        f"{_FIGURE_HEADS}</thead><tbody>{rows}</tbody></table></div></details>"
    )


def _line_items(items: Sequence[LineItemFigures], currency: str) -> str:
    ordered = sorted(items, key=lambda item: (-item.figures.spent, -item.figures.impressions, item.id))
    shown, folded = ordered[:_ITEMS_SHOWN], ordered[_ITEMS_SHOWN:]
    more = f"<details><summary>{len(folded):,} that spent less</summary>{_items(folded, currency)}</details>"
    return _items(shown, currency) + (more if folded else "")


def _items(items: Sequence[LineItemFigures], currency: str) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escape(item.name or item.id)}{_cells(item.figures, currency)}"
        f'<td class="n">{item.reach:,}'
        for item in items
    )
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr><th>line item{_FIGURE_HEADS}'
        f'<th class="n">people</thead><tbody>{rows}</tbody></table></div>'
    )


def _cells(figures: Figures, currency: str) -> str:
    cpm_micros = figures.cpm_micros
    cells = (
        f"{figures.bids:,}",
        _percent(figures.win_rate),
        f"{figures.impressions:,}",
        f"{figures.clicks:,}",
        _percent(figures.click_rate),
        format_money(figures.spent, currency),
        "–" if cpm_micros is None else format_money(1_000 * cpm_micros, currency),
        _per_click(figures, currency),
    )
    return "".join(f'<td class="n">{cell}' for cell in cells)


def _per_click(figures: Figures, currency: str) -> str:
    return format_money(figures.spent // figures.clicks, currency) if figures.clicks else "–"


def _frequencies(campaign: CampaignReport) -> str:
    if not campaign.frequencies:
        return '<p class="quiet">Nobody who is known and may be counted has seen it.</p>'
    rows = [
        (f"{times}{' or more' if times == FREQUENCY_SHOWN_MAX else ''}", share)
        for times, share in enumerate(campaign.frequencies, 1)
    ]
    caption = (
        f"Of {campaign.sampled_people:,} people drawn from about {campaign.reach:,}, since the campaign began"
    )
    return _shares("loads", caption, "impressions", "people", rows)


def _reasons(campaign: CampaignReport) -> str:
    if not campaign.reasons:
        return '<p class="quiet">No request was sampled on these days.</p>'
    rows = [(escape(one.sentence), one.share) for one in campaign.reasons[:_REASONS_SHOWN]]
    caption = f"Of {campaign.sampled_requests:,} sampled requests, by the ad that came furthest"
    return _shares("", caption, "what happened", "requests", rows)


def _shares(kind: str, caption: str, what: str, of: str, rows: Sequence[tuple[str, float]]) -> str:
    """A table of shares, each as a figure and as a bar; `kind` is its class."""
    body = "".join(
        f'<tr><th scope=row>{name}<td class="n">{_percent(share)}<td class="drawn">{bar(share)}'
        for name, share in rows
    )
    return (
        f'<table class="{kind}"><caption>{caption}</caption><thead><tr><th>{what}'
        f'<th class="n">{of}<td class="drawn"></thead><tbody>{body}</tbody></table>'
    )


def _folded(summary: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    first, *others = heads
    head = f"<th>{first}" + "".join(f'<th class="n">{other}' for other in others)
    body = "".join(
        f"<tr><th scope=row>{row[0]}" + "".join(f'<td class="n">{cell}' for cell in row[1:]) for row in rows
    )
    return (
        f'<details><summary>{summary}</summary><div class="scroll" tabindex="0"><table><thead><tr>{head}'
        f"</thead><tbody>{body}</tbody></table></div></details>"
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}" if share < 0.1 else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
