"""From names in rows to bits of users, compiled: the last step before the store."""

import numpy as np
from numpy.typing import NDArray

from config.compiled import kernel

REFUSED = -1
"""The bit of a name that may not be loaded."""
NO_NAME = -2
"""The bit of an empty text, which stands for nothing."""


@kernel
def pack_members(
    offsets: NDArray[np.int64],
    names: NDArray[np.int32],
    bit_of_name: NDArray[np.int32],
    removes: NDArray[np.bool_],
    clear: NDArray[np.uint64],
    set_: NDArray[np.uint64],
    refused: NDArray[np.int32],
) -> None:
    """Write which bits each row clears and sets; of two mentions of one segment the last counts.

    offsets: int64[n + 1], row i has names[offsets[i]:offsets[i + 1]], int32[m]. bit_of_name: int32[k], by
    name, or REFUSED or NO_NAME; removes: bool[k]. Written in place: clear, set_: uint64[n, W], zeros before.
    refused: int32[n], the first refused name of the row, else -1.
    """
    for row in range(len(refused)):
        refused[row] = -1
        for member in range(offsets[row], offsets[row + 1]):
            name = names[member]
            bit = bit_of_name[name]
            if bit >= 0:
                word = bit >> 6
                mask = np.uint64(1) << np.uint64(bit & 63)
                if removes[name]:
                    clear[row, word] |= mask
                    set_[row, word] &= ~mask
                else:
                    set_[row, word] |= mask
                    clear[row, word] &= ~mask
            elif bit == -1 and refused[row] < 0:
                refused[row] = name


@kernel
def add_sizes(users: NDArray[np.uint64], sizes: NDArray[np.int64]) -> None:
    """Add to sizes, int64[64 * W], how many of users, uint64[n, W], have each bit."""
    for user in range(users.shape[0]):
        for word in range(users.shape[1]):
            bits = users[user, word]
            bit = 64 * word
            while bits:
                if bits & np.uint64(1):
                    sizes[bit] += 1
                bits >>= np.uint64(1)
                bit += 1
