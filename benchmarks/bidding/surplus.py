"""E3: what shading keeps of the surplus that first-price auctions hold, learning as it goes.

A value is the predicted click rate times what a click cost in training. A bid wins where it is at least
the price and pays itself, which earns value less bid; an oracle that knows each price earns all there is.
Bids are the engine's: prices counted into a `pacing.landscape.Landscape`, rows by
`pacing.shading.shade_rows`, one `shade` for each auction.

The landscape begins with the training counts, which know prices but not whose values they met. The test
set is bid on in its order, and what the engine would have been told of an auction is counted after it, so
every bid rests on the past alone. No constant was chosen by a look at the file: they are the ones the engine
runs with. The rows are worked out again every REBUILD_AUCTIONS. Two exchanges are played: one that tells the
price to win of each auction, and one that tells only that we won, or lost.

The published rows know the training counts alone. The engine's own, held still, is reported beside them.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.bidding.auctions import PRICE_MAX, Auctions, Landscape, SharedData
from benchmarks.bidding.results import Cell, Line, Picture, Result, at_least
from pacing import landscape as engine
from pacing.cells import Cell as PriceCell
from pacing.landscape import CellShares, Key, win_shares
from pacing.price_grid import BANDS, PRICE_EDGES_CPM_MICROS, SHADE_EDGES_CPM_MICROS, band_of
from pacing.shading import UNEXPLORED, shade, shade_rows, shade_table

FEN: Final = 10_000
"""A CPM of one fen, in CPM micros of the yuan."""
REBUILD_AUCTIONS: Final = 1_000
PUBLISHED, SHARE = 2997, 0.56
"""The campaign whose whole test set is public, and the share to reach there; elsewhere: what the training
counts alone keep, which learning must not spoil."""
FRACTIONS: Final = tuple(round(0.05 * n, 2) for n in range(1, 21))
_CELL: Final = PriceCell("ipinyou", "banner", "desktop")

Ints = NDArray[np.int64]
Tell = Callable[[engine.Landscape, Key, int, int], None]
"""(landscape, where, bid, price): what the exchange tells of an auction."""


def run(data: SharedData, small: bool = False) -> Result:
    """Play both exchanges on both test sets; small: on every twentieth auction."""
    cells: list[Cell] = []
    pictures: list[Picture] = []
    for campaign in (PUBLISHED, 1458):
        auctions, training = data.auctions(f"{campaign}.test"), data.landscape(campaign)
        if small:
            auctions = auctions.part(slice(0, None, 20))
        values = values_of(auctions, training)
        still = surplus_share(auctions.price, values, bids(table_of(trained(training)), values))
        fraction = max(
            surplus_share(auctions.price, values, np.rint(values * part).astype(np.int64))
            for part in FRACTIONS
        )
        others = f"training counts alone {still:.3f}, best fraction in sample {fraction:.3f}"
        told, landscape = replay(auctions, values, training, tell_price)
        heard, _ = replay(auctions, values, training, tell_outcome)
        name = f"{campaign} test: share of the oracle's surplus"
        bound = SHARE if campaign == PUBLISHED else still
        cells.append(at_least(f"{name}, prices to win told", told, bound, others))
        cells.append(at_least(f"{name}, own wins and losses", heard, still))
        pictures.append(_curves(campaign, auctions, training, landscape))
    return Result(about=(__doc__ or "").partition("\n")[0], cells=cells, pictures=pictures)


def trained(training: Landscape) -> engine.Landscape:
    """Return a landscape with the training counts, whose values nobody knows."""
    counted = engine.Landscape()
    for fen, auctions in enumerate(training.prices.tolist()):
        if auctions:
            # What went for nothing would have gone for the least price there is.
            counted.observe_price(Key(_CELL), max(fen, 1) * FEN, auctions)
    return counted


def values_of(auctions: Auctions, training: Landscape) -> Ints:
    """Return what each auction is worth at the training set's cost of a click, in CPM micros."""
    worth = auctions.click_rate * training.cost / training.clicks * FEN
    return np.maximum(np.rint(worth), 1).astype(np.int64)


def table_of(landscape: engine.Landscape) -> Ints:
    """Return the table a worker would bid by."""
    return shade_table(shade_rows(win_shares(landscape.copy())), [_CELL])


def bids(table: Ints, values: Ints) -> Ints:
    """Return the engine's bid for each value, in CPM micros."""
    return np.array([shade(table, 0, value, UNEXPLORED) for value in values.tolist()], np.int64)


def surplus_share(prices: Ints, values: Ints, bid: Ints) -> float:
    """Return the share of the oracle's surplus: prices in fen, values and bids in CPM micros."""
    asked = prices * FEN
    return float(((values - bid) * (bid >= asked)).sum() / np.maximum(values - asked, 0).sum())


def tell_price(landscape: engine.Landscape, key: Key, bid: int, price: int) -> None:
    """An exchange that fills in `${AUCTION_MIN_TO_WIN}`."""
    landscape.observe_price(key, price)


def tell_outcome(landscape: engine.Landscape, key: Key, bid: int, price: int) -> None:
    """An exchange that sends win and loss notices, and no price but what is paid, the bid."""
    if bid >= price:
        landscape.observe_win(key, bid)
    else:
        landscape.observe_loss(key, bid)


def replay(
    auctions: Auctions, values: Ints, training: Landscape, tell: Tell
) -> tuple[float, engine.Landscape]:
    """Bid on the auctions in turn; return the share of the surplus, and the landscape at the end."""
    landscape = trained(training)
    bid = np.empty_like(values)
    for start in range(0, len(values), REBUILD_AUCTIONS):
        now = slice(start, start + REBUILD_AUCTIONS)
        bid[now] = bids(table_of(landscape), values[now])
        asked = np.maximum(auctions.price[now], 1) * FEN
        for value, offered, price in zip(
            values[now].tolist(), bid[now].tolist(), asked.tolist(), strict=True
        ):
            tell(landscape, Key(_CELL, band_of(value)), offered, price)
    return surplus_share(auctions.price, values, bid), landscape


def _curves(campaign: int, auctions: Auctions, training: Landscape, learnt: engine.Landscape) -> Picture:
    upto = PRICE_EDGES_CPM_MICROS <= PRICE_MAX * FEN
    fen = (PRICE_EDGES_CPM_MICROS[upto] / FEN).tolist()
    shares: CellShares = win_shares(learnt.copy())[_CELL.name]
    before = win_shares(trained(training).copy())[_CELL.name]
    seen = np.sort(auctions.price)
    lines = [
        Line("training", fen, before.share[upto].tolist()),
        Line("test", fen, (np.searchsorted(seen, fen, "right") / len(seen)).tolist()),
    ]
    weights = {band: learnt.counts[Key(_CELL, band)].sum() for band in shares.of_band}
    for band in sorted(sorted(weights, key=lambda band: -weights[band])[:3]):
        low, high = _bounds_fen(band)
        lines.append(Line(f"worth {low} to {high}", fen, shares.of_band[band][upto].tolist()))
    return Picture(
        title=f"Win-price curves, campaign {campaign}",
        x_label="bid, fen CPM",
        y_label="share of auctions won",
        lines=lines,
    )


def _bounds_fen(band: int) -> tuple[int, int]:
    edges = SHADE_EDGES_CPM_MICROS[:: len(SHADE_EDGES_CPM_MICROS) // BANDS]
    upper = edges[min(band, BANDS - 1)]
    return round(edges[band - 1] / FEN), round(upper / FEN)
