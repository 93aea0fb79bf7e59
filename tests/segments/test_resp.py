"""The compiled packing of commands against the same in plain Python, and against the protocol's parser."""

from collections.abc import Iterator

import hiredis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segments.location import BUCKET_SHIFT
from segments.resp import hset_words, pack_hsets, rows_by_command, rows_per_chunk

words = st.integers(1, 5)
days = st.integers(0, 2**16 - 1)
# Few buckets and few users, so that some share a bucket and some come twice.
user_hashes = st.builds(
    lambda bucket, rest: bucket << BUCKET_SHIFT | rest,
    st.integers(0, 5) | st.just((1 << 64 - BUCKET_SHIFT) - 1),
    st.integers(1, 6) | st.just((1 << BUCKET_SHIFT) - 1),
)


def spoken(octets: memoryview) -> Iterator[list[bytes]]:
    """Yield the commands as the parser reads them."""
    reader = hiredis.Reader()
    reader.feed(bytes(octets))
    while (command := reader.gets()) is not False:
        assert isinstance(command, list)
        yield command


@st.composite
def batches(draw: st.DrawFn) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    n_words = draw(words)
    users = draw(st.lists(user_hashes, min_size=1, max_size=12))
    word = st.just(0) | st.integers(0, 2**64 - 1) | st.integers(0, 63).map(lambda bit: 1 << bit)
    rows = [draw(st.lists(word, min_size=n_words, max_size=n_words)) for _ in users]
    return np.array(users, np.uint64), np.array(rows, np.uint64)


@given(batches(), days)
def test_the_kernel_writes_what_plain_python_writes(
    batch: tuple[NDArray[np.uint64], NDArray[np.uint64]], day: int
) -> None:
    hashes, bits = batch
    packed = pack_hsets(hashes, bits, day)
    commands = list(spoken(packed.octets))
    assert len(commands) == packed.commands == len({user >> BUCKET_SHIFT for user in hashes.tolist()})
    rows = list(rows_by_command(packed, hashes))
    assert commands == [hset_words(hashes[own], bits[own], day) for own in rows]
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(hashes)))
    assert len(packed.octets) <= len(hashes) * (1 << 12) // rows_per_chunk(bits.shape[1], 1 << 12)


def test_a_user_given_twice_is_written_twice_in_order() -> None:
    hashes = np.array([7, 9, 7], np.uint64)
    bits = np.array([[1], [2], [4]], np.uint64)
    (command,) = spoken(pack_hsets(hashes, bits, 0).octets)
    assert [value[2:] for value in command[3::2]] == [b"\1", b"\2", b"\4"]


@pytest.mark.parametrize("shape", ["strided", "read only"])
def test_any_array_will_do(shape: str) -> None:
    hashes, bits = np.arange(1, 21, dtype=np.uint64), np.arange(40, dtype=np.uint64).reshape(20, 2)
    if shape == "strided":
        hashes, bits = hashes[::2], bits[::2]
    else:
        hashes.flags.writeable = bits.flags.writeable = False
    (command,) = spoken(pack_hsets(hashes, bits, 5).octets)
    assert command == hset_words(hashes, bits, 5)
