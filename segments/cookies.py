"""Cookies as counting reads them: many buckets of the store at once, unpacked.

    cookies = unpack_buckets([[value, value], [], [value]], words=4, today=today)
    cookies.bits            uint64[n, 4], the live cookies of all three buckets
    cookies.last_days       int64[n], the day each is good to the end of
    cookies.starts          int64[4], those of bucket b are rows starts[b] to starts[b + 1]

A look-up unpacks a few users, and `segments.bitsets` does that. Here it is everybody, so the values are
joined to one block and read by a kernel: 0.1 us a cookie, a fifth of what slicing them one by one takes.
"""

from collections.abc import Sequence
from itertools import chain

import msgspec
import numpy as np
from numpy.typing import NDArray

from config.compiled import kernel
from segments.bitsets import DAY_BYTES


class Cookies(msgspec.Struct, frozen=True):
    """The live cookies of some buckets."""

    bits: NDArray[np.uint64]
    """uint64[n, W]."""
    last_days: NDArray[np.int64]
    """int64[n], days since 1970-01-01."""
    starts: NDArray[np.int64]
    """int64[buckets + 1]: where the rows of each bucket begin; the last is n."""


def unpack_buckets(buckets: Sequence[Sequence[bytes]], words: int, today: int) -> Cookies:
    """Unpack the values of buckets (`segments.bitsets`) without those that were good until before `today`.

    Values are cut or filled with zeros to `words`.
    """
    values = list(chain.from_iterable(buckets))
    n = len(values)
    octets = np.frombuffer(bytearray().join(values), np.uint8)
    ends = np.cumsum(np.fromiter(map(len, values), np.int64, n))
    bucket_ends = np.cumsum(np.fromiter(map(len, buckets), np.int64, len(buckets)))
    bits = np.zeros((n, words), np.uint64)
    last_days = np.zeros(n, np.int64)
    starts = np.zeros(len(buckets) + 1, np.int64)
    live = unpack_values(octets, ends, bucket_ends, today, bits, last_days, starts)
    return Cookies(bits[:live], last_days[:live], starts)


@kernel
def unpack_values(
    octets: NDArray[np.uint8],
    ends: NDArray[np.int64],
    bucket_ends: NDArray[np.int64],
    today: int,
    bits: NDArray[np.uint64],
    last_days: NDArray[np.int64],
    starts: NDArray[np.int64],
) -> int:
    """Unpack the live ones of n joined values and return how many they are.

    octets: uint8[ends[-1]]. ends: int64[n]. bucket_ends: int64[b], how many values there are up to the end
    of each bucket. Written in place: bits, uint64[n, W], zeros before; last_days, int64[n]; starts,
    int64[b + 1], zeros before.
    """
    live = 0
    value = 0
    start = 0
    for bucket in range(len(bucket_ends)):
        while value < bucket_ends[bucket]:
            end = ends[value]
            if end - start >= DAY_BYTES:
                day = (np.int64(octets[start]) << 8) | np.int64(octets[start + 1])
                if day >= today:
                    last_days[live] = day
                    size = min(end - start - DAY_BYTES, 8 * bits.shape[1])
                    for place in range(size):
                        octet = np.uint64(octets[start + DAY_BYTES + place])
                        bits[live, place >> 3] |= octet << np.uint64(8 * (place & 7))
                    live += 1
            start = end
            value += 1
        starts[bucket + 1] = live
    return live
