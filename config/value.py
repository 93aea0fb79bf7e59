"""What an impression is worth, in integers: prices of events, how often they happen, and factors.

A line item names one price, of a thousand impressions or of what an impression may bring:

    bid_cpm     a thousand impressions          bid_vcpm    a thousand that are seen
    bid_cpc     a click                         bid_cpa     a conversion
    bid_cpcv    a video or audio ad played to its end

The value of an impression is that price times the rate at which impressions bring the event, times the
line item's adjustments, and never above its `bid_cpm_max`. An amount for one event in billionths times
a rate is the value of one impression in billionths, which is a CPM in micros (`config.money`): at $0.50
a click and a rate of 0.002, an impression is worth 1,000,000 billionths, a CPM of $1.00.

Rates are in billionths and factors in millionths, so that a value is the same integer whoever works it
out, and in whatever order.
"""

import re
from decimal import Decimal
from typing import Literal, NamedTuple

from config.limits import ADJUSTMENT_MAX_MILLIONTHS, ADJUSTMENT_MIN_MILLIONTHS
from config.money import BILLION, MICROS

Event = Literal["impression", "view", "click", "conversion", "completion"]
"""What is paid for. A view is an impression that was seen, by whatever measure the exchange states."""
EVENTS: tuple[Event, ...] = ("impression", "view", "click", "conversion", "completion")
PRICE_FIELDS: dict[str, Event] = {
    "bid_cpm": "impression",
    "bid_vcpm": "view",
    "bid_cpc": "click",
    "bid_cpa": "conversion",
    "bid_cpcv": "completion",
}
"""The fields of a line item that name a price, one of which it has."""

_RATE = re.compile(r"^(\d{1,3}(?:\.\d{1,9})?)\s*(%?)$")
_FACTOR = re.compile(r"^\d{1,4}(\.\d{1,6})?$")


class Rate(int):
    """Billionths: how many of a billion impressions bring an event."""


class Factor(int):
    """Millionths: what a value is multiplied by."""


class Price(NamedTuple):
    """What a line item pays: `amount` billionths of the currency for one `event`."""

    event: Event
    amount: int


def parse_share(value: object) -> Rate:
    """Read a rate as people write it: ``0.0012``, ``0.12%``.

    Raises ValueError on anything else, on 0, above 1, and on less than a billionth.
    """
    text = value.strip() if isinstance(value, str) else repr(value)
    match = _RATE.match(text)
    if match is None:
        raise ValueError(f"{value!r} is not a rate; write it like 0.0012 or 0.12%")
    billionths = Decimal(match.group(1)) * BILLION / (100 if match.group(2) else 1)
    if not 0 < billionths <= BILLION or billionths != billionths.to_integral_value():
        raise ValueError(f"{value!r} is not a rate above 0, up to 1, with at most nine decimals")
    return Rate(int(billionths))


def parse_factor(value: object) -> Factor:
    """Read a factor as people write it: ``1.25``.

    Raises ValueError on anything else, and outside ADJUSTMENT_MIN_MILLIONTHS to ADJUSTMENT_MAX_MILLIONTHS.
    """
    text = value.strip() if isinstance(value, str) else repr(value)
    if _FACTOR.match(text) is None:
        raise ValueError(f"{value!r} is not a factor; write it like 1.25, with at most six decimals")
    factor = int(Decimal(text) * MICROS)
    if not ADJUSTMENT_MIN_MILLIONTHS <= factor <= ADJUSTMENT_MAX_MILLIONTHS:
        bounds = (ADJUSTMENT_MIN_MILLIONTHS, ADJUSTMENT_MAX_MILLIONTHS)
        low, high = (decimal_text(bound, MICROS) for bound in bounds)
        raise ValueError(f"{value!r} is not between {low} and {high}, as a factor must be")
    return Factor(factor)


def decimal_text(number: int, unit: int) -> str:
    """Write a number of parts of a unit as the shortest exact decimal: 1250000, MICROS -> ``1.25``."""
    return f"{(Decimal(number) / unit).normalize():f}"
