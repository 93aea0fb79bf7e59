"""A batch of users as the bytes of Redis commands, one HSET for each bucket: compiled.

    packed = pack_hsets(hashes, bits, expiry_day)
    wire.send(packed.octets, packed.commands, done)

Problem: ten million cookies are ten million fields to set. redis-py spends 12 microseconds of Python on
each command it writes; even joining prepared parts costs one. Here a kernel writes the bytes, 0.3
microseconds a user, and the users of a batch who share a bucket share a command:

    *6  HSET  s:07f42  <07c2d59e6b44> <5112 02>  <9a000103ffee> <5112 0040>
                       user 1: field, value      user 2
"""

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from config import redis_keys
from config.compiled import kernel
from segments.bitsets import DAY_BYTES, day_bytes, pack_values
from segments.location import BUCKET_SHIFT, BUCKETS, FIELD_BYTES, location

_HEAD = b"$4\r\nHSET\r\n$7\r\ns:"
_BUCKET_DIGITS = 5
_WORDS_OF_A_COMMAND = 2
_COUNT_BYTES_MAX = 10
"""``*`` or ``$``, a number of up to seven digits, and the line's end."""
_COMMAND_BYTES_MAX = _COUNT_BYTES_MAX + len(_HEAD) + _BUCKET_DIGITS + 2
_SHIFT = np.uint64(BUCKET_SHIFT)
_BUCKET_TYPE = np.min_scalar_type(BUCKETS - 1)
"""The smaller it is, the faster it sorts."""

assert _HEAD.endswith(b"$7\r\n" + redis_keys.segment_bucket(0)[:-_BUCKET_DIGITS])


class Packed(msgspec.Struct, frozen=True):
    """Commands to be sent together."""

    octets: memoryview
    commands: int
    order: NDArray[np.int64]
    """The users, sorted by bucket, as rows of what was packed."""


def rows_per_chunk(words: int, chunk_bytes_max: int) -> int:
    """Return how many users of W words fit into a chunk, whatever their bits."""
    return max(1, chunk_bytes_max // (_COMMAND_BYTES_MAX + _user_bytes_max(words)))


def pack_hsets(hashes: NDArray[np.uint64], bits: NDArray[np.uint64], expiry_day: int) -> Packed:
    """Pack n users, uint64[n], with uint64[n, W], good to the end of a day.

    Of a user given twice, the one given later stands later in the same command, and counts.
    """
    hashes, bits = (np.require(array, np.uint64, ["C", "W"]) for array in (hashes, bits))
    order = np.argsort((hashes >> _SHIFT).astype(_BUCKET_TYPE), kind="stable")
    out = np.empty(len(hashes) * (_COMMAND_BYTES_MAX + _user_bytes_max(bits.shape[1])), np.uint8)
    day = np.frombuffer(bytearray(day_bytes(expiry_day)), np.uint8)
    head = np.frombuffer(bytearray(_HEAD), np.uint8)
    used, commands = _pack(order, hashes, bits, day, head, out)
    return Packed(out[:used].data, commands, order)


def rows_by_command(packed: Packed, hashes: NDArray[np.uint64]) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each command's users, in the order of the commands."""
    buckets = (hashes[packed.order] >> _SHIFT).astype(np.int64)
    yield from np.split(packed.order, np.flatnonzero(np.diff(buckets)) + 1)


def hset_words(hashes: NDArray[np.uint64], bits: NDArray[np.uint64], expiry_day: int) -> list[bytes]:
    """Return one command as its words, for users of one bucket: what `pack_hsets` does, slowly."""
    words = [b"HSET", location(int(hashes[0]))[0]]
    for user_hash, value in zip(hashes.tolist(), pack_values(bits, expiry_day), strict=True):
        words += [location(user_hash)[1], value]
    return words


def _user_bytes_max(words: int) -> int:
    return _COUNT_BYTES_MAX + FIELD_BYTES + 2 + _COUNT_BYTES_MAX + DAY_BYTES + 8 * words + 2


@kernel
def _put(out: NDArray[np.uint8], at: int, text: NDArray[np.uint8]) -> int:
    for i in range(len(text)):
        out[at + i] = text[i]
    return at + len(text)


@kernel
def _put_count(out: NDArray[np.uint8], at: int, mark: int, count: int) -> int:
    out[at] = mark
    at += 1
    digits = 1
    rest = count // 10
    while rest:
        digits += 1
        rest //= 10
    rest = count
    for i in range(digits):
        out[at + digits - 1 - i] = 48 + rest % 10
        rest //= 10
    at += digits
    out[at] = 13
    out[at + 1] = 10
    return at + 2


@kernel
def _put_value(out: NDArray[np.uint8], at: int, day: NDArray[np.uint8], bits: NDArray[np.uint64]) -> int:
    words = len(bits)
    while words and bits[words - 1] == 0:
        words -= 1
    length = 8 * words
    if words:
        last = bits[words - 1]
        while last >> np.uint64(56) == 0:
            last = last << np.uint64(8)
            length -= 1
    at = _put_count(out, at, 36, len(day) + length)
    at = _put(out, at, day)
    end = at + length
    for i in range(words):
        # Whole words: what the last one has too many is written over.
        word = bits[i]
        for octet in range(8):
            out[at + octet] = np.uint8(word & np.uint64(255))
            word >>= np.uint64(8)
        at += 8
    out[end] = 13
    out[end + 1] = 10
    return end + 2


@kernel
def _pack(
    order: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    bits: NDArray[np.uint64],
    day: NDArray[np.uint8],
    head: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> tuple[int, int]:
    """Write the commands of n users into `out`; return the bytes and the commands written.

    order: int64[n], sorted by bucket. hashes: uint64[n]. bits: uint64[n, W]. day: the head of every
    value. head: the bytes of a command between its count and its bucket's digits.
    """
    n = order.shape[0]
    at = commands = start = 0
    while start < n:
        bucket = hashes[order[start]] >> _SHIFT
        end = start + 1
        while end < n and hashes[order[end]] >> _SHIFT == bucket:
            end += 1
        at = _put_count(out, at, 42, _WORDS_OF_A_COMMAND + 2 * (end - start))
        at = _put(out, at, head)
        for digit in range(_BUCKET_DIGITS):
            nibble = (bucket >> np.uint64(4 * (_BUCKET_DIGITS - 1 - digit))) & np.uint64(15)
            out[at] = np.uint8(nibble + np.uint64(48 if nibble < 10 else 87))
            at += 1
        out[at] = 13
        out[at + 1] = 10
        at += 2
        for place in range(start, end):
            row = order[place]
            at = _put_count(out, at, 36, FIELD_BYTES)
            for i in range(FIELD_BYTES):
                out[at + i] = np.uint8((hashes[row] >> np.uint64(8 * (FIELD_BYTES - 1 - i))) & np.uint64(255))
            out[at + FIELD_BYTES] = 13
            out[at + FIELD_BYTES + 1] = 10
            at = _put_value(out, at + FIELD_BYTES + 2, day, bits[row])
        commands += 1
        start = end
    return at, commands
