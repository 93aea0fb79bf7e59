"""The rules of one exchange's house: what it demands of a bid beyond OpenRTB.

The defaults are those of a strict exchange of no name. Real ones differ in where the price macro must
stand and how the price is enciphered, whether a bid carries its markup or names a registered creative,
how many bids they take, and which further fields they drop a bid for.
"""

from typing import Literal

import msgspec

from loadtest.limits import BIDS_PER_ANSWER_MAX

PRICE_MACRO = "${AUCTION_PRICE}"

PricePlace = Literal["adm", "burl", "nurl"]


class House(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange's demands; `problems(request, response, house)` judges by them."""

    price_macro: str = PRICE_MACRO
    price_places: tuple[PricePlace, ...] = ("adm", "burl")
    """Each of these that a bid has must hold the macro, and it must have one of them."""
    price_in_vast_impression: bool = True
    """Google fills the price in anywhere but there; so VAST, which has no other place, need not hold it."""
    takes_markup: bool = True
    """False: creatives are registered beforehand; a bid names one in `adid` or `crid` and has no `adm`."""
    bids_max: int = BIDS_PER_ANSWER_MAX
    bids_per_imp_max: int = 2
    """On an imp that is no dynamic pod: one under a deal and one in the open auction, by default."""
    required_fields: dict[str, tuple[int, ...]] = {}
    """Dotted paths a bid must have (`iurl`, `ext.protocol`), and for which `mtype`."""
    numeric_seats: bool = False
    secure_only: bool = False
    """Everything is https, whatever an impression says."""
    google_extensions: bool = False
    """`imp.ext` lists billing ids and allowed restricted categories, which the bid must keep to."""
    exchange_rates: dict[str, str] = {}
    """Decimal value of one unit of each currency, all in the same one. Prices and floors between which
    there is no rate are not compared."""


STRICT = House()
