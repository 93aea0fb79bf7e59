"""Consent strings as bits: URL-safe base64 without padding, six bits a character.

    data = unpack("BVVVkkkkkpFY")      72 bits, raises Unreadable on any other character
    number(data, 6, 2)                 the two bits that follow the first six

TCF and GPP count bits from the left, most significant first. A text need not fill its last byte:
what is missing counts as zeros, and a reader that must know where the text ends is told its
`bit_length`. Reading costs the same wherever the bits stand: nothing here builds a list of bits or
one large integer.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64

BITS_PER_CHAR = 6
FILL_BITS_MAX = 23
"""Encoders fill up with zeros to bytes, to characters or to four characters: never by more than this."""
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
"""The URL-safe alphabet as the standard one; what only the standard one has becomes invalid."""


class Unreadable(Exception):  # noqa: N818 - it names the sender's fault, not an error of ours
    """A consent string that is not what its specification says; whoever reads it takes it for a no."""


def bit_length(text: str) -> int:
    """Return how many bits a text stands for."""
    return len(text) * BITS_PER_CHAR


def unpack(text: str) -> bytes:
    """Return the bits of a text, filled up with zeros to whole bytes; raises Unreadable."""
    try:
        raw = text.encode("ascii").translate(_TO_STANDARD)
        return a2b_base64(raw + b"A" * (-len(raw) % 4), strict_mode=True)
    except (UnicodeEncodeError, Base64Error):
        raise Unreadable from None


def number(data: bytes, start: int, width: int) -> int:
    """Return the `width` bits from `start` on as a number; raises Unreadable past the end."""
    end = start + width
    last = (end + 7) >> 3
    if last > len(data):
        raise Unreadable
    return int.from_bytes(data[start >> 3 : last], "big") >> (last * 8 - end) & ((1 << width) - 1)
