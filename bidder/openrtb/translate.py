"""Turn a wire bid request into an Opportunity: the one place where OpenRTB's words become ours.

Runs once for each request on the hot path, so it is plain attribute reading and no more.
"""

from collections.abc import Callable
from urllib.parse import urlsplit

from bidder.openrtb import wire
from bidder.openrtb.native_request import native_shape
from bidder.openrtb.opportunity import (
    BannerShape,
    DealOffer,
    MediaOffer,
    Opportunity,
    Slot,
    StreamShape,
)
from bidder.openrtb.privacy import may_identify
from config.check import OPERATING_SYSTEMS
from config.limits import BLOCKS_PER_REQUEST_MAX, DEALS_PER_IMP_MAX, IMPS_PER_REQUEST_MAX, USER_ID_CHARS_MAX
from config.money import CPM_MICROS_MAX, MICROS
from config.schema import ExchangeProfile
from segments.identity import COOKIE

HashUser = Callable[[str, str], int]
"""(source, id) -> keyed 64-bit hash: `segments.identity.Identity.hash`."""

DEVICE_ID_SOURCE = "ifa"
_ALL_ZERO_IFA = frozenset("0-")

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
    "cros": "chromeos",
    "fire os": "fireos",
    "apple tv": "tvos",
    "roku os": "roku",
}
"""Spellings seen in requests, lower case, and the name a config uses for them."""

_NO_DEVICE = wire.Device()
_NO_GEO = wire.Geo()
_NO_EXT = wire.UserExt()


def translate(
    request: wire.BidRequest, exchange: ExchangeProfile, currency: str, hash_user: HashUser
) -> Opportunity:
    """Say in our words what a request offers.

    `currency` is the one we bid in; a request that names others only is not biddable.
    """
    device = request.device or _NO_DEVICE
    geo = device.geo or _NO_GEO
    country = geo.country or ""
    first_price = (request.at or exchange.auction_type_default) == 1
    user_hash = 0
    if may_identify(request.regs, request.device):
        user_hash = _user_hash(request.user, device, hash_user)
    return Opportunity(
        request_id=request.id,
        exchange_id=exchange.id,
        slots=tuple([_slot(imp, first_price, currency) for imp in request.imp[:IMPS_PER_REQUEST_MAX]]),
        first_price=first_price,
        currency_accepted=not request.cur or currency in request.cur,
        domain=_domain(request),
        bundle=(request.app.bundle or "") if request.app else "",
        device_type=device.devicetype or 0,
        operating_system=_operating_system(device.os),
        country=country,
        region=f"{country}-{geo.region.removeprefix('US-')}" if geo.region and country else "",
        metro=geo.metro or "",
        zip_code=f"{country}-{_postcode(geo.zip, country)}" if geo.zip and country else "",
        user_hash=user_hash,
        blocked_categories=_texts(request.bcat),
        blocked_domains=_texts(request.badv),
        allowed_seats=_texts(request.wseat),
        blocked_seats=_texts(request.bseat),
    )


def _operating_system(os: str | None) -> str:
    """Return a config's name for a system; `other` for one it has no name for, "" for none given."""
    if not os:
        return ""
    system = os.lower()
    system = _OPERATING_SYSTEMS.get(system, system)
    return system if system in OPERATING_SYSTEMS else "other"


def _postcode(text: str, country: str) -> str:
    """A ZIP+4 narrows a ZIP, and targeting is by ZIP."""
    return text[:5] if country == "USA" else text


def _texts(values: wire.Codes | list[str] | None) -> tuple[str, ...]:
    if not values:
        return ()
    return tuple([value for value in values[:BLOCKS_PER_REQUEST_MAX] if type(value) is str])


def _domain(request: wire.BidRequest) -> str:
    """The site's domain, lower case and without `www.`; its page's host where it is not given."""
    site = request.site
    if site is None:
        return ((request.dooh and request.dooh.domain) or "").lower()
    domain = (site.domain or "").lower()
    if not domain and site.page:
        try:
            domain = urlsplit(site.page).hostname or ""
        except ValueError:
            domain = ""
    return domain.removeprefix("www.")


def _user_hash(user: wire.User | None, device: wire.Device, hash_user: HashUser) -> int:
    """The first of: our own cookie, the device's advertising id, a resolved id from `eids`."""
    if user is not None and user.buyeruid and len(user.buyeruid) <= USER_ID_CHARS_MAX:
        return hash_user(COOKIE, user.buyeruid)
    ifa = device.ifa
    if ifa and len(ifa) <= USER_ID_CHARS_MAX and not _ALL_ZERO_IFA.issuperset(ifa):
        return hash_user(DEVICE_ID_SOURCE, ifa.lower())
    if user is not None:
        for eid in user.eids or (user.ext or _NO_EXT).eids or ():
            if eid.source and eid.uids and 0 < len(eid.uids[0].id) <= USER_ID_CHARS_MAX:
                return hash_user(eid.source, eid.uids[0].id)
    return 0


def _slot(imp: wire.Imp, first_price: bool, currency: str) -> Slot:
    pmp = imp.pmp
    deals: tuple[DealOffer, ...] = ()
    if pmp is not None and pmp.deals:
        deals = tuple([_deal(deal, first_price, currency) for deal in pmp.deals[:DEALS_PER_IMP_MAX]])
    return Slot(
        imp_id=imp.id,
        media=_media(imp),
        floor_cpm_micros=floor_cpm_micros(imp.bidfloor, imp.bidfloorcur, currency),
        deals=deals,
        deals_only=pmp is not None and pmp.private_auction == 1,
    )


def floor_cpm_micros(floor: float | None, floor_currency: str | None, currency: str) -> int | None:
    """Return a floor in CPM micros, rounded up so that a bid at it is never below it.

    None when it is in a currency other than ours (absent means USD: OpenRTB 2.6, 3.2.4). The
    floor is a JSON number: what a double can't tell from a whole micro is that micro.
    """
    if not floor:
        return 0
    if (floor_currency or "USD") != currency:
        return None
    return min(int(floor * MICROS + 0.999999), CPM_MICROS_MAX + 1)


def _deal(deal: wire.Deal, first_price: bool, currency: str) -> DealOffer:
    return DealOffer(
        id=deal.id,
        floor_cpm_micros=floor_cpm_micros(deal.bidfloor, deal.bidfloorcur, currency),
        first_price=first_price if deal.at is None else deal.at == 1,
        fixed_price=deal.at == 3,
        seats=_texts(deal.wseat),
    )


def _media(imp: wire.Imp) -> MediaOffer:
    native = imp.native
    return MediaOffer(
        banner=_banner(imp.banner) if imp.banner is not None else None,
        video=_stream(imp.video, imp.video.linearity != 2) if imp.video is not None else None,
        audio=_stream(imp.audio, True) if imp.audio is not None else None,
        native=native_shape(native.request, tuple(native.battr or ())) if native is not None else None,
        secure=imp.secure == 1,
    )


def _banner(banner: wire.Banner) -> BannerShape:
    sizes = [(size.w or 0, size.h or 0) for size in banner.format or ()]
    if banner.w and banner.h:
        sizes.append((banner.w, banner.h))
    return BannerShape(tuple(sizes), tuple(banner.btype or ()), tuple(banner.battr or ()))


def _stream(stream: wire.Video | wire.Audio, linear: bool) -> StreamShape:
    longest = stream.maxduration or 0
    if longest and stream.maxextended:
        longest = 0 if stream.maxextended < 0 else longest + stream.maxextended
    return StreamShape(
        mimes=tuple(stream.mimes or ()),
        duration_min_s=stream.minduration or 0,
        duration_max_s=longest,
        durations_s=tuple(stream.rqddurs or ()),
        protocols=tuple(stream.protocols or ()),
        linear=linear,
        blocked_attributes=tuple(stream.battr or ()),
    )
