"""Stored values against plain sets of segment numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segments.bitsets import (
    DAY_BYTES,
    bits_from_flags,
    bits_from_indices,
    indices_from_bits,
    is_live,
    pack_values,
    unpack_users,
    unpack_value,
)

DAY_MAX = 2 ** (8 * DAY_BYTES) - 1
words = st.integers(1, 6)
days = st.integers(0, DAY_MAX)


def pack_value(bits: NDArray[np.uint64], expiry_day: int) -> bytes:
    (value,) = pack_values(bits[None], expiry_day)
    return value


@st.composite
def members_and_words(draw: st.DrawFn) -> tuple[set[int], int]:
    n_words = draw(words)
    return draw(st.sets(st.integers(0, 64 * n_words - 1))), n_words


@given(members_and_words())
def test_bits_name_the_same_segments(case: tuple[set[int], int]) -> None:
    members, n_words = case
    bits = bits_from_indices(members, n_words)
    assert bits.dtype == np.uint64
    assert bits.shape == (n_words,)
    assert {i for i in range(64 * n_words) if int(bits[i // 64]) >> i % 64 & 1} == members
    assert indices_from_bits(bits) == sorted(members)


@given(members_and_words(), days, words)
def test_a_value_survives_a_reader_with_another_number_of_words(
    case: tuple[set[int], int], day: int, words_read: int
) -> None:
    members, n_words = case
    bits, expiry_day = unpack_value(pack_value(bits_from_indices(members, n_words), day), words_read)
    assert expiry_day == day
    assert set(indices_from_bits(bits)) == {index for index in members if index < 64 * words_read}


@given(members_and_words(), days)
def test_a_value_is_no_longer_than_its_highest_segment_needs(case: tuple[set[int], int], day: int) -> None:
    members, n_words = case
    value = pack_value(bits_from_indices(members, n_words), day)
    assert len(value) == 2 + (max(members) // 8 + 1 if members else 0)


@given(st.lists(st.tuples(st.sets(st.integers(0, 127)), days) | st.none(), max_size=20), days)
def test_many_users_read_as_one_by_one(users: list[tuple[set[int], int] | None], today: int) -> None:
    values = [None if user is None else pack_value(bits_from_indices(user[0], 2), user[1]) for user in users]
    bits = unpack_users(values, 2, today)
    assert bits.shape == (len(users), 2)
    assert bits.flags.writeable
    for row, user in zip(bits, users, strict=True):
        alive = user is not None and user[1] >= today
        assert set(indices_from_bits(row)) == (user[0] if user is not None and alive else set())


@given(st.binary(max_size=1), st.integers(1, DAY_MAX))
def test_a_value_too_short_to_hold_a_day_is_nothing(value: bytes, today: int) -> None:
    assert not unpack_users([value], 3, today).any()


@given(days, days)
def test_a_value_lives_to_the_end_of_its_day(expiry_day: int, today: int) -> None:
    value = pack_value(bits_from_indices([3], 1), expiry_day)
    assert is_live(value, today) == (expiry_day >= today)


def test_packing_in_bulk_equals_packing_one_by_one() -> None:
    rng = np.random.default_rng(5)
    flags = rng.random((300, 192)) < rng.random((300, 1)) * 0.05
    bits = bits_from_flags(flags)
    values = pack_values(bits, 20_000)
    assert values == [pack_value(bits_from_indices(np.flatnonzero(row).tolist(), 3), 20_000) for row in flags]
    assert min(map(len, values)) == 2


def test_a_bit_past_the_last_word_is_an_error() -> None:
    with pytest.raises(IndexError):
        bits_from_indices([64], 1)
