"""Other currencies than the one the books are kept in, and every rounding between them.

A rate says what one unit of a currency is worth in the engine's own, exactly: text with up to
twelve decimals becomes an integer of trillionths. Three conversions, each with its rounding:

    a floor, into our currency       up: who bids it is never below the floor
    our price, into the bid's        down: what is paid is never above our price
    what was paid, into ours         `billed_share`: no rate at all

The last is why a rate may change while bids are out. A bid in another currency carries its own two
prices in its notice URL, ours and the one the exchange saw; what the exchange bills is the same
share of either.

Worked example: euros at 1.08, books in dollars. A floor of 2.00 EUR is 2.16 USD. We bid 3.00 USD,
which is 2.777777 EUR. The exchange bills 2.50 EUR: 3.00 x 2.50 / 2.777777 = 2.700001 USD.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from config.money import CPM_MICROS_MAX

TRILLION = 10**12
RATE_MAX = 1_000_000
DEFAULT_CURRENCY = "USD"
"""What a request means where it names none (OpenRTB 2.6, 3.2.4 and 3.2.12)."""

BID_RATE_MIN = TRILLION // 1_000
"""We bid in no currency worth less than this: a CPM of 100 of ours would be more there than the largest
price. Floors in such a currency are still converted."""

_DECIMAL = re.compile(r"^\d{1,7}(\.\d{1,12})?$")


class ExchangeRate(int):
    """Trillionths of the engine's currency for one unit of another."""


def parse_rate(value: object) -> ExchangeRate:
    """Read a rate as people write it: ``1.0842``; raises ValueError on anything else, 0 included."""
    text = value.strip() if isinstance(value, str) else repr(value)
    if _DECIMAL.match(text) is None:
        raise ValueError(f"{value!r} is not a rate; write it like 1.0842, with at most twelve decimals")
    rate = Decimal(text)
    if not 0 < rate <= RATE_MAX:
        raise ValueError(f"{value!r} is not a rate between 0 and {RATE_MAX:,}")
    return ExchangeRate(int(rate * TRILLION))


def rate_text(rate: int) -> str:
    """Write a rate as the shortest exact decimal: ``1.0842``."""
    return f"{Decimal(rate) / TRILLION:f}"


class Currencies:
    """The engine's currency and the rates of others. Compared by identity: made once for a config."""

    def __init__(self, own: str, rates: Mapping[str, int]) -> None:
        self.own = own
        self._rates = {**rates, own: TRILLION}
        self._biddable = {currency for currency, rate in self._rates.items() if rate >= BID_RATE_MIN}

    def to_bid_in(self, accepted: Sequence[str] | None) -> str:
        """Return our currency where a request takes it, else the first it takes that has a rate.

        An empty string when there is none. A request that names no currency takes ours.
        """
        if not accepted or self.own in accepted:
            return self.own
        return next((currency for currency in accepted if currency in self._biddable), "")

    def floor(self, cpm_micros: int, currency: str | None, bid_currency: str) -> int | None:
        """Return a floor in our currency, in CPM micros, rounded up; None without a rate for it.

        It goes by way of the currency of the bid, so that our price, rounded down on the way back
        (`in_currency`), is still not below the floor there.
        """
        if bid_currency == self.own == (currency or DEFAULT_CURRENCY):
            return min(cpm_micros, CPM_MICROS_MAX + 1)
        in_bid = self.floor_there(cpm_micros, currency, bid_currency)
        if in_bid is None:
            return None
        return min(-(-in_bid * self._rates[bid_currency] // TRILLION), CPM_MICROS_MAX + 1)

    def floor_there(self, cpm_micros: int, currency: str | None, bid_currency: str) -> int | None:
        """Return a floor in the currency of the bid, rounded up; None without a rate for either."""
        rate, bid_rate = self._rates.get(currency or DEFAULT_CURRENCY), self._rates.get(bid_currency)
        if rate is None or bid_rate is None:
            return None
        return -(-cpm_micros * rate // bid_rate)

    def in_currency(self, cpm_micros: int, currency: str) -> int:
        """Return a price of ours in another currency, rounded down."""
        if currency == self.own:
            return cpm_micros
        return min(cpm_micros * TRILLION // self._rates[currency], CPM_MICROS_MAX)


def billed_share(own: int, bid: int, billed: int) -> int:
    """Return what a bill comes to in our currency, half to even: as much of `own` as it is of `bid`.

    `own` and `bid` are the same price in our currency and the bid's, `billed` is in the bid's.
    """
    assert bid > 0
    whole, rest = divmod(own * billed, bid)
    return whole + (2 * rest > bid or (2 * rest == bid and whole & 1))
