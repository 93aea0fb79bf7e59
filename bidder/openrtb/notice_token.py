"""The signed token in every notice, click and pixel URL: who bid what for whom, and no more.

A token lets any process settle a bid without having seen it. It is a fixed-size record, MAC'd so
that nobody else can make one, with the two fields that outsiders must not read (the user's hash
and our maximum price) masked:

    byte  0   version                      2, in the lower four bits; above them the number of the key
          1   flags                        bit 0: the exchange bills on the impression;
                                           bits 1-2: index of the format in FORMATS;
                                           bit 3: the line item had a budget of its own, and the bid was
                                           reserved from that too;
                                           bits 4-6: one more than the index of the device in
                                           `pacing.cells.DEVICES`; 0 when the outcome is not to be counted
                                           among the auctions of its cell;
                                           bit 7: the person's impressions may be counted, but the
                                           person may be put in no segment for them
          2   line item code               u32
          6   campaign code                u32
         10   creative code                u32
         14   exchange code                u32
         18   owner (worker)               u32
         22   minute (unix time // 60)     u32
         26   sequence within the minute   u32
         30   second (unix time) that the
              reservation expires in       u32
         34   maximum price, user hash     16 bytes, XOR a keyed digest of bytes 0..33; the seven highest
                                           bits of the price's eight bytes are the band of the bid's value
                                           (`pacing.price_grid`), which nobody is to see either
         50   tag                          10 bytes, keyed digest of bytes 0..49
         60

A bid that something is to be learned from says what it was made of as well. Its version is 3, and between
byte 49 and the tag, which covers them, are

         50   marks of the context         24 bytes, as `pacing.features.pack_mark` writes them

In a URL a token may be followed by a dot and a number: the maximum price once more, in CPM micros of the
currency that the bid was made in, where that is not the engine's. It is not signed, because who could
change it, the exchange, says what it charges anyway, and never gets more than the signed maximum.

(owner, campaign, minute, sequence) never repeats, so neither does the mask. Both digests are keyed BLAKE2b
(RFC 7693) told apart by their personalisation. As text it is 80 or 112 characters of base64url.
60 and 84 bytes divide by three, so there is no padding.
"""

import hashlib
import struct
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from binascii import b2a_base64
from hmac import compare_digest

import msgspec

from config.limits import MULTIPLIER_MAX
from config.money import CPM_MICROS_MAX
from config.notice_keys import Keyring
from config.schema import Format
from pacing import cells
from pacing.features import CONTEXT_MARKS
from pacing.price_grid import ANY_BAND, BANDS

TOKEN_CHARS = 80
MARKED_TOKEN_CHARS = 112
FLAG_BILLED_ON_IMPRESSION = 1
FLAG_FROM_LINE_ITEM = 1 << 3
DEVICE_SHIFT = 4
"""Where the device begins in the flags."""
FLAG_NOT_PROFILED = 1 << 7
FORMATS: tuple[Format, ...] = ("banner", "video", "audio", "native")
"""The formats a token can name, in the order of their `mtype` (OpenRTB 2.6, 4.2.3), which starts at 1."""

_VERSION, _VERSION_MARKED = 2, 3
_DEVICE_MASK = 7
_HEAD = struct.Struct(">BBIIIIIIII")
_MASKED = struct.Struct(">QQ")
_BAND_SHIFT = 57
_PRICE_MASK = (1 << _BAND_SHIFT) - 1
_TAG_BYTES = 10
_PRICE_DIGITS_MAX = 30
_BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_SIGNED_BYTES = _HEAD.size + _MASKED.size

_MARKS_BYTES = 3 * CONTEXT_MARKS
_FORMS = {
    TOKEN_CHARS: (_VERSION, _SIGNED_BYTES),
    MARKED_TOKEN_CHARS: (_VERSION_MARKED, _SIGNED_BYTES + _MARKS_BYTES),
}
"""By length in characters: the version, and how many bytes the tag covers."""

assert len(cells.DEVICES) <= _DEVICE_MASK
assert BANDS < 1 << 64 - _BAND_SHIFT
assert CPM_MICROS_MAX * MULTIPLIER_MAX <= _PRICE_MASK
assert cells.FORMATS == FORMATS
assert all((signed + _TAG_BYTES) * 4 == chars * 3 for chars, (_, signed) in _FORMS.items())


def split_token(text: str) -> tuple[str, int]:
    """Return the token of a URL, and the maximum price in the bid's currency; 0 when that is the engine's.

    What follows a token and is no such number makes it no token.
    """
    token, dot, number = text.partition(".")
    if not dot:
        return token, 0
    if not (number.isascii() and number.isdecimal() and len(number) <= _PRICE_DIGITS_MAX and int(number)):
        return "", 0
    return token, int(number)


class Notice(msgspec.Struct, frozen=True):
    """What a genuine token says. Codes are `config.schema.code_of`; user_hash 0 is nobody."""

    flags: int
    line_item_code: int
    campaign_code: int
    creative_code: int
    exchange_code: int
    owner: int
    minute: int
    sequence: int
    expiry_s: int
    price_max_cpm_micros: int
    user_hash: int
    marks: bytes = b""
    """Of the context, where something is to be learned from the bid."""
    value_band: int = ANY_BAND
    """Of what the impression was worth to the bidder, before its price was shaded."""

    @property
    def format(self) -> Format:
        """The format of the ad."""
        return FORMATS[self.flags >> 1 & 3]

    @property
    def device(self) -> str:
        """The kind of device of the auction's cell; empty when it is of no cell."""
        number = self.flags >> DEVICE_SHIFT & _DEVICE_MASK
        return cells.DEVICES[number - 1] if number else ""

    @property
    def billed_on_impression(self) -> bool:
        """Tell whether the bid's price is booked when the ad is shown, and not by /bill."""
        return bool(self.flags & FLAG_BILLED_ON_IMPRESSION)

    @property
    def from_line_item(self) -> bool:
        """Tell whether the bid was reserved from its line item's own budget, beside its campaign's."""
        return bool(self.flags & FLAG_FROM_LINE_ITEM)

    @property
    def may_profile(self) -> bool:
        """Tell whether what the person saw or did may put them in a segment."""
        return self.user_hash != 0 and not self.flags & FLAG_NOT_PROFILED


class TokenSigner:
    """Makes and reads tokens with one 32-byte key."""

    def __init__(self, key: bytes, key_id: int = 0) -> None:
        """`key_id` is the key's number, 0 to 15 (`config.notice_keys`)."""
        self._key_bits = key_id << 4
        self._mask = hashlib.blake2b(key=key, digest_size=_MASKED.size, person=b"notice-mask")
        self._tag = hashlib.blake2b(key=key, digest_size=_TAG_BYTES, person=b"notice-tag")

    def sign(
        self,
        flags: int,
        line_item_code: int,
        campaign_code: int,
        creative_code: int,
        exchange_code: int,
        owner: int,
        minute: int,
        sequence: int,
        expiry_s: int,
        price_max_cpm_micros: int,
        user_hash: int,
        *,
        marks: bytes = b"",
        value_band: int = ANY_BAND,
    ) -> bytes:
        """Return the ASCII characters of a token, TOKEN_CHARS of them, or MARKED_TOKEN_CHARS with marks."""
        head = _HEAD.pack(
            self._key_bits | (_VERSION_MARKED if marks else _VERSION),
            flags,
            line_item_code,
            campaign_code,
            creative_code,
            exchange_code,
            owner,
            minute,
            sequence,
            expiry_s,
        )
        price_and_band = price_max_cpm_micros | value_band << _BAND_SHIFT
        signed = head + self._masked(head, price_and_band, user_hash) + marks
        tag = self._tag.copy()
        tag.update(signed)
        # `urlsafe_b64encode` does the same in twice the time.
        return b2a_base64(signed + tag.digest(), newline=False).translate(_URL_SAFE)

    def read(self, token: str) -> Notice | None:
        """Return what a token says, or None when it is not one of ours."""
        form = _FORMS.get(len(token))
        if form is None:
            return None
        version, signed_bytes = form
        try:
            raw = urlsafe_b64decode(token.encode("ascii"))
        except (Base64Error, ValueError):
            return None
        if len(raw) != signed_bytes + _TAG_BYTES or raw[0] != self._key_bits | version:
            return None
        signed = raw[:signed_bytes]
        tag = self._tag.copy()
        tag.update(signed)
        if not compare_digest(tag.digest(), raw[signed_bytes:]):
            return None
        head = signed[: _HEAD.size]
        # A mask undoes itself.
        masked = _MASKED.unpack(signed[_HEAD.size : _SIGNED_BYTES])
        price_and_band, user_hash = _MASKED.unpack(self._masked(head, *masked))
        price, band = price_and_band & _PRICE_MASK, price_and_band >> _BAND_SHIFT
        fields = (*_HEAD.unpack(head)[1:], price, user_hash, signed[_SIGNED_BYTES:], band)
        return Notice(*fields)

    def _masked(self, head: bytes, price_and_band: int, user_hash: int) -> bytes:
        mask = self._mask.copy()
        mask.update(head)
        of_price, of_user = _MASKED.unpack(mask.digest())
        return _MASKED.pack(price_and_band ^ of_price, user_hash ^ of_user)


class TokenReader:
    """Reads the tokens of several keys. `use` says which, at any time."""

    def __init__(self, ring: Keyring) -> None:
        self._signers: dict[int, TokenSigner] = {}
        self.use(ring)

    def use(self, ring: Keyring) -> None:
        """Accept the tokens of these keys, and of no others, from now on."""
        self._signers = {key.id: TokenSigner(key.key, key.id) for key in ring.keys}

    def read(self, token: str) -> Notice | None:
        """Return what a token says, or None when it is of none of the keys."""
        # The first character is the upper six bits of the first byte.
        signer = self._signers.get(_BASE64URL.find(token[:1]) >> 2) if token else None
        return signer.read(token) if signer is not None else None
