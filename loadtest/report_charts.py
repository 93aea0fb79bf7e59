"""The report's two charts, as inline SVG; colours come from the page's style sheet."""

import math
from collections.abc import Iterator, Sequence

from loadtest.tally import Second

_W, _H = 900, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 14, 26
_POINTS_MAX = 450
_PERCENTS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999)


def latency_chart(curve: Sequence[tuple[float, float]]) -> str:
    """Draw ms over percent. The axis stretches towards 100 %, where the interesting requests are:
    each further nine gets the same width."""
    if not curve:
        return _empty("no answers")
    top_ms = _round_up(max(ms for _, ms in curve))
    # The last bucket is at 100 %, infinitely far right: it is drawn where half a request would be left.
    nines = [-math.log10(max(1 - percent / 100, 0.0)) if percent < 100 else None for percent, _ in curve]
    far = max((n for n in nines if n is not None), default=1.0) + 0.3
    points = [((far if n is None else n) / far, ms / top_ms) for n, (_, ms) in zip(nines, curve, strict=True)]
    ticks = [(-math.log10(1 - percent / 100) / far, f"{percent:g} %") for percent in _PERCENTS]
    return _chart(
        [("one", "", [(0.0, points[0][1]), *points])],
        [(x, text) for x, text in ticks if x <= 1],
        [(part, f"{top_ms * part:g} ms") for part in (0, 0.25, 0.5, 0.75, 1)],
    )


def rate_chart(timeline: Sequence[Second]) -> str:
    """Draw requests, answers with bids and timeouts for each second, or the mean of several."""
    if not timeline:
        return _empty("no requests")
    width = math.ceil(len(timeline) / _POINTS_MAX)
    groups = [timeline[start : start + width] for start in range(0, len(timeline), width)]
    series = [
        ("one", "requests", [sum(s.requests for s in group) / len(group) for group in groups]),
        ("two", "with bids", [sum(s.bid_answers for s in group) / len(group) for group in groups]),
        ("three", "timeouts", [sum(s.timeouts for s in group) / len(group) for group in groups]),
    ]
    top = _round_up(max(max(values) for _, _, values in series))
    last = max(len(groups) - 1, 1)
    lines = [
        (style, name, [(index / last, value / top) for index, value in enumerate(values)])
        for style, name, values in series
    ]
    x_ticks = [(part, f"{len(timeline) * part:.0f} s") for part in (0, 0.25, 0.5, 0.75, 1)]
    return _chart(lines, x_ticks, [(part, f"{top * part:g}/s") for part in (0, 0.25, 0.5, 0.75, 1)])


def _chart(
    lines: Sequence[tuple[str, str, Sequence[tuple[float, float]]]],
    x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[tuple[float, str]],
) -> str:
    return "".join(
        (
            f'<svg viewBox="0 0 {_W} {_H}" role="img">',
            *_axes(x_ticks, y_ticks),
            *(
                f'<polyline class="{style}" points="'
                + " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
                + '"/>'
                for style, _, points in lines
            ),
            *(
                f'<text class="{style}" x="{_LEFT + 8 + 90 * index}" y="{_TOP + 6}">{name}</text>'
                for index, (style, name, _) in enumerate(lines)
                if name
            ),
            "</svg>",
        )
    )


def _axes(x_ticks: Sequence[tuple[float, str]], y_ticks: Sequence[tuple[float, str]]) -> Iterator[str]:
    for y, text in y_ticks:
        yield f'<line class="grid" x1="{_LEFT}" x2="{_W - _RIGHT}" y1="{_y(y):.1f}" y2="{_y(y):.1f}"/>'
        yield f'<text x="{_LEFT - 6}" y="{_y(y) + 4:.1f}" text-anchor="end">{text}</text>'
    for x, text in x_ticks:
        anchor = "start" if x <= 0 else "end" if x > 0.97 else "middle"
        yield f'<text x="{_x(x):.1f}" y="{_H - 8}" text-anchor="{anchor}">{text}</text>'


def _x(part: float) -> float:
    return _LEFT + part * (_W - _LEFT - _RIGHT)


def _y(part: float) -> float:
    return _H - _BOTTOM - part * (_H - _TOP - _BOTTOM)


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 4, 5, 10 times a power of ten, so that ticks are round numbers."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 10) if step * power >= value * (1 - 1e-9))


def _empty(text: str) -> str:
    return f'<svg viewBox="0 0 {_W} 40" role="img"><text x="{_LEFT}" y="24">{text}</text></svg>'
