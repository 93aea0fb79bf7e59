"""What it takes to win: the price of the best rival, drawn for each impression.

    landscapes = Landscapes()                                 a log-normal for each format
    landscapes = Landscapes.alike(read_landscape(path))       a counted histogram for all of them
    price = landscapes.of(media_name).top_rival_cpm_micros(rng)

Winning prices are commonly found to be log-normal: most near the median, a long tail of dear ones. By
default up to four rivals draw from one, each format around a median of its own. The medians are ours, in
the order in which the formats are usually priced; they are no market's.

A histogram is a JSON file with a list of counts: entry k counts the auctions that k steps would have won.
Entry 0 counts auctions without a rival.
"""

import math
import random
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import msgspec

from loadtest.limits import LANDSCAPE_BINS_MAX, LANDSCAPE_BYTES_MAX

TICK_CPM_MICROS = 10_000
_COUNTS = ("price_counter", "price_counter_train", "counts")


class LandscapeError(Exception):
    """The file is no landscape; the message says why and how to mend it."""


class LogNormal(msgspec.Struct, frozen=True, kw_only=True, tag="log_normal"):
    """Up to `rivals_max` rivals, each log-normal around the median."""

    rivals_max: int = 4
    median_cpm_micros: int = 1_300_000
    sigma: float = 0.7

    def top_rival_cpm_micros(self, rng: random.Random) -> int:
        """Draw the best rival's price, in whole ticks; 0 when there is none."""
        mu = math.log(self.median_cpm_micros)
        prices = [rng.lognormvariate(mu, self.sigma) for _ in range(rng.randint(0, self.rivals_max))]
        return round(max(prices, default=0.0) / TICK_CPM_MICROS) * TICK_CPM_MICROS


class PriceHistogram(msgspec.Struct, frozen=True, kw_only=True, tag="histogram"):
    """Counted prices: `cumulative[k]` auctions of the last entry had a best rival of k steps or less."""

    cumulative: tuple[int, ...]
    step_cpm_micros: int = TICK_CPM_MICROS

    def top_rival_cpm_micros(self, rng: random.Random) -> int:
        """Draw the best rival's price; 0 when there is none."""
        return bisect_right(self.cumulative, rng.randrange(self.cumulative[-1])) * self.step_cpm_micros


Landscape = LogNormal | PriceHistogram


class Landscapes(msgspec.Struct, frozen=True, kw_only=True):
    """A landscape for each format, by the name of its media object; `screen` is anything out of home."""

    banner: Landscape = LogNormal(median_cpm_micros=1_300_000)
    native: Landscape = LogNormal(median_cpm_micros=1_900_000)
    video: Landscape = LogNormal(median_cpm_micros=5_500_000)
    audio: Landscape = LogNormal(median_cpm_micros=4_000_000)
    screen: Landscape = LogNormal(median_cpm_micros=3_000_000)

    @classmethod
    def alike(cls, landscape: Landscape) -> "Landscapes":
        """The same rivals everywhere."""
        return cls(**dict.fromkeys(cls.__struct_fields__, landscape))

    def of(self, media_name: str, *, is_out_of_home: bool) -> Landscape:
        """Return the landscape of an impression sold as this media object."""
        landscape: Landscape = self.screen if is_out_of_home else getattr(self, media_name)
        return landscape


def histogram(counts: list[int], step_cpm_micros: int = TICK_CPM_MICROS) -> PriceHistogram:
    """Return the landscape of so many auctions at each number of steps; raises ValueError."""
    if not counts or min(counts) < 0 or not sum(counts):
        raise ValueError("counts are numbers from 0 up, and not all 0")
    return PriceHistogram(cumulative=tuple(accumulate(counts)), step_cpm_micros=step_cpm_micros)


def read_landscape(path: Path, step_cpm_micros: int = TICK_CPM_MICROS) -> PriceHistogram:
    """Read a histogram: a JSON list of counts, or an object that has one; raises LandscapeError."""
    try:
        with path.open("rb") as file:
            data = file.read(LANDSCAPE_BYTES_MAX + 1)
    except OSError as error:
        raise LandscapeError(f"can't read {path}: {error.strerror}") from None
    if len(data) > LANDSCAPE_BYTES_MAX:
        raise LandscapeError(f"{path} is larger than {LANDSCAPE_BYTES_MAX} bytes; use wider steps")
    try:
        value = msgspec.json.decode(data)
        if isinstance(value, dict):
            value = next((value[name] for name in _COUNTS if name in value), None)
        counts = msgspec.convert(value, list[int])
        if len(counts) > LANDSCAPE_BINS_MAX:
            raise ValueError(f"{len(counts)} entries; {LANDSCAPE_BINS_MAX} is the most, so use wider steps")
        return histogram(counts, step_cpm_micros)
    except (msgspec.MsgspecError, ValueError) as error:
        raise LandscapeError(
            f"{path} is no landscape ({error}); write a JSON list of counts, or an object with one as "
            f"{' or '.join(_COUNTS)}"
        ) from None
