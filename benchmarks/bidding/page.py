"""`--report FILE.html`: the cells and the pictures of a run as one page that needs nothing else."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

from benchmarks.bidding.results import Picture, Result

WIDTH, HEIGHT, LEFT, BOTTOM = 720, 300, 64, 40
COLOURS: Final = ("#1f5f99", "#d1602b", "#3a7d44", "#8a3c8f", "#8a7a1f", "#555555")
TICKS: Final = 5
_STYLE = (
    "body{font:15px system-ui,sans-serif;max-width:800px;margin:2em auto;color:#222}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:.2em .6em}td{border-top:1px solid #ddd}"
    "td.n{text-align:right}.no{color:#b00020;font-weight:600}svg{font-size:12px}"
)


def write_page(path: Path, results: Mapping[str, Result], machine: str) -> None:
    """Write the page; raises OSError."""
    body = "".join(_section(name, result) for name, result in results.items())
    path.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Bidding figures</title>"
        f"<style>{_STYLE}</style><h1>Bidding figures</h1><p>{escape(machine)}</p>{body}</html>\n"
    )


def _section(name: str, result: Result) -> str:
    head = f"<h2>{escape(name)}</h2><p>{escape(result.about)}</p>"
    if result.skipped:
        return head + f"<p>Skipped: {escape(result.skipped)}</p>"
    rows = "".join(
        f"<tr><td>{escape(cell.name)}<td class=n>{cell.figure:,.4g}"
        f"<td class=n>{'≥' if cell.bound == 'min' else '≤'} {cell.reference:,.4g}"
        f"<td>{escape(cell.published)}<td{'>yes' if cell.reached else ' class=no>no'}</tr>"
        for cell in result.cells
    )
    table = f"<table><tr><th>cell<th>figure<th>to reach<th>others<th>reached</tr>{rows}</table>"
    listed = "".join(
        f"<tr><td>{escape(name)}" + "".join(f"<td class=n>{figure:,.2f}" for figure in row) + "</tr>"
        for name, row in result.series.items()
    )
    if listed:
        table += f"<table>{listed}</table>"
    return head + table + "".join(_figure(picture) for picture in result.pictures)


def _figure(picture: Picture) -> str:
    drawn = [line for line in picture.lines if len(line.x)]
    if not drawn:
        return ""
    xs = [float(x) for line in drawn for x in line.x]
    ys = [float(y) for line in drawn for y in line.y]
    x_low, x_high, y_low, y_high = min(xs), max(xs), min(0.0, *ys), max(ys)
    x_unit = (WIDTH - LEFT - 10) / ((x_high - x_low) or 1)
    y_unit = (HEIGHT - BOTTOM - 10) / ((y_high - y_low) or 1)

    def across(x: float) -> float:
        return round(LEFT + (x - x_low) * x_unit, 1)

    def down(y: float) -> float:
        return round(HEIGHT - BOTTOM - (y - y_low) * y_unit, 1)

    parts = [
        f"<text x={across(x)} y={HEIGHT - BOTTOM + 16} text-anchor=middle>{x:,.4g}</text>"
        for x in _ticks(x_low, x_high)
    ]
    for y in _ticks(y_low, y_high):
        parts.append(f"<path d='M{LEFT} {down(y)}H{WIDTH - 10}' stroke='#ddd'/>")
        parts.append(f"<text x={LEFT - 6} y={down(y) + 4} text-anchor=end>{y:,.4g}</text>")
    legend = []
    for line, colour in zip(drawn, COLOURS * len(drawn), strict=False):
        points = " ".join(f"{across(x)},{down(y)}" for x, y in zip(line.x, line.y, strict=True))
        parts.append(f"<polyline points='{points}' fill=none stroke='{colour}' stroke-width=1.6 />")
        legend.append(f"<span style='color:{colour}'>■ {escape(line.name)}</span>")
    parts.append(
        f"<text x={(WIDTH + LEFT) / 2} y={HEIGHT - 6} text-anchor=middle>{escape(picture.x_label)}</text>"
    )
    return (
        f"<h3>{escape(picture.title)}</h3><p>{escape(picture.y_label)}: {' '.join(legend)}</p>"
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role=img>{''.join(parts)}</svg>"
    )


def _ticks(low: float, high: float) -> Sequence[float]:
    return [low + (high - low) * step / TICKS for step in range(TICKS + 1)]
