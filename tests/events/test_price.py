"""`bidder.events.price`: which texts are prices, what the others are, and what a play costs."""

from base64 import b64encode, urlsafe_b64encode
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bidder.events.price import PRICE_CHARS_MAX, PriceReader, Unpriced, cost, read_multiplier
from bidder.openrtb.price_encryption import bytes_from_base64
from config.limits import MULTIPLIER_MAX, NOTICE_CLOCK_SECONDS_MAX, NOTICE_TAKEN_SECONDS_MAX
from config.money import CPM_MICROS_MAX, MICROS, CpmMicros, cpm_text
from config.price_keys import PriceKeys
from tests.events.factories import sealed_price

KEYS = PriceKeys(b"e" * 32, b"i" * 32)
CLEAR = PriceReader()
GOOGLE = PriceReader("google", KEYS)
OPENX = PriceReader("openx", KEYS)
NOW_S = 1_790_000_000


def read_price(text: str) -> CpmMicros | Unpriced:
    return CLEAR.read(text, NOW_S)


def naive(text: str) -> int:
    return int((Decimal(text) * MICROS).quantize(Decimal(1), ROUND_HALF_EVEN))


@given(st.integers(0, CPM_MICROS_MAX))
def test_every_price_we_can_write_is_read_back(cpm_micros: int) -> None:
    text = cpm_text(cpm_micros)
    for spelling in (text, b64encode(text.encode()).decode(), urlsafe_b64encode(text.encode()).decode()):
        assert read_price(spelling) == read_price(spelling.rstrip("=")) == cpm_micros


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
@example("LTE=")
@example("OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ")
def test_no_text_raises_or_gives_a_price_out_of_bounds(text: str) -> None:
    for reader in (CLEAR, GOOGLE, OPENX, PriceReader("google")):
        price = reader.read(text, NOW_S)
        if isinstance(price, Unpriced):
            continue
        assert reader is CLEAR
        assert 0 <= price <= CPM_MICROS_MAX
        assert text.isascii()
        decoded = bytes_from_base64(text.strip())
        assert price in {
            naive(t) for t in (text.strip(), (decoded or b"").decode("latin-1")) if _is_number(t)
        }


def _is_number(text: str) -> bool:
    return text.isascii() and text.replace(".", "").replace("e", "").replace("+", "").isdigit()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Unpriced.EMPTY),
        ("  ", Unpriced.EMPTY),
        ("AUDIT", Unpriced.AUDIT),
        ("${AUCTION_PRICE}", Unpriced.MACRO),
        ("${AUCTION_PRICE:B64}", Unpriced.MACRO),
        ("%24%7BAUCTION_PRICE%7D", Unpriced.MACRO),
        ("-1", Unpriced.NEGATIVE),
        ("-0.5", Unpriced.NEGATIVE),
        (b64encode(b"-2").decode(), Unpriced.NEGATIVE),
        ("100000.1", Unpriced.ABSURD),
        ("1e99", Unpriced.ABSURD),
        ("NaN", Unpriced.GARBAGE),
        ("Infinity", Unpriced.GARBAGE),
        ("1_000", Unpriced.GARBAGE),
        ("1,5", Unpriced.GARBAGE),
        ("٣", Unpriced.GARBAGE),
        ("audit", Unpriced.GARBAGE),
        ("0." + "0" * PRICE_CHARS_MAX, Unpriced.GARBAGE),
        ("OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ", Unpriced.GARBAGE),
    ],
)
def test_what_is_no_price_says_why(text: str, reason: Unpriced) -> None:
    assert read_price(text) is reason


@given(st.integers(0, CPM_MICROS_MAX))
def test_google_seals_cpm_micros_and_openx_the_micros_of_one_impression(price: int) -> None:
    assert GOOGLE.read(sealed_price(price, KEYS, NOW_S), NOW_S) == price
    cpi = price // 1_000
    assert OPENX.read(sealed_price(cpi, KEYS, 0), NOW_S) == 1_000 * cpi


def test_a_dollar_at_openx() -> None:
    # docs.openx.com: a CPM of $1 is 1,000 CPI micros.
    assert OPENX.read(sealed_price(1_000, KEYS), NOW_S) == 1_000_000


@pytest.mark.parametrize(
    ("age_s", "stale"),
    [
        (0, False),
        (NOTICE_TAKEN_SECONDS_MAX - 1, False),
        (NOTICE_TAKEN_SECONDS_MAX, True),
        (-NOTICE_CLOCK_SECONDS_MAX, False),
        (-NOTICE_CLOCK_SECONDS_MAX - 1, True),
        (NOW_S, True),
    ],
)
def test_a_sealed_price_from_another_time_is_stale_where_the_seal_has_a_time(age_s: int, stale: bool) -> None:
    sealed = sealed_price(7, KEYS, NOW_S - age_s)
    assert (GOOGLE.read(sealed, NOW_S) is Unpriced.STALE) == stale
    assert OPENX.read(sealed, NOW_S) == 7_000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Unpriced.EMPTY),
        ("AUDIT", Unpriced.AUDIT),
        ("${AUCTION_PRICE:OXCRYPT}", Unpriced.MACRO),
        ("1.25", Unpriced.IN_CLEAR),
        ("-1.25", Unpriced.IN_CLEAR),
        (sealed_price(7, PriceKeys(b"e" * 32, b"j" * 32), NOW_S), Unpriced.BAD_SIGNATURE),
        (sealed_price(7, PriceKeys(b"f" * 32, b"i" * 32), NOW_S), Unpriced.BAD_SIGNATURE),
        (sealed_price(CPM_MICROS_MAX + 1, KEYS, NOW_S), Unpriced.ABSURD),
        (sealed_price(2**64 - 1, KEYS, NOW_S), Unpriced.ABSURD),
        ("MS4yNQ==", Unpriced.BAD_SIGNATURE),
    ],
)
def test_what_an_exchange_that_encrypts_cannot_have_meant(text: str, reason: Unpriced) -> None:
    assert GOOGLE.read(text, NOW_S) is reason
    assert OPENX.read(text, NOW_S) is reason


def test_without_keys_nothing_can_be_read() -> None:
    assert PriceReader("google").read(sealed_price(7, KEYS, NOW_S), NOW_S) is Unpriced.NO_KEYS
    assert PriceReader("google").read("AUDIT", NOW_S) is Unpriced.AUDIT


@given(st.integers(0, CPM_MICROS_MAX), st.decimals(0, MULTIPLIER_MAX, places=6))
@example(1, Decimal("0.5"))
@example(3, Decimal("0.5"))
@example(1, Decimal("0.499999"))
def test_a_play_costs_price_times_multiplier_with_half_a_billionth_up(price: int, times: Decimal) -> None:
    multiplier = read_multiplier(f"{times:f}")
    assert multiplier is not None
    with localcontext(prec=50):
        assert cost(price, multiplier) == int((price * times).quantize(Decimal(1), ROUND_HALF_UP))


@given(st.integers(0, CPM_MICROS_MAX), st.integers(0, 10**9))
def test_a_bid_charged_in_full_is_within_what_was_reserved(bid: int, millionths: int) -> None:
    reserved = -(-bid * millionths // MICROS)
    multiplier = read_multiplier(cpm_text(millionths))
    assert multiplier is not None
    assert cost(bid, multiplier) <= reserved


@pytest.mark.parametrize(
    "text", ["", "AUDIT", "${AUCTION_MULTIPLIER}", "-1", "nan", "1/2", "1e7", "9" * 41, "٣"]
)
def test_a_multiplier_that_says_nothing(text: str) -> None:
    assert read_multiplier(text) is None


def test_a_bid_without_the_parameter_is_for_one_impression() -> None:
    assert read_multiplier(None) == 1
    assert cost(1_234_567, Fraction(1)) == 1_234_567
