"""The part of a strict exchange's judgement that is about money: price, floor, deal.

A floor is looked for in this order (IAB implementation guide 7.11; OpenRTB 2.6, 3.2.12 and 3.2.35):

    a deal's bid      the deal's durfloors, its mincpmpersec x seconds, its bidfloor
    another bid       the video or audio object's durfloors, its mincpmpersec x seconds, the imp's bidfloor

and it is in the `bidfloorcur` of the deal or the imp, which are USD unless they say otherwise and inherit
nothing. Each function yields what is wrong, worded to end a sentence that begins with the bid's name.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from config.money import cpm_micros_from_text, cpm_text
from loadtest.reading import (
    Object,
    id_text,
    is_count,
    is_number,
    list_of,
    object_of,
    objects_of,
    shown,
    texts_of,
)

CURRENCY_DEFAULT = "USD"
FIXED_PRICE = 3
DURATION_TERMS = {"mincpmpersec", "durfloors"}
"""A seller who fixes a price and gives these as well contradicts himself: then the price is a floor."""


def price_of(bid: Object) -> int | None:
    """Return a bid's price in CPM micros, or None when it is no price."""
    price = bid.get("price")
    if not is_number(price):
        return None
    try:
        return cpm_micros_from_text(repr(price))
    except ValueError:
        return None


def money_problems(
    imp: Object,
    media: Object,
    bid: Object,
    seat: Object,
    currency: object,
    rates: Mapping[str, str],
) -> Iterator[str]:
    """Judge the price against the floor that governs it, and the deal it is made under."""
    price = bid.get("price")
    if not is_number(price):
        yield f"price {shown(price)} is not a number"
        return
    price_cpm_micros = price_of(bid)
    if price_cpm_micros is None:
        yield f"price {shown(price)} is no price"
        return
    if price_cpm_micros <= 0:
        yield f"price {shown(price)} is not above zero"
    pmp = object_of(imp.get("pmp"))
    deal: Object | None = None
    if "dealid" in bid:
        named = [deal for deal in objects_of(pmp.get("deals")) if id_text(deal.get("id")) == bid["dealid"]]
        if not named:
            yield f"dealid {shown(bid['dealid'])} is no deal of the impression"
            return
        deal = named[0]
        yield from _deal_problems(deal, bid, seat)
    elif pmp.get("private_auction") == 1:
        yield "the auction is private, and the bid names no deal"
    terms = imp if deal is None else deal
    floor_cpm_micros = floor_for(imp, media, deal, bid.get("dur"))
    floor_currency = terms.get("bidfloorcur", CURRENCY_DEFAULT)
    compared = _compare(price_cpm_micros, currency, floor_cpm_micros, floor_currency, rates)
    if compared < 0:
        there = "" if floor_currency == currency else f" {floor_currency}"
        yield f"price {shown(price)} is below the floor of {cpm_text(floor_cpm_micros)}{there}"
    is_fixed = deal is not None and deal.get("at") == FIXED_PRICE and not DURATION_TERMS & deal.keys()
    if is_fixed and compared > 0 and floor_currency == currency:
        yield f"price {shown(price)} is not the deal's fixed price of {cpm_text(floor_cpm_micros)}"


def floor_for(imp: Object, media: Object, deal: Object | None, seconds: object) -> int:
    """Return the floor of a bid in CPM micros of the floor's own currency; 0 when there is none."""
    if deal is not None:
        return _floor_by_duration(deal, seconds) or floor_of(deal)
    return _floor_by_duration(media, seconds) or floor_of(imp)


def floor_of(source: Object) -> int:
    """Return the `bidfloor` of an impression or deal in CPM micros; 0 when there is none to read."""
    return _cpm_micros(source.get("bidfloor"))


def _floor_by_duration(source: Object, seconds: object) -> int:
    if not is_count(seconds):
        return 0
    stated = []
    for entry in objects_of(source.get("durfloors")):
        shortest, longest = entry.get("mindur"), entry.get("maxdur")
        if (not is_count(shortest) or seconds >= shortest) and (not is_count(longest) or seconds <= longest):
            stated.append(_cpm_micros(entry.get("bidfloor")))
    # A seller gives one of the two, and ranges that do not overlap; of more, the highest holds.
    return max([*stated, _cpm_micros(source.get("mincpmpersec"), times=seconds)])


def _cpm_micros(value: object, times: int = 1) -> int:
    if not is_number(value):
        return 0
    try:
        return cpm_micros_from_text(str(Decimal(repr(value)) * times))
    except (ValueError, InvalidOperation):
        return 0


def _compare(
    price: int, currency: object, floor: int, floor_currency: object, rates: Mapping[str, str]
) -> int:
    """Return -1, 0 or 1 as a price is below, at or above a floor; 0 when there is no rate between them."""
    if not floor:
        return 0
    if currency == floor_currency:
        return (price > floor) - (price < floor)
    if not isinstance(currency, str) or not isinstance(floor_currency, str):
        return 0
    if currency not in rates or floor_currency not in rates:
        return 0
    worth = price * Fraction(rates[currency])
    asked = floor * Fraction(rates[floor_currency])
    return (worth > asked) - (worth < asked)


def _deal_problems(deal: Object, bid: Object, seat: Object) -> Iterator[str]:
    seats = texts_of(deal.get("wseat"))
    if seats and seat.get("seat") not in seats:
        yield f"seat {shown(seat.get('seat'))} is none of those deal {shown(bid['dealid'])} is for"
    domains = texts_of(deal.get("wadomain"))
    for domain in list_of(bid.get("adomain")):
        if domains and domain not in domains:
            yield f"advertiser {shown(domain)} is none of those deal {shown(bid['dealid'])} is for"
