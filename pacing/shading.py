"""First-price shading: how far below its value a bid may go.

In a first-price auction a winner pays its own bid, so bidding the full value V earns nothing. What
earns most is the bid b that maximises (V - b) · F(b), where F(b) is the share of auctions that b
would win. `pacing.landscape` has F by cell; `shade_rows` turns it into one row per cell; the elected
controller publishes the rows (`Shading`), a worker stacks them for the kernel (`shade_table`), and `shade` is
the look-up the kernel inlines.

A row holds, for each value bin, the best bid for a value at the bin's lower edge, by the F of the value's
band where one was counted, else by the cell's. That bid is not above the edge, so it is not above any value
of the bin. As a price edge it is a number below 2**16. Within a band a dearer value never bids less; from one
band to the next it may, where what is worth more to us is cheaper.

**Exploring.** One shaded bid in EXPLORED_ONE_IN is moved by up to EXPLORED_SHARE of itself, never above
its value. Otherwise a cell that hears only of its own wins and losses would never learn what the
prices beside its bids are worth. The draw that settles ties decides, so a batch is still a pure function.
"""

from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec
import numpy as np
import redis.asyncio
from numpy.typing import NDArray

from config.compiled import kernel
from config.redis_keys import SHADING
from pacing.cells import Cell
from pacing.landscape import CellShares
from pacing.price_grid import (
    BINS_PER_BAND,
    PRICE_BINS,
    PRICE_EDGES_CPM_MICROS,
    PRICES_PER_SHADE,
    SHADE_BINS,
    bin_of,
)

EXPLORED_ONE_IN: Final = 100
EXPLORED_SHARE: Final = 0.1
UNEXPLORED: Final = np.uint64(1)
"""A ticket that explores nothing."""

_EXPLORED_ONE_IN = np.uint64(EXPLORED_ONE_IN)
_STEPS_EACH_WAY = 1_000
_STEPS = np.uint64(2 * _STEPS_EACH_WAY + 1)
_STEPS_OF_PRICE = round(_STEPS_EACH_WAY / EXPLORED_SHARE)

ROW_BYTES: Final = 2 * SHADE_BINS
Row = bytes
"""uint16[SHADE_BINS], little-endian: for each value bin the index, in PRICE_EDGES_CPM_MICROS, of its bid."""


class Shading(msgspec.Struct, frozen=True, kw_only=True):
    """What the controller works out every so often: one value under one key, replaced whole."""

    version: int
    rows: dict[str, Row] = {}
    """By the name of a cell, or of a cell's parent. A cell with neither is unshaded."""
    auctions: dict[str, float] = {}
    """By the name of a cell: how many auctions it was counted from, those of a day ago weighing half."""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Shading)


async def publish_shading(client: redis.asyncio.Redis, shading: Shading) -> None:
    """Make this the live shading. Raises redis.RedisError."""
    await client.set(SHADING, _ENCODER.encode(shading))


async def fetch_shading(client: redis.asyncio.Redis) -> Shading | None:
    """Return the live shading, or None when there is none that this version can read.

    Raises redis.RedisError.
    """
    data = cast(bytes | None, await client.get(SHADING))
    if data is None:
        return None
    try:
        return _DECODER.decode(data)
    except msgspec.DecodeError:
        return None


@kernel
def shade(table: NDArray[np.int64], row: int, value_cpm_micros: int, ticket: np.uint64) -> int:
    """Return what to bid, in CPM micros, for an impression worth `value_cpm_micros` > 0.

    table: int64[cells, SHADE_BINS] from `shade_table`; row: the cell's; ticket: uint64, at random: what the
    bid drew. The price is above 0 and never above the value. A row of zeros returns the value. All
    tickets but one in EXPLORED_ONE_IN, and UNEXPLORED, get the table's price.
    """
    price_cpm_micros: int = table[row, bin_of(value_cpm_micros)]
    if price_cpm_micros <= 0:
        return value_cpm_micros
    if ticket % _EXPLORED_ONE_IN == 0:
        step = int(ticket // _EXPLORED_ONE_IN % _STEPS) - _STEPS_EACH_WAY
        price_cpm_micros += price_cpm_micros * step // _STEPS_OF_PRICE
    return min(price_cpm_micros, value_cpm_micros)


@kernel
def _best_bids(share: NDArray[np.float64], first: int, row: NDArray[np.uint16]) -> None:
    """Write the best bids of the value bins from `first` on into their row."""
    lowest = 0
    for bin_ in range(len(row)):
        own = PRICES_PER_SHADE * (first + bin_)
        value = PRICE_EDGES_CPM_MICROS[own]
        best, best_surplus = own, 0.0
        # Under one F the exact optimum never falls as the value rises.
        for k in range(lowest, own + 1):
            surplus = (value - PRICE_EDGES_CPM_MICROS[k]) * share[k]
            if surplus > best_surplus:
                best, best_surplus = k, surplus
        if best_surplus > 0:
            lowest = best
        row[bin_] = best


def shade_row(shares: CellShares) -> Row:
    """Return the best bid for a value at each bin's lower edge.

    Of equally good bids the lowest is taken; where no bid below the value can win, the value itself is bid.
    """
    row = np.empty(SHADE_BINS, np.uint16)
    _best_bids(shares.share, 0, row)
    for band, share in shares.of_band.items():
        first = (band - 1) * BINS_PER_BAND
        _best_bids(share, first, row[first : first + BINS_PER_BAND])
    return row.astype("<u2").tobytes()


def shade_rows(shares: Mapping[str, CellShares]) -> dict[str, Row]:
    """Return the row of each cell and parent from `pacing.landscape.win_shares`."""
    return {name: shade_row(of_cell) for name, of_cell in shares.items()}


def shade_table(rows: Mapping[str, Row], cells: Sequence[Cell]) -> NDArray[np.int64]:
    """Stack rows for the kernel: int64[cells, SHADE_BINS] CPM micros, in the order of `cells`.

    A cell without a row has its parent's. One without either, or with one of another length (from another
    version), gets zeros: unshaded. A table has one row at least.
    """
    table = np.zeros((max(len(cells), 1), SHADE_BINS), np.int64)
    for index, cell in enumerate(cells):
        row = rows.get(cell.name) or rows.get(cell.parent) or b""
        if len(row) != ROW_BYTES:
            continue
        edges = np.frombuffer(row, "<u2")
        if edges.max() < PRICE_BINS:
            table[index] = PRICE_EDGES_CPM_MICROS[edges]
    return table
