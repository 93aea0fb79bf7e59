"""What a protocol reports: cells, each held against the figure it has to reach, and curves to look at."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `bound` says on which side of `reference` it has to lie: at least, or at most."""

    name: str
    figure: float
    reference: float
    bound: Literal["min", "max"]
    published: str = ""
    """What others reached, in words."""

    @property
    def reached(self) -> bool:
        """Whether the figure is as good as its reference."""
        if self.bound == "min":
            return self.figure >= self.reference
        return self.figure <= self.reference


class Line(msgspec.Struct, frozen=True):
    """One line of a picture: `y` over `x`."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that are looked at together."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One protocol, run once. `skipped` is why it was not, when it was not."""

    about: str
    cells: Sequence[Cell] = ()
    pictures: Sequence[Picture] = ()
    series: Mapping[str, Sequence[float]] = {}
    """Rows of figures, by name, that nothing is held against."""
    skipped: str = ""

    @property
    def reached(self) -> bool:
        """Whether it ran and every cell is as good as its reference."""
        return bool(self.cells) and all(cell.reached for cell in self.cells)


def at_least(name: str, figure: float, reference: float, published: str = "") -> Cell:
    """Return a cell whose figure must not be below the reference."""
    return Cell(name=name, figure=figure, reference=reference, bound="min", published=published)


def at_most(name: str, figure: float, reference: float, published: str = "") -> Cell:
    """Return a cell whose figure must not be above the reference."""
    return Cell(name=name, figure=figure, reference=reference, bound="max", published=published)


def as_builtins(result: Result) -> dict[str, object]:
    """Return a result as `--json` prints it: everything but the pictures."""
    if result.skipped:
        return {"about": result.about, "skipped": result.skipped}
    cells = [
        {**msgspec.to_builtins(cell), "figure": round(cell.figure, 6), "reached": cell.reached}
        for cell in result.cells
    ]
    series = {name: [round(figure, 6) for figure in row] for name, row in result.series.items()}
    said: dict[str, object] = {"about": result.about, "reached": result.reached, "cells": cells}
    return said | ({"series": series} if series else {})
