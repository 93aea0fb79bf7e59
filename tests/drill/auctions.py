"""Market prices to replay: real ones where they are at hand, else drawn.

The files are described in `../shared/data/README.md`: the second column is the price, per thousand, in
hundredths, that won the auction.
"""

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

from config.money import CpmMicros

SHARED_DATA_ENV = "HUSTINGS_SHARED_DATA"
PRICE_FILE = "auctions/1458.test.txt"
MICROS_PER_HUNDREDTH = 10_000
PRICE_MEDIAN = 68
"""Of the drawn prices, in hundredths."""
PRICES_DRAWN = 50_000


def market_prices(seed: int) -> tuple[str, Iterator[CpmMicros]]:
    """Return where the prices come from, and the prices without end."""
    shared = Path(os.environ.get(SHARED_DATA_ENV, Path(__file__).parents[3] / "shared" / "data"))
    try:
        lines = (shared / PRICE_FILE).read_text().splitlines()
    except OSError:
        chance = random.Random(seed)
        hundredths = [round(PRICE_MEDIAN * chance.lognormvariate(0, 0.7)) for _ in range(PRICES_DRAWN)]
        name = "drawn"
    else:
        hundredths = [int(line.split()[1]) for line in lines]
        name = PRICE_FILE
    return name, itertools.cycle(CpmMicros(max(price, 1) * MICROS_PER_HUNDREDTH) for price in hundredths)
