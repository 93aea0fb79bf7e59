"""The rows that follow from where a request comes from: exchange, device, system, site or app.

A few thousand such contexts make up most of an exchange's traffic, and each is worked out once: the rows
that `DIMENSIONS` require of it, those of the ads that exclude its site or app, and its cell in the price
landscape.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from bidder.decision.dimensions import DIMENSIONS, Dimension, met_inventory, offered_inventory
from bidder.decision.facts import NO_FACTS, Facts, Part
from bidder.openrtb.opportunity import Opportunity
from config.limits import CONTEXTS_CACHED_MAX
from pacing.cells import device_index, first_cell

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
    """Row numbers in a snapshot's bits."""

    required: tuple[int, ...]
    """One for each of DIMENSIONS."""
    excluding: tuple[int, ...]
    """Rows of ads that exclude the site or app."""
    facts: Part
    cell: int
    """The row, of the shading table, of the first format (`pacing.cells`)."""


class Contexts:
    """The contexts met so far."""

    def __init__(
        self,
        dimensions: Sequence[ValueRows],
        excluded_inventory: Mapping[str, int],
        facts: Facts | None,
        exchange_index: Mapping[str, int],
    ) -> None:
        self._dimensions = dimensions
        self._facts = facts
        self._excluded_inventory = excluded_inventory
        self._exchange_index = exchange_index
        self._known: dict[object, Context] = {}

    def of(self, opportunity: Opportunity) -> Context:
        """Return the rows of a request's context."""
        key = _read(opportunity)
        return self._known.get(key) or self._add(key, opportunity)

    def _add(self, key: object, opportunity: Opportunity) -> Context:
        if len(self._known) >= CONTEXTS_CACHED_MAX:
            self._known.clear()
        required = [values.row_of(values.dimension.offered(opportunity)) for values in self._dimensions]
        excluded = self._excluded_inventory
        met = met_inventory(offered_inventory(opportunity)) if excluded else ()
        context = Context(
            tuple(required),
            tuple(excluded[value] for value in met if value in excluded),
            self._facts.of_context(opportunity) if self._facts is not None else NO_FACTS,
            first_cell(self._exchange_index[opportunity.exchange_id], device_index(opportunity.device_type)),
        )
        self._known[key] = context
        return context
