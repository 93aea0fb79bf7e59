"""Bytes to wire objects: strict about what we use, forgiving about the rest.

    request = decode_request(body)            # or MalformedRequest
    banner = BANNER.read(bytes(imp.banner))   # a part that was left unread; None when it says nothing

A well-formed body takes the fast path, one typed msgspec pass that skips unknown fields. A body with a
wrong type in a field we read takes the slow path: decoded untyped, then mended field by field (`_mend`): a
quoted or integral number becomes an int, a number where text belongs becomes text, and what can't be mended
counts as absent, which the specification says means unknown (2.6, 2.3). Only a body without `id` or a usable
`imp` is malformed.
"""

from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Raw, inspect

from bidder.openrtb.wire import (
    Audio,
    Banner,
    BidRequest,
    Codes,
    GoogleImpExt,
    Native,
    Pmp,
    Video,
)

_DECODER = msgspec.json.Decoder(BidRequest)
_TYPES = inspect.type_info(BidRequest)
_UNMENDABLE = object()
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class MalformedRequest(Exception):  # noqa: N818 - it names the exchange's fault, not an error of ours
    """The body is no bid request; answered 400 with no content and counted, not logged."""


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
        untyped = msgspec.json.decode(body)
        mended = _mend(untyped, _TYPES)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedRequest("not JSON") from None
    # Elsewhere a bare value stands for a list of one; a request whose imps are no list is none.
    if isinstance(untyped, dict) and not isinstance(untyped.get("imp"), list):
        raise MalformedRequest("imp is no list")
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
        return None if mended is _UNMENDABLE else mended


BANNER: Part[Banner] = Part(Banner)
VIDEO: Part[Video] = Part(Video)
AUDIO: Part[Audio] = Part(Audio)
NATIVE: Part[Native] = Part(Native)
PMP: Part[Pmp] = Part(Pmp)
CODES: Part[Codes] = Part(Codes)
GOOGLE_IMP_EXT: Part[GoogleImpExt] = Part(GoogleImpExt)


def _mend(value: Any, type_: inspect.Type) -> Any:
    """Return value as type_ wants it, or _UNMENDABLE where nothing can be made of it."""
    match type_:
        case inspect.UnionType(types=types):
            for member in types:
                mended = _mend(value, member)
                if mended is not _UNMENDABLE:
                    return mended
            return _UNMENDABLE
        case inspect.NoneType():
            return None if value is None else _UNMENDABLE
        case inspect.StructType():
            return _mend_struct(value, type_)
        case inspect.RawType():
            return Raw(msgspec.json.encode(value))
        case inspect.ListType(item_type=item_type):
            # A bare value stands for a list of one: a block must not be lost to a missing bracket.
            values = value if isinstance(value, list) else [value]
            items = (_mend(item, item_type) for item in values)
            return [item for item in items if item is not _UNMENDABLE]
        case inspect.IntType():
            return _mend_int(value, type_)
        case inspect.FloatType():
            return _mend_float(value, type_)
        case inspect.StrType():
            if isinstance(value, str):
                return value
            return str(value) if type(value) is int and abs(value) < 2**63 else _UNMENDABLE
        case _:
            return value if isinstance(value, dict) else _UNMENDABLE


def _mend_struct(value: Any, type_: inspect.StructType) -> Any:
    if not isinstance(value, dict):
        return _UNMENDABLE
    fields: dict[str, Any] = {}
    for field in type_.fields:
        mended = _mend(value[field.encode_name], field.type) if field.encode_name in value else _UNMENDABLE
        if mended is not _UNMENDABLE:
            fields[field.name] = mended
        elif field.required:
            return _UNMENDABLE
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
        return _UNMENDABLE
    assert type_.ge is not None
    assert type_.lt is not None
    return value if type_.ge <= value < type_.lt else _UNMENDABLE


def _mend_float(value: Any, type_: inspect.FloatType) -> Any:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return _UNMENDABLE
    # Only a NaN differs from itself.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return _UNMENDABLE
    assert type_.ge is not None
    assert type_.le is not None
    # A negative floor is no floor; one above every price stays above every price. Compared before
    # it is converted: an int may be too large for a float.
    return float(min(max(value, type_.ge), type_.le))
