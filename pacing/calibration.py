"""Calibration: from what scores have brought to the rates they mean.

A regression that is right on the whole can be wrong at both ends, and on one exchange. Two corrections, both
of counts of progressive predictions, made before an example was learned from:

* `Counts.link`, of all traffic: impressions and events by score, in bins a sixteenth of a neper wide. The
  rate of a bin is its events over its impressions, with SHRINK events' worth of faith in the regression
  itself; then the pool-adjacent-violators algorithm (Ayer et al. 1955) makes the rates rise
  with the score. A bin that nobody has seen goes by exp, between its neighbours.
* `Counts.ratios`, of one campaign on one exchange with CELL_EVENTS_MIN events or more: its events over what
  the link expects of its impressions.

Counts are weights: `fade` lets what was counted so far weigh less.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from config.limits import CALIBRATION_CELLS_MAX
from config.money import BILLION
from pacing.prediction import KNOT_BITS, LINK_KNOTS, RATIO_ONE, SCORE_MIN, exponential_link

SHRINK: Final = 20.0
CELL_EVENTS_MIN: Final = 200
RATIO_MIN, RATIO_MAX = RATIO_ONE // 3, 3 * RATIO_ONE
"""A campaign on an exchange is corrected as far as this."""

_EXP = exponential_link() / BILLION


class Counts:
    """What scores have brought, of one event."""

    def __init__(self) -> None:
        self._impressions = np.zeros(LINK_KNOTS)
        self._events = np.zeros(LINK_KNOTS)
        self._cells: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        """By `pacing.prediction.cell_name`: impressions by bin, and events, float64[1]."""

    def add(
        self,
        scores: NDArray[np.int64],
        labels: NDArray[np.bool_],
        cells: Sequence[str],
        cell: NDArray[np.int64],
    ) -> None:
        """Count examples: scores int64[m], labels bool[m]; example i is of cells[cell[i]]."""
        bins = np.clip((scores - SCORE_MIN + (1 << KNOT_BITS - 1)) >> KNOT_BITS, 0, LINK_KNOTS - 1)
        # A click is an example besides that of its impression.
        self._impressions += np.bincount(bins[~labels], minlength=LINK_KNOTS)
        self._events += np.bincount(bins[labels], minlength=LINK_KNOTS)
        for index, name in enumerate(cells):
            of_cell = cell == index
            if name not in self._cells:
                if len(self._cells) >= CALIBRATION_CELLS_MAX:
                    continue
                self._cells[name] = np.zeros(LINK_KNOTS), np.zeros(1)
            impressions, events = self._cells[name]
            impressions += np.bincount(bins[of_cell & ~labels], minlength=LINK_KNOTS)
            events += (of_cell & labels).sum()

    def fade(self, kept: float) -> None:
        """Let everything counted so far weigh `kept` of what it did."""
        for counts in (
            self._impressions,
            self._events,
            *(part for cell in self._cells.values() for part in cell),
        ):
            counts *= kept
        for name in [name for name, (impressions, _) in self._cells.items() if impressions.sum() < 1]:
            del self._cells[name]

    def link(self) -> NDArray[np.int64]:
        """Return the rates of the knots, int64[LINK_KNOTS] billionths, never falling."""
        expected = self._impressions * _EXP
        ratio = (self._events + SHRINK) / (expected + SHRINK)
        rates = rising(_EXP * ratio, self._impressions + 1e-9)
        return np.clip(np.rint(rates * BILLION), 1, BILLION).astype(np.int64)

    def ratios(self, link: NDArray[np.int64]) -> dict[str, int]:
        """Return what to multiply the rates of cells with enough events by, in 1/RATIO_ONE, by name."""
        found = {}
        for name, (impressions, events) in self._cells.items():
            expected = float(impressions @ link) / BILLION
            if events[0] >= CELL_EVENTS_MIN and expected > 0:
                ratio = round(float(events[0]) / expected * RATIO_ONE)
                found[name] = min(max(ratio, RATIO_MIN), RATIO_MAX)
        return found

    def dump(self) -> bytes:
        """Write what `load` reads."""
        cells = {
            name: (impressions.tolist(), float(events[0]))
            for name, (impressions, events) in self._cells.items()
        }
        return msgspec.msgpack.encode(_Dumped(self._impressions.tolist(), self._events.tolist(), cells))

    def load(self, data: bytes) -> None:
        """Go on from what `dump` wrote; raises msgspec.DecodeError or ValueError on anything else."""
        dumped = msgspec.msgpack.decode(data, type=_Dumped)
        rows = (dumped.impressions, dumped.events, *(impressions for impressions, _ in dumped.cells.values()))
        if any(len(row) != LINK_KNOTS for row in rows):
            raise ValueError("the counts of another version")
        self._impressions[:], self._events[:] = dumped.impressions, dumped.events
        self._cells = {
            name: (np.array(impressions), np.array([events]))
            for name, (impressions, events) in dumped.cells.items()
        }


class _Dumped(msgspec.Struct, frozen=True):
    impressions: list[float]
    events: list[float]
    cells: Mapping[str, tuple[list[float], float]]


def rising(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rising row nearest to `values` by weighted squares: pool adjacent violators.

    values, weights: float64[m], weights above 0.
    """
    pools: list[list[float]] = []
    """Mean, weight and number of the values pooled."""
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pools.append([value, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, weight, count = pools.pop()
            before = pools[-1]
            before[0] = (before[0] * before[1] + mean * weight) / (before[1] + weight)
            before[1] += weight
            before[2] += count
    return np.repeat([mean for mean, _, _ in pools], [int(count) for _, _, count in pools])
