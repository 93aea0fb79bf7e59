"""What an imp offers, its deals, and what a request blocks: read once for each spelling.

A placement sends the same media object with every request, a publisher the same block lists and
deals: a few hundred distinct ones make up most of an exchange's traffic. `bidder.openrtb.wire` leaves
them as bytes, and the functions here remember what the same bytes meant. A hit costs a copy of the
bytes and a look-up; a miss, reading them.

Rejected: to remember whole imps. Their ids, floors and tag ids differ from request to request.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import msgspec

from bidder.openrtb import wire
from bidder.openrtb.decode import AUDIO, BANNER, CODES, GOOGLE_IMP_EXT, NATIVE, PMP, VIDEO
from bidder.openrtb.native_request import native_shape
from bidder.openrtb.opportunity import (
    NO_BLOCKS,
    BannerShape,
    Blocks,
    DealOffer,
    DurationFloors,
    GoogleTerms,
    MediaOffer,
    Pod,
    StreamShape,
)
from config.categories import category_key
from config.currency import DEFAULT_CURRENCY, Currencies
from config.limits import (
    BLOCKS_PER_REQUEST_MAX,
    DEALS_PER_IMP_MAX,
    MEDIA_SHAPES_CACHED_MAX,
    PART_BYTES_CACHED_MAX,
)
from config.money import CPM_MICROS_MAX, MICROS
from config.schema import StreamStart

FLOOR_UP = 1 - 1e-6
"""Added before a fraction is cut off: what a double can't tell from a whole micro is that micro."""
_ABSENT = wire.ABSENT
_POD_DEDUPES = (1, 2, 3, 4)
_PMP_CACHED_MAX = 1_024
_BLOCKS_CACHED_MAX = 1_024


class ImpOffer(msgspec.Struct, frozen=True, gc=False):
    """The media of one imp, and what its video or audio object says of floors and breaks.

    The floors are in millionths of whatever currency the imp's floor is in.
    """

    media: MediaOffer
    is_plain: bool = True
    """None of the three below."""
    video_floors: DurationFloors | None = None
    audio_floors: DurationFloors | None = None
    pod: Pod | None = None


def imp_offer(imp: wire.Imp, screen: tuple[int, int]) -> ImpOffer:
    """Read the media of an imp; `screen` is the device's size, for an interstitial without sizes."""
    banner = video = audio = native = b""
    if imp.banner is not _ABSENT:
        banner = bytes(imp.banner)
    if imp.video is not _ABSENT:
        video = bytes(imp.video)
    if imp.audio is not _ABSENT:
        audio = bytes(imp.audio)
    if imp.native is not _ABSENT:
        native = bytes(imp.native)
    read: Callable[..., ImpOffer] = _imp_offer
    if len(banner) + len(video) + len(audio) + len(native) > PART_BYTES_CACHED_MAX:
        read = _imp_offer.__wrapped__
    # The screen is part of the key only where it can matter.
    return read(banner, video, audio, native, imp.secure, imp.rwdd, screen if imp.instl == 1 else None)


@lru_cache(MEDIA_SHAPES_CACHED_MAX)
def _imp_offer(
    banner_bytes: bytes,
    video_bytes: bytes,
    audio_bytes: bytes,
    native_bytes: bytes,
    secure: int | None,
    rwdd: int | None,
    screen: tuple[int, int] | None,
) -> ImpOffer:
    banner = BANNER.read(banner_bytes) if banner_bytes else None
    video = VIDEO.read(video_bytes) if video_bytes else None
    audio = AUDIO.read(audio_bytes) if audio_bytes else None
    native = NATIVE.read(native_bytes) if native_bytes else None
    pod = _pod(video or audio)
    # An imp is in one break, its video's; an audio that is in another can't be sold beside it.
    if video is not None and _pod(audio) not in (None, pod):
        audio = None
    # Several ads one after the other make a break: a banner is no part of it.
    stream_only = pod is not None and pod.seconds > 0
    media = MediaOffer(
        banner=_banner(banner, screen) if banner is not None and not stream_only else None,
        video=_video(video) if video is not None else None,
        audio=_stream(audio) if audio is not None and not (stream_only and video is not None) else None,
        native=native_shape(native.request, tuple(native.battr or ()))
        if native is not None and not stream_only
        else None,
        secure=secure == 1,
        interstitial=screen is not None,
        rewarded=rwdd == 1,
    )
    video_floors, audio_floors = _floors(video), _floors(audio)
    is_plain = video_floors is None and audio_floors is None and pod is None
    return ImpOffer(media, is_plain, video_floors, audio_floors, pod)


def _banner(banner: wire.Banner, screen: tuple[int, int] | None) -> BannerShape:
    formats = banner.format or ()
    sizes = [(size.w, size.h) for size in formats if size.w and size.h]
    ratios = [(size.wratio, size.hratio, size.wmin or 0) for size in formats if size.wratio and size.hratio]
    if not sizes and not ratios and banner.w and banner.h:
        sizes = [(banner.w, banner.h)]
    # Where an interstitial gives no size, or 1x1, it has the screen (docs.prebid.org, interstitials).
    if screen is not None and (not sizes or sizes[0] == (1, 1)):
        sizes = [screen] if all(screen) else []
    return BannerShape(
        sizes=tuple(sizes),
        ratios=tuple(ratios),
        blocked_types=tuple(banner.btype or ()),
        blocked_attributes=tuple(banner.battr or ()),
        apis=tuple(banner.api or ()),
        expandable=bool(banner.expdir) or banner.topframe == 1,
    )


def _video(video: wire.Video) -> StreamShape:
    return msgspec.structs.replace(
        _stream(video),
        linear=video.linearity != 2,
        skippable=video.skip == 1,
        w=max(0, video.w or 0),
        h=max(0, video.h or 0),
        boxing=video.boxingallowed != 0,
        placement=video.plcmt or 0,
    )


def _stream(stream: wire.Video | wire.Audio) -> StreamShape:
    longest = max(0, stream.maxduration or 0)
    if longest and stream.maxextended:
        longest = 0 if stream.maxextended < 0 else longest + stream.maxextended
    return StreamShape(
        mimes=tuple(stream.mimes or ()),
        duration_min_s=stream.minduration or 0,
        duration_max_s=longest,
        durations_s=tuple(stream.rqddurs or ()),
        protocols=tuple(stream.protocols or ()),
        blocked_attributes=tuple(stream.battr or ()),
        apis=tuple(stream.api or ()),
        bitrate_min_kbps=stream.minbitrate or 0,
        bitrate_max_kbps=stream.maxbitrate or 0,
        delivery=tuple(stream.delivery or ()),
        start=_start(stream.startdelay),
    )


def _start(startdelay: int | None) -> StreamStart | Literal[""]:
    """AdCOM "Start Delay Modes": seconds into the content, or 0 pre, -1 mid, -2 post."""
    if startdelay is None or startdelay < -2:
        return ""
    return "pre-roll" if startdelay == 0 else "post-roll" if startdelay == -2 else "mid-roll"


def _floors(stream: wire.Video | wire.Audio | wire.Deal | None) -> DurationFloors | None:
    if stream is None or not (stream.mincpmpersec or stream.durfloors):
        return None
    ranges = tuple(
        # An open end reaches any length, and an end at 0 seconds is none: the floor holds.
        (floor.mindur or 0, floor.maxdur or 2**31, cpm_micros_up(floor.bidfloor))
        for floor in stream.durfloors or ()
        if floor.bidfloor
    )
    return DurationFloors(cpm_micros_up(stream.mincpmpersec), ranges)


def _pod(stream: wire.Video | wire.Audio | None) -> Pod | None:
    if stream is None or not (stream.podid or stream.poddur):
        return None
    dedupe = sum(1 << value - 1 for value in set(stream.poddedupe or ()) if value in _POD_DEDUPES)
    return Pod(stream.podid or "", max(0, stream.poddur or 0), max(0, stream.maxseq or 0), dedupe)


def cpm_micros_up(price: float | None) -> int:
    """Return a JSON number of a CPM in micros, rounded up: who bids it is never below it."""
    return int(price * MICROS + FLOOR_UP) if price else 0


def deal_offers(
    pmp: bytes, first_price: bool, currencies: Currencies, bid_currency: str
) -> tuple[tuple[DealOffer, ...], bool]:
    """Return an imp's deals, guaranteed ones first, and whether only deals may bid.

    `first_price` is what a deal without `at` inherits. Floors come out in our currency.
    """
    if len(pmp) > PART_BYTES_CACHED_MAX:
        return _deal_offers.__wrapped__(pmp, first_price, currencies, bid_currency)
    return _deal_offers(pmp, first_price, currencies, bid_currency)


@lru_cache(_PMP_CACHED_MAX)
def _deal_offers(
    pmp_bytes: bytes, first_price: bool, currencies: Currencies, bid_currency: str
) -> tuple[tuple[DealOffer, ...], bool]:
    pmp = PMP.read(pmp_bytes)
    if pmp is None:
        return (), False
    deals = [
        _deal(deal, first_price, currencies, bid_currency) for deal in (pmp.deals or ())[:DEALS_PER_IMP_MAX]
    ]
    deals.sort(key=lambda deal: not deal.guaranteed)
    return tuple(deals), pmp.private_auction == 1


def _deal(deal: wire.Deal, first_price: bool, currencies: Currencies, bid_currency: str) -> DealOffer:
    floor = floor_cpm_micros(deal.bidfloor, deal.bidfloorcur, currencies, bid_currency)
    stated = _floors(deal)
    duration_floors = floors_in_ours(stated, deal.bidfloorcur, currencies, bid_currency)
    if stated is not None and duration_floors is None:
        floor = None
    fixed_there = None
    if deal.at == 3 and bid_currency != currencies.own and deal.bidfloor:
        fixed_there = currencies.floor_there(cpm_micros_up(deal.bidfloor), deal.bidfloorcur, bid_currency)
    return DealOffer(
        id=deal.id,
        floor_cpm_micros=floor,
        first_price=first_price if deal.at is None else deal.at == 1,
        # `bidfloor` is the price (3.2.12): without one, nothing is fixed.
        fixed_price=deal.at == 3 and bool(floor),
        seats=texts(deal.wseat),
        domains=tuple(domain.lower() for domain in texts(deal.wadomain)),
        guaranteed=deal.guar == 1,
        duration_floors=duration_floors,
        fixed_there_cpm_micros=fixed_there or 0,
    )


def floor_cpm_micros(
    floor: float | None, floor_currency: str | None, currencies: Currencies, bid_currency: str
) -> int | None:
    """Return a floor in our currency, in CPM micros, rounded up; None without a rate for it.

    No floor is a floor of 0 in any currency; one without a currency is in USD (OpenRTB 2.6, 3.2.4).
    """
    if not floor:
        return 0
    cpm_micros = int(floor * MICROS + FLOOR_UP)
    if (floor_currency or DEFAULT_CURRENCY) == bid_currency == currencies.own:
        return cpm_micros if cpm_micros <= CPM_MICROS_MAX else CPM_MICROS_MAX + 1
    return currencies.floor(cpm_micros, floor_currency, bid_currency)


def floors_in_ours(
    floors: DurationFloors | None, floor_currency: str | None, currencies: Currencies, bid_currency: str
) -> DurationFloors | None:
    """Return duration floors in our currency; None when there are none, or no rate for theirs."""
    if floors is None:
        return None
    per_second = currencies.floor(floors.per_second_cpm_micros, floor_currency, bid_currency)
    if per_second is None:
        return None
    ranges = []
    for shortest, longest, floor in floors.ranges:
        converted = currencies.floor(floor, floor_currency, bid_currency)
        assert converted is not None, "a currency with a rate has one for every floor"
        ranges.append((shortest, longest, converted))
    return DurationFloors(per_second, tuple(ranges))


def google_terms(ext: msgspec.Raw) -> GoogleTerms:
    """Read the `ext` of one of Google's imps."""
    data = bytes(ext)
    return _google_terms.__wrapped__(data) if len(data) > PART_BYTES_CACHED_MAX else _google_terms(data)


@lru_cache(_BLOCKS_CACHED_MAX)
def _google_terms(ext_bytes: bytes) -> GoogleTerms:
    ext = GOOGLE_IMP_EXT.read(ext_bytes) if ext_bytes else None
    if ext is None:
        return GoogleTerms()
    billing_ids = [int(text) for text in ext.billing_id or () if text.isdecimal() and len(text) < 20]
    return GoogleTerms(tuple(billing_ids), tuple(ext.allowed_restricted_category or ()))


def request_blocks(request: wire.BidRequest) -> Blocks:
    """Read the block and allow lists of a request."""
    if (
        request.bcat is _ABSENT
        and request.badv is _ABSENT
        and request.acat is _ABSENT
        and request.bapp is _ABSENT
        and request.wseat is _ABSENT
        and request.bseat is _ABSENT
        and request.wlang is _ABSENT
        and request.wlangb is _ABSENT
    ):
        return NO_BLOCKS
    lists = (
        bytes(request.bcat),
        bytes(request.acat),
        bytes(request.badv),
        bytes(request.bapp),
        bytes(request.wseat),
        bytes(request.bseat),
        bytes(request.wlang),
        bytes(request.wlangb),
    )
    if sum(map(len, lists)) > PART_BYTES_CACHED_MAX:
        return _blocks.__wrapped__(request.cattax, *lists)
    return _blocks(request.cattax, *lists)


@lru_cache(_BLOCKS_CACHED_MAX)
def _blocks(
    cattax: int | None,
    bcat: bytes,
    acat: bytes,
    badv: bytes,
    bapp: bytes,
    wseat: bytes,
    bseat: bytes,
    wlang: bytes,
    wlangb: bytes,
) -> Blocks:
    # A list of one form and its other are both kept to, though only one should be there.
    languages = {text.partition("-")[0].lower() for text in (*_codes(wlang), *_codes(wlangb))}
    return Blocks(
        categories=_categories(bcat, cattax),
        allowed_categories=_categories(acat, cattax),
        domains=_domains(badv),
        apps=_codes(bapp),
        seats=_codes(bseat),
        allowed_seats=_codes(wseat),
        allowed_languages=tuple(sorted(languages)),
    )


def _domains(badv: bytes) -> tuple[str, ...]:
    # Lists too long to remember have hundreds of entries, so they are looked through for odd ones at once.
    if b"/" in badv or b'" ' in badv or b'".' in badv:
        return tuple(filter(None, map(_blocked_domain, _codes(badv))))
    return tuple(text.lower().removeprefix("www.").rstrip(". ") for text in _codes(badv))


def _blocked_domain(text: str) -> str:
    """Return the domain of an entry that may be written as an address; "" where there is none."""
    host = text.lower().rpartition("://")[2].strip(" /").partition("/")[0].partition(":")[0]
    return host.strip(". ").removeprefix("www.")


def _categories(codes: bytes, cattax: int | None) -> tuple[str, ...]:
    return tuple(category_key(text, cattax or 1) for text in _codes(codes))


def _codes(data: bytes) -> tuple[str, ...]:
    return texts(CODES.read(data)) if data else ()


def texts(values: Sequence[str | int] | None) -> tuple[str, ...]:
    """Return codes as texts, no more than are read of a list."""
    return tuple([str(value) for value in values[:BLOCKS_PER_REQUEST_MAX]]) if values else ()
