"""Rows of bits, one bit for each ad: bit `ad % 64` of word `ad // 64`."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

BitRow = npt.NDArray[np.uint64]
"""uint64[words]."""


def words_for(ads: int) -> int:
    """Return how many 64-bit words hold one bit for each ad; at least one."""
    return max(1, -(-ads // 64))


def bit_row(ads: Iterable[int], words: int) -> BitRow:
    """Return a uint64[words] row with the bits of the given ads set."""
    row = np.zeros(words, np.uint64)
    indices = np.fromiter(ads, np.int64)
    np.bitwise_or.at(row, indices >> 6, np.uint64(1) << (indices & 63).astype(np.uint64))
    return row


def bit_row_of_mask(mask: npt.NDArray[np.bool_], words: int) -> BitRow:
    """Return the uint64[words] row of a bool[ads] mask."""
    packed = np.zeros(words * 8, np.uint8)
    bits = np.packbits(mask, bitorder="little")
    packed[: len(bits)] = bits
    return packed.view("<u8").astype(np.uint64, copy=False)
