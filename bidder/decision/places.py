"""What follows from where the person is: ads that name the place, and ads that are kept out of it.

A place is a country, region, metro and postal code, as a request has them. Some thousands make up most of
an exchange's traffic; each is worked out once for each exchange, whose rules on political ads go by
place as well. What the kernel reads of it is a record in a table, and a candidate names its number.

Numbers hold until `make_room`, which is for the moment between two batches.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bidder.decision.exchange_rows import PoliticalRows
from bidder.decision.marks import SUMS, UNSUMMED, place_marks
from bidder.decision.row_table import RowTable
from bidder.openrtb.opportunity import Opportunity
from config.limits import PLACES_CACHED_MAX
from config.schema import ExchangeProfile

NOTHING_ROW = 0
UNPRICED = -1
"""In place of the number of a postal code that no factor names."""
PLACE_KINDS = ("countries", "regions", "metros", "zips")
"""Fields of `config.schema.Places`, in the order of a place's rows."""

PLACE = np.dtype(
    [
        # Ads that name no place, then a row for each of PLACE_KINDS: any of them will do.
        ("within", np.int32, (1 + len(PLACE_KINDS),)),
        ("zip", np.int32),  # number of the postal code in `bidder.decision.values`; or UNPRICED
        # Its marks.
        ("region", np.int32),
        ("metro", np.int32),
        *SUMS,
    ]
)
"""What the kernel reads; row numbers in a snapshot's bits."""

RowsByKind = tuple[Mapping[str, int], ...]
"""By PLACE_KINDS: value -> row of the ads that name it."""


class Place(NamedTuple):
    """One place, on one exchange."""

    number: int
    """In `PlaceRows.records`."""
    barred: tuple[int, ...]
    """Rows of ads that exclude the place, and of political ads that the exchange does not show there."""


class PlaceRows:
    """The places met so far."""

    def __init__(
        self,
        anywhere_row: int,
        named: RowsByKind,
        excluded: RowsByKind,
        political: PoliticalRows,
        zip_numbers: Mapping[str, int],
    ) -> None:
        self._anywhere_row = anywhere_row
        self._named = named
        self._excluded = excluded
        self._political = political
        self._zip_numbers = zip_numbers
        self._known: dict[tuple[str, str, str, str, str], Place] = {}
        self._table = RowTable(PLACE)

    @property
    def records(self) -> npt.NDArray[np.void]:
        """PLACE[places], by their numbers."""
        return self._table.rows

    def make_room(self) -> None:
        """Forget all places once there are too many."""
        if len(self._known) > PLACES_CACHED_MAX:
            self._known.clear()
            self._table.clear()

    def of(self, exchange: ExchangeProfile, opportunity: Opportunity) -> Place:
        """Return a request's place."""
        key = (
            exchange.id,
            opportunity.country,
            opportunity.region,
            opportunity.metro,
            opportunity.zip_code,
        )
        return self._known.get(key) or self._add(key, exchange)

    def _add(self, key: tuple[str, str, str, str, str], exchange: ExchangeProfile) -> Place:
        country, region, metro, zip_code = values = key[1:]
        within = [rows.get(value, NOTHING_ROW) for rows, value in zip(self._named, values, strict=True)]
        barred = [rows[value] for rows, value in zip(self._excluded, values, strict=True) if value in rows]
        if self._political.any:
            barred += self._political.barred(exchange, country, region)
        marks = place_marks(country, region, metro)
        zip_number = self._zip_numbers.get(zip_code, UNPRICED)
        number = self._table.add(((self._anywhere_row, *within), zip_number, *marks, *UNSUMMED))
        place = self._known[key] = Place(number, tuple(barred))
        return place
