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
from config.limits import MATCH_ROWS_BYTES_MAX, MEDIA_SHAPES_CACHED_MAX

Value = TypeVar("Value", bound=Hashable)
_ROWS_AT_FIRST = 64


class MatchRows(Generic[Value]):
    """A growing table of rows; `bits` is uint64[rows, words]."""

    def __init__(self, make: Callable[[Value], BitRow], words: int) -> None:
        self._make = make
        self._numbers: dict[Value, int] = {}
        self._rows_max = max(1, min(MEDIA_SHAPES_CACHED_MAX, MATCH_ROWS_BYTES_MAX // (8 * words)))
        self.bits: npt.NDArray[np.uint64] = np.zeros((_ROWS_AT_FIRST, words), np.uint64)

    def make_room(self) -> None:
        """Forget all rows once there are too many."""
        if len(self._numbers) > self._rows_max:
            self._numbers = {}

    def row_of(self, value: Value) -> int:
        """Return the number in `bits` of a value's row."""
        number = self._numbers.get(value)
        return self._add(value) if number is None else number

    def _add(self, value: Value) -> int:
        number = len(self._numbers)
        if number == len(self.bits):
            self.bits = np.concatenate((self.bits, np.zeros_like(self.bits)))
        self.bits[number] = self._make(value)
        self._numbers[value] = number
        return number
