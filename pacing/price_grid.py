"""Prices in bins: the scale on which win prices are counted and bids are chosen.

Two sets of log-spaced edges over the same span of prices, ratios equal everywhere:

    SHADE_EDGES_CPM_MICROS   SHADE_BINS values       bin i holds edge[i] <= value < edge[i + 1]
    PRICE_EDGES_CPM_MICROS   PRICE_BINS bids         bin k holds edge[k - 1] < price <= edge[k]

Price bins are closed above, so a bid at price edge k wins exactly the auctions counted in bins 0 to k, and
their share needs no interpolation. There are PRICES_PER_SHADE price edges to a value bin and every value edge
is one of them. From one price edge to the next is 1.6 %, which is the most a bid gives away by being one.

A **band** is a stretch of BINS_PER_BAND value bins, from a value to 1.65 times that. Bands are numbered from
1; 0, ANY_BAND, is that of a value nobody knows.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.compiled import kernel
from config.money import CPM_MICROS_MAX

SHADE_BINS: Final = 512
PRICES_PER_SHADE: Final = 2
PRICE_BINS: Final = PRICES_PER_SHADE * SHADE_BINS + 1
SHADE_CPM_MICROS_MIN: Final = 10_000
"""The lowest edge: a CPM of 0.01."""
SHADE_CPM_MICROS_MAX: Final = CPM_MICROS_MAX

PRICE_EDGES_CPM_MICROS: Final[NDArray[np.int64]] = np.rint(
    np.geomspace(SHADE_CPM_MICROS_MIN, SHADE_CPM_MICROS_MAX, PRICE_BINS)
).astype(np.int64)
"""int64[PRICE_BINS], CPM micros, strictly rising."""
SHADE_EDGES_CPM_MICROS: Final[NDArray[np.int64]] = PRICE_EDGES_CPM_MICROS[:-1:PRICES_PER_SHADE].copy()
"""int64[SHADE_BINS], CPM micros, strictly rising: the lower edge of each value bin."""
BINS_PER_BAND: Final = 16
BANDS: Final = SHADE_BINS // BINS_PER_BAND
ANY_BAND: Final = 0
NEPERS_PER_PRICE_BIN: Final = float(np.log(SHADE_CPM_MICROS_MAX / SHADE_CPM_MICROS_MIN)) / (PRICE_BINS - 1)
"""The natural logarithm of the ratio of two neighbouring price edges."""

_BINS_PER_NEPER = 1 / (NEPERS_PER_PRICE_BIN * PRICES_PER_SHADE)


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
def band_of(value_cpm_micros: int) -> int:
    """Return the band, 1 to BANDS, of a value in CPM micros."""
    return 1 + bin_of(value_cpm_micros) // BINS_PER_BAND
