"""What follows from where a request comes from: exchange, device, system, site or app.

A few thousand such contexts make up most of an exchange's traffic, and each is worked out once: the rows
that `DIMENSIONS` require of it, those of the ads that exclude its site or app, its cell in the price
landscape, and its marks. What the kernel reads of it is a record in a table, and a candidate names its
number.

Numbers hold until `make_room`, which is for the moment between two batches.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bidder.decision.dimensions import DIMENSIONS, Dimension, met_inventory, offered_inventory
from bidder.decision.marks import SUMS, UNSUMMED, context_marks
from bidder.decision.row_table import RowTable
from bidder.openrtb.opportunity import Opportunity
from config.limits import CONTEXTS_CACHED_MAX
from pacing.cells import device_index, first_cell

CONTEXT = np.dtype(
    [
        ("required", np.int32, (len(DIMENSIONS),)),  # a row of each dimension, in their order
        ("cell", np.int32),  # row, of the shading table, of its first format (`pacing.cells`)
        ("exchange_index", np.int32),  # in the config
        # Its marks.
        ("site", np.int32),
        ("exchange", np.int32),
        ("device_type", np.int32),
        ("system", np.int32),
        *SUMS,
    ]
)
"""What the kernel reads; row numbers in a snapshot's bits."""

_read = attrgetter(*sorted({name for dimension in DIMENSIONS for name in dimension.reads}))
"""Everything of an Opportunity that a dimension looks at: the memory's key."""


class ValueRows(NamedTuple):
    """The rows of one dimension."""

    dimension: Dimension
    rows: Mapping[str, int]
    otherwise: int
    """The row of a value that no ad names."""

    def row_of(self, value: str) -> int:
        """Return the row number of an offered value."""
        row = self.rows.get(value)
        if row is None:
            for met in self.dimension.met_by(value):
                if met in self.rows:
                    return self.rows[met]
            return self.otherwise
        return row


class Context(NamedTuple):
    """One context."""

    number: int
    """In `Contexts.records`."""
    excluding: tuple[int, ...]
    """Rows of ads that exclude the site or app."""


class Contexts:
    """The contexts met so far."""

    def __init__(
        self,
        dimensions: Sequence[ValueRows],
        excluded_inventory: Mapping[str, int],
        exchange_index: Mapping[str, int],
    ) -> None:
        self._dimensions = dimensions
        self._excluded_inventory = excluded_inventory
        self._exchange_index = exchange_index
        self._known: dict[object, Context] = {}
        self._table = RowTable(CONTEXT)

    @property
    def records(self) -> npt.NDArray[np.void]:
        """CONTEXT[contexts], by their numbers."""
        return self._table.rows

    def make_room(self) -> None:
        """Forget all contexts once there are too many."""
        if len(self._known) > CONTEXTS_CACHED_MAX:
            self._known.clear()
            self._table.clear()

    def of(self, opportunity: Opportunity) -> Context:
        """Return a request's context."""
        key = _read(opportunity)
        return self._known.get(key) or self._add(key, opportunity)

    def _add(self, key: object, opportunity: Opportunity) -> Context:
        required = tuple(rows.row_of(rows.dimension.offered(opportunity)) for rows in self._dimensions)
        excluded = self._excluded_inventory
        met = met_inventory(offered_inventory(opportunity)) if excluded else ()
        exchange_index = self._exchange_index[opportunity.exchange_id]
        cell = first_cell(exchange_index, device_index(opportunity.device_type))
        marks = context_marks(opportunity)
        number = self._table.add((required, cell, exchange_index, *marks, *UNSUMMED))
        context = Context(number, tuple(excluded[value] for value in met if value in excluded))
        self._known[key] = context
        return context
