"""Turn a wire bid request into an Opportunity: with `bidder.openrtb.offers` the one place where OpenRTB's
words become ours.

Runs once for each request on the hot path, so it is plain attribute reading and no more.
"""

from collections.abc import Set
from urllib.parse import urlsplit

from msgspec.structs import replace

from bidder.openrtb import wire
from bidder.openrtb.offers import (
    deal_offers,
    floor_cpm_micros,
    floors_in_ours,
    google_terms,
    imp_offer,
    request_blocks,
)
from bidder.openrtb.opportunity import DealOffer, DsaTerms, Opportunity, Slot
from bidder.openrtb.person import HashUser, person_hash
from bidder.openrtb.privacy import NO_VENDOR, Vendor, request_permissions
from config.check import OPERATING_SYSTEMS
from config.currency import Currencies
from config.limits import IMPS_PER_REQUEST_MAX
from config.money import BILLION, MICROS
from config.schema import ExchangeProfile

_OPERATING_SYSTEMS = {
    "iphone": "ios",
    "ipad": "ios",
    "ipados": "ios",
    "iphone os": "ios",
    "os x": "macos",
    "mac os x": "macos",
    "mac os": "macos",
    "windows nt": "windows",
    "windows phone": "other",
    "chrome os": "chromeos",
    "chromium os": "chromeos",
    "cros": "chromeos",
    "fire os": "fireos",
    "apple tv": "tvos",
    "roku os": "roku",
}
"""Spellings seen in requests, lower case, and the name a config uses for them."""

_DSA_REQUIRED = 2
"""`dsarequired`: 0 no, 1 welcome, 2 required, 3 required of an online platform (dsa_transparency)."""

_VIEWABILITY, _COMPLETION = "viewability", "video_completion_rate"
"""Names of metrics (2.6, 3.2.5), which exchanges choose; these are Google's, from its openrtb-adx.proto."""

_NO_DEVICE = wire.Device()
_NO_GEO = wire.Geo()


def translate(
    request: wire.BidRequest,
    exchange: ExchangeProfile,
    currencies: Currencies,
    hash_user: HashUser,
    vendor: Vendor = NO_VENDOR,
    linked_sources: Set[str] = frozenset(),
) -> Opportunity:
    """Say in our words what a request offers, and read of the person what `vendor` may read.

    An Opportunity without a currency can't be bid on: the request takes none that has a rate.
    `linked_sources` are those of all exchanges (`bidder.openrtb.person`).
    """
    device = request.device or _NO_DEVICE
    geo = device.geo or _NO_GEO
    country = geo.country or ""
    first_price = (request.at or exchange.auction_type_default) == 1
    permissions = request_permissions(request, vendor)
    zip_code = geo.zip if permissions.precise_geo else None
    currency = currencies.to_bid_in(request.cur)
    screen = (device.w or 0, device.h or 0)
    imps = request.imp[:IMPS_PER_REQUEST_MAX]
    if len(imps) > 1 and len({imp.id for imp in imps}) < len(imps):
        imps = _first_of_each_id(imps)
    slots = [_slot(imp, first_price, currencies, currency, screen) for imp in imps]
    if len(slots) > 1 and any(slot.pod for slot in slots):
        slots = _under_one_rule(slots)
    if exchange.extensions == "google":
        slots = [replace(slot, google=google_terms(imp.ext)) for slot, imp in zip(slots, imps, strict=True)]
    return Opportunity(
        request_id=request.id,
        exchange_id=exchange.id,
        slots=tuple(slots),
        first_price=first_price,
        currency=currency,
        domain=_domain(request),
        bundle=(request.app.bundle or "") if request.app else "",
        device_type=device.devicetype or 0,
        operating_system=_operating_system(_platform(device)),
        country=country,
        region=f"{country}-{geo.region.removeprefix('US-')}" if geo.region and country else "",
        metro=geo.metro or "",
        zip_code=f"{country}-{_postcode(zip_code, country)}" if zip_code and country else "",
        user_hash=person_hash(request.user, device, exchange, linked_sources, hash_user)
        if permissions.identify
        else 0,
        permissions=permissions,
        blocks=request_blocks(request),
        dsa=_dsa_terms(request.regs) if request.regs is not None else None,
    )


def _platform(device: wire.Device) -> str | None:
    """Client hints come before what the user agent says, which browsers freeze (OpenRTB 2.6, 3.2.18)."""
    sua = device.sua
    if sua is not None and sua.platform is not None and sua.platform.brand:
        return sua.platform.brand
    return device.os


def _operating_system(os: str | None) -> str:
    """Return a config's name for a system; `other` for one it has no name for, "" for none given."""
    if not os:
        return ""
    system = os.lower()
    system = _OPERATING_SYSTEMS.get(system, system)
    return system if system in OPERATING_SYSTEMS else "other"


def _dsa_terms(regs: wire.Regs) -> DsaTerms | None:
    dsa = regs.ext.dsa if regs.ext is not None else None
    if dsa is None or not dsa.dsarequired:
        return None
    return DsaTerms(required=dsa.dsarequired >= _DSA_REQUIRED, publisher_renders=dsa.pubrender or 0)


def _postcode(text: str, country: str) -> str:
    """A ZIP+4 narrows a ZIP, and targeting is by ZIP."""
    return text[:5] if country == "USA" else text


def _domain(request: wire.BidRequest) -> str:
    if request.site is not None:
        return site_domain(request.site)
    return ((request.dooh and request.dooh.domain) or "").lower()


def site_domain(site: wire.Site) -> str:
    """Return a site's domain, lower case and without `www.`; its page's host where it is not given."""
    domain = (site.domain or "").lower()
    if not domain and site.page:
        try:
            domain = urlsplit(site.page).hostname or ""
        except ValueError:
            domain = ""
    return domain.removeprefix("www.")


def _slot(
    imp: wire.Imp, first_price: bool, currencies: Currencies, bid_currency: str, screen: tuple[int, int]
) -> Slot:
    offer = imp_offer(imp, screen)
    deals: tuple[DealOffer, ...] = ()
    deals_only = False
    if imp.pmp is not wire.ABSENT:
        deals, deals_only = deal_offers(bytes(imp.pmp), first_price, currencies, bid_currency)
    floor = floor_cpm_micros(imp.bidfloor, imp.bidfloorcur, currencies, bid_currency)
    view, completion = _stated_rates(imp.metric) if imp.metric else (0, 0)
    if offer.is_plain and imp.qty is None and not view and not completion:
        return Slot(imp.id, offer.media, floor, deals, deals_only)
    video_floors = floors_in_ours(offer.video_floors, imp.bidfloorcur, currencies, bid_currency)
    audio_floors = floors_in_ours(offer.audio_floors, imp.bidfloorcur, currencies, bid_currency)
    if (video_floors is None) != (offer.video_floors is None) or (audio_floors is None) != (
        offer.audio_floors is None
    ):
        floor = None
    return Slot(
        imp_id=imp.id,
        media=offer.media,
        floor_cpm_micros=floor,
        deals=deals,
        deals_only=deals_only,
        video_floors=video_floors,
        audio_floors=audio_floors,
        pod=offer.pod,
        multiplier_millionths=_multiplier_millionths(imp.qty),
        view_billionths=view,
        completion_billionths=completion,
    )


def _stated_rates(metrics: list[wire.Metric]) -> tuple[int, int]:
    """How likely an ad is to be seen, and to be played to its end, in billionths; 0 where it is not said.

    A value above 1 is no probability: a percentage, perhaps, and perhaps not.
    """
    stated = {metric.type: metric.value or 0.0 for metric in metrics}
    view, completion = (
        round(value * BILLION) if value <= 1 else 0
        for value in (stated.get(_VIEWABILITY, 0.0), stated.get(_COMPLETION, 0.0))
    )
    return view, completion


def _first_of_each_id(imps: list[wire.Imp]) -> list[wire.Imp]:
    """A bid names its imp by id, so of several with one id all but the first are out of its reach."""
    first: dict[str, wire.Imp] = {}
    for imp in imps:
        first.setdefault(imp.id, imp)
    return list(first.values())


def _under_one_rule(slots: list[Slot]) -> list[Slot]:
    """Give the imps of one break all of its rules against repetition: what one of them says holds for all."""
    rules: dict[str, int] = {}
    for slot in slots:
        if slot.pod is not None and slot.pod.id:
            rules[slot.pod.id] = rules.get(slot.pod.id, 0) | slot.pod.dedupe
    return [
        slot
        if slot.pod is None or rules.get(slot.pod.id, slot.pod.dedupe) == slot.pod.dedupe
        else replace(slot, pod=replace(slot.pod, dedupe=rules[slot.pod.id]))
        for slot in slots
    ]


def _multiplier_millionths(qty: wire.Qty | None) -> int:
    """How many impressions one play is. Rounded up: what a play may cost is set aside before it is known."""
    if qty is None or not qty.multiplier:
        return MICROS
    return -int(-qty.multiplier * MICROS // 1)
