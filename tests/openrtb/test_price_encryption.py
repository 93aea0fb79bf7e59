"""`bidder.openrtb.price_encryption` against the published vectors, and against an encryptor."""

from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidder.openrtb.price_encryption import SEALED_BYTES, SealedPrice, bytes_from_base64, decrypt
from config.price_keys import PriceKeys
from tests.events.factories import sealed_price

KEYS = st.builds(PriceKeys, st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
PRICES = st.integers(0, 2**64 - 1)
SECONDS = st.integers(0, 2**32 - 1)
TWELVE = st.binary(min_size=12, max_size=12)

# DoubleClickCryptoTest of github.com/google/openrtb-doubleclick, and the example of
# developers.google.com/authorized-buyers/rtb/response-guide/decrypt-price.
LIBRARY = PriceKeys(
    b64decode("sIxwz7yw62yrfoLGt12lIHKuYrK/S5kLuApI2BQe7Ac="),
    b64decode("v3fsVcMBMMHYzRhi7SpM0sdqwzvAxM6KPTu9OtVod5I="),
)
GUIDE = PriceKeys(
    urlsafe_b64decode("skU7Ax_NL5pPAFyKdkfZjZz2-VhIN8bjj1rVFOaJ_5o="),
    urlsafe_b64decode("arO23ykdNqUQ5LEoQ0FVmPkBd7xB5CO89PDZlSjpFxo="),
)


@pytest.mark.parametrize("padding", ["", "=="])
def test_the_published_vectors(padding: str) -> None:
    token = "OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ"
    assert decrypt(token + padding, LIBRARY) == SealedPrice(1_200_000, 946_748_096)
    assert decrypt(token[:-1] + "A" + padding, LIBRARY) is None
    assert decrypt(token + padding, GUIDE) is None
    guide = decrypt("YWJjMTIzZGVmNDU2Z2hpN7fhCuPemCce_6msaw" + padding, GUIDE)
    assert guide == SealedPrice(100, int.from_bytes(b"abc1", "big"))


@given(KEYS, PRICES, SECONDS, TWELVE)
def test_what_was_sealed_is_read(keys: PriceKeys, price: int, at_s: int, rest: bytes) -> None:
    assert decrypt(sealed_price(price, keys, at_s, rest), keys) == SealedPrice(price, at_s)


@given(KEYS, PRICES, SECONDS, TWELVE, st.integers(0, SEALED_BYTES - 1), st.integers(1, 255))
def test_no_byte_of_it_can_be_changed(
    keys: PriceKeys, price: int, at_s: int, rest: bytes, at: int, flip: int
) -> None:
    raw = urlsafe_b64decode(sealed_price(price, keys, at_s, rest) + "==")
    changed = raw[:at] + bytes([raw[at] ^ flip]) + raw[at + 1 :]
    assert decrypt(urlsafe_b64encode(changed).decode(), keys) is None


@given(st.text(max_size=60))
def test_no_text_raises_or_is_a_price(text: str) -> None:
    assert decrypt(text, LIBRARY) is None


@given(st.binary(max_size=60))
def test_base64_is_read_in_either_alphabet_padded_or_not(data: bytes) -> None:
    text = urlsafe_b64encode(data).decode()
    for spelling in (text, text.rstrip("="), text.replace("-", "+").replace("_", "/")):
        assert bytes_from_base64(spelling) == data


def test_bits_that_base64_throws_away_are_not_ignored() -> None:
    assert bytes_from_base64("Zg") == bytes_from_base64("Zg==") == b"f"
    for spelling in ("Zh", "Zg===", "Z", "Zg==Zg==", "Z g", "Zg\n", "Żg"):
        assert bytes_from_base64(spelling) is None
