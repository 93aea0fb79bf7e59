"""Rates, and every rounding between two currencies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.currency import (
    RATE_MAX,
    TRILLION,
    Currencies,
    billed_share,
    parse_rate,
    rate_text,
)
from config.money import CPM_MICROS_MAX

EUROS_AND_YEN = Currencies("USD", {"EUR": parse_rate("1.08"), "JPY": parse_rate("0.0065")})
CODES = st.sampled_from(["USD", "EUR", "JPY"])
PRICES = st.integers(1, CPM_MICROS_MAX)


@pytest.mark.parametrize("text", ["1.0842", "0.000000000001", "1000000", "0.5"])
def test_a_rate_is_read_and_written_exactly(text: str) -> None:
    assert rate_text(parse_rate(text)) == text


@pytest.mark.parametrize(
    "text", ["0", "0.0", "-1", "1.0000000000001", "1e3", "one", "", "1000001", "nan", None]
)
def test_what_is_no_rate_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="rate"):
        parse_rate(text)


def test_a_request_is_bid_on_in_our_currency_or_in_the_first_that_has_a_rate() -> None:
    currencies = EUROS_AND_YEN
    assert currencies.to_bid_in(None) == currencies.to_bid_in([]) == "USD"
    assert currencies.to_bid_in(["EUR", "USD"]) == "USD"
    assert currencies.to_bid_in(["GBP", "JPY", "EUR"]) == "JPY"
    assert currencies.to_bid_in(["GBP"]) == ""
    rupiah = Currencies("USD", {"IDR": parse_rate("0.000061")})
    assert rupiah.to_bid_in(["IDR"]) == "", "a price of ours would be too large a number there"
    assert rupiah.floor(16_000_000_000, "IDR", "USD") == 976_000


def test_the_worked_example() -> None:
    assert EUROS_AND_YEN.floor(2_000_000, "EUR", "EUR") == 2_160_000
    assert EUROS_AND_YEN.in_currency(3_000_000, "EUR") == 2_777_777
    assert billed_share(3_000_000, 2_777_777, 2_500_000) == 2_700_001


def test_no_rate_no_floor() -> None:
    assert EUROS_AND_YEN.floor(1, "GBP", "USD") is None
    assert EUROS_AND_YEN.floor(1, "USD", "") is None


@given(PRICES, CODES, CODES)
def test_who_bids_a_floor_is_not_below_it_in_its_own_currency(floor: int, theirs: str, bids_in: str) -> None:
    """Worked out in fractions: what we say is at least what was asked, at the rates we have."""
    ours = EUROS_AND_YEN.floor(floor, theirs, bids_in)
    assert ours is not None
    if ours > CPM_MICROS_MAX:
        return
    rates = {"USD": TRILLION, "EUR": parse_rate("1.08"), "JPY": parse_rate("0.0065")}
    said = EUROS_AND_YEN.in_currency(ours, bids_in)
    if said == CPM_MICROS_MAX:
        return
    assert said * rates[bids_in] >= floor * rates[theirs]
    # ... and rounding costs less than two of the smaller units.
    assert (ours - 1) * TRILLION <= floor * rates[theirs] + rates[bids_in]


@given(PRICES, st.integers(1, 10**18))
def test_a_bill_for_the_whole_bid_is_the_whole_price(own: int, there: int) -> None:
    assert billed_share(own, there, there) == own


@given(PRICES, PRICES, st.integers(0, CPM_MICROS_MAX))
def test_a_bill_for_part_of_a_bid_is_that_part(own: int, there: int, billed: int) -> None:
    share = billed_share(own, there, billed)
    assert abs(share * there - own * billed) * 2 <= there
    if billed <= there:
        assert share <= own


def test_the_largest_rate_is_exact() -> None:
    assert parse_rate(str(RATE_MAX)) == RATE_MAX * TRILLION
