"""The price landscape: what share of its auctions a bid of each price would win.

What an auction tells depends on the exchange. `${AUCTION_MIN_TO_WIN}` says the price that would have been
enough, for wins and losses alike, and a win that cost less than its bid has shown that price as well. Without
either only a side is known:

    exact   the price to win lies in this bin                  min-to-win, second prices
    won     it lies in this bin or below                       a win that paid its own bid
    lost    it lies above this bin                             a loss to a higher price

Losses are censored above, so a histogram of the prices that were seen makes the market look cheap: it has
the cheap auctions, which we won. Kaplan and Meier (1958) divide by who was still in the running instead:
of the auctions whose price is not below bin k, what share has it in k? Wins at their own bid are
censored below as well. For these, Turnbull (1974) spreads each win over the bins up to its own in the
proportions found so far, and repeats until nothing moves (`win_share`); where there are none, one round
is Kaplan and Meier's.

    bids of 2 and 5, 100 each; the lower won 40, the higher 70:
    F(2) = 0.4, F(5) = 0.7, whatever lies between
    counting each win at its own bid instead gives F(2) = 0.20, and bids too high for ever

Of the stretches where nothing is known (between 2 and 5, above 5) the proportions are the parent's: a
device's are its format's on the exchange, those the format's on all exchanges, and the last resort is
that every price is as likely as another, to which the best answer is half of the value. The parent is
asked again in full: F = (n · F_cell + PARENT_WEIGHT · F_parent) / (n + PARENT_WEIGHT), so that a cell with
few auctions borrows, and a cell with none is its parent.

Counts are weights: what was seen a day ago weighs half (`Landscape.age`).

A parametric curve was rejected: real prices sit on round numbers, and counting beats a fitted
log-logistic on every published campaign we have.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.compiled import kernel
from pacing.cells import Cell
from pacing.price_grid import PRICE_BINS, PRICE_EDGES_CPM_MICROS, SHADE_CPM_MICROS_MAX

HALF_LIFE_S: Final = 86_400.0
AGED_EVERY_S: Final = 60.0
"""Weights are as they were up to this long ago."""
PARENT_WEIGHT: Final = 500
"""How many auctions of its own a cell needs to weigh as much as its parent."""
OBSERVATIONS_MIN: Final = 200
"""A format with fewer counted auctions than this on an exchange has no landscape there."""
ROUNDS_MAX: Final = 500
"""Of Turnbull's repetition; most cells settle within some tens."""
SETTLED: Final = 1e-5
"""No share moves by more than this between two rounds: done."""
_DOUBT: Final = 1e-3
"""How far a parent's word is doubted: so much of what is spread goes by every price being as likely."""

EXACT, WON, LOST = range(3)
"""The rows of a cell's counts."""

_PRICE_EDGES = PRICE_EDGES_CPM_MICROS.tolist()
ANY_PRICE: Final[NDArray[np.float64]] = PRICE_EDGES_CPM_MICROS / SHADE_CPM_MICROS_MAX
"""float64[PRICE_BINS]: the landscape of whoever knows nothing, every price as likely as another."""


@kernel
def kaplan_meier(exact: NDArray[np.float64], lost: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of auctions won by a bid at each edge: float64[bins], rising, not above 1.

    exact float64[bins]: auctions whose price to win is in the bin. lost float64[bins]: those of which it is
    only known to be above it. Where the highest of all is a loss, the shares end below 1.
    """
    share = np.empty(len(exact))
    in_the_running = exact.sum() + lost.sum()
    dearer = 1.0
    for k in range(len(exact)):
        if exact[k] > 0:
            dearer *= 1 - exact[k] / in_the_running if exact[k] < in_the_running else 0.0
        in_the_running -= exact[k] + lost[k]
        share[k] = 1 - dearer
    return share


@kernel
def win_share(
    exact: NDArray[np.float64],
    won: NDArray[np.float64],
    lost: NDArray[np.float64],
    prior: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the share of auctions won by a bid at each edge: float64[bins], rising, not above 1.

    exact, won, lost: float64[bins], see the module, not all zero. prior float64[bins], rising from above 0:
    the shares that say how what is known of a stretch of bins is spread in it.
    """
    bins = len(exact)
    # Above the highest loss the prior alone speaks.
    top = bins
    while top > 0 and lost[top - 1] == 0:
        top -= 1
    below = prior[top - 1] if top > 0 else 0.0
    tail = prior[bins - 1] - below
    has_won = won.sum() > 0
    share = prior
    spread = exact.copy()
    for _ in range(ROUNDS_MAX):
        before = share
        if has_won:
            each = 0.0
            for k in range(bins - 1, -1, -1):
                if won[k] > 0 and before[k] > 0:
                    each += won[k] / before[k]
                step = before[k] - (before[k - 1] if k else 0.0)
                spread[k] = exact[k] + each * step
        share = kaplan_meier(spread, lost)
        left = 1 - share[bins - 1]
        if left > 0 and tail > 0:
            for k in range(top, bins):
                share[k] += left * (prior[k] - below) / tail
        if not has_won or np.abs(share - before).max() < SETTLED:
            break
    return share


class Landscape:
    """Counts of auctions by cell. The caller bounds the exchanges it passes to those in its config."""

    def __init__(self, at_s: float = -math.inf) -> None:
        self.cells: dict[Cell, NDArray[np.float64]] = {}
        """float64[3, PRICE_BINS] each, rows EXACT, WON and LOST."""
        self.changed: set[Cell] = set()
        """Cells counted in since somebody emptied this."""
        self.at_s = at_s
        """The time that the weights are of."""

    def observe_price(self, cell: Cell, min_to_win_cpm_micros: int, auctions: float = 1.0) -> None:
        """Count auctions that a bid of this price, in CPM micros, would just have won.

        A price of 0 or less is no price, and one above CPM_MICROS_MAX no bid of ours can reach: neither is
        counted.
        """
        self._add(cell, EXACT, min_to_win_cpm_micros, auctions)

    def observe_win(self, cell: Cell, bid_cpm_micros: int, auctions: float = 1.0) -> None:
        """Count auctions that a bid of this price won and paid in full."""
        self._add(cell, WON, bid_cpm_micros, auctions)

    def observe_loss(self, cell: Cell, bid_cpm_micros: int, auctions: float = 1.0) -> None:
        """Count auctions that a bid of this price lost to a higher one."""
        self._add(cell, LOST, bid_cpm_micros, auctions)

    def age(self, now_s: float) -> None:
        """Let what was counted weigh less: half after HALF_LIFE_S. Call it with the times of a clock."""
        if now_s - self.at_s < AGED_EVERY_S:
            return
        weight = _weight_after(now_s - self.at_s)
        for counts in self.cells.values():
            counts *= weight
        self.at_s = now_s

    def restore(self, cell: Cell, counts: NDArray[np.float64], at_s: float) -> None:
        """Take in what was counted elsewhere, and weighed so at that time."""
        self.cells[cell] = counts * _weight_after(max(self.at_s - at_s, 0.0))

    def keep_exchanges(self, exchange_ids: Iterable[str]) -> list[Cell]:
        """Drop the cells of other exchanges; return those dropped."""
        known = set(exchange_ids)
        dropped = [cell for cell in self.cells if cell.exchange_id not in known]
        for cell in dropped:
            del self.cells[cell]
            self.changed.discard(cell)
        return dropped

    def copy(self) -> dict[Cell, NDArray[np.float64]]:
        """Return the counts as they are now, for `win_shares` in another thread."""
        return {cell: counts.copy() for cell, counts in self.cells.items()}

    def _add(self, cell: Cell, row: int, price_cpm_micros: int, auctions: float) -> None:
        if not 0 < price_cpm_micros <= SHADE_CPM_MICROS_MAX:
            return
        # A loss is known to lie above the last edge its bid reached; what is below the lowest tells nothing.
        price_bin = bisect_left(_PRICE_EDGES, price_cpm_micros)
        if row == LOST:
            price_bin = bisect_right(_PRICE_EDGES, price_cpm_micros) - 1
            if price_bin < 0:
                return
        counts = self.cells.get(cell)
        if counts is None:
            counts = self.cells[cell] = np.zeros((3, PRICE_BINS))
        counts[row, price_bin] += auctions
        self.changed.add(cell)


def _weight_after(seconds: float) -> float:
    return float(0.5 ** (seconds / HALF_LIFE_S))


def win_shares(counts: dict[Cell, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return, by the name of each cell and of each cell's parent, F at every price edge.

    counts: from `Landscape.copy`. A format with fewer than OBSERVATIONS_MIN auctions on an exchange is left
    out, with all of its cells.
    """
    of_format: dict[str, NDArray[np.float64]] = {}
    of_parent: dict[str, NDArray[np.float64]] = {}
    for cell, held in counts.items():
        of_format[cell.format] = of_format.get(cell.format, 0.0) + held
        of_parent[cell.parent] = of_parent.get(cell.parent, 0.0) + held
    formats = {
        format_: win_share(held[EXACT], held[WON], held[LOST], ANY_PRICE)
        for format_, held in of_format.items()
        if held.any()
    }
    shares: dict[str, NDArray[np.float64]] = {}
    for cell, held in counts.items():
        wider = of_parent[cell.parent]
        if wider.sum() < OBSERVATIONS_MIN:
            continue
        if cell.parent not in shares:
            shares[cell.parent] = _borrowing(wider, formats[cell.format])
        shares[cell.name] = _borrowing(held, shares[cell.parent])
    return shares


def _borrowing(counts: NDArray[np.float64], parent: NDArray[np.float64]) -> NDArray[np.float64]:
    weight = counts.sum()
    if weight <= 0:
        return parent
    # What the parent never saw is rare, not impossible.
    own = win_share(counts[EXACT], counts[WON], counts[LOST], (1 - _DOUBT) * parent + _DOUBT * ANY_PRICE)
    share: NDArray[np.float64] = (weight * own + PARENT_WEIGHT * parent) / (weight + PARENT_WEIGHT)
    return share
