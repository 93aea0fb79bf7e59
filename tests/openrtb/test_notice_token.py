"""Notice tokens: ours are read back exactly, nobody else's at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidder.openrtb.notice_token import (
    DEVICE_SHIFT,
    FLAG_FROM_LINE_ITEM,
    FLAG_NOT_PROFILED,
    FORMATS,
    MARKED_TOKEN_CHARS,
    TOKEN_CHARS,
    TokenSigner,
)
from pacing.cells import DEVICES
from pacing.price_grid import ANY_BAND, BANDS

u32 = st.integers(0, 2**32 - 1)
u57 = st.integers(0, 2**57 - 1)
u64 = st.integers(0, 2**64 - 1)
fields = st.tuples(st.integers(0, 255), u32, u32, u32, u32, u32, u32, u32, u32, u57, u64)
SIGNER = TokenSigner(b"k" * 32)


@given(fields)
def test_a_token_reads_back_as_it_was_signed(values: tuple[int, ...]) -> None:
    token = SIGNER.sign(*values)
    assert len(token) == TOKEN_CHARS
    notice = SIGNER.read(token.decode())
    assert notice is not None
    assert tuple(getattr(notice, name) for name in notice.__struct_fields__) == (*values, b"", ANY_BAND)


@given(fields, st.binary(min_size=24, max_size=24), st.integers(ANY_BAND, BANDS))
def test_a_marked_token_says_its_marks_as_well(values: tuple[int, ...], marks: bytes, band: int) -> None:
    token = SIGNER.sign(*values, marks=marks, value_band=band)
    assert len(token) == MARKED_TOKEN_CHARS
    notice = SIGNER.read(token.decode())
    assert notice is not None
    assert tuple(getattr(notice, name) for name in notice.__struct_fields__) == (*values, marks, band)


@given(fields, st.integers(0, TOKEN_CHARS * 6 - 1))
def test_one_flipped_bit_makes_it_nobodys(values: tuple[int, ...], bit: int) -> None:
    assert SIGNER.read(flipped(SIGNER.sign(*values), bit)) is None


@given(fields, st.integers(0, MARKED_TOKEN_CHARS * 6 - 1))
def test_nobody_changes_the_marks(values: tuple[int, ...], bit: int) -> None:
    assert SIGNER.read(flipped(SIGNER.sign(*values, marks=bytes(24)), bit)) is None


def flipped(signed: bytes, bit: int) -> str:
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = bytearray(signed)
    place = bit // 6
    token[place] = alphabet[alphabet.index(token[place]) ^ (1 << bit % 6)]
    return token.decode()


@given(st.text(max_size=100))
def test_arbitrary_text_is_nobodys(text: str) -> None:
    assert SIGNER.read(text) is None


@given(fields)
def test_another_key_reads_nothing(values: tuple[int, ...]) -> None:
    assert TokenSigner(b"j" * 32).read(SIGNER.sign(*values).decode()) is None


@pytest.mark.parametrize("index", range(len(DEVICES)))
def test_a_device_is_read_beside_every_other_flag(index: int) -> None:
    flags = FLAG_NOT_PROFILED | FLAG_FROM_LINE_ITEM | FORMATS.index("audio") << 1 | index + 1 << DEVICE_SHIFT
    notice = SIGNER.read(SIGNER.sign(flags, *range(1, 11)).decode())
    assert notice is not None
    assert (notice.device, notice.format, notice.billed_on_impression) == (DEVICES[index], "audio", False)
    assert notice.from_line_item
    assert not notice.may_profile


def test_without_a_device_an_outcome_is_of_no_cell() -> None:
    notice = SIGNER.read(SIGNER.sign(FLAG_NOT_PROFILED, *range(1, 11)).decode())
    assert notice is not None
    assert notice.device == ""


def test_the_same_user_and_price_look_different_in_every_token() -> None:
    """Nobody can follow a person, or learn our price, by comparing tokens."""
    masked = {SIGNER.sign(0, 1, 2, 3, 4, 5, 6, sequence, 8, 7_000_000, 99)[46:66] for sequence in range(100)}
    assert len(masked) == 100
