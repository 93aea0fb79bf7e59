"""A column of text like `gardeners|polk-county` cut into names, compiled.

    offsets, codes, starts, ends = split_names(octets, offsets_of_rows)

Arrow's regular expressions take some 0.4 microseconds a name, and a row has twenty. Here each byte is
looked at once: a name is hashed as it is read, and an open-addressed table of the names so far tells
which one it is. The table holds numbers; the names stay where they first occurred in the column.
"""

import numpy as np
from numpy.typing import NDArray

from config.compiled import kernel

_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
_TABLE_MIN = 1_024


@kernel
def _separates(octet: int) -> bool:
    """Whitespace, `|` or `;`."""
    return octet == 32 or 9 <= octet <= 13 or octet == 124 or octet == 59


@kernel
def _count_names(octets: NDArray[np.uint8], offsets: NDArray[np.int64], members: NDArray[np.int64]) -> None:
    """Write into `members`, int64[n + 1], where each row's names begin among all names."""
    count = 0
    for row in range(len(offsets) - 1):
        members[row] = count
        inside = False
        for i in range(offsets[row], offsets[row + 1]):
            separates = _separates(octets[i])
            if not separates and not inside:
                count += 1
            inside = not separates
    members[len(offsets) - 1] = count


@kernel
def _same(octets: NDArray[np.uint8], a: int, b: int, length: int) -> bool:
    for i in range(length):  # noqa: SIM110 - a kernel knows no generators
        if octets[a + i] != octets[b + i]:
            return False
    return True


@kernel
def split_names(
    octets: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Return the names of n rows: octets uint8[any], row i being octets[offsets[i]:offsets[i + 1]].

    Four arrays: int64[n + 1], where each row's names begin; int32[m], the number of each name;
    int64[k] and int64[k], from where to where in `octets` the k distinct names are.
    """
    members = np.empty(len(offsets), np.int64)
    _count_names(octets, offsets, members)
    codes = np.empty(members[-1], np.int32)
    starts = np.empty(_TABLE_MIN, np.int64)
    ends = np.empty(_TABLE_MIN, np.int64)
    hashes = np.empty(_TABLE_MIN, np.uint64)
    table = np.full(2 * _TABLE_MIN, -1, np.int32)
    distinct = 0
    member = 0
    for row in range(len(offsets) - 1):
        i = offsets[row]
        row_end = offsets[row + 1]
        while i < row_end:
            if _separates(octets[i]):
                i += 1
                continue
            start = i
            value = _FNV_OFFSET
            while i < row_end and not _separates(octets[i]):
                value = (value ^ np.uint64(octets[i])) * _FNV_PRIME
                i += 1
            slot = np.int64(value & np.uint64(len(table) - 1))
            code = table[slot]
            while code >= 0 and not (
                hashes[code] == value
                and ends[code] - starts[code] == i - start
                and _same(octets, starts[code], start, i - start)
            ):
                slot = (slot + 1) & (len(table) - 1)
                code = table[slot]
            if code < 0:
                if distinct == len(starts):
                    starts = np.concatenate((starts, np.empty_like(starts)))
                    ends = np.concatenate((ends, np.empty_like(ends)))
                    hashes = np.concatenate((hashes, np.empty_like(hashes)))
                    table = np.full(2 * len(table), -1, np.int32)
                    for known in range(distinct):
                        slot = np.int64(hashes[known] & np.uint64(len(table) - 1))
                        while table[slot] >= 0:
                            slot = (slot + 1) & (len(table) - 1)
                        table[slot] = known
                    slot = np.int64(value & np.uint64(len(table) - 1))
                    while table[slot] >= 0:
                        slot = (slot + 1) & (len(table) - 1)
                code = np.int32(distinct)
                starts[distinct] = start
                ends[distinct] = i
                hashes[distinct] = value
                table[slot] = code
                distinct += 1
            codes[member] = code
            member += 1
    return members, codes, starts[:distinct].copy(), ends[:distinct].copy()
