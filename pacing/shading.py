"""First-price shading: how far below its value a bid may go.

In a first-price auction a winner pays its own bid, so bidding the full value V earns nothing. What
earns most is the bid b that maximises (V - b) · F(b), where F(b) is the share of auctions that b
would have won. F comes from counting: exchanges that fill in `${AUCTION_MIN_TO_WIN}` say, for wins
and losses alike, the price that would have been enough.

Two sets of log-spaced edges over the same span of prices, ratios equal everywhere:

    SHADE_EDGES_CPM_MICROS   SHADE_BINS values       bin i holds edge[i] <= value < edge[i + 1]
    PRICE_EDGES_CPM_MICROS   PRICE_BINS bids         bin k holds edge[k - 1] < price <= edge[k]

Price bins are closed above, so a bid at price edge k wins exactly the auctions counted in bins 0 to
k and F needs no interpolation. There are PRICES_PER_SHADE price edges to a value bin and every value
edge is one of them. A **cell** is one format on one exchange: `OutcomeReader` has `WinPrices` count
in cells, `shade_rows` turns the counts into one row per cell, the row travels in the plan, `shade_table`
stacks rows for the kernel, and `shade` is the look-up the kernel inlines.

A row holds, for each value bin, the best bid for a value at the bin's lower edge. That bid is not
above the edge, so it is not above any value of the bin. Example: every auction of a cell goes for
$1.00. The row's entry for the bin of $4.00 is the first price edge at or above $1.00; for the bin of
$0.50, which can't win, it is the bin's own lower edge.

A cell with few auctions borrows: F = (n · F_cell + 500 · F_parent) / (n + 500), the parent being its
format on all exchanges: banners on two exchanges have more in common than a banner and a video.
A parametric curve was rejected: real prices sit on round numbers, and counting beats a fitted
log-logistic on every published campaign we have.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast, get_args

import numpy as np
import redis.asyncio
from numpy.typing import NDArray

from config.compiled import kernel
from config.money import CPM_MICROS_MAX
from config.redis_keys import STREAM_LOSSES, STREAM_WINS
from config.schema import Bundle, Format
from pacing.plan import cell_name

SHADE_BINS: Final = 512
PRICES_PER_SHADE: Final = 2
PRICE_BINS: Final = PRICES_PER_SHADE * SHADE_BINS + 1
SHADE_CPM_MICROS_MIN: Final = 10_000
"""The lowest edge: a CPM of 0.01."""
SHADE_CPM_MICROS_MAX: Final = CPM_MICROS_MAX
OBSERVATIONS_MIN: Final = 200
"""A cell with fewer counted auctions than this is not shaded."""
PARENT_WEIGHT: Final = 500
"""How many auctions of its own a cell needs to weigh as much as its parent."""
OUTCOMES_READ_MAX: Final = 5_000
"""Auction outcomes taken from each stream in one read."""
DAY_S: Final = 86_400

PRICE_EDGES_CPM_MICROS: Final[NDArray[np.int64]] = np.rint(
    np.geomspace(SHADE_CPM_MICROS_MIN, SHADE_CPM_MICROS_MAX, PRICE_BINS)
).astype(np.int64)
"""int64[PRICE_BINS], CPM micros, strictly rising."""
SHADE_EDGES_CPM_MICROS: Final[NDArray[np.int64]] = PRICE_EDGES_CPM_MICROS[:-1:PRICES_PER_SHADE].copy()
"""int64[SHADE_BINS], CPM micros, strictly rising: the lower edge of each value bin."""

_PRICE_EDGES = PRICE_EDGES_CPM_MICROS.tolist()
_BINS_PER_NEPER = SHADE_BINS / float(np.log(SHADE_CPM_MICROS_MAX / SHADE_CPM_MICROS_MIN))


@kernel
def bin_of(value_cpm_micros: int) -> int:
    """Return the value bin, 0 to SHADE_BINS - 1, of a price in CPM micros.

    What is below the lowest edge is in bin 0, what is above SHADE_CPM_MICROS_MAX in the last.
    """
    if value_cpm_micros <= SHADE_CPM_MICROS_MIN:
        return 0
    guess = int(np.log(value_cpm_micros / SHADE_CPM_MICROS_MIN) * _BINS_PER_NEPER)
    found = min(guess, SHADE_BINS - 1)
    # The edges are rounded to integers and the logarithm to a float, so the guess may be one off.
    if SHADE_EDGES_CPM_MICROS[found] > value_cpm_micros:
        found -= 1
    elif found + 1 < SHADE_BINS and SHADE_EDGES_CPM_MICROS[found + 1] <= value_cpm_micros:
        found += 1
    return found


@kernel
def shade(table: NDArray[np.int64], cell: int, value_cpm_micros: int) -> int:
    """Return what to bid, in CPM micros, for an impression worth `value_cpm_micros` > 0.

    table: int64[cells, SHADE_BINS] from `shade_table`; cell: a row of it. The price is above 0, never
    above the value, and never falls as the value rises. A row of zeros returns the value.
    """
    price_cpm_micros: int = table[cell, bin_of(value_cpm_micros)]
    if price_cpm_micros <= 0:
        return value_cpm_micros
    return min(price_cpm_micros, value_cpm_micros)


class WinPrices:
    """Counts of the prices that would have won, by cell.

    Counts are weights: `halve`, called once a day, makes an auction of yesterday count half.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], NDArray[np.float64]] = {}

    def observe(self, exchange_id: str, format_: str, min_to_win_cpm_micros: int) -> None:
        """Count one auction that a bid of this price, in CPM micros, would just have won.

        A price of 0 or less is no price, and one above CPM_MICROS_MAX no bid of ours can reach:
        neither is counted. The caller bounds the exchanges it passes to those in its config.
        """
        if not 0 < min_to_win_cpm_micros <= SHADE_CPM_MICROS_MAX:
            return
        counts = self._counts.get((exchange_id, format_))
        if counts is None:
            counts = self._counts[exchange_id, format_] = np.zeros(PRICE_BINS)
        counts[bisect_left(_PRICE_EDGES, min_to_win_cpm_micros)] += 1.0

    def halve(self) -> None:
        """Let everything counted so far weigh half."""
        for counts in self._counts.values():
            counts *= 0.5

    def cells(self) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return, by cell name, copies of the cell's and its parent's counts, float64[PRICE_BINS]."""
        parents: dict[str, NDArray[np.float64]] = {}
        for (_, format_), counts in self._counts.items():
            parents[format_] = parents.get(format_, 0.0) + counts
        return {
            cell_name(exchange_id, format_): (counts.copy(), parents[format_])
            for (exchange_id, format_), counts in self._counts.items()
        }


class OutcomeReader:
    """Reads what the events process writes about won and lost auctions into `prices`.

    Each `read` takes the newest OUTCOMES_READ_MAX entries of each stream since the last one: when
    there are more, a sample of the freshest prices is worth more than all of the old ones.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.prices = WinPrices()
        self._client = client
        self._last_ids: dict[bytes, bytes] = {}
        self._day = -1

    async def read(self, bundle: Bundle, now_s: float) -> int:
        """Count new prices of the bundle's exchanges; return how many outcomes there were at all.

        Raises redis.RedisError.
        """
        day = int(now_s) // DAY_S
        if self._day not in (-1, day):
            self.prices.halve()
        self._day = day
        exchanges = {exchange.id.encode(): exchange.id for exchange in bundle.exchanges}
        return sum([await self._read_stream(key, exchanges) for key in (STREAM_WINS, STREAM_LOSSES)])

    async def _read_stream(self, key: bytes, exchanges: Mapping[bytes, str]) -> int:
        # One call for each stream: on a cluster they live in different slots.
        since = self._last_ids.get(key)
        oldest = b"(" + since if since is not None else b"-"
        reply = await self._client.xrevrange(key, b"+", oldest, count=OUTCOMES_READ_MAX)
        entries = cast(list[tuple[bytes, dict[bytes, bytes]]], reply)
        if entries:
            self._last_ids[key] = entries[0][0]
        for _, fields in entries:
            exchange_id = exchanges.get(fields.get(b"exchange", b""))
            format_ = _FORMATS.get(fields.get(b"format", b""))
            price = fields.get(b"min_to_win_cpm_micros", b"")
            if exchange_id is not None and format_ is not None and price.isdigit():
                self.prices.observe(exchange_id, format_, int(price))
        return len(entries)


_FORMATS: Final[dict[bytes, str]] = {format_.encode(): format_ for format_ in get_args(Format)}


def win_share(counts: NDArray[np.float64], parent: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return F at every price edge, float64[PRICE_BINS], rising from 0 to 1.

    counts, parent: float64[PRICE_BINS], the parent's including the cell's own, neither all zero.
    """
    weight = counts.sum()
    own = np.cumsum(counts) / weight
    wider = np.cumsum(parent) / parent.sum()
    share: NDArray[np.float64] = (weight * own + PARENT_WEIGHT * wider) / (weight + PARENT_WEIGHT)
    return share


def shade_row(share: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the best bid, int64[SHADE_BINS] CPM micros, for a value at each bin's lower edge.

    share: float64[PRICE_BINS] from `win_share`. Of equally good bids the lowest is taken; where no
    bid up to the value has ever won, the value itself is bid.
    """
    row = np.empty(SHADE_BINS, np.int64)
    for value_bin in range(SHADE_BINS):
        value = SHADE_EDGES_CPM_MICROS[value_bin]
        below = PRICES_PER_SHADE * value_bin + 1
        surplus = (value - PRICE_EDGES_CPM_MICROS[:below]) * share[:below]
        best = int(surplus.argmax())
        row[value_bin] = PRICE_EDGES_CPM_MICROS[best] if surplus[best] > 0 else value
    # The exact optimum never falls as the value rises; float ties can make it wobble by one edge.
    return np.maximum.accumulate(row)


def shade_rows(
    cells: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> dict[str, tuple[int, ...]]:
    """Return the row of each cell, from `WinPrices.cells`, that has OBSERVATIONS_MIN auctions."""
    return {
        name: tuple(shade_row(win_share(counts, parent)).tolist())
        for name, (counts, parent) in cells.items()
        if counts.sum() >= OBSERVATIONS_MIN
    }


def shade_table(rows: Mapping[str, Sequence[int]], cells: Iterable[str]) -> NDArray[np.int64]:
    """Stack the plan's rows for the kernel: int64[len(cells), SHADE_BINS], in the order of `cells`.

    A cell without a row, or with one of another length (from another version), gets zeros: unshaded.
    """
    names = list(cells)
    table = np.zeros((len(names), SHADE_BINS), np.int64)
    for index, name in enumerate(names):
        row = rows.get(name, ())
        if len(row) == SHADE_BINS:
            table[index] = row
    return table
