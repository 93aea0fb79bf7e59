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

A cell is never estimated alone, but together with PARENT_WEIGHT auctions of its parent's, each a known
price: a device's parent is its format on the exchange, whose parent is the format on all exchanges. Where
nothing is censored that is F = (n · F_cell + PARENT_WEIGHT · F_parent) / (n + PARENT_WEIGHT), so that a cell
with few auctions borrows; where much is, it speaks for the stretches that the cell's own outcomes leave open,
between 2 and 5 and above 5. (Susarla and Van Ryzin 1976: the posterior mean under a Dirichlet prior.) The
last resort of a format is that every price is as likely as another, to which the best answer is half of the
value.

**Values know something of prices.** What makes an impression worth more to us makes it worth more to
others, or to fewer: F differs by value. So a cell's auctions are counted by the band of our value too, and
each band with auctions is a child of its cell. On the public test set of campaign 2997 that takes shading
from 53 to 61 % of the surplus there is (`python -m benchmarks.bidding --only E3`).

Counts are weights: what was seen a day ago weighs half (`Landscape.age`).

A parametric curve was rejected: real prices sit on round numbers, and counting beats a fitted
log-logistic on every published campaign we have.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from config.compiled import kernel
from pacing.cells import Cell
from pacing.price_grid import ANY_BAND, PRICE_BINS, PRICE_EDGES_CPM_MICROS, SHADE_CPM_MICROS_MAX

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
    parent: NDArray[np.float64],
    parent_weight: float,
) -> NDArray[np.float64]:
    """Return the share of auctions won by a bid at each edge: float64[bins], rising to 1.

    (Or to less, where bids at the last edge lost.)

    exact, won, lost: float64[bins], see the module. parent float64[bins]: the shares of the parent, rising in
    every bin from above 0 to 1; parent_weight > 0: how many of its auctions count with the others.
    """
    bins = len(exact)
    known = exact + parent_weight * np.diff(np.append(0.0, parent))
    share = parent
    if not won.any():
        return kaplan_meier(known, lost)
    spread = known.copy()
    for _ in range(ROUNDS_MAX):
        before = share
        each = 0.0
        for k in range(bins - 1, -1, -1):
            if won[k] > 0:
                each += won[k] / before[k]
            spread[k] = known[k] + each * (before[k] - (before[k - 1] if k else 0.0))
        share = kaplan_meier(spread, lost)
        if np.abs(share - before).max() < SETTLED:
            break
    return share


class Key(NamedTuple):
    """What is counted together: the auctions of a cell with values in one band, or in ANY_BAND."""

    cell: Cell
    band: int = ANY_BAND

    @property
    def name(self) -> str:
        """The name in Redis: ``plain/banner/phone/12``."""
        return f"{self.cell.name}/{self.band}"


Counts = dict[Key, NDArray[np.float32]]


class Landscape:
    """Counts of auctions. The caller bounds the exchanges it passes to those in its config."""

    def __init__(self, at_s: float = -math.inf) -> None:
        self.counts: dict[Key, NDArray[np.float32]] = {}
        """float32[3, PRICE_BINS] each, rows EXACT, WON and LOST."""
        self.changed: set[Key] = set()
        """What was counted in since somebody emptied this."""
        self.at_s = at_s
        """The time that the weights are of."""

    def observe_price(self, key: Key, min_to_win_cpm_micros: int, auctions: float = 1.0) -> None:
        """Count auctions that a bid of this price, in CPM micros, would just have won.

        A price of 0 or less is no price, and one above CPM_MICROS_MAX no bid of ours can reach: neither is
        counted.
        """
        self._add(key, EXACT, min_to_win_cpm_micros, auctions)

    def observe_win(self, key: Key, bid_cpm_micros: int, auctions: float = 1.0) -> None:
        """Count auctions that a bid of this price won and paid in full."""
        self._add(key, WON, bid_cpm_micros, auctions)

    def observe_loss(self, key: Key, bid_cpm_micros: int, auctions: float = 1.0) -> None:
        """Count auctions that a bid of this price lost to a higher one."""
        self._add(key, LOST, bid_cpm_micros, auctions)

    def age(self, now_s: float) -> None:
        """Let what was counted weigh less: half after HALF_LIFE_S. Call it with the times of a clock."""
        if now_s - self.at_s < AGED_EVERY_S:
            return
        weight = _weight_after(now_s - self.at_s)
        for counts in self.counts.values():
            counts *= weight
        self.at_s = now_s

    def restore(self, key: Key, counts: NDArray[np.float32], at_s: float) -> None:
        """Take in what was counted elsewhere, and weighed so at that time."""
        self.counts[key] = counts * np.float32(_weight_after(max(self.at_s - at_s, 0.0)))

    def keep_exchanges(self, exchange_ids: Iterable[str]) -> list[Key]:
        """Drop what other exchanges' cells have counted; return the keys dropped."""
        known = set(exchange_ids)
        dropped = [key for key in self.counts if key.cell.exchange_id not in known]
        for key in dropped:
            del self.counts[key]
            self.changed.discard(key)
        return dropped

    def copy(self) -> Counts:
        """Return the counts as they are now, for `win_shares` in another thread."""
        return {key: counts.copy() for key, counts in self.counts.items()}

    def _add(self, key: Key, row: int, price_cpm_micros: int, auctions: float) -> None:
        if not 0 < price_cpm_micros <= SHADE_CPM_MICROS_MAX:
            return
        # A loss is known to lie above the last edge its bid reached; what is below the lowest tells nothing.
        price_bin = bisect_left(_PRICE_EDGES, price_cpm_micros)
        if row == LOST:
            price_bin = bisect_right(_PRICE_EDGES, price_cpm_micros) - 1
            if price_bin < 0:
                return
        counts = self.counts.get(key)
        if counts is None:
            counts = self.counts[key] = np.zeros((3, PRICE_BINS), np.float32)
        counts[row, price_bin] += auctions
        self.changed.add(key)


class CellShares(NamedTuple):
    """F at every price edge (float64[PRICE_BINS]) in one cell: whatever the value, and by its band."""

    share: NDArray[np.float64]
    of_band: Mapping[int, NDArray[np.float64]] = {}
    """Bands that are not here are as the cell."""


def _weight_after(seconds: float) -> float:
    return float(0.5 ** (seconds / HALF_LIFE_S))


def weights(counts: Counts) -> dict[str, float]:
    """Return by the name of a cell how many auctions it was counted from."""
    weight: dict[str, float] = {}
    for key, held in counts.items():
        weight[key.cell.name] = weight.get(key.cell.name, 0.0) + float(held.sum())
    return weight


def win_shares(counts: Counts) -> dict[str, CellShares]:
    """Return the shares by the name of each cell, and of each cell's parent.

    counts: from `Landscape.copy`. A format with fewer than OBSERVATIONS_MIN auctions on an exchange is left
    out, with all of its cells.
    """
    of_format: dict[str, NDArray[np.float64]] = {}
    of_parent: dict[str, NDArray[np.float64]] = {}
    of_cell: dict[Cell, NDArray[np.float64]] = {}
    bands: dict[Cell, dict[int, NDArray[np.float64]]] = {}
    for key, held in counts.items():
        cell, wide = key.cell, held.astype(np.float64)
        of_format[cell.format] = of_format.get(cell.format, 0.0) + wide
        of_parent[cell.parent] = of_parent.get(cell.parent, 0.0) + wide
        of_cell[cell] = of_cell.get(cell, 0.0) + wide
        if key.band != ANY_BAND:
            bands.setdefault(cell, {})[key.band] = wide
    formats = {format_: _borrowing(all_, ANY_PRICE) for format_, all_ in of_format.items()}
    shares: dict[str, CellShares] = {}
    for cell, of_all_bands in of_cell.items():
        wider = of_parent[cell.parent]
        if wider.sum() < OBSERVATIONS_MIN:
            continue
        if cell.parent not in shares:
            shares[cell.parent] = CellShares(_borrowing(wider, formats[cell.format]))
        own = _borrowing(of_all_bands, shares[cell.parent].share)
        of_band = {band: _borrowing(part, own) for band, part in bands.get(cell, {}).items()}
        shares[cell.name] = CellShares(own, of_band)
    return shares


def _borrowing(counts: NDArray[np.float64], parent: NDArray[np.float64]) -> NDArray[np.float64]:
    return win_share(counts[EXACT], counts[WON], counts[LOST], parent, float(PARENT_WEIGHT))
