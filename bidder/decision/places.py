"""The rows that follow from where the person is: ads that name the place, and ads that are kept out of it.

A place is a country, region, metro and postal code, as a request has them. Some thousands make up most of
an exchange's traffic; each is worked out once for each exchange, whose rules on political ads go by
place as well.
"""

from collections.abc import Mapping
from typing import NamedTuple

from bidder.decision.exchange_rows import PoliticalRows
from bidder.decision.facts import NO_FACTS, Facts, Part
from bidder.openrtb.opportunity import Opportunity
from config.limits import PLACES_CACHED_MAX
from config.schema import ExchangeProfile

NOTHING_ROW = 0
PLACE_KINDS = ("countries", "regions", "metros", "zips")
"""Fields of `config.schema.Places`, in the order of a candidate's place rows."""

RowsByKind = tuple[Mapping[str, int], ...]
"""By PLACE_KINDS: value -> row of the ads that name it."""


class Place(NamedTuple):
    """Row numbers in a snapshot's bits."""

    within: tuple[int, ...]
    """Ads that name no place, then a row for each of PLACE_KINDS: any of them will do."""
    barred: tuple[int, ...]
    """Ads that exclude the place, and political ads that the exchange does not show there."""
    facts: Part


class PlaceRows:
    """The places met so far."""

    def __init__(
        self,
        anywhere_row: int,
        named: RowsByKind,
        excluded: RowsByKind,
        political: PoliticalRows,
        facts: Facts | None,
    ) -> None:
        self._anywhere_row = anywhere_row
        self._named = named
        self._excluded = excluded
        self._political = political
        self._facts = facts
        self._known: dict[tuple[str, str, str, str, str], Place] = {}

    def of(self, exchange: ExchangeProfile, opportunity: Opportunity) -> Place:
        """Return the rows of a request's place."""
        key = (
            exchange.id,
            opportunity.country,
            opportunity.region,
            opportunity.metro,
            opportunity.zip_code,
        )
        return self._known.get(key) or self._add(key, exchange)

    def _add(self, key: tuple[str, str, str, str, str], exchange: ExchangeProfile) -> Place:
        if len(self._known) >= PLACES_CACHED_MAX:
            self._known.clear()
        values = key[1:]
        within = [rows.get(value, NOTHING_ROW) for rows, value in zip(self._named, values, strict=True)]
        barred = [rows[value] for rows, value in zip(self._excluded, values, strict=True) if value in rows]
        if self._political.any:
            barred += self._political.barred(exchange, key[1], key[2])
        facts = self._facts.of_place(*key) if self._facts is not None else NO_FACTS
        place = self._known[key] = Place((self._anywhere_row, *within), tuple(barred), facts)
        return place
