"""Winning prices that an exchange encrypts: Google's scheme, which OpenX shares.

Both replace their price macro by 28 bytes in web-safe base64 without padding, 38 characters:

    byte  0   initialization vector   16 bytes
         16   masked price             8 bytes, XOR the first 8 of HMAC-SHA1(encryption key, vector)
         24   signature                the first 4 of HMAC-SHA1(integrity key, price || vector)
         28

    keys = PriceKeys(encryption=..., integrity=...)
    decrypt("OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ", keys)     # SealedPrice(1200000, 946748096)

The price is an unsigned big-endian integer. It counts different things: Google's is a CPM in micros, as
ours are; OpenX's is the price of one impression in micros, a thousand of ours each. Google's vector
begins with the second in which it was made (4 bytes, then 4 of microseconds and 8 of its server), so an
old price that is sent again can be told from a new one; OpenX says nothing of the kind about its own.

Sources: developers.google.com/authorized-buyers/rtb/response-guide/decrypt-price;
docs.openx.com/demand-partners/openrtb-win-notification and .../macros-demand.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

import msgspec

from config.price_keys import PriceKeys

VECTOR_BYTES = 16
PRICE_BYTES = 8
SIGNATURE_BYTES = 4
SEALED_BYTES = VECTOR_BYTES + PRICE_BYTES + SIGNATURE_BYTES


class SealedPrice(msgspec.Struct, frozen=True):
    """A price whose signature was right. `sealed_s` is the vector's second, in Google's scheme."""

    price: int
    sealed_s: int


def decrypt(text: str, keys: PriceKeys) -> SealedPrice | None:
    """Return what an encrypted price says; None when it is none, or was not signed with these keys."""
    sealed = bytes_from_base64(text)
    if sealed is None or len(sealed) != SEALED_BYTES:
        return None
    vector, masked = sealed[:VECTOR_BYTES], sealed[VECTOR_BYTES:-SIGNATURE_BYTES]
    pad = hmac.digest(keys.encryption, vector, "sha1")[:PRICE_BYTES]
    price = (int.from_bytes(masked, "big") ^ int.from_bytes(pad, "big")).to_bytes(PRICE_BYTES, "big")
    signature = hmac.digest(keys.integrity, price + vector, "sha1")[:SIGNATURE_BYTES]
    if not hmac.compare_digest(signature, sealed[-SIGNATURE_BYTES:]):
        return None
    return SealedPrice(int.from_bytes(price, "big"), int.from_bytes(vector[:4], "big"))


def bytes_from_base64(text: str) -> bytes | None:
    """Read base64 in either alphabet, padded or not; None for anything else.

    Of the spellings of one value only the canonical one counts: bits that would be thrown away are
    a change that a signature over the bytes can't see.
    """
    if not text.isascii():
        return None
    bare = text.replace("+", "-").replace("/", "_").rstrip("=")
    if len(text) - len(bare) > 2:
        return None
    try:
        decoded = urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except (Base64Error, ValueError):
        return None
    return decoded if urlsafe_b64encode(decoded).decode().rstrip("=") == bare else None
