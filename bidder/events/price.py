"""The price in a notice URL: what the exchange wrote in the place of `${AUCTION_PRICE}`.

Substitution is plain text (OpenRTB 2.6, section 4.4), so anything may arrive: a decimal CPM, the same in
base64, a ciphertext, an empty string where the exchange has no value, the literal `AUDIT` when the ad
is rendered for review, or the macro itself where nobody replaced it. A `PriceReader` knows how one
exchange writes its prices and tells them apart; nothing else in the engine reads a price from outside.

    PriceReader().read("1.25", now_s)               CpmMicros(1250000)
    PriceReader().read("AUDIT", now_s)              Unpriced.AUDIT
    PriceReader("google", keys).read("OG46wA...", now_s)

An exchange that encrypts its prices never sends one in clear, so from it a number is no price: a browser
sees the URL of a pixel, and could put any number there.
"""

import re
from enum import Enum
from fractions import Fraction
from typing import Literal

import msgspec

from bidder.openrtb.price_encryption import bytes_from_base64, decrypt
from config.limits import MULTIPLIER_MAX, NOTICE_CLOCK_SECONDS_MAX, NOTICE_TAKEN_SECONDS_MAX
from config.money import CPM_MICROS_MAX, CpmMicros, cpm_micros_from_text
from config.price_keys import PriceKeys

PRICE_CHARS_MAX = 40
"""More characters than any decimal price has."""
BASE64_CHARS_MAX = 56
"""A decimal price in base64."""
CPM_MICROS_PER_CPI_MICRO = 1_000

_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,3})?|\.[0-9]+", re.ASCII)
_MACRO = re.compile(r"\$\{.*\}?|%24%7[Bb].*", re.DOTALL)


class Unpriced(Enum):
    """Why a text holds no price. The values are what the refused stream says."""

    EMPTY = "empty"
    AUDIT = "audit"
    MACRO = "macro"
    """The exchange did not replace the macro."""
    NEGATIVE = "negative"
    ABSURD = "absurd"
    """More than `config.money` takes for a price."""
    GARBAGE = "garbage"
    """Neither a decimal number nor what the exchange's encryption makes of one."""
    IN_CLEAR = "in clear"
    """A number from an exchange that encrypts its prices."""
    BAD_SIGNATURE = "bad signature"
    """A ciphertext that was not made with the exchange's keys, or was changed on its way."""
    STALE = "stale"
    """Genuine, and sealed so long ago, or so far in the future, that somebody sends it again."""
    NO_KEYS = "no keys"
    """The exchange encrypts its prices, and this installation has no keys for it."""
    NO_MULTIPLIER = "no multiplier"
    """The price is for one impression of several, and how many is not said."""


class PriceReader(msgspec.Struct, frozen=True):
    """How one exchange writes its prices."""

    encryption: Literal["none", "google", "openx"] = "none"
    keys: PriceKeys | None = None

    @property
    def step_cpm_micros(self) -> int:
        """What one unit of the exchange's prices is worth: its rounding moves a price by less."""
        return CPM_MICROS_PER_CPI_MICRO if self.encryption == "openx" else 1

    def read(self, text: str, now_s: float) -> CpmMicros | Unpriced:
        """Read a price: CPM micros (rounded half to even), or why there is none. Never raises."""
        text = text.strip()
        if not text:
            return Unpriced.EMPTY
        if text == "AUDIT":
            return Unpriced.AUDIT
        if _MACRO.fullmatch(text):
            return Unpriced.MACRO
        if self.encryption == "none":
            return read_clear(text)
        return self._read_sealed(text, now_s)

    def _read_sealed(self, text: str, now_s: float) -> CpmMicros | Unpriced:
        if self.keys is None:
            return Unpriced.NO_KEYS
        if _DECIMAL.fullmatch(text.removeprefix("-")):
            return Unpriced.IN_CLEAR
        sealed = decrypt(text, self.keys)
        if sealed is None:
            return Unpriced.BAD_SIGNATURE
        if self.encryption == "google":
            age_s = now_s - sealed.sealed_s
            if not -NOTICE_CLOCK_SECONDS_MAX <= age_s < NOTICE_TAKEN_SECONDS_MAX:
                return Unpriced.STALE
        price_cpm_micros = sealed.price * self.step_cpm_micros
        return CpmMicros(price_cpm_micros) if price_cpm_micros <= CPM_MICROS_MAX else Unpriced.ABSURD


def read_clear(text: str) -> CpmMicros | Unpriced:
    """Read a decimal CPM, as it is or in base64 (`${AUCTION_PRICE:B64}`). Never raises."""
    text = text.strip()
    if not _DECIMAL.fullmatch(text.removeprefix("-")) and len(text) <= BASE64_CHARS_MAX:
        text = (bytes_from_base64(text) or b"").decode("ascii", "replace")
    if len(text) > PRICE_CHARS_MAX or not _DECIMAL.fullmatch(text.removeprefix("-")):
        return Unpriced.GARBAGE
    if text.startswith("-"):
        return Unpriced.NEGATIVE
    try:
        return CpmMicros(cpm_micros_from_text(text))
    except ValueError:
        return Unpriced.ABSURD


def read_multiplier(text: str | None) -> Fraction | None:
    """Read `${AUCTION_MULTIPLIER}` exactly; None when it says nothing usable.

    Without the parameter (text None) a bid is for one impression, so it is 1.
    """
    if text is None:
        return Fraction(1)
    text = text.strip()
    if len(text) > PRICE_CHARS_MAX or not _DECIMAL.fullmatch(text):
        return None
    multiplier = Fraction(text)
    return multiplier if multiplier <= MULTIPLIER_MAX else None


def cost(price_cpm_micros: int, multiplier: Fraction) -> int:
    """Return what a play on a screen costs, in billionths: price x multiplier, half a billionth up.

    One impression at a CPM of a micro is a billionth (`config.money`); a screen counts several for one
    play (OpenRTB 2.6, implementation guidance 7.9).
    """
    return int(price_cpm_micros * multiplier + Fraction(1, 2))
