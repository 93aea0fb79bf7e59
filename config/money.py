"""Money as integers, and the one rounding rule.

Two units, chosen so that every sum in the engine is exact:

* **Money** is counted in billionths of the currency unit: ``Money(1_000_000_000)`` is $1.
* **A price** is a CPM in micros: ``CpmMicros(4_500_000)`` is a $4.50 CPM.

A CPM of one micro is a millionth of a unit for a thousand impressions, which is a billionth of a
unit for one. So the cost of one impression in billionths is its price in CPM micros, the same
integer: no division, no rounding, ever, between a bid and the ledger.

Rounding happens in one place only, where text with more digits than a unit holds comes in
(`cpm_micros_from_text`): half to even, as `decimal` does it.
"""

import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

BILLION = 1_000_000_000
MICROS = 1_000_000
MONEY_MAX = 1_000_000_000 * BILLION
"""The largest amount: a billion currency units, which an int64 holds nine times over."""
CPM_MICROS_MAX = 100_000 * MICROS
"""The largest price: a CPM of 100,000, or 100 currency units for one impression."""

_AMOUNT = re.compile(r"\s*([$€£])?\s*(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?([kK])?\s*([A-Z]{3})?\s*")
_CURRENCIES_OF = {
    "$": frozenset({"USD", "CAD", "AUD", "NZD", "SGD", "HKD", "TWD", "MXN", "ARS", "CLP", "COP"}),
    "€": frozenset({"EUR"}),
    "£": frozenset({"GBP"}),
}


class Money(int):
    """An amount in billionths of the currency unit."""


class CpmMicros(int):
    """A price in millionths of the currency unit for a thousand impressions."""


def must_be_money(**amounts: int) -> None:
    """Raise ValueError, with its name, for an amount that is negative or above MONEY_MAX."""
    for name, amount in amounts.items():
        if not 0 <= amount <= MONEY_MAX:
            raise ValueError(f"{name} {amount} must be from 0 to {MONEY_MAX}")


def _decimal(text: str) -> Decimal:
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an amount of money; write it like 12.50 or $12,500")
    _, whole, decimals, thousands, _ = match.groups()
    return Decimal(whole.replace(",", "") + (decimals or "")) * (1_000 if thousands else 1)


def foreign_currency(text: str, currency: str) -> str | None:
    """Return the sign or code in an amount that is not of `currency`; None when nothing speaks against it."""
    match = _AMOUNT.fullmatch(text)
    sign, code = (match[1], match[5]) if match is not None else (None, None)
    if sign is not None and currency not in _CURRENCIES_OF[sign]:
        return str(sign)
    return str(code) if code not in (None, currency) else None


def parse_money(value: object) -> Money:
    """Read an amount as people write it: ``12500``, ``12.5``, ``"$12,500.00"``, ``12.5k``, ``12500 USD``.

    A sign or code is not looked at here: see `foreign_currency`.

    Raises ValueError on anything else, on more than nine decimals, and above MONEY_MAX.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r} is not an amount of money; write it like 12.50 or $12,500")
    scaled = _decimal(value if isinstance(value, str) else repr(value)) * BILLION
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{value!r} has more than nine decimals")
    if scaled > MONEY_MAX:
        raise ValueError(f"{value!r} is more than the largest amount, {format_money(MONEY_MAX)}")
    return Money(int(scaled))


def parse_cpm(value: object) -> CpmMicros:
    """Read a CPM as people write it: ``4.5``, ``"$4.50"``.

    Raises ValueError on anything else, on more than six decimals, and above CPM_MICROS_MAX.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r} is not a CPM; write it like 4.50 or $4.50")
    scaled = _decimal(value if isinstance(value, str) else repr(value)) * MICROS
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{value!r} has more than six decimals")
    if scaled > CPM_MICROS_MAX:
        raise ValueError(f"{value!r} is more than the largest CPM, {CPM_MICROS_MAX // MICROS}")
    return CpmMicros(int(scaled))


def cpm_micros_from_text(text: str) -> int:
    """Turn a price on the wire (a decimal CPM) into CPM micros, rounding half to even.

    Raises ValueError when the text is no finite decimal, is negative or exceeds CPM_MICROS_MAX.
    """
    try:
        price = Decimal(text)
    except InvalidOperation:
        raise ValueError("not a decimal number") from None
    if not price.is_finite() or price < 0 or price * MICROS > CPM_MICROS_MAX:
        raise ValueError("not a price")
    return int((price * MICROS).quantize(Decimal(1), ROUND_HALF_EVEN))


def play_cost(price_cpm_micros: int, multiplier_millionths: int) -> int:
    """Return what one play may come to, rounded up: out of home it is several impressions, or part of one."""
    return -(-price_cpm_micros * multiplier_millionths // MICROS)


def cpm_text(cpm_micros: int) -> str:
    """Write CPM micros as the shortest exact decimal: 4500000 -> ``4.5``."""
    whole, micros = divmod(cpm_micros, MICROS)
    return f"{whole}.{micros:06d}".rstrip("0").rstrip(".") if micros else str(whole)


def money_text(money: int) -> str:
    """Write billionths as the shortest exact decimal: 12500000000 -> ``12.5``."""
    sign = "-" if money < 0 else ""
    whole, billionths = divmod(abs(money), BILLION)
    return sign + (f"{whole}.{billionths:09d}".rstrip("0") if billionths else str(whole))


def format_money(money: int, currency: str = "USD") -> str:
    """Show an amount to a person, to the cent: ``$1,234.50`` (other currencies: ``1,234.50 EUR``)."""
    cents = int((Decimal(money) / (BILLION // 100)).quantize(Decimal(1), ROUND_HALF_EVEN))
    text = f"{cents // 100:,}.{cents % 100:02d}" if cents >= 0 else f"-{-cents // 100:,}.{-cents % 100:02d}"
    return f"${text}" if currency == "USD" else f"{text} {currency}"
