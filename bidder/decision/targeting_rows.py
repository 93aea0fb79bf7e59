"""Targeting as rows of bits: collects the rows of a snapshot while it is compiled.

    rows = Rows(words)
    phones = rows.add(ads_that_want_phones)          the number of a new row
    deals = rows.add_each(by_value(deals_of_ads))    one row for each deal

Ads are named by their number in the snapshot.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bidder.decision.bitrows import BitRow, bit_row, words_for
from bidder.decision.blocks import ValueRowsOfAds, declared
from bidder.decision.contexts import ValueRows
from bidder.decision.dimensions import Ad, Dimension, inventory_keys, met_inventory
from bidder.decision.exchange_rules import refusal
from config.categories import parent
from config.schema import Bundle, ExchangeProfile


class Rows:
    """Collects rows and hands out their numbers."""

    def __init__(self, words: int) -> None:
        self.words = words
        self.rows: list[BitRow] = [np.zeros(words, np.uint64)]

    def add(self, ads: Iterable[int], base: BitRow | None = None) -> int:
        """Add a row of these ads, and those of `base`; return its number."""
        row = bit_row(ads, self.words)
        self.rows.append(row if base is None else row | base)
        return len(self.rows) - 1

    def add_each(self, ads_of: Mapping[str, Sequence[int]]) -> dict[str, int]:
        """Add a row of the ads of each value; return their numbers by value."""
        return {value: self.add(ads) for value, ads in ads_of.items()}


def by_value(values_of_ads: Sequence[Iterable[str]]) -> dict[str, list[int]]:
    """Return the ads, by number, of each value that any has."""
    ads_of: dict[str, list[int]] = {}
    for ad_index, values in enumerate(values_of_ads):
        for value in values:
            ads_of.setdefault(value, []).append(ad_index)
    return ads_of


def value_rows(dimension: Dimension, ads: Sequence[Ad], rows: Rows, offered: Sequence[str]) -> ValueRows:
    """Make a row of each value that ads name, and of each in `offered`."""
    wanted = [tuple(dimension.wanted(ad)) for ad in ads]
    indifferent = [i for i, values in enumerate(wanted) if not values]
    otherwise = rows.add(indifferent)
    ads_of = by_value(wanted)
    numbers = {}
    for value in dict.fromkeys((*offered, *ads_of)):
        accepting = [i for met in dimension.met_by(value) for i in ads_of.get(met, ())]
        numbers[value] = rows.add(accepting, rows.rows[otherwise])
    return ValueRows(dimension, numbers, otherwise)


def take_out_refused(
    exchanges: Sequence[ExchangeProfile], ads: Sequence[Ad], exchange_rows: ValueRows, rows: Rows
) -> None:
    """Clear the bits of the ads that an exchange refuses, in its own row."""
    for exchange in exchanges:
        refused = bit_row(
            (i for i, ad in enumerate(ads) if refusal(ad, exchange) is not None), words_for(len(ads))
        )
        rows.rows[exchange_rows.rows[exchange.id]] &= ~refused


def _seats(bundle: Bundle, ads: Sequence[Ad], rows: Rows) -> dict[str, dict[str, int]]:
    # Most advertisers have one seat everywhere: exchanges that know them alike share rows.
    known: dict[tuple[str, ...], dict[str, int]] = {}
    seats = {}
    for exchange in bundle.exchanges:
        by_advertiser = tuple(advertiser.seat_at(exchange.id) for advertiser in bundle.advertisers)
        if by_advertiser not in known:
            by_seat = by_value([(ad.advertiser.seat_at(exchange.id),) for ad in ads])
            known[by_advertiser] = rows.add_each(by_seat)
        seats[exchange.id] = known[by_advertiser]
    return seats


def excluded_inventory(ads: Sequence[Ad]) -> dict[str, list[int]]:
    """Return the ads that exclude each site or app, whatever it is that it is excluded by."""
    ads_of = by_value([inventory_keys(ad.line_item.targeting.inventory.exclude) for ad in ads])
    return {key: [i for met in met_inventory(key) for i in ads_of.get(met, ())] for key in ads_of}


def declared_rows(bundle: Bundle, ads: Sequence[Ad], rows: Rows) -> ValueRowsOfAds:
    """Make the rows of what ads say of themselves, which requests block or allow."""
    categories = [declared(ad) for ad in ads]
    return ValueRowsOfAds(
        # A blocked category blocks its children: each of ours counts under its parent too.
        categories=rows.add_each(
            by_value([{form for key in keys for form in (key, parent(key))} for keys in categories])
        ),
        declared=rows.add_each(by_value(categories)),
        domains=rows.add_each(by_value([_parents(ad.advertiser.domain) for ad in ads])),
        apps=rows.add_each(by_value([_said(ad.creative.app_bundle) for ad in ads])),
        languages=rows.add_each(by_value([_said(ad.creative.language) for ad in ads])),
        seats=_seats(bundle, ads, rows),
    )


def _said(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


def _parents(domain: str) -> list[str]:
    labels = domain.lower().split(".")
    return [".".join(labels[i:]) for i in range(len(labels))]
