"""A run's result, for programs and for people.

`result` is the JSON of `hustings loadtest --json`; money is exact decimal text in it. `page` is
one HTML file that needs nothing else: no script, no font, no picture from elsewhere.
"""

from collections.abc import Sequence
from html import escape
from typing import Any

import msgspec

from config.money import format_money, money_text
from loadtest.report_charts import latency_chart, rate_chart
from loadtest.tally import Percentiles, Second, Summary


class RunLabel(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, to head the report with."""

    target: str
    rate_per_s: float
    seconds: float
    seed: int
    connections: int
    source: str
    """Where the requests came from: `generated` or a file name."""


def result(summary: Summary) -> dict[str, Any]:
    """Return the figures as JSON-ready values; spend is text like ``12.5`` in `currency`."""
    return {
        "requests": summary.requests,
        "bids": summary.bids,
        "wins": summary.wins,
        "impressions": summary.impressions,
        "clicks": summary.clicks,
        "spend": money_text(summary.spend),
        "currency": summary.currency,
        "errors": summary.errors,
        "errors_by_kind": summary.errors_by_kind,
        "problems": [msgspec.structs.asdict(problem) for problem in summary.problems],
        "timeouts": summary.timeouts,
        "seconds": round(summary.elapsed_s, 3),
        "rate": round(summary.rate_per_s, 1),
        "bid_rate": round(summary.bid_rate, 4),
        "answers": summary.answers,
        "no_bids": summary.no_bids,
        "losses": summary.losses,
        "latency_ms": _milliseconds(summary.latency_ms),
        "client_lag_ms": _milliseconds(summary.client_lag_ms),
        "client_note": summary.client_note,
        "notices": {
            **summary.notices,
            "repeated": summary.notices_repeated,
            "lost": summary.notices_lost,
            "delayed": summary.notices_delayed,
        },
        "campaigns": [
            {
                "id": account.id,
                "spent": money_text(account.spent),
                "wins": account.wins,
                "impressions": account.impressions,
                "clicks": account.clicks,
            }
            for account in summary.campaigns
        ],
    }


def _milliseconds(percentiles: Percentiles) -> dict[str, float]:
    return {name: round(value, 3) for name, value in msgspec.structs.asdict(percentiles).items()}


def page(label: RunLabel, summary: Summary, timeline: Sequence[Second]) -> str:
    """Return the report as one self-contained HTML document."""
    figures = [
        ("requests", f"{summary.requests:,}"),
        ("a second", f"{summary.rate_per_s:,.0f}"),
        ("answered with bids", f"{summary.bid_rate:.1%}"),
        ("wins", f"{summary.wins:,}"),
        ("impressions", f"{summary.impressions:,}"),
        ("clicks", f"{summary.clicks:,}"),
        ("spend", format_money(summary.spend, summary.currency)),
        ("p50", f"{summary.latency_ms.p50:.1f} ms"),
        ("p99", f"{summary.latency_ms.p99:.1f} ms"),
        ("timeouts", f"{summary.timeouts:,}"),
        ("errors", f"{summary.errors:,}"),
    ]
    tiles = "".join(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for name, value in figures)
    asked = (
        f"{label.target} · {label.rate_per_s:g} requests a second for {label.seconds:g} s · "
        f"{label.source} requests, seed {label.seed} · {label.connections} connections"
    )
    note = f'<p class="note">{escape(summary.client_note)}</p>' if summary.client_note else ""
    campaigns = _table(
        ("campaign", "spent", "wins", "impressions", "clicks"),
        [
            (
                account.id,
                f"{money_text(account.spent)} {summary.currency}",
                f"{account.wins:,}",
                f"{account.impressions:,}",
                f"{account.clicks:,}",
            )
            for account in summary.campaigns
        ],
    )
    notices = _table(
        ("notice", "sent"),
        [
            *((kind, f"{count:,}") for kind, count in summary.notices.items()),
            ("of these repeated", f"{summary.notices_repeated:,}"),
            ("of these delayed", f"{summary.notices_delayed:,}"),
            ("never sent (lost)", f"{summary.notices_lost:,}"),
        ],
    )
    errors = _table(("error", "times"), [(kind, f"{n:,}") for kind, n in summary.errors_by_kind.items()])
    faults = f"<h2>Errors</h2>{errors}" if summary.errors else ""
    if summary.problems:
        rows = [(problem.sentence, f"{problem.times:,}") for problem in summary.problems]
        faults += "<h2>What was wrong with answers</h2>" + _table(("for example", "times"), rows)
    return _PAGE.format(
        asked=escape(asked),
        tiles=tiles,
        note=note,
        latency=latency_chart(summary.latency_curve),
        rate=rate_chart(timeline),
        campaigns=campaigns,
        notices=notices,
        faults=faults,
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hustings load test</title>
<style>
:root {{ color-scheme: light dark; --ink: #1b2430; --dim: #5d6b7a; --line: #d5dbe2; --paper: #fff;
  --one: #2563a8; --two: #2b8a57; --three: #c2410c; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e6ebf1; --dim: #93a1b0; --line: #333e4a;
  --paper: #151b22; --one: #6aa9e9; --two: #5fc48d; --three: #f08a5b; }} }}
body {{ margin: 2rem auto; max-width: 60rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 1.4rem; margin: 0; }} h2 {{ font-size: 1.05rem; margin: 2rem 0 .5rem; }}
p {{ color: var(--dim); margin: .2rem 0 1rem; overflow-wrap: anywhere; }}
p.note {{ border-left: 3px solid var(--three); padding-left: .8rem; color: var(--ink); }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .8rem; }}
.tiles div {{ color: var(--dim); font-size: .85rem; }}
.tiles b {{ display: block; color: var(--ink); font-size: 1.3rem; font-variant-numeric: tabular-nums; }}
svg {{ width: 100%; height: auto; display: block; }}
svg text {{ fill: var(--dim); font-size: 11px; }} svg .grid {{ stroke: var(--line); }}
svg polyline {{ fill: none; stroke-width: 1.8; }}
.one {{ stroke: var(--one); }} .two {{ stroke: var(--two); }} .three {{ stroke: var(--three); }}
svg text.one {{ fill: var(--one); stroke: none; }} svg text.two {{ fill: var(--two); stroke: none; }}
svg text.three {{ fill: var(--three); stroke: none; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: right; padding: .25rem .5rem; border-bottom: 1px solid var(--line); }}
th:first-child, td:first-child {{ text-align: left; overflow-wrap: anywhere; }}
</style>
</head>
<body>
<h1>Hustings load test</h1>
<p>{asked}</p>
{note}
<div class="tiles">{tiles}</div>
<h2>Latency from the planned moment, by percentile</h2>
{latency}
<h2>Requests over time</h2>
{rate}
<h2>Campaigns, by the exchange's books</h2>
{campaigns}
<h2>Notices</h2>
{notices}
{faults}
</body>
</html>
"""
