"""`bidder.events.price`: which texts are prices, and what the others are."""

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bidder.events.price import PRICE_CHARS_MAX, Unpriced, read_price
from config.money import CPM_MICROS_MAX, MICROS, cpm_text


def naive(text: str) -> int:
    return int((Decimal(text) * MICROS).quantize(Decimal(1), ROUND_HALF_EVEN))


@given(st.integers(0, CPM_MICROS_MAX))
def test_every_price_we_can_write_is_read_back(cpm_micros: int) -> None:
    assert read_price(cpm_text(cpm_micros)) == cpm_micros


@given(st.decimals(0, CPM_MICROS_MAX // MICROS, places=9))
@example(Decimal("0.0000005"))
@example(Decimal("0.0000015"))
def test_longer_decimals_are_rounded_half_to_even(price: Decimal) -> None:
    assert read_price(f"{price:f}") == naive(str(price))


@given(st.floats(0, 1_000))
def test_what_python_prints_for_a_float_is_a_price(price: float) -> None:
    assert read_price(repr(price)) == int(
        (Decimal(repr(price)) * MICROS).quantize(Decimal(1), ROUND_HALF_EVEN)
    )


@given(st.text(max_size=60))
@example("NaN")
@example("Infinity")
@example("-1")
@example("1_000")
@example("٣")
@example("1e99")
@example("9" * 30)
@example("0x10")
@example("OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ")
def test_no_text_raises_or_gives_a_price_out_of_bounds(text: str) -> None:
    price = read_price(text)
    if isinstance(price, Unpriced):
        return
    assert 0 <= price <= CPM_MICROS_MAX
    assert text.isascii()
    assert price == naive(text.strip())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Unpriced.EMPTY),
        ("  ", Unpriced.EMPTY),
        ("AUDIT", Unpriced.AUDIT),
        ("${AUCTION_PRICE}", Unpriced.MACRO),
        ("${AUCTION_PRICE:B64}", Unpriced.MACRO),
        ("%24%7BAUCTION_PRICE%7D", Unpriced.MACRO),
        ("-1", Unpriced.GARBAGE),
        ("NaN", Unpriced.GARBAGE),
        ("Infinity", Unpriced.GARBAGE),
        ("1_000", Unpriced.GARBAGE),
        ("1,5", Unpriced.GARBAGE),
        ("٣", Unpriced.GARBAGE),
        ("100000.1", Unpriced.GARBAGE),
        ("audit", Unpriced.GARBAGE),
        ("0." + "0" * PRICE_CHARS_MAX, Unpriced.GARBAGE),
    ],
)
def test_what_is_no_price_says_why(text: str, reason: Unpriced) -> None:
    assert read_price(text) is reason
