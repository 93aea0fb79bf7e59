"""The plots of the pages about audiences and campaigns, as HTML and inline SVG without a script.

A plot's shapes are stretched to the width there is, a phone's too; its words are HTML beside the
drawing, and keep their size. For who does not see it, it is one sentence, and the page has the numbers in
a table behind it. Colours come from the page's style sheet.
"""

from collections.abc import Callable, Sequence
from html import escape

_SPARK_POINTS_MAX = 30
_TICKS = 5


def line_plot(points: Sequence[tuple[float, int]], ticks: Sequence[str], says: str) -> str:
    """Draw values over time, from 0 up. points: (x from 0 to 1, value), by x; ticks: evenly spaced texts."""
    top = max((value for _, value in points), default=0) or 1
    places = [(100 * x, 100 - 94 * value / top) for x, value in points]
    line = " ".join(f"{x:.2f},{y:.2f}" for x, y in places)
    area = f"{places[0][0]:.2f},100 {line} {places[-1][0]:.2f},100"
    shapes = f'<polygon class="area" points="{area}"/><polyline class="line" points="{line}"/>'
    return _figure("0 0 100 100", shapes, f"{top:,}", ticks, says)


def compared_plot(
    points: Sequence[tuple[float, int]],
    goal: Sequence[tuple[float, int]],
    top_text: Callable[[int], str],
    ticks: Sequence[str],
    says: str,
) -> str:
    """Draw values over time from 0 up, and dashed beside them what they should be.

    points, goal: (x from 0 to 1, value), by x; `goal` may be empty. top_text: how a value is written.
    """
    top = max((value for _, value in (*points, *goal)), default=0) or 1

    def line(values: Sequence[tuple[float, int]]) -> str:
        return " ".join(f"{100 * x:.2f},{100 - 94 * value / top:.2f}" for x, value in values)

    area = f"{100 * points[0][0]:.2f},100 {line(points)} {100 * points[-1][0]:.2f},100"
    shapes = f'<polygon class="area" points="{area}"/><polyline class="line" points="{line(points)}"/>'
    if goal:
        shapes += f'<polyline class="line goal" points="{line(goal)}"/>'
    return _figure("0 0 100 100", shapes, escape(top_text(top)), ticks, says)


def column_plot(values: Sequence[int], ticks: Sequence[str], says: str) -> str:
    """Draw a column for each value, from 0 up. ticks: evenly spaced texts."""
    top = max(values, default=0) or 1
    shapes = "".join(
        f'<rect class="area" x="{place + 0.08:.2f}" y="{100 - 94 * value / top:.2f}" width="0.84" '
        f'height="{94 * value / top:.2f}"/>'
        for place, value in enumerate(values)
        if value
    )
    return _figure(f"0 0 {max(len(values), 1)} 100", shapes, f"{top:,}", ticks, says)


def spark(values: Sequence[int]) -> str:
    """Draw a few values in the height of a line of text; nothing when there is only one."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    drawn = thinned(values, _SPARK_POINTS_MAX)
    points = " ".join(
        f"{100 * place / (len(drawn) - 1):.1f},{22 - 20 * (value - low) / ((high - low) or 1):.1f}"
        for place, value in enumerate(drawn)
    )
    label = f"from {values[0]:,} to {values[-1]:,}, lowest {low:,}, highest {high:,}"
    return (
        f'<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label="{label}">'
        f'<polyline class="line" points="{points}"/></svg>'
    )


def bar(part: float) -> str:
    """Draw a bar as long as a part, 0 to 1, of its cell; the number stands beside it."""
    return f'<div class="bar" aria-hidden="true" style="width:{100 * part:.1f}%"></div>'


def thinned(values: Sequence[int], most: int) -> list[int]:
    """Return at most `most` (2 or more) of the values, evenly chosen, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]


def even_ticks(texts: Sequence[str]) -> list[str]:
    """Return a few of the texts, evenly chosen, to stand under a plot."""
    places = thinned(range(len(texts)), _TICKS)
    return [texts[place] for place in places]


def _figure(view_box: str, shapes: str, top: str, ticks: Sequence[str], says: str) -> str:
    return (
        f'<figure class="plot" role="img" aria-label="{escape(says)}"><div class="top">{top}</div>'
        f'<svg viewBox="{view_box}" preserveAspectRatio="none" aria-hidden="true">{shapes}</svg>'
        f'<div class="ticks">{"".join(f"<span>{escape(tick)}</span>" for tick in ticks)}</div></figure>'
    )
