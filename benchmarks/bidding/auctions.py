"""The real auctions and traffic that are replayed, read where they lie beside the project.

    data = SharedData()                     # ../shared/data, or what HUSTINGS_SHARED_DATA names
    auctions = data.auctions("2997.test")   # columns, in time order

Prices are CPM in fen, as the files have them; `Auctions.cost` and budgets are in the same unit for
one impression each, so a budget of 300,000 buys 1,000 impressions at a price of 300. None of the files is
copied into the project. One that is absent raises DataAbsent, which names it.
"""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import orjson

DATA_ENV: Final = "HUSTINGS_SHARED_DATA"
PRICE_MAX: Final = 300
"""The highest price the files know: the bidder that gathered them bid a flat 227 to 300."""
HOURS_PER_WEEK: Final = 168


class DataAbsent(Exception):  # noqa: N818 - a circumstance, not a fault
    """A file of the shared data is not there; the message names it."""


class Auctions(msgspec.Struct, frozen=True):
    """Won second-price auctions, in time order: one entry for each in every column."""

    click: npt.NDArray[np.bool_]
    price: npt.NDArray[np.int64]
    """What the second price was: CPM in fen."""
    click_rate: npt.NDArray[np.float64]
    """The click probability that was predicted."""
    hour: npt.NDArray[np.int64]
    """Hours since the file's first; all 0 where the file has none."""

    def __len__(self) -> int:
        return len(self.price)

    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        """Return the columns, in the order in which they are written above."""
        return self.click, self.price, self.click_rate, self.hour

    def part(self, chosen: slice | npt.NDArray[np.bool_]) -> "Auctions":
        """Return some of the auctions."""
        return Auctions(*(column[chosen] for column in self.columns()))


class Landscape(msgspec.Struct, frozen=True):
    """A campaign's training set, in sums."""

    prices: npt.NDArray[np.int64]
    """int64[PRICE_MAX + 1]: how many auctions had each price."""
    impressions: int
    clicks: int
    cost: int


class SharedData:
    """The folder of the shared data."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` None: what the environment names, else the folder beside the project."""
        named = os.environ.get(DATA_ENV)
        beside = Path(__file__).parents[3] / "shared" / "data"
        self._folder = folder or (Path(named) if named else beside)

    def path(self, *parts: str) -> Path:
        """Return the path of a file that is there; raises DataAbsent."""
        path = self._folder.joinpath(*parts)
        if not path.exists():
            raise DataAbsent(
                f"no {'/'.join(parts)} in the shared data folder (--data or {DATA_ENV} names another)"
            )
        return path

    def auctions(self, name: str) -> Auctions:
        """Read ``2997.test``, ``1458.train`` or ``1458.test``."""
        rows = np.loadtxt(self.path("auctions", f"{name}.txt"))
        hour = rows[:, 3] if rows.shape[1] > 3 else np.zeros(len(rows))
        return Auctions(rows[:, 0] > 0, rows[:, 1].astype(np.int64), rows[:, 2].copy(), hour.astype(np.int64))

    def landscape(self, campaign: int) -> Landscape:
        """Read the training sums of one of the nine campaigns."""
        found: dict[str, Any] = orjson.loads(
            self.path("auctions", "landscape", f"{campaign}.json").read_bytes()
        )
        return Landscape(
            np.array(found["price_counter_train"], np.int64),
            int(found["imp_train"]),
            int(found["clk_train"]),
            int(found["cost_train"]),
        )

    def hour_of_week(self, regions: Sequence[str] = ()) -> npt.NDArray[np.float64]:
        """Return the shares of a week's traffic by hour, Monday 00:00 first, summing to 1.

        The mean of the named regions; of all of them when none is named.
        """
        shares = np.zeros(HOURS_PER_WEEK)
        with self.path("traffic", "hour_of_week.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                if not regions or row["region_id"] in regions:
                    shares[(int(row["dow"]) - 1) * 24 + int(row["hour"])] += float(row["traffic_share"])
        total = shares.sum()
        assert total > 0, f"no region {regions} in the traffic file"
        shares /= total
        return shares
