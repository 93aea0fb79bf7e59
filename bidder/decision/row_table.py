"""A table of rows that are added one at a time: an array that the kernel reads and that grows by doubling."""

from typing import Any

import numpy as np
import numpy.typing as npt

_ROWS_AT_FIRST = 64


class RowTable:
    """`rows` is an array of the given dtype, [at least as many as were added, *shape]."""

    def __init__(self, dtype: npt.DTypeLike, shape: tuple[int, ...] = ()) -> None:
        self.rows: npt.NDArray[Any] = np.zeros((_ROWS_AT_FIRST, *shape), dtype)
        self._count = 0

    def add(self, row: Any) -> int:
        """Add a row and return its number."""
        number = self._count
        if number == len(self.rows):
            self.rows = np.concatenate((self.rows, np.zeros_like(self.rows)))
        self.rows[number] = row
        self._count += 1
        return number

    def clear(self) -> None:
        """Forget all rows: numbers begin at 0 again."""
        self._count = 0
