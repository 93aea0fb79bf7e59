"""The report's charts: lines in SVG that stretch to any width, with labels in HTML that do not.

A drawing that shrinks to a phone takes its letters with it. So the lines are drawn in a square of
1,000 by 1,000 that the page pulls to its own shape, and every label is text placed by percentages.
What a chart shows stands in a table beside it; for a screen reader the chart is only its caption.
"""

import math
from collections.abc import Iterator, Sequence
from html import escape

import msgspec

from loadtest.tally import Second

_SIDE = 1_000
_POINTS_MAX = 450
_PERCENTS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999)
_PERCENT_OF_LESS_INTEREST = 0.0
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


class Line(msgspec.Struct, frozen=True):
    """A line by name; `number` picks colour and dashes; points are from (0, 0), bottom left, to (1, 1)."""

    name: str
    number: int
    points: Sequence[tuple[float, float]]


class Tick(msgspec.Struct, frozen=True):
    """A label on an axis; a phone leaves a minor one out."""

    part: float
    text: str
    is_minor: bool = False


def latency_chart(title: str, curves: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> str:
    """Draw ms over percent, a line for each named curve.

    The percentages stretch towards 100, where the interesting requests are: each further nine gets the
    same width. The milliseconds are on a logarithmic axis.
    """
    drawn = [(number, name, curve) for number, (name, curve) in enumerate(curves) if curve]
    if not drawn:
        return '<p class="none">No request was answered.</p>'
    # The last bucket is at 100 %, infinitely far right: it is drawn where half a request would be left.
    far = max((_nines(percent) for _, _, curve in drawn for percent, _ in curve if percent < 100), default=1)
    far += 0.3
    low, high = _decades([ms for _, _, curve in drawn for _, ms in curve])
    lines = []
    for number, name, curve in drawn:
        points = [
            (
                _nines(percent) / far if percent < 100 else 1.0,
                (math.log10(max(ms, 10**low)) - low) / (high - low),
            )
            for percent, ms in curve
        ]
        lines.append(Line(name, number, [(0.0, points[0][1]), *points]))
    x_ticks = [
        Tick(_nines(percent) / far, f"{percent:g} %", percent == _PERCENT_OF_LESS_INTEREST)
        for percent in _PERCENTS
        if _nines(percent) <= far
    ]
    return _chart(title, lines, x_ticks, list(_decade_ticks(low, high)))


def rate_chart(title: str, timeline: Sequence[Second], seconds: float) -> str:
    """Draw requests, answers with bids, timeouts and errors a second, or the mean of several seconds.

    Of a timeline longer than the run, whose end holds late answers only, the whole seconds are drawn.
    """
    shown = timeline[: max(round(seconds), 1)]
    if not shown:
        return '<p class="none">No request was sent.</p>'
    width = math.ceil(len(shown) / _POINTS_MAX)
    groups = [shown[start : start + width] for start in range(0, len(shown), width)]
    counts = {
        "requests": [sum(s.requests for s in group) / len(group) for group in groups],
        "with bids": [sum(s.bid_answers for s in group) / len(group) for group in groups],
        "timeouts": [sum(s.timeouts for s in group) / len(group) for group in groups],
        "errors": [sum(s.errors for s in group) / len(group) for group in groups],
    }
    top = _round_up(max(max(values) for values in counts.values()))
    lines = []
    for number, (name, values) in enumerate(counts.items()):
        middles = [((index + 0.5) / len(values), value / top) for index, value in enumerate(values)]
        lines.append(Line(name, number, [(0.0, middles[0][1]), *middles, (1.0, middles[-1][1])]))
    step = _round_up(len(shown) / 8)
    x_ticks = [
        Tick(step * number / len(shown), f"{step * number:g} s", number % 2 == 1)
        for number in range(int(len(shown) / step) + 1)
    ]
    return _chart(title, lines, x_ticks, [Tick(part, f"{top * part:g}/s") for part in _QUARTERS])


def _chart(title: str, lines: Sequence[Line], x_ticks: Sequence[Tick], y_ticks: Sequence[Tick]) -> str:
    return "".join(
        (
            f'<figure class="chart" aria-label="{escape(title)}">',
            "<figcaption>",
            *(f'<span class="key line{line.number}">{escape(line.name)}</span>' for line in lines),
            "</figcaption>",
            '<div class="plot" aria-hidden="true">',
            f'<svg viewBox="0 0 {_SIDE} {_SIDE}" preserveAspectRatio="none">',
            *_grid(x_ticks, y_ticks),
            *(f'<polyline class="line{line.number}" points="{_points(line)}"/>' for line in lines),
            "</svg>",
            *(f'<span class="y" style="bottom:{tick.part:.2%}">{tick.text}</span>' for tick in y_ticks),
            *(
                f'<span class="{"x minor" if tick.is_minor else "x"}" style="left:{tick.part:.2%}">'
                f"{tick.text}</span>"
                for tick in x_ticks
            ),
            "</div></figure>",
        )
    )


def _grid(x_ticks: Sequence[Tick], y_ticks: Sequence[Tick]) -> Iterator[str]:
    for tick in y_ticks:
        y = _SIDE * (1 - tick.part)
        yield f'<path d="M0 {y:.0f}H{_SIDE}"/>'
    for tick in x_ticks:
        yield f'<path d="M{_SIDE * tick.part:.0f} 0V{_SIDE}"/>'


def _points(line: Line) -> str:
    return " ".join(f"{_SIDE * x:.0f},{_SIDE * (1 - y):.0f}" for x, y in line.points)


def _nines(percent: float) -> float:
    """Return how many nines a percentage below 100 has: 90 % one, 99 % two."""
    return -math.log10(1 - percent / 100)


def _decades(all_ms: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten that enclose some milliseconds."""
    low = math.floor(math.log10(max(min(all_ms), 0.01)))
    return low, max(math.ceil(math.log10(max(max(all_ms), 0.01))), low + 1)


def _decade_ticks(low: int, high: int) -> Iterator[Tick]:
    steps = (1, 2, 5) if high - low <= 2 else (1,)
    for power in range(low, high):
        for step in steps:
            yield Tick((power + math.log10(step) - low) / (high - low), _ms_text(step * 10.0**power))
    yield Tick(1.0, _ms_text(10.0**high))


def _ms_text(ms: float) -> str:
    return f"{ms:g} ms" if ms < 1_000 else f"{ms / 1_000:g} s"


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 4, 5, 10 times a power of ten, so that ticks are round numbers."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 10) if step * power >= value * (1 - 1e-9))
