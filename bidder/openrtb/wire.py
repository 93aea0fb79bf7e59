"""The OpenRTB 2.6 bid request as it arrives: only the fields we read, under their own names.

`decode_request` is strict about what we use and forgiving about the rest. A well-formed body takes
the fast path, one typed msgspec pass that skips unknown fields. A body with a wrong type in a field
we read takes the slow path: decoded untyped, then mended field by field (`_mend`): a quoted or
integral number becomes an int, a number where text belongs becomes text, and what can't be mended
counts as absent, which the specification says means unknown (2.6, 2.3). Only a body without `id`
or a usable `imp` is malformed.

The parts of a request that repeat endlessly, media objects, deals and block lists, are left as the
bytes they came in (`msgspec.Raw`): whoever has read the same bytes before needs no second reading
(`bidder.openrtb.offers`). `Part.read` reads one, as strict and as forgiving as the whole.

Section numbers are those of the OpenRTB 2.6 specification. Numbers are bounded so that nothing
read here can overflow an int64 column later.
"""

from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta, Raw, inspect

Int = Annotated[int, Meta(ge=-(2**31), lt=2**31)]
Price = Annotated[float, Meta(ge=0.0, le=1e9)]
Multiplier = Annotated[float, Meta(ge=0.0, le=1e6)]
Codes = list[str | Int]
"""Lists of codes are read as either type: exchanges send category numbers among the names."""


ABSENT = Raw()
"""The value of an unread part that the request does not have."""


class MalformedRequest(Exception):  # noqa: N818 - it names the exchange's fault, not an error of ours
    """The body is no bid request; answered 400 with no content and counted, not logged."""


class _Wire(msgspec.Struct, gc=False):
    """Decoded once, read once, thrown away: kept out of the garbage collector's sight."""


class Size(_Wire):
    """3.2.10."""

    w: Int | None = None
    h: Int | None = None
    wratio: Int | None = None
    hratio: Int | None = None
    wmin: Int | None = None


class Banner(_Wire):
    """3.2.6."""

    w: Int | None = None
    h: Int | None = None
    format: list[Size] | None = None
    btype: list[Int] | None = None
    battr: list[Int] | None = None
    api: list[Int] | None = None
    expdir: list[Int] | None = None
    topframe: Int | None = None


class DurFloor(_Wire):
    """3.2.35."""

    mindur: Int | None = None
    maxdur: Int | None = None
    bidfloor: Price | None = None


class _Stream(_Wire):
    """What 3.2.7 and 3.2.8 share."""

    mimes: list[str] | None = None
    minduration: Int | None = None
    maxduration: Int | None = None
    rqddurs: list[Int] | None = None
    maxextended: Int | None = None
    protocols: list[Int] | None = None
    battr: list[Int] | None = None
    api: list[Int] | None = None
    minbitrate: Int | None = None
    maxbitrate: Int | None = None
    delivery: list[Int] | None = None
    startdelay: Int | None = None
    mincpmpersec: Price | None = None
    durfloors: list[DurFloor] | None = None
    podid: str | None = None
    poddur: Int | None = None
    maxseq: Int | None = None
    poddedupe: list[Int] | None = None


class Video(_Stream):
    """3.2.7."""

    linearity: Int | None = None
    w: Int | None = None
    h: Int | None = None
    skip: Int | None = None
    plcmt: Int | None = None
    boxingallowed: Int | None = None


class Audio(_Stream):
    """3.2.8."""


class Native(_Wire):
    """3.2.9. `request` is a JSON string by the book; some exchanges send the object."""

    request: str | dict[str, Any] | None = None
    battr: list[Int] | None = None


class Deal(_Wire):
    """3.2.12. Its currency does not inherit from the imp."""

    id: str
    bidfloor: Price | None = None
    bidfloorcur: str | None = None
    at: Int | None = None
    wseat: list[str] | None = None
    wadomain: list[str] | None = None
    guar: Int | None = None
    mincpmpersec: Price | None = None
    durfloors: list[DurFloor] | None = None


class Pmp(_Wire):
    """3.2.11."""

    private_auction: Int | None = None
    deals: list[Deal] | None = None


class Qty(_Wire):
    """3.2.31."""

    multiplier: Multiplier | None = None


class Metric(_Wire):
    """3.2.5."""

    type: str | None = None
    value: Price | None = None
    """Any number that is not negative."""


class GoogleImpExt(_Wire):
    """ImpExt of openrtb-adx.proto, in google/openrtb-doubleclick."""

    billing_id: list[str] | None = None
    """64-bit numbers, which proto3's JSON writes as text."""
    allowed_restricted_category: list[Int] | None = None


class Imp(_Wire):
    """3.2.4."""

    id: str
    banner: Raw = ABSENT
    """A Banner; the four below likewise."""
    video: Raw = ABSENT
    audio: Raw = ABSENT
    native: Raw = ABSENT
    pmp: Raw = ABSENT
    bidfloor: Price | None = None
    bidfloorcur: str | None = None
    secure: Int | None = None
    instl: Int | None = None
    rwdd: Int | None = None
    qty: Qty | None = None
    metric: list[Metric] | None = None
    ext: Raw = ABSENT
    """A GoogleImpExt, on Google's exchange."""


class Publisher(_Wire):
    """3.2.15."""

    id: str | None = None


class Site(_Wire):
    """3.2.13."""

    domain: str | None = None
    page: str | None = None
    publisher: Raw = ABSENT
    """A Publisher."""


class App(_Wire):
    """3.2.14."""

    bundle: str | None = None
    domain: str | None = None
    publisher: Raw = ABSENT


class Dooh(_Wire):
    """3.2.31."""

    domain: str | None = None


class Geo(_Wire):
    """3.2.19."""

    country: str | None = None
    region: str | None = None
    metro: str | None = None
    zip: str | None = None


class BrandVersion(_Wire):
    """3.2.30."""

    brand: str | None = None


class UserAgent(_Wire):
    """3.2.29."""

    platform: BrandVersion | None = None


class Device(_Wire):
    """3.2.18."""

    devicetype: Int | None = None
    w: Int | None = None
    h: Int | None = None
    os: str | None = None
    ua: str | None = None
    sua: UserAgent | None = None
    ip: str | None = None
    ipv6: str | None = None
    ifa: str | None = None
    lmt: Int | None = None
    dnt: Int | None = None
    geo: Geo | None = None


class Uid(_Wire):
    """3.2.28."""

    id: str


class Eid(_Wire):
    """3.2.27."""

    source: str | None = None
    uids: list[Uid] | None = None


class UserExt(_Wire):
    """Where OpenRTB 2.5 kept what 2.6 made core fields."""

    consent: str | None = None
    eids: list[Eid] | None = None


class User(_Wire):
    """3.2.20."""

    id: str | None = None
    buyeruid: str | None = None
    consent: str | None = None
    eids: list[Eid] | None = None
    ext: UserExt | None = None


class Dsa(_Wire):
    """The IAB's extension dsa_transparency, of the Digital Services Act."""

    dsarequired: Int | None = None
    pubrender: Int | None = None


class RegsExt(_Wire):
    """The 2.5 homes of consent signals, Global Privacy Control, and California's minors (SB 568)."""

    gdpr: Int | None = None
    us_privacy: str | None = None
    gpp: str | None = None
    gpp_sid: list[Int] | None = None
    gpc: str | Int | None = None
    s22580: Int | None = None
    dsa: Dsa | None = None


class Regs(_Wire):
    """3.2.3."""

    coppa: Int | None = None
    gdpr: Int | None = None
    us_privacy: str | None = None
    gpp: str | None = None
    gpp_sid: list[Int] | None = None
    ext: RegsExt | None = None


class SupplyChainNode(_Wire):
    """3.2.26."""

    asi: str | None = None
    sid: str | None = None


class SupplyChain(_Wire):
    """3.2.25."""

    complete: Int | None = None
    nodes: list[SupplyChainNode] | None = None


class _ChainHolder(_Wire):
    """An `ext` that holds a supply chain."""

    schain: Raw = ABSENT


class Source(_Wire):
    """3.2.2. The supply chain of OpenRTB 2.5 is in `ext`."""

    schain: Raw = ABSENT
    ext: _ChainHolder | None = None


class BidRequest(_Wire):
    """3.2.1."""

    id: str
    imp: list[Imp]
    site: Site | None = None
    app: App | None = None
    dooh: Dooh | None = None
    device: Device | None = None
    user: User | None = None
    regs: Regs | None = None
    source: Raw = ABSENT
    """A Source."""
    ext: Raw = ABSENT
    test: Int | None = None
    at: Int | None = None
    tmax: Int | None = None
    cur: list[str] | None = None
    cattax: Int | None = None
    bcat: Raw = ABSENT
    """Codes; the seven below likewise."""
    acat: Raw = ABSENT
    badv: Raw = ABSENT
    bapp: Raw = ABSENT
    wseat: Raw = ABSENT
    bseat: Raw = ABSENT
    wlang: Raw = ABSENT
    wlangb: Raw = ABSENT


_DECODER = msgspec.json.Decoder(BidRequest)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def decode_request(body: bytes) -> BidRequest:
    """Read one bid request; raises MalformedRequest when it is none."""
    try:
        request = _DECODER.decode(body)
    except msgspec.ValidationError:
        request = _decode_leniently(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if not body.startswith(_BYTE_ORDER_MARK):
            raise MalformedRequest("not JSON") from None
        request = _decode_leniently(body[len(_BYTE_ORDER_MARK) :])
    except RecursionError:
        raise MalformedRequest("nested too deep") from None
    if not request.imp or not request.id:
        raise MalformedRequest("no id or no imp")
    return request


def _decode_leniently(body: bytes) -> BidRequest:
    try:
        mended = _mend(msgspec.json.decode(body), _TYPES)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedRequest("not JSON") from None
    if not isinstance(mended, BidRequest):
        raise MalformedRequest("no id or no imp")
    return mended


_Read = TypeVar("_Read")


class Part(Generic[_Read]):
    """A part of a request that `decode_request` left unread."""

    def __init__(self, type_: Any) -> None:
        self._decoder: msgspec.json.Decoder[_Read] = msgspec.json.Decoder(type_)
        self._type = inspect.type_info(type_)

    def read(self, data: bytes) -> _Read | None:
        """Return what the bytes say, or None when nothing can be made of them."""
        try:
            return self._decoder.decode(data)
        except msgspec.ValidationError:
            pass
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        try:
            mended = _mend(msgspec.json.decode(data), self._type)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return None if mended is _ABSENT else mended


_TYPES = inspect.type_info(BidRequest)
_ABSENT = object()

BANNER: Part[Banner] = Part(Banner)
VIDEO: Part[Video] = Part(Video)
AUDIO: Part[Audio] = Part(Audio)
NATIVE: Part[Native] = Part(Native)
PMP: Part[Pmp] = Part(Pmp)
CODES: Part[Codes] = Part(Codes)
SUPPLY_CHAIN: Part[SupplyChain] = Part(SupplyChain)
_PUBLISHER: Part[Publisher] = Part(Publisher)
_SOURCE: Part[Source] = Part(Source)
_CHAIN_HOLDER: Part[_ChainHolder] = Part(_ChainHolder)
GOOGLE_IMP_EXT: Part[GoogleImpExt] = Part(GoogleImpExt)


def chain_bytes(request: BidRequest) -> bytes:
    """Return the unread supply chain of a request, from any of its three homes; empty without one.

    `source.schain` (2.6), `source.ext.schain` (2.5), `ext.schain` (Xandr).
    """
    if request.source is not ABSENT:
        source = _SOURCE.read(bytes(request.source))
        if source is not None:
            chain = source.schain if source.schain is not ABSENT else source.ext and source.ext.schain
            if chain:
                return bytes(chain)
    if request.ext is not ABSENT:
        holder = _CHAIN_HOLDER.read(bytes(request.ext))
        if holder is not None:
            return bytes(holder.schain)
    return b""


def publisher_id(request: BidRequest) -> str | None:
    """Return the id of the site's or app's publisher in the exchange's own books."""
    channel = request.site or request.app
    publisher = _PUBLISHER.read(bytes(channel.publisher)) if channel and channel.publisher else None
    return publisher.id if publisher is not None else None


def _mend(value: Any, type_: inspect.Type) -> Any:
    """Return value as type_ wants it, or _ABSENT where nothing can be made of it."""
    match type_:
        case inspect.UnionType(types=types):
            for member in types:
                mended = _mend(value, member)
                if mended is not _ABSENT:
                    return mended
            return _ABSENT
        case inspect.NoneType():
            return None if value is None else _ABSENT
        case inspect.StructType():
            return _mend_struct(value, type_)
        case inspect.RawType():
            return Raw(msgspec.json.encode(value))
        case inspect.ListType(item_type=item_type):
            # A bare value stands for a list of one: a block must not be lost to a missing bracket.
            values = value if isinstance(value, list) else [value]
            items = (_mend(item, item_type) for item in values)
            return [item for item in items if item is not _ABSENT]
        case inspect.IntType():
            return _mend_int(value, type_)
        case inspect.FloatType():
            return _mend_float(value, type_)
        case inspect.StrType():
            if isinstance(value, str):
                return value
            return str(value) if type(value) is int and abs(value) < 2**63 else _ABSENT
        case _:
            return value if isinstance(value, dict) else _ABSENT


def _mend_struct(value: Any, type_: inspect.StructType) -> Any:
    if not isinstance(value, dict):
        return _ABSENT
    fields: dict[str, Any] = {}
    for field in type_.fields:
        mended = _mend(value[field.encode_name], field.type) if field.encode_name in value else _ABSENT
        if mended is not _ABSENT:
            fields[field.name] = mended
        elif field.required:
            return _ABSENT
    return type_.cls(**fields)


def _mend_int(value: Any, type_: inspect.IntType) -> Any:
    if isinstance(value, bool):
        value = int(value)
    elif isinstance(value, str):
        text = value.strip()
        value = int(text) if text.lstrip("-").isdecimal() and len(text) < 20 else None
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int:
        return _ABSENT
    assert type_.ge is not None
    assert type_.lt is not None
    return value if type_.ge <= value < type_.lt else _ABSENT


def _mend_float(value: Any, type_: inspect.FloatType) -> Any:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return _ABSENT
    # Only a NaN differs from itself.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return _ABSENT
    assert type_.ge is not None
    assert type_.le is not None
    # A negative floor is no floor; one above every price stays above every price. Compared before
    # it is converted: an int may be too large for a float.
    return float(min(max(value, type_.ge), type_.le))
