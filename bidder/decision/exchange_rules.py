"""What an exchange has to say about an ad: its review, the fields it wants, politics, the DSA.

Most of it depends on the ad and the exchange alone: `refusal` is asked once for each pair when a config is
compiled, and a refused ad has no bit in the exchange's row. What depends on the request as well are
rows that a request blocks (`bidder.decision.columns`):

    politics    by scope, where `barred_scopes` of the exchange's rules bars the request's place
    DSA         ads that can't say what the request requires (`dsa_mismatch`)
    Google's    ads under a billing id, or in a restricted category, that the imp does not list

The functions are the rules themselves; `bidder.decision.explain` asks them ad by ad.
"""

import re
from collections.abc import Callable

from bidder.decision.dimensions import Ad
from bidder.decision.media import is_secure
from bidder.decision.reasons import Mismatch
from bidder.openrtb.opportunity import DsaTerms, GoogleTerms
from config.schema import (
    POLITICAL_SCOPES,
    POLITICS,
    Creative,
    ExchangeProfile,
    Political,
    PoliticalRules,
    PoliticalScope,
    RequiredField,
)

PUBLISHER_WONT_RENDER, PUBLISHER_WILL_RENDER = 0, 2
"""`regs.ext.dsa.pubrender`; 1 leaves it to the bid's `adrender` (IAB OpenRTB extension, dsa_transparency)."""

_REGION = re.compile(r"[A-Z]{3}-[A-Z0-9]{1,3}")


def categories(ad: Ad) -> tuple[str, ...]:
    """Return what an ad declares as `cat`: its advertiser's, its own, and politics if that is declared."""
    declared = (*ad.advertiser.categories, *ad.creative.categories)
    if political_declaration(ad) is not None:
        declared += (POLITICS,)
    return tuple(dict.fromkeys(declared))


def political_declaration(ad: Ad) -> Political | None:
    """Return who paid for a political ad; the creative's word goes before its campaign's."""
    return ad.creative.political or ad.campaign.political


def preview_url(creative: Creative) -> str | None:
    """Return a picture of the ad for its reviewers (`iurl`), or None when there is none."""
    if creative.preview_url is not None:
        return creative.preview_url
    if creative.native is not None and creative.native.image is not None:
        return creative.native.image.url
    return creative.image_url


def refusal(ad: Ad, exchange: ExchangeProfile) -> Mismatch | None:
    """Return why an exchange can never get an ad, or None."""
    approval = ad.creative.approvals.get(exchange.id)
    if approval is not None and approval.state == "disapproved":
        return Mismatch.CREATIVE_DISAPPROVED
    if exchange.approval_required and (approval is None or approval.state != "approved"):
        return Mismatch.CREATIVE_UNAPPROVED
    if exchange.markup == "registered" and (approval is None or approval.id is None):
        return Mismatch.CREATIVE_UNREGISTERED
    for field in exchange.requires:
        mismatch, has = _REQUIRED[field]
        if not has(ad, exchange):
            return mismatch
    if POLITICS not in categories(ad):
        return None
    if political_declaration(ad) is None:
        return Mismatch.POLITICAL_UNDECLARED
    if ad.line_item.uses_segments and not exchange.political.audiences:
        return Mismatch.POLITICAL_AUDIENCE
    return None


_REQUIRED: dict[RequiredField, tuple[Mismatch, Callable[[Ad, ExchangeProfile], object]]] = {
    "iurl": (Mismatch.PREVIEW_MISSING, lambda ad, exchange: preview_url(ad.creative)),
    "banner_iurl": (
        Mismatch.PREVIEW_MISSING,
        lambda ad, exchange: ad.creative.format != "banner" or preview_url(ad.creative),
    ),
    # These two are sent whatever the ad: an empty list of attributes is an answer, too.
    "attr": (Mismatch.ATTRIBUTE, lambda ad, exchange: True),
    "ext_protocol": (Mismatch.PROTOCOL, lambda ad, exchange: True),
    "language": (Mismatch.LANGUAGE_MISSING, lambda ad, exchange: ad.creative.language),
    "billing_id": (
        Mismatch.BILLING_ID_MISSING,
        lambda ad, exchange: exchange.id in ad.advertiser.billing_ids,
    ),
    "seat": (Mismatch.SEAT_MISSING, lambda ad, exchange: exchange.id in ad.advertiser.seats),
    "numeric_seat": (
        Mismatch.SEAT_NOT_NUMERIC,
        lambda ad, exchange: ad.advertiser.seat_at(exchange.id).isdecimal(),
    ),
    "https": (Mismatch.NOT_SECURE_HERE, lambda ad, exchange: is_secure(ad.creative)),
}


def barred_scopes(rules: PoliticalRules, country: str, region: str) -> tuple[PoliticalScope, ...]:
    """Return which political ads may not be shown in a place.

    A request that does not say its country is in none of those allowed. One whose region is not given,
    or is not written as a region (``USA-CA``), may be in any, so what one region bars is barred.
    """
    if country not in rules.countries:
        return POLITICAL_SCOPES
    known = _REGION.fullmatch(region) is not None
    barred = {
        scope
        for rule in rules.barred
        if (region in rule.regions if known else any(r.startswith(f"{country}-") for r in rule.regions))
        for scope in rule.scopes
    }
    return tuple(scope for scope in POLITICAL_SCOPES if scope in barred)


def political_mismatch(ad: Ad, exchange: ExchangeProfile, country: str, region: str) -> Mismatch | None:
    """Return why a political ad can't be shown in a place; None when it can, or is not political."""
    declared = political_declaration(ad)
    if declared is None or declared.scope not in barred_scopes(exchange.political, country, region):
        return None
    return Mismatch.POLITICAL_PLACE


def can_answer_dsa(terms: DsaTerms, creative: Creative) -> bool:
    """Tell whether exactly one side would show the DSA's notice, as the terms have it."""
    if terms.publisher_renders == PUBLISHER_WONT_RENDER:
        return creative.shows_dsa_notice
    return terms.publisher_renders != PUBLISHER_WILL_RENDER or not creative.shows_dsa_notice


def dsa_mismatch(ad: Ad, terms: DsaTerms | None) -> Mismatch | None:
    """Return why an ad can't give a request the DSA declaration it requires, or None."""
    if terms is None or not terms.required:
        return None
    if ad.advertiser.dsa is None:
        return Mismatch.DSA_MISSING
    return None if can_answer_dsa(terms, ad.creative) else Mismatch.DSA_RENDERING


def google_mismatch(ad: Ad, exchange_id: str, terms: GoogleTerms | None) -> Mismatch | None:
    """Return why an ad can't have one of Google's imps, or None.

    A billing id matters where an imp lists several: one alone goes without saying (openrtb-adx.proto,
    BidExt.billing_id). A restricted category must be allowed by the imp (ImpExt).
    """
    if terms is None:
        return None
    if len(terms.billing_ids) > 1 and ad.advertiser.billing_ids.get(exchange_id) not in terms.billing_ids:
        return Mismatch.BILLING_ID
    if not set(ad.creative.restricted_categories) <= set(terms.restricted_categories):
        return Mismatch.RESTRICTED_CATEGORY
    return None
