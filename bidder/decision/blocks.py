"""Whom a request and a deal keep out: categories, advertisers, apps, languages, seats.

`block_mismatch` is the rule for one ad; `bidder.decision.explain` asks it. The same lists come with all
requests of a publisher, so `BlockRows` makes one row of the ads they leave, the first time it meets
them, from the rows of each category, domain, app, language and seat that a config has.

A category is blocked with those below it (`config.categories`). An allow list of categories is met by
an ad that declares something in the list's taxonomy, and nothing there that the list lacks. A domain
covers its subdomains, on block lists and on allow lists. A creative that does not say its language is
in none.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bidder.decision.bitrows import BitRow
from bidder.decision.dimensions import Ad
from bidder.decision.exchange_rules import categories
from bidder.decision.match_rows import MatchRows
from bidder.decision.reasons import Mismatch
from bidder.openrtb.opportunity import NO_BLOCKS, Blocks, DealOffer
from config.categories import all_keys, parent, taxonomy_of


def declared(ad: Ad) -> tuple[str, ...]:
    """Return every category an ad is in, of any taxonomy, as `config.categories` writes them."""
    keys = all_keys(categories(ad), ad.advertiser.other_categories)
    return tuple(dict.fromkeys((*keys, *all_keys((), ad.creative.other_categories))))


def within(domain: str, listed: str) -> bool:
    """Tell whether a domain is a listed one or below it."""
    return domain == listed or domain.endswith("." + listed)


def block_mismatch(ad: Ad, exchange_id: str, blocks: Blocks, deal: DealOffer | None) -> Mismatch | None:
    """Return which list keeps an ad out, or None."""
    mine = declared(ad)
    if any({key, parent(key)} & set(blocks.categories) for key in mine):
        return Mismatch.CATEGORY_BLOCKED
    if blocks.allowed_categories:
        taxonomies = {taxonomy_of(key) for key in blocks.allowed_categories}
        judged = [key for key in mine if taxonomy_of(key) in taxonomies]
        if not judged or not all({key, parent(key)} & set(blocks.allowed_categories) for key in judged):
            return Mismatch.CATEGORY_NOT_ALLOWED
    domain = ad.advertiser.domain
    if any(within(domain, listed) for listed in blocks.domains):
        return Mismatch.ADVERTISER_BLOCKED
    if ad.creative.app_bundle is not None and ad.creative.app_bundle in blocks.apps:
        return Mismatch.APP_BLOCKED
    if blocks.allowed_languages and ad.creative.language not in blocks.allowed_languages:
        return Mismatch.LANGUAGE
    seat = ad.advertiser.seat_at(exchange_id)
    for allowed in (blocks.allowed_seats, deal.seats if deal else ()):
        if allowed and seat not in allowed:
            return Mismatch.SEAT
    if seat in blocks.seats:
        return Mismatch.SEAT
    if deal is not None and deal.domains and not any(within(domain, listed) for listed in deal.domains):
        return Mismatch.DEAL_ADVERTISER
    return None


class KeptOut(NamedTuple):
    """What one row is about: the lists of a request, and of a deal if it has any."""

    exchange_id: str
    blocks: Blocks
    seats: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()


NOBODY_KEPT_OUT = KeptOut("", NO_BLOCKS)


class ValueRowsOfAds(NamedTuple):
    """Row numbers in a snapshot's bits, by the value that their ads share."""

    categories: Mapping[str, int]
    """Each category with those below it."""
    declared: Mapping[str, int]
    """Each category alone."""
    domains: Mapping[str, int]
    """Each advertiser's domain, and each above it."""
    apps: Mapping[str, int]
    languages: Mapping[str, int]
    seats: Mapping[str, Mapping[str, int]]
    """By exchange: a seat as it is known there -> row of its ads."""


class BlockRows:
    """The row of ads that are left, for each combination of lists met so far."""

    def __init__(self, values: ValueRowsOfAds, bits: npt.NDArray[np.uint64]) -> None:
        self._values = values
        self._all = bits
        self._rows: MatchRows[KeptOut] = MatchRows(self._left, bits.shape[1])
        self.make_room = self._rows.make_room
        self.row_of = self._rows.row_of

    @property
    def bits(self) -> npt.NDArray[np.uint64]:
        """uint64[rows, words], by the numbers that `row_of` returns."""
        return self._rows.bits

    def _left(self, lists: KeptOut) -> BitRow:
        blocks, known = lists.blocks, self._values
        out = self._any(known.categories, blocks.categories)
        if blocks.allowed_categories:
            out |= ~self._allowed_by_category(blocks.allowed_categories)
        out |= self._any(known.domains, blocks.domains)
        out |= self._any(known.apps, blocks.apps)
        seats = known.seats.get(lists.exchange_id, {})
        out |= self._any(seats, blocks.seats)
        for rows, allowed in (
            (known.languages, blocks.allowed_languages),
            (seats, blocks.allowed_seats),
            (seats, lists.seats),
            (known.domains, lists.domains),
        ):
            if allowed:
                out |= ~self._any(rows, allowed)
        return ~out

    def _allowed_by_category(self, allowed: Sequence[str]) -> BitRow:
        taxonomies = {taxonomy_of(key) for key in allowed}
        judged = [key for key in self._values.declared if taxonomy_of(key) in taxonomies]
        passed = set(allowed)
        refused = [key for key in judged if not {key, parent(key)} & passed]
        return self._any(self._values.declared, judged) & ~self._any(self._values.declared, refused)

    def _any(self, rows: Mapping[str, int], values: Sequence[str]) -> BitRow:
        """The ads in any of the rows of these values."""
        met = list({rows[value] for value in values if value in rows})
        row: BitRow = np.bitwise_or.reduce(self._all[met], axis=0)
        return row
