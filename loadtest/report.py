"""A result as one HTML page that needs nothing else: no script, no font, no picture from elsewhere.

path.write_text(page(result), encoding="utf-8")
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from html import escape
from importlib import resources
from string import Template

from config.money import BILLION, format_money
from loadtest.report_charts import latency_chart, rate_chart
from loadtest.result import Campaign, Result, TargetResult

ENDINGS = {
    "complete": "It came to its end.",
    "stopped": "It was stopped before its end.",
    "cut": "It was cut short, and notices were not waited for.",
}
ERROR_MEANINGS = {
    "burl_notice": "a billing notice failed three times",
    "click_notice": "a click did not lead on, or its tracker failed",
    "closed": "the connection ended before the answer did",
    "completion_notice": "the pixel of a whole play failed",
    "impression_notice": "an impression pixel failed",
    "invalid_response": "a strict exchange would have dropped the answer",
    "lurl_notice": "a loss notice failed",
    "not_http": "what came is no HTTP answer",
    "not_json": "the answer is not JSON",
    "nurl_notice": "a win notice failed",
    "other_currency": "the bids are in a currency that the books do not keep",
    "refused": "no connection could be made",
    "too_large": "the answer is larger than this client reads",
    "too_many_campaigns": "more campaigns than this client keeps books of",
    "undrained": "still open when the run ended",
}
"""Every kind but `http_500` and the like, whose number says it."""

_NONE: Mapping[str, str] = {}
_FIGURES: tuple[tuple[str, tuple[tuple[str, Callable[[TargetResult], str]], ...]], ...] = (
    (
        "Requests",
        (
            ("sent", lambda t: f"{t.requests:,}"),
            ("a second", lambda t: f"{t.rate:,.0f}"),
            ("answered", lambda t: f"{t.answers:,}"),
            ("no bid", lambda t: f"{t.no_bids:,}"),
            ("with bids", lambda t: f"{t.bid_answers:,}"),
            ("bid rate", lambda t: f"{t.bid_rate:.1%}"),
            ("timeouts", lambda t: f"{t.timeouts:,}"),
            ("errors", lambda t: f"{t.errors:,}"),
            ("left out by the client", lambda t: f"{t.skipped:,}"),
        ),
    ),
    (
        "Auctions",
        (
            ("bids", lambda t: f"{t.bids:,}"),
            ("wins", lambda t: f"{t.wins:,}"),
            ("losses", lambda t: f"{t.losses:,}"),
            ("win rate", lambda t: f"{t.wins / t.bids:.1%}" if t.bids else "–"),
            ("impressions", lambda t: f"{t.impressions:,}"),
            ("clicks", lambda t: f"{t.clicks:,}"),
        ),
    ),
    (
        "Notices",
        (
            *(
                (kind, lambda t, kind=kind: f"{t.notices.get(kind, 0):,}")
                for kind in ("nurl", "burl", "impression", "click", "lurl")
            ),
            ("of these sent twice", lambda t: f"{t.notices_repeated:,}"),
            ("of these delayed", lambda t: f"{t.notices_delayed:,}"),
            ("never sent", lambda t: f"{t.notices_lost:,}"),
            ("wins told in the wrong order", lambda t: f"{t.notices_reordered:,}"),
        ),
    ),
    (
        "Warm-up, in none of the above",
        (
            ("requests", lambda t: f"{t.warm_up.requests:,}"),
            ("timeouts", lambda t: f"{t.warm_up.timeouts:,}"),
            ("errors", lambda t: f"{t.warm_up.errors:,}"),
            ("wins", lambda t: f"{t.warm_up.wins:,}"),
        ),
    ),
)


def page(result: Result) -> str:
    """Return the report as one self-contained HTML document."""
    template = Template(resources.files("loadtest").joinpath("report.html").read_text(encoding="utf-8"))
    targets = result.targets
    asked = result.asked
    names = ", ".join(target.name for target in targets)
    return template.substitute(
        title=escape(f"Load test of {names}"),
        asked_line=escape(
            f"{_count(len(targets), 'target')}, {asked.rate:g} requests a second for {asked.seconds:g} s, "
            f"begun {_moment(result.started_at)}. {ENDINGS[result.ending]}"
        ),
        outcome=_outcome(result),
        warning=_warning(result),
        tiles=_tiles(result) if len(targets) == 1 else "",
        latency_chart=latency_chart(
            "Latency by percentile; the table below has the figures",
            [(target.name, target.latency_curve) for target in targets],
        ),
        latency_table=_latency_table(targets),
        rate_charts="".join(
            f"<h3>{escape(target.name)}</h3>"
            + rate_chart(f"{target.name}: requests a second over time", target.timeline, result.seconds)
            for target in targets
        ),
        errors=_errors(targets),
        figures=_figures(result),
        campaigns="".join(_campaigns(target, result.currency) for target in targets),
        client=_client(result),
        asked=_asked(result),
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _outcome(result: Result) -> str:
    if result.errors:
        return f'<span class="bad">{_count(result.errors, "error")}</span>, {_timeouts(result)}.'
    return f'<span class="good">No errors</span>, {_timeouts(result)}.'


def _timeouts(result: Result) -> str:
    return f"{_count(result.timeouts, 'timeout')} in {_count(result.requests, 'request')}"


def _warning(result: Result) -> str:
    if not result.client.is_bottleneck:
        return ""
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in result.client.reasons)
    return (
        '<section class="card warning" aria-labelledby="bottleneck">'
        '<h2 id="bottleneck">The client was the bottleneck</h2>'
        "<p>Latency and rate say more about this client than about the targets.</p>"
        f"<ul>{reasons}</ul><p>Lower the rate, or give the client a core of its own.</p></section>"
    )


def _tiles(result: Result) -> str:
    (target,) = result.targets
    tiles = (
        ("requests", f"{target.requests:,}"),
        ("a second", f"{target.rate:,.0f}"),
        ("bid rate", f"{target.bid_rate:.1%}"),
        ("p50", _latency(target, "p50")),
        ("p99", _latency(target, "p99")),
        ("wins", f"{target.wins:,}"),
        ("spend", _money(target.spend, result.currency)),
    )
    inner = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in tiles)
    return f'<section class="card" aria-label="In short"><dl class="tiles">{inner}</dl></section>'


def _latency_table(targets: Sequence[TargetResult]) -> str:
    rows = [
        (name, *(_latency(target, field) for target in targets))
        for name, field in (
            ("p50", "p50"),
            ("p90", "p90"),
            ("p99", "p99"),
            ("p99.9", "p999"),
            ("longest", "max"),
        )
    ]
    caption = (
        "Answers 200 and 204. A request given up on counts with the time that took, an error not at all."
    )
    return _table(caption, ("requests", *(target.name for target in targets)), rows)


def _latency(target: TargetResult, field: str) -> str:
    """Where nothing was answered as it should be, there is none."""
    return _ms(getattr(target.latency_ms, field)) if target.latency_ms.max else "–"


def _errors(targets: Sequence[TargetResult]) -> str:
    kinds = sorted({kind for target in targets for kind in target.errors_by_kind})
    if not kinds:
        return ""
    rows = [(kind, *(f"{target.errors_by_kind.get(kind, 0):,}" for target in targets)) for kind in kinds]
    meanings = {kind: _meaning(kind) for kind in kinds}
    parts = [_table("", ("kind", *(target.name for target in targets)), rows, meanings)]
    for target in targets:
        if target.problems:
            found = [(problem.sentence, f"{problem.times:,}") for problem in target.problems]
            parts.append(f"<h3>What went wrong at {escape(target.name)}</h3>")
            parts.append(_table("One example of each fault", ("for example", "times"), found))
    inner = "".join(parts)
    return f'<section class="card" aria-labelledby="errors"><h2 id="errors">Errors</h2>{inner}</section>'


def _meaning(kind: str) -> str:
    return ERROR_MEANINGS.get(kind) or f"the answer’s status was {kind.removeprefix('http_')}"


def _figures(result: Result) -> str:
    lines = []
    for title, rows in _FIGURES:
        lines.append(
            f'<tr class="head"><th scope="colgroup" colspan="{len(result.targets) + 1}">{title}</th></tr>'
        )
        lines += [_row((name, *(show(target) for target in result.targets))) for name, show in rows]
        if title == "Auctions":
            spends = (_money(target.spend, result.currency) for target in result.targets)
            lines.append(_row(("spend", *spends)))
    head = _head(("", *(target.name for target in result.targets)))
    return _scrolled("Figures", f"<table><thead>{head}</thead><tbody>{''.join(lines)}</tbody></table>")


def _campaigns(target: TargetResult, currency: str) -> str:
    rows = [_campaign_row(account, currency) for account in target.campaigns]
    if not rows:
        return f'<h3>{escape(target.name)}</h3><p class="none">Nobody won anything.</p>'
    table = _table("", ("campaign", "spent", "wins", "impressions", "clicks"), rows)
    summary = f"{escape(target.name)}: {_count(len(rows), 'campaign')}"
    return f"<details open><summary>{summary}</summary>{table}</details>"


def _campaign_row(account: Campaign, currency: str) -> tuple[str, ...]:
    counts = (f"{count:,}" for count in (account.wins, account.impressions, account.clicks))
    return (account.id, _money(account.spent, currency), *counts)


def _client(result: Result) -> str:
    client = result.client
    rows = [
        (
            "sent after the planned moment",
            _ms(client.late_ms.p50),
            _ms(client.late_ms.p99),
            _ms(client.late_ms.max),
        ),
        (
            "late for a timer",
            _ms(client.loop_lag_ms.p50),
            _ms(client.loop_lag_ms.p99),
            _ms(client.loop_lag_ms.max),
        ),
    ]
    said = "It was the bottleneck." if client.is_bottleneck else "It kept up: the figures are the targets’."
    return (
        f"<p>{said} It used {client.cpu_share:.0%} of a processor core, and {client.cpu_share_max:.0%} "
        "in its busiest second.</p>" + _table("", ("how late it was", "p50", "p99", "longest"), rows)
    )


def _asked(result: Result) -> str:
    asked = result.asked
    rows = [
        *((f"target {target.name}", target.url) for target in result.targets),
        ("requests", asked.source),
        ("rate", f"{asked.rate:g} a second in the mean, {asked.shape}"),
        ("time", f"{asked.warm_up_seconds:g} s of warm-up, then {asked.seconds:g} s"),
        ("seed", str(asked.seed)),
        ("connections", f"{asked.connections} to each target"),
        ("rivals", asked.landscape),
        ("notices", asked.notices),
    ]
    inner = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f'<dl class="asked">{inner}</dl>'


def _moment(iso: str) -> str:
    return iso.replace("T", " ").replace("+00:00", " UTC")


def _ms(ms: float) -> str:
    return f"{ms:,.2f} ms" if ms < 10 else f"{ms:,.0f} ms"


def _money(text: str, currency: str) -> str:
    return format_money(int(Decimal(text) * BILLION), currency)


def _table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], meanings: Mapping[str, str] = _NONE
) -> str:
    lines = "".join(_row(row, meanings.get(row[0], "")) for row in rows)
    named = f"<caption>{escape(caption)}</caption>" if caption else ""
    table = f"<table>{named}<thead>{_head(head)}</thead><tbody>{lines}</tbody></table>"
    return _scrolled(caption or head[0], table)


def _scrolled(name: str, table: str) -> str:
    """A wide table scrolls by itself, with the keyboard too. No region: the card it stands in is one."""
    return f'<div class="scroll" role="group" tabindex="0" aria-label="{escape(name)}">{table}</div>'


def _head(cells: Sequence[str]) -> str:
    named = (f'<th scope="col">{escape(cell)}</th>' if cell else "<td></td>" for cell in cells)
    return "<tr>" + "".join(named) + "</tr>"


def _row(cells: Sequence[str], meaning: str = "") -> str:
    first, *rest = cells
    said = f"<small>{escape(meaning)}</small>" if meaning else ""
    inner = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
    return f'<tr><th scope="row">{escape(first)}{said}</th>{inner}</tr>'
