"""One page about all audiences: sizes, growth, freshness, overlaps. It needs no network and no script.

    html = report_page(await take_survey(...), await counts_history(client))

Whoever gets the page sees names of segments, owners, descriptions and counts, and nothing of a person.
Each plot has its numbers in a table behind it. With thousands of segments the largest are shown, and the
others are folded away.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from html import escape

import numpy as np

from config.calendar import SECONDS_PER_DAY
from segments.counts_history import SegmentCounts
from segments.overlap import Overlaps
from segments.registry import Definition
from segments.report_charts import bar, column_plot, even_ticks, line_plot, spark
from segments.report_style import STYLE
from segments.survey import Survey

_SHOWN = 20
"""Segments whose sizes are shown at once; those after them are folded away."""
_COMPARED = 16
_PAIRS_AMONG = 512
"""The largest segments among which the most alike are looked for."""
_PAIRS = 15
_GROWTH_DAYS = 30
_WEEKS_MAX = 104
_AGES = ((1, "within a day"), (7, "1 to 7 days ago"), (30, "7 to 30 days ago"))


def report_page(survey: Survey, earlier: Sequence[SegmentCounts]) -> str:
    """Return the page as one HTML document. earlier: countings before the survey's, the newest first."""
    counts = survey.counts
    made = f"{datetime.fromtimestamp(counts.at_s, UTC):%Y-%m-%d %H:%M} UTC"
    history = [*reversed(earlier), counts]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Audiences, {made}</title><style>{STYLE}</style></head><body>"
        f'<header><h1>Audiences</h1><p class="quiet">Counted {made}, every cookie.</p>'
        f"{_tiles(survey)}</header>"
        f"<main><section><h2>Growth</h2>{_growth(history)}</section>"
        f"<section><h2>Sizes</h2>{_sizes(survey, history)}</section>"
        f"<section><h2>Freshness</h2>{_loads(survey)}{_last_days(survey)}</section>"
        f"<section><h2>Overlaps</h2>{_heat(survey.overlaps.largest(_COMPARED))}</section>"
        f"{_most_alike(survey.overlaps.largest(_PAIRS_AMONG))}</main></body></html>\n"
    )


def _tiles(survey: Survey) -> str:
    counts = survey.counts
    owned = sum(bool(segment.owner) for segment in survey.segments)
    a_cookie = sum(counts.sizes.values()) / counts.cookies if counts.cookies else 0.0
    empty = sum(not size for size in counts.sizes.values())
    tiles = (
        ("cookies", f"{counts.cookies:,}"),
        ("segments", f"{len(survey.segments):,}"),
        ("of them one advertiser’s", f"{owned:,}"),
        ("without a cookie", f"{empty:,}"),
        ("segments a cookie", f"{a_cookie:.1f}"),
    )
    return f"<dl>{''.join(f'<div><dt>{name}</dt><dd>{value}</dd></div>' for name, value in tiles)}</dl>"


def _growth(history: Sequence[SegmentCounts]) -> str:
    """history: the oldest first."""
    if len(history) < 2:
        return '<p class="quiet">This is the first time that everybody was counted.</p>'
    first, last = history[0], history[-1]
    span_s = (last.at_s - first.at_s) or 1
    points = [((counts.at_s - first.at_s) / span_s, counts.cookies) for counts in history]
    same_day = span_s < SECONDS_PER_DAY
    ticks = [_moment(first.at_s + span_s * part // 4, same_day) for part in range(5)]
    says = f"Cookies from {first.cookies:,} on {_moment(first.at_s, same_day)} to {last.cookies:,} now"
    rows = [(_moment(counts.at_s, True), f"{counts.cookies:,}") for counts in reversed(history)]
    table = _folded("Every counting", ("counted", "cookies"), rows)
    return f"<p>Cookies in all.</p>{line_plot(points, ticks, says)}{table}"


def _sizes(survey: Survey, history: Sequence[SegmentCounts]) -> str:
    sizes = survey.counts.sizes
    segments = sorted(survey.segments, key=lambda segment: (-sizes[segment.name], segment.name))
    if not segments:
        return '<p class="quiet">No segment is defined.</p>'
    past = [counts for counts in history if counts.at_s > survey.counts.at_s - _GROWTH_DAYS * SECONDS_PER_DAY]
    rows = [_size_row(segment, survey, past) for segment in segments]
    shown, folded = rows[:_SHOWN], rows[_SHOWN:]
    head = (
        '<thead><tr><th>segment<th class="n">cookies<th class="drawn wide">of the largest'
        f'<th class="drawn">last {_GROWTH_DAYS} days<th class="n">change<th class="day">last loaded</thead>'
    )
    table = f'<div class="scroll" tabindex="0"><table>{head}<tbody>{"".join(shown)}</tbody></table></div>'
    if not folded:
        return table
    return (
        f'{table}<details><summary>{len(folded):,} smaller ones</summary><div class="scroll" tabindex="0">'
        f"<table>{head}<tbody>{''.join(folded)}</tbody></table></div></details>"
    )


def _size_row(segment: Definition, survey: Survey, past: Sequence[SegmentCounts]) -> str:
    size = survey.counts.sizes[segment.name]
    largest = max(survey.counts.sizes.values()) or 1
    names = (segment.name, *segment.former_names)
    values = [next((c.sizes[name] for name in names if name in c.sizes), None) for c in past]
    known = [value for value in values if value is not None]
    change = f"{size - known[0]:+,}" if len(known) > 1 else ""
    about = " · ".join(text for text in (segment.owner and f"{segment.owner}’s", segment.description) if text)
    return (
        f"<tr><th scope=row>{escape(segment.name)}<small>{escape(about)}</small></th>"
        f'<td class="n">{size:,}</td><td class="drawn wide">{bar(size / largest)}</td>'
        f'<td class="drawn">{spark(known)}</td><td class="n">{change}</td>'
        f'<td class="day">{_last_load(segment)}</td></tr>'
    )


def _last_load(segment: Definition) -> str:
    if segment.ruled:
        return "by events, always"
    if segment.load is None:
        return '<span class="quiet">never</span>'
    return f"<span>{_moment(segment.load.at_s, False)}</span><small>{escape(segment.load.source)}</small>"


def _loads(survey: Survey) -> str:
    ages: Counter[str] = Counter(_age(segment, survey.counts.at_s) for segment in survey.segments)
    order = (*(text for _, text in _AGES), "longer ago", "never", "by events, always")
    rows = "".join(
        f'<tr><th scope=row>{age}<td class="n">{ages[age]:,}'
        f'<td class="drawn">{bar(ages[age] / len(survey.segments))}'
        for age in order
        if ages[age]
    )
    if not rows:
        return ""
    return (
        '<table class="loads"><caption>When segments were loaded last</caption><thead><tr><th>last loaded'
        f'<th class="n">segments<th class="drawn"></thead><tbody>{rows}</tbody></table>'
    )


def _age(segment: Definition, now_s: int) -> str:
    if segment.ruled:
        return "by events, always"
    if segment.load is None:
        return "never"
    age_s = now_s - segment.load.at_s
    return next((text for days, text in _AGES if age_s <= days * SECONDS_PER_DAY), "longer ago")


def _last_days(survey: Survey) -> str:
    if not survey.last_days:
        return ""
    today = survey.counts.at_s // SECONDS_PER_DAY
    weeks: Counter[int] = Counter()
    for day, cookies in survey.last_days.items():
        weeks[min(max(day - today, 0) // 7, _WEEKS_MAX)] += cookies
    values = [weeks[week] for week in range(max(weeks) + 1)]
    texts = [
        f"{_day(today + 7 * week)} to {_day(today + 7 * week + 6)}"
        if week < _WEEKS_MAX
        else f"{_day(today + 7 * week)} or later"
        for week in range(len(values))
    ]
    ticks = even_ticks([_day(today + 7 * week) for week in range(len(values))])
    soon = values[0] / survey.counts.cookies
    says = f"{soon:.0%} of the cookies end within 7 days unless they are loaded again"
    rows = [(text, f"{value:,}") for text, value in zip(texts, values, strict=True) if value]
    return (
        f"<p>When cookies end, by the week: {says}.</p>{column_plot(values, ticks, says)}"
        f"{_folded('Every week', ('last day', 'cookies'), rows)}"
    )


def _heat(overlaps: Overlaps) -> str:
    names = overlaps.names
    if len(names) < 2:
        return '<p class="quiet">There are not two segments to compare.</p>'
    head = "".join(f'<th scope=col title="{escape(name)}">{number}' for number, name in enumerate(names, 1))
    shares, cookies = overlaps.shares(), overlaps.cookies
    rows = []
    for row, name in enumerate(names):
        cells = "".join(
            f'<td style="--part:{shares[row, column]:.2f}" title="{int(cookies[row, column]):,} are in '
            f'{escape(name)} and in {escape(other)}">{100 * shares[row, column]:.0f}'
            for column, other in enumerate(names)
        )
        rows.append(f"<tr><th scope=row>{row + 1} {escape(name)}{cells}")
    return (
        f"<p>Of the cookies in the segment on the left, so many in a hundred are in the one above too. The "
        f'{len(names)} largest segments.</p><div class="scroll" tabindex="0"><table class="heat">'
        f"<thead><tr><th>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _most_alike(overlaps: Overlaps) -> str:
    above = np.triu_indices(len(overlaps.names), 1)
    jaccard = overlaps.jaccard()[above]
    alike = [int(pair) for pair in np.argsort(-jaccard, kind="stable")[:_PAIRS] if jaccard[pair] > 0]
    if not alike:
        return ""
    rows = []
    for pair in alike:
        row, column = int(above[0][pair]), int(above[1][pair])
        rows.append(
            f"<tr><th scope=row>{escape(overlaps.names[row])}<td>{escape(overlaps.names[column])}"
            f'<td class="n">{int(overlaps.cookies[row, column]):,}<td class="n">{100 * jaccard[pair]:.1f}'
            f'<td class="drawn wide">{bar(jaccard[pair])}'
        )
    return (
        "<section><h2>Most alike</h2><p>Of the cookies in either segment, so many in a hundred are in both."
        '</p><div class="scroll" tabindex="0"><table><thead><tr><th>segment<th>and<th class="n">in both'
        '<th class="n">of either, %<th class="drawn wide"></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _folded(summary: str, heads: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    body = "".join(f'<tr><th scope=row>{text}<td class="n">{number}' for text, number in rows)
    return (
        f"<details><summary>{summary}</summary><table><thead><tr><th>{heads[0]}"
        f'<th class="n">{heads[1]}</thead><tbody>{body}</tbody></table></details>'
    )


def _moment(at_s: int, with_time: bool) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):{'%Y-%m-%d %H:%M' if with_time else '%Y-%m-%d'}}"


def _day(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()
