"""Rows of the ads that an exchange's rules keep from some requests (`bidder.decision.exchange_rules`).

Each class holds the numbers of its rows in `Snapshot.arrays.bits`, and says which of them a request
blocks. `Add` is how a snapshot takes a row: the ads in it, for its number.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from bidder.decision.dimensions import Ad
from bidder.decision.exchange_rules import (
    PUBLISHER_WILL_RENDER,
    PUBLISHER_WONT_RENDER,
    barred_scopes,
    political_declaration,
)
from bidder.openrtb.opportunity import DsaTerms, GoogleTerms
from config.limits import POLITICAL_PLACES_CACHED_MAX
from config.schema import ExchangeProfile, PoliticalScope

Add = Callable[[Iterable[int]], int]


class PoliticalRows:
    """The political ads, by scope, and which of them an exchange does not show in a place."""

    def __init__(self, ads: Sequence[Ad], add: Add) -> None:
        ads_of: dict[PoliticalScope, list[int]] = {}
        for i, ad in enumerate(ads):
            declared = political_declaration(ad)
            if declared is not None:
                ads_of.setdefault(declared.scope, []).append(i)
        self._rows = {scope: add(of) for scope, of in ads_of.items()}
        self.any = bool(self._rows)
        self._barred: dict[tuple[str, str, str], tuple[int, ...]] = {}

    def barred(self, exchange: ExchangeProfile, country: str, region: str) -> tuple[int, ...]:
        """Return the rows of the ads that are barred in a place."""
        place = (exchange.id, country, region)
        rows = self._barred.get(place)
        if rows is None:
            if len(self._barred) >= POLITICAL_PLACES_CACHED_MAX:
                self._barred.clear()
            scopes = barred_scopes(exchange.political, country, region)
            rows = self._barred[place] = tuple(self._rows[scope] for scope in scopes if scope in self._rows)
        return rows


class DsaRows:
    """The ads by what they can say under the Digital Services Act."""

    def __init__(self, ads: Sequence[Ad], add: Add) -> None:
        self._undeclared = add(i for i, ad in enumerate(ads) if ad.advertiser.dsa is None)
        self._unshown = add(i for i, ad in enumerate(ads) if not ad.creative.shows_dsa_notice)
        self._shown = add(i for i, ad in enumerate(ads) if ad.creative.shows_dsa_notice)

    def barred(self, terms: DsaTerms) -> tuple[int, ...]:
        """Return the rows of the ads that can't meet a request's terms."""
        if not terms.required:
            return ()
        if terms.publisher_renders == PUBLISHER_WONT_RENDER:
            return self._undeclared, self._unshown
        if terms.publisher_renders == PUBLISHER_WILL_RENDER:
            return self._undeclared, self._shown
        return (self._undeclared,)


class GoogleRows:
    """The ads by billing id and restricted category, as one exchange with Google's extensions has them."""

    def __init__(self, exchange: ExchangeProfile, ads: Sequence[Ad], add: Add) -> None:
        billed_to: dict[int | None, list[int]] = {}
        restricted: dict[int, list[int]] = {}
        for i, ad in enumerate(ads):
            billed_to.setdefault(ad.advertiser.billing_ids.get(exchange.id), []).append(i)
            for category in ad.creative.restricted_categories:
                restricted.setdefault(category, []).append(i)
        self._billing_ids: Mapping[int | None, int] = {id_: add(of) for id_, of in billed_to.items()}
        self._restricted: Mapping[int, int] = {category: add(of) for category, of in restricted.items()}

    def barred(self, terms: GoogleTerms) -> list[int]:
        """Return the rows of the ads that an imp's terms keep out."""
        allowed = terms.restricted_categories
        rows = [row for category, row in self._restricted.items() if category not in allowed]
        if len(terms.billing_ids) > 1:
            rows += [row for id_, row in self._billing_ids.items() if id_ not in terms.billing_ids]
        return rows
