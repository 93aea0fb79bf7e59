"""The OpenRTB 2.6 bid request as it arrives: only the fields we read, under their own names.

`decode_request` is strict about what we use and forgiving about the rest. A well-formed body takes
the fast path, one typed msgspec pass that skips unknown fields. A body with a wrong type in a field
we read takes the slow path: decoded untyped, then mended field by field (`_mend`): a quoted or
integral number becomes an int, a number where text belongs becomes text, and what can't be mended
counts as absent, which the specification says means unknown (2.6, 2.3). Only a body without `id`
or a usable `imp` is malformed.

Section numbers are those of the OpenRTB 2.6 specification. Numbers are bounded so that nothing
read here can overflow an int64 column later.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, inspect

Int = Annotated[int, Meta(ge=-(2**31), lt=2**31)]
Price = Annotated[float, Meta(ge=0.0, le=1e9)]
Codes = list[str | Int]
"""Lists of codes are read as either type: exchanges send category numbers among the names."""


class MalformedRequest(Exception):  # noqa: N818 - it names the exchange's fault, not an error of ours
    """The body is no bid request; answered 400 with no content and counted, not logged."""


class _Wire(msgspec.Struct, gc=False):
    """Decoded once, read once, thrown away: kept out of the garbage collector's sight."""


class Size(_Wire):
    """3.2.10."""

    w: Int | None = None
    h: Int | None = None


class Banner(_Wire):
    """3.2.6."""

    w: Int | None = None
    h: Int | None = None
    format: list[Size] | None = None
    btype: list[Int] | None = None
    battr: list[Int] | None = None
    mimes: list[str] | None = None


class Video(_Wire):
    """3.2.7."""

    mimes: list[str] | None = None
    minduration: Int | None = None
    maxduration: Int | None = None
    rqddurs: list[Int] | None = None
    maxextended: Int | None = None
    protocols: list[Int] | None = None
    linearity: Int | None = None
    w: Int | None = None
    h: Int | None = None
    battr: list[Int] | None = None


class Audio(_Wire):
    """3.2.8."""

    mimes: list[str] | None = None
    minduration: Int | None = None
    maxduration: Int | None = None
    rqddurs: list[Int] | None = None
    maxextended: Int | None = None
    protocols: list[Int] | None = None
    battr: list[Int] | None = None


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


class Pmp(_Wire):
    """3.2.11."""

    private_auction: Int | None = None
    deals: list[Deal] | None = None


class Imp(_Wire):
    """3.2.4."""

    id: str
    banner: Banner | None = None
    video: Video | None = None
    audio: Audio | None = None
    native: Native | None = None
    pmp: Pmp | None = None
    bidfloor: Price | None = None
    bidfloorcur: str | None = None
    secure: Int | None = None


class Site(_Wire):
    """3.2.13."""

    domain: str | None = None
    page: str | None = None


class App(_Wire):
    """3.2.14."""

    bundle: str | None = None
    domain: str | None = None


class Dooh(_Wire):
    """3.2.31."""

    domain: str | None = None


class Geo(_Wire):
    """3.2.19."""

    country: str | None = None
    region: str | None = None
    metro: str | None = None
    zip: str | None = None


class Device(_Wire):
    """3.2.18."""

    devicetype: Int | None = None
    os: str | None = None
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

    eids: list[Eid] | None = None


class User(_Wire):
    """3.2.20."""

    buyeruid: str | None = None
    eids: list[Eid] | None = None
    ext: UserExt | None = None


class RegsExt(_Wire):
    """The 2.5 homes of consent signals, and Global Privacy Control."""

    gdpr: Int | None = None
    us_privacy: str | None = None
    gpp: str | None = None
    gpp_sid: list[Int] | None = None
    gpc: str | Int | None = None


class Regs(_Wire):
    """3.2.3."""

    coppa: Int | None = None
    gdpr: Int | None = None
    us_privacy: str | None = None
    gpp: str | None = None
    gpp_sid: list[Int] | None = None
    ext: RegsExt | None = None


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
    test: Int | None = None
    at: Int | None = None
    tmax: Int | None = None
    wseat: list[str] | None = None
    bseat: list[str] | None = None
    cur: list[str] | None = None
    bcat: Codes | None = None
    badv: Codes | None = None


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


_TYPES = inspect.type_info(BidRequest)
_ABSENT = object()


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
