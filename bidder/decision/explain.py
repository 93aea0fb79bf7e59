"""Why each ad may or may not bid: the kernel's slow twin.

Written without rows of bits, straight from the config and the request, one rule after the other. It
answers `hustings explain`, and a property test holds the kernel to it: same choice, same price,
same reason, for any config and any request.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set

import msgspec
import numpy as np

from bidder.decision.blocks import block_mismatch
from bidder.decision.dimensions import DIMENSIONS, Ad, inventory_keys, met_inventory, offered_inventory
from bidder.decision.exchange_rules import (
    dsa_mismatch,
    google_mismatch,
    political_mismatch,
    refusal,
)
from bidder.decision.floors import floor_class, floor_cpm_micros
from bidder.decision.kernels import MULTIPLIER_BITS, lot
from bidder.decision.media import mismatch as media_mismatch
from bidder.decision.pods import clash
from bidder.decision.reasons import Mismatch, Reason
from bidder.decision.scoring import Predict, no_prediction
from bidder.openrtb.opportunity import DealOffer, Opportunity, Pod, Slot
from config.audience import holds, parse_audience
from config.calendar import daypart_hours, flight_bounds_s, utc_offset_s
from config.limits import ADJUSTMENT_MAX_MILLIONTHS, ADJUSTMENT_MIN_MILLIONTHS
from config.money import BILLION, MICROS, play_cost
from config.schema import BidAdjustments, ExchangeProfile, FrequencyCap, Places, account_code, code_of
from pacing.caps import Seen
from pacing.cells import DEVICES, Cell, device_index
from pacing.prediction import prior_billionths
from pacing.shading import UNEXPLORED


def _all_of_it(code: int, left: int) -> int:
    return left


class Person(msgspec.Struct, frozen=True):
    """Who would see the ad. `seen`, `pending` and `share` are by line item or campaign code."""

    segments: Set[str] = frozenset()
    known: bool = False
    """Recognised, and their frequency counts are at hand."""
    seen: Mapping[int, Seen] = {}
    pending: Mapping[int, int] = {}
    """Bids that may still become impressions."""
    share: Callable[[int, int], int] = _all_of_it
    """(code, impressions that a cap leaves) -> how many of them a worker may have bids for."""


class Market(msgspec.Struct, frozen=True):
    """The money side at this moment, by campaign code."""

    multiplier_q16: Mapping[int, int]
    available: Mapping[int, int]
    """Also by account code, for line items with a budget of their own."""
    shade: Callable[[Cell, int, np.uint64], int]
    """(cell, value in CPM micros, ticket) -> price in CPM micros, as `pacing.shading.shade`."""
    too_small: Set[str] = frozenset()
    """The line items whose audience has too few people."""
    predict: Predict = no_prediction


class Taken(msgspec.Struct, frozen=True):
    """What is chosen already, where the next bid is one of several."""

    of_imp: tuple[Ad, ...] = ()
    of_break: tuple[Ad, ...] = ()
    """For the other imps of its break."""


NOTHING_TAKEN = Taken()


class Verdict(msgspec.Struct, frozen=True):
    """What one ad comes to for one candidate."""

    ad: Ad
    reason: Reason
    mismatch: Mismatch | None = None
    rate_billionths: int = BILLION
    """How often an impression is thought to bring what the line item pays for."""
    factor_millionths: int = MICROS
    """Its adjustments together."""
    worth_cpm_micros: int = 0
    """What the impression is worth to it, before pacing."""
    value_cpm_micros: int = 0
    """Paced."""
    price_cpm_micros: int = 0
    cap: str = ""
    """Which frequency cap stopped it, and how."""


def judge(
    ad: Ad,
    exchange: ExchangeProfile,
    opportunity: Opportunity,
    slot: Slot,
    deal: DealOffer | None,
    person: Person,
    market: Market,
    now_s: int,
    taken: Taken = NOTHING_TAKEN,
    ticket: np.uint64 = UNEXPLORED,
) -> Verdict:
    """Return how far one ad comes for one imp, in the open auction or under a deal.

    `ticket` is its line item's `lot`, which decides whether its price explores.
    """
    stopped = targeting_mismatch(ad, exchange, opportunity, slot, deal, now_s)
    if stopped is None and ad.line_item.id in market.too_small:
        stopped = Mismatch.AUDIENCE_SMALL
    stopped = stopped or _taken_mismatch(ad, slot.pod, taken)
    if stopped is not None:
        return Verdict(ad, Reason.NO_MATCH, stopped)
    floor = floor_cpm_micros(slot, deal, floor_class(ad.creative))
    code = code_of(ad.campaign.id)
    rate = _rate_billionths(ad, opportunity, slot, market.predict, now_s)
    factor = _factor_millionths(ad.line_item.bid_adjustments, person.segments, opportunity.zip_code)
    worth = ad.line_item.price.amount * rate // BILLION * factor // MICROS
    worth = min(worth, ad.line_item.cpm_max_micros)
    is_paced = deal is None or not deal.guaranteed

    def paced(cpm_micros: int) -> int:
        return (cpm_micros * market.multiplier_q16[code]) >> MULTIPLIER_BITS if is_paced else cpm_micros

    highest, value = paced(ad.line_item.cpm_max_micros), paced(worth)

    def verdict(reason: Reason, price: int = 0, cap: str = "") -> Verdict:
        return Verdict(ad, reason, None, rate, factor, worth, value, price, cap)

    if highest < floor or highest == 0:
        return verdict(Reason.BELOW_FLOOR)
    audience = parse_audience(ad.line_item.audience)
    if audience is not None and not holds(audience, person.segments):
        return verdict(Reason.OUT_OF_AUDIENCE)
    if value < floor or value == 0:
        return verdict(Reason.BELOW_FLOOR)
    cap = cap_reached(ad, person, now_s)
    if cap is not None:
        return verdict(Reason.CAPPED, cap=cap)
    price = value
    if deal.first_price if deal else opportunity.first_price:
        device = DEVICES[device_index(opportunity.device_type)]
        price = market.shade(Cell(opportunity.exchange_id, ad.creative.format, device), value, ticket)
    price = floor if deal and deal.fixed_price else max(price, floor)
    own = account_code(ad.campaign.id, ad.line_item.id)
    accounts = (code, own) if ad.line_item.has_budget else (code,)
    if min(market.available[account] for account in accounts) < play_cost(price, slot.multiplier_millionths):
        return verdict(Reason.NO_BUDGET, price)
    return verdict(Reason.BID, price)


def _rate_billionths(ad: Ad, opportunity: Opportunity, slot: Slot, predict: Predict, now_s: int) -> int:
    event, _ = ad.line_item.price
    prior = prior_billionths(ad.line_item, ad.creative.format)
    if event == "view":
        return slot.view_billionths or prior
    if event == "impression":
        return BILLION
    predicted = predict(event, ad, opportunity, slot, now_s)
    if predicted is None:
        return slot.completion_billionths or prior if event == "completion" else prior
    return predicted


def _factor_millionths(adjustments: BidAdjustments, segments: Set[str], zip_code: str) -> int:
    factors = [factor for name, factor in adjustments.segments.items() if name in segments]
    factors += [factor for code, factor in adjustments.zips.items() if code == zip_code]
    together = MICROS
    for factor in factors:
        together = together * factor // MICROS
        together = min(max(together, ADJUSTMENT_MIN_MILLIONTHS), ADJUSTMENT_MAX_MILLIONTHS)
    return together


def bids_wanted(slot: Slot, exchange: ExchangeProfile) -> int:
    """Return how many bids an imp takes, those under its deals included."""
    wanted = exchange.bids_per_imp_max
    if slot.pod is not None and slot.pod.seconds and slot.pod.ads_max:
        wanted = min(wanted, slot.pod.ads_max)
    return wanted


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
    ad: Ad,
    exchange: ExchangeProfile,
    opportunity: Opportunity,
    slot: Slot,
    deal: DealOffer | None,
    now_s: int,
) -> Mismatch | None:
    """Return the first rule that keeps an ad from an imp, or None when all of them pass it."""
    stopped = _schedule_mismatch(ad, now_s)
    if stopped is not None:
        return stopped
    for dimension in DIMENSIONS:
        wanted = set(dimension.wanted(ad))
        if wanted and wanted.isdisjoint(dimension.met_by(dimension.offered(opportunity))):
            return dimension.mismatch
    stopped = (
        refusal(ad, exchange)
        or political_mismatch(ad, exchange, opportunity.country, opportunity.region)
        or dsa_mismatch(ad, opportunity.dsa)
        or google_mismatch(ad, exchange.id, slot.google)
    )
    if stopped is not None:
        return stopped
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
    return block_mismatch(ad, exchange.id, opportunity.blocks, deal) or media_mismatch(
        slot.media, ad.creative, targeting.slot
    )


def _taken_mismatch(ad: Ad, pod: Pod | None, taken: Taken) -> Mismatch | None:
    if any(other.creative.id == ad.creative.id for other in taken.of_imp):
        return Mismatch.SAME_CREATIVE
    if pod is None:
        return None
    others = taken.of_break
    if pod.seconds:
        used = sum(other.creative.duration_seconds or 0 for other in taken.of_imp)
        if (ad.creative.duration_seconds or 0) > pod.seconds - used:
            return Mismatch.POD_TIME
        others += taken.of_imp
    return Mismatch.POD_TWICE if any(clash(ad, other, pod.dedupe) for other in others) else None


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


def cap_reached(ad: Ad, person: Person, now_s: int) -> str | None:
    """Say which frequency cap keeps an ad from a person, and how; None when none does."""
    campaign, item = ad.campaign, ad.line_item
    starts_s = [flight_bounds_s(flight, campaign.time_zone)[0] for flight in (campaign.flight, item.flight)]
    for what, id_, cap, start_s in (
        ("line item", item.id, item.frequency_cap, max(starts_s)),
        ("campaign", campaign.id, campaign.frequency_cap, starts_s[0]),
    ):
        if cap == FrequencyCap():
            continue
        if not person.known:
            return f"{what} {id_} has a frequency cap, and the person can't be recognised"
        reached = _window_reached(cap, start_s, code_of(id_), person, now_s)
        if reached is not None:
            return f"frequency cap of {what} {id_} reached: {reached}"
    return None


def _window_reached(cap: FrequencyCap, start_s: int, code: int, person: Person, now_s: int) -> str | None:
    seen, pending = person.seen.get(code, Seen()), person.pending.get(code, 0)
    in_flight = seen.flight if seen.last_minutes >= start_s // 60 else 0
    for window, most, shown in (
        ("per_hour", cap.per_hour, seen.hour),
        ("per_day", cap.per_day, seen.day),
        ("per_week", cap.per_week, seen.week),
        ("per_flight", cap.per_flight, in_flight),
    ):
        if most is not None and (shown >= most or pending >= person.share(code, most - shown)):
            return f"{window} {most}, seen {shown}" + (f" and {pending} bid" if pending else "")
    if cap.gap_minutes is not None:
        ago = now_s // 60 - seen.last_minutes
        if seen.last_minutes >= 0 and ago <= cap.gap_minutes:
            return f"gap_minutes {cap.gap_minutes}, last seen {ago} minutes ago"
        if pending >= person.share(code, 1):
            return f"gap_minutes {cap.gap_minutes}, and a bid is under way"
    return None


def furthest(verdicts: Iterable[Verdict]) -> Reason:
    """Return the reason of a candidate nobody bids on: that of the ad that came furthest."""
    return max((verdict.reason for verdict in verdicts), default=Reason.NO_MATCH)
