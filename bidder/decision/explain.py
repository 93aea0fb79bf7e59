"""Why each ad may or may not bid: the kernel's slow twin.

Written without rows of bits, straight from the config and the request, one rule after the other. It
answers `hustings explain`, and a property test holds the kernel to it: same choice, same price,
same reason, for any config and any request.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set

import msgspec
import numpy as np

from bidder.decision.dimensions import DIMENSIONS, Ad, inventory_keys, met_inventory, offered_inventory
from bidder.decision.kernels import MULTIPLIER_BITS, lot
from bidder.decision.media import mismatch as media_mismatch
from bidder.decision.reasons import Mismatch, Reason
from bidder.openrtb.opportunity import DealOffer, Opportunity, Slot
from config.audience import holds, parse_audience
from config.calendar import daypart_hours, flight_bounds_s, utc_offset_s
from config.schema import FrequencyCap, Places, code_of


class Person(msgspec.Struct, frozen=True):
    """Who would see the ad. `seen` is (today, this hour) by line item or campaign code."""

    segments: Set[str] = frozenset()
    known: bool = False
    """Recognised, and their frequency counts are at hand."""
    seen: Mapping[int, tuple[int, int]] = {}


class Market(msgspec.Struct, frozen=True):
    """The money side at this moment, by campaign code."""

    multiplier_q16: Mapping[int, int]
    available: Mapping[int, int]
    shade: Callable[[str, str, int], int]
    """(exchange id, format, value in CPM micros) -> price in CPM micros."""


class Verdict(msgspec.Struct, frozen=True):
    """What one ad comes to for one candidate."""

    ad: Ad
    reason: Reason
    mismatch: Mismatch | None = None
    value_cpm_micros: int = 0
    price_cpm_micros: int = 0


def judge(
    ad: Ad,
    opportunity: Opportunity,
    slot: Slot,
    deal: DealOffer | None,
    person: Person,
    market: Market,
    now_s: int,
) -> Verdict:
    """Return how far one ad comes for one imp, in the open auction or under a deal."""
    stopped = targeting_mismatch(ad, opportunity, slot, deal, now_s)
    if stopped is not None:
        return Verdict(ad, Reason.NO_MATCH, stopped)
    floor = deal.floor_cpm_micros if deal else slot.floor_cpm_micros
    assert floor is not None
    code = code_of(ad.campaign.id)
    value = (ad.line_item.bid_cpm * market.multiplier_q16[code]) >> MULTIPLIER_BITS
    if value < floor or value == 0:
        return Verdict(ad, Reason.BELOW_FLOOR, None, value)
    audience = parse_audience(ad.line_item.audience)
    if audience is not None and not holds(audience, person.segments):
        return Verdict(ad, Reason.OUT_OF_AUDIENCE, None, value)
    if _capped(ad, person):
        return Verdict(ad, Reason.CAPPED, None, value)
    price = value
    if deal.first_price if deal else opportunity.first_price:
        price = market.shade(opportunity.exchange_id, ad.creative.format, value)
    price = floor if deal and deal.fixed_price else max(price, floor)
    if market.available[code] < price:
        return Verdict(ad, Reason.NO_BUDGET, None, value, price)
    return Verdict(ad, Reason.BID, None, value, price)


def choose(
    verdicts: Sequence[Verdict], line_item_index: Mapping[str, int], draw: int, candidate: int
) -> Verdict | None:
    """Return the verdict that wins the candidate: the highest value, ties settled by lot."""
    bids = [verdict for verdict in verdicts if verdict.reason is Reason.BID]
    return max(
        bids,
        key=lambda verdict: (
            verdict.value_cpm_micros,
            int(lot(np.uint64(draw), candidate, line_item_index[verdict.ad.line_item.id])),
        ),
        default=None,
    )


def targeting_mismatch(
    ad: Ad, opportunity: Opportunity, slot: Slot, deal: DealOffer | None, now_s: int
) -> Mismatch | None:
    """Return the first rule that keeps an ad from an imp, or None when all of them pass it."""
    stopped = _schedule_mismatch(ad, now_s)
    if stopped is not None:
        return stopped
    for dimension in DIMENSIONS:
        wanted = set(dimension.wanted(ad))
        if wanted and wanted.isdisjoint(dimension.met_by(dimension.offered(opportunity))):
            return dimension.mismatch
    targeting = ad.line_item.targeting
    excluded = inventory_keys(targeting.inventory.exclude)
    if not set(excluded).isdisjoint(met_inventory(offered_inventory(opportunity))):
        return Mismatch.INVENTORY_EXCLUDED
    if (deal.id not in targeting.deals) if deal else targeting.deals:
        return Mismatch.DEAL
    if targeting.geo.include != Places() and not _within(targeting.geo.include, opportunity):
        return Mismatch.PLACE
    if _within(targeting.geo.exclude, opportunity):
        return Mismatch.PLACE_EXCLUDED
    return _block_mismatch(ad, opportunity, deal) or media_mismatch(slot.media, ad.creative)


def _schedule_mismatch(ad: Ad, now_s: int) -> Mismatch | None:
    if ad.campaign.paused or ad.line_item.paused:
        return Mismatch.PAUSED
    zone = ad.campaign.time_zone
    for flight in (ad.campaign.flight, ad.line_item.flight):
        start_s, end_s = flight_bounds_s(flight, zone)
        if not start_s <= now_s < end_s:
            return Mismatch.FLIGHT
    hour = ((now_s + utc_offset_s(now_s, zone)) // 3_600 + 72) % 168
    if hour not in daypart_hours(ad.line_item.targeting.dayparts):
        return Mismatch.DAYPART
    return None


def _within(places: Places, opportunity: Opportunity) -> bool:
    return (
        opportunity.country in places.countries
        or opportunity.region in places.regions
        or opportunity.metro in places.metros
        or opportunity.zip_code in places.zips
    )


def _block_mismatch(ad: Ad, opportunity: Opportunity, deal: DealOffer | None) -> Mismatch | None:
    advertiser = ad.advertiser
    for category in advertiser.categories:
        if {category, category.partition("-")[0]} & set(opportunity.blocked_categories):
            return Mismatch.CATEGORY_BLOCKED
    for domain in opportunity.blocked_domains:
        if advertiser.domain == domain or advertiser.domain.endswith("." + domain):
            return Mismatch.ADVERTISER_BLOCKED
    for allowed in (opportunity.allowed_seats, deal.seats if deal else ()):
        if allowed and advertiser.seat not in allowed:
            return Mismatch.SEAT
    return Mismatch.SEAT if advertiser.seat in opportunity.blocked_seats else None


def _capped(ad: Ad, person: Person) -> bool:
    def reached(id_: str, cap: FrequencyCap) -> bool:
        if cap == FrequencyCap():
            return False
        today, this_hour = person.seen.get(code_of(id_), (0, 0))
        over_day = cap.per_day is not None and today >= cap.per_day
        return not person.known or over_day or (cap.per_hour is not None and this_hour >= cap.per_hour)

    return reached(ad.line_item.id, ad.line_item.frequency_cap) or reached(
        ad.campaign.id, ad.campaign.frequency_cap
    )


def furthest(verdicts: Iterable[Verdict]) -> Reason:
    """Return the reason of a candidate nobody bids on: that of the ad that came furthest."""
    return max((verdict.reason for verdict in verdicts), default=Reason.NO_MATCH)
