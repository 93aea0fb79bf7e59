"""A user's segments as bits, in memory and in Redis.

In memory a user is uint64[W], segment i being bit i % 64 of word i // 64, and many users are
uint64[n, W]. In Redis a user is one short string, the value of a field (`segments.store`):

    bytes 0-1   the last day the value is good for, days since 1970-01-01, big-endian
    bytes 2-    the words, little-endian, without the zero bytes at the end

    {0, 9} until 2026-11-03  ->  51 12  01 02

So a value is as long as its highest segment needs, and a user in nothing costs two bytes. The day comes
first and big-endian so that "expired" is one comparison of strings, `value < day`, whatever
follows. Readers take any length: a store written with more segments than a reader knows is cut,
one with fewer reads as zeros.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

DAY_BYTES = 2
"""Enough for the days until the year 2149."""


def bits_from_indices(indices: Iterable[int], words: int) -> NDArray[np.uint64]:
    """Return uint64[words] with these bits set. Raises IndexError for a bit past the last word."""
    bits = np.zeros(words, np.uint64)
    for index in indices:
        bits[index // 64] |= np.uint64(1 << index % 64)
    return bits


def indices_from_bits(bits: NDArray[np.uint64]) -> list[int]:
    """Return the set bits of uint64[W], in order."""
    flags = np.unpackbits(_as_bytes(bits.reshape(1, -1)), bitorder="little")
    return [int(index) for index in np.flatnonzero(flags)]


def bits_from_flags(flags: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Pack bool[n, 64 * W] into uint64[n, W]."""
    packed = np.packbits(flags, axis=1, bitorder="little")
    return packed.view("<u8").astype(np.uint64, copy=False)


def day_bytes(day: int) -> bytes:
    """Return a day as a value begins with it."""
    return day.to_bytes(DAY_BYTES, "big")


def pack_values(bits: NDArray[np.uint64], expiry_day: int) -> list[bytes]:
    """Return the stored forms of n users, uint64[n, W], good to the end of `expiry_day`."""
    octets = _as_bytes(bits)
    n, width = octets.shape
    # One past the last byte that is not zero; argmax finds the first True from the right.
    used = (octets != 0)[:, ::-1]
    lengths = np.where(used.any(axis=1), width - used.argmax(axis=1), 0)
    starts = np.arange(n) * width
    day = day_bytes(expiry_day)
    data = octets.tobytes()
    ends = (starts + lengths).tolist()
    return [day + data[start:end] for start, end in zip(starts.tolist(), ends, strict=True)]


def unpack_value(value: bytes, words: int) -> tuple[NDArray[np.uint64], int]:
    """Return (uint64[words], expiry day) of one stored value, expired or not."""
    return unpack_users([value], words, 0)[0], int.from_bytes(value[:DAY_BYTES], "big")


def is_live(value: bytes, today: int) -> bool:
    """Say whether a stored value is still good on `today`."""
    return value >= day_bytes(today)


def unpack_users(values: Sequence[bytes | None], words: int, today: int) -> NDArray[np.uint64]:
    """Return the bits of n users, uint64[n, words], from their stored values.

    A missing value, and one that was good only until before `today`, reads as no segments. The
    result is fresh and writable.
    """
    width = 8 * words
    end = DAY_BYTES + width
    nothing = bytes(width)
    day = day_bytes(today)
    rows = [
        nothing if value is None or value < day else value[DAY_BYTES:end].ljust(width, b"\0")
        for value in values
    ]
    # A bytearray, so that the array is writable: numba compiles once, not once more for read-only.
    bits = np.frombuffer(bytearray().join(rows), "<u8")
    return bits.astype(np.uint64, copy=False).reshape(-1, words)


def _as_bytes(bits: NDArray[np.uint64]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(bits, "<u8").view(np.uint8)
