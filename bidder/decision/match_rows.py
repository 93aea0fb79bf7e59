"""Rows of bits worked out when they are first needed, and kept: one for each value met in requests.

Media offers and block lists are too various for a row of each to be made ahead, and repeat too much to
be worked out each time. `row_of` returns a row's number; the kernel reads the rows in `bits`.

Numbers hold until `make_room`, which is for the moment between two batches: once there are too many rows
it forgets them all. They come back as they are asked for, and what is no longer asked for is gone.
"""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from bidder.decision.bitrows import BitRow
from bidder.decision.row_table import RowTable
from config.limits import MATCH_ROWS_BYTES_MAX, MEDIA_SHAPES_CACHED_MAX

Value = TypeVar("Value", bound=Hashable)


class MatchRows(Generic[Value]):
    """A growing table of rows; `bits` is uint64[rows, words]."""

    def __init__(self, make: Callable[[Value], BitRow], words: int) -> None:
        self._make = make
        self._numbers: dict[Value, int] = {}
        self._rows_max = max(1, min(MEDIA_SHAPES_CACHED_MAX, MATCH_ROWS_BYTES_MAX // (8 * words)))
        self._table = RowTable(np.uint64, (words,))

    @property
    def bits(self) -> npt.NDArray[np.uint64]:
        """uint64[rows, words], by the numbers that `row_of` returns."""
        return self._table.rows

    def make_room(self) -> bool:
        """Forget all rows once there are too many, and say so."""
        if len(self._numbers) <= self._rows_max:
            return False
        self._numbers = {}
        self._table.clear()
        return True

    def row_of(self, value: Value) -> int:
        """Return the number in `bits` of a value's row."""
        number = self._numbers.get(value)
        return self._add(value) if number is None else number

    def _add(self, value: Value) -> int:
        number = self._numbers[value] = self._table.add(self._make(value))
        return number
