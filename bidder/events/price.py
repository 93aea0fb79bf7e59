"""The price in a notice URL: what the exchange wrote in the place of `${AUCTION_PRICE}`.

Substitution is plain text (OpenRTB 2.6, section 4.4), so anything may arrive: a decimal CPM, an empty
string where the exchange has no value, the literal `AUDIT` when the ad is rendered for review, the
macro itself where nobody replaced it, or a text in an encoding that was never agreed on. One
function tells them apart; nothing else in the engine reads a price from outside.

    read_price("1.25")               CpmMicros(1250000)
    read_price("AUDIT")              Unpriced.AUDIT
"""

import re
from enum import Enum

from config.money import CpmMicros, cpm_micros_from_text

PRICE_CHARS_MAX = 40
"""More characters than any decimal price has."""

_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,3})?|\.[0-9]+", re.ASCII)
_MACRO = re.compile(r"\$\{.*\}?|%24%7[Bb].*", re.DOTALL)


class Unpriced(Enum):
    """Why a text holds no price. The values are what the refused stream says."""

    EMPTY = "empty"
    AUDIT = "audit"
    MACRO = "macro"
    """The exchange did not replace the macro."""
    GARBAGE = "garbage"
    """No decimal number, or one outside what `config.money` takes for a price."""


def read_price(text: str) -> CpmMicros | Unpriced:
    """Read a price: CPM micros (rounded half to even), or why there is none. Never raises."""
    text = text.strip()
    if not text:
        return Unpriced.EMPTY
    if text == "AUDIT":
        return Unpriced.AUDIT
    if _MACRO.fullmatch(text):
        return Unpriced.MACRO
    if len(text) > PRICE_CHARS_MAX or not _DECIMAL.fullmatch(text):
        return Unpriced.GARBAGE
    try:
        return CpmMicros(cpm_micros_from_text(text))
    except ValueError:
        return Unpriced.GARBAGE
