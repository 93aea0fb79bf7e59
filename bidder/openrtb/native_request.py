"""Read the `native.request` of an imp into a NativeShape (OpenRTB Native 1.2, section 4).

The markup is a JSON string by the book, an object from some exchanges, with or without version 1.0's
root key. The same few strings come again and again, so strings are remembered.
"""

from functools import lru_cache
from typing import Any

import msgspec

from bidder.openrtb.opportunity import NativeAsset, NativeShape

NATIVE_REQUESTS_CACHED_MAX = 1_024
NATIVE_ASSETS_MAX = 32


def native_shape(request: str | dict[str, Any] | None, battr: tuple[int, ...]) -> NativeShape | None:
    """Return what a native imp asks for, or None when it asks for nothing we can read."""
    if isinstance(request, str):
        return _from_text(request, battr)
    return _from_object(request, battr)


@lru_cache(NATIVE_REQUESTS_CACHED_MAX)
def _from_text(text: str, battr: tuple[int, ...]) -> NativeShape | None:
    try:
        return _from_object(msgspec.json.decode(text), battr)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None


def _from_object(value: Any, battr: tuple[int, ...]) -> NativeShape | None:
    if not isinstance(value, dict):
        return None
    wrapped = isinstance(value.get("native"), dict)
    root = value["native"] if wrapped else value
    assets = root.get("assets")
    if not isinstance(assets, list) or not assets or len(assets) > NATIVE_ASSETS_MAX:
        return None
    read = [_asset(asset) for asset in assets if isinstance(asset, dict)]
    return NativeShape(
        assets=tuple(asset for asset in read if asset is not None),
        wrapped=wrapped,
        event_trackers=isinstance(root.get("eventtrackers"), list),
        blocked_attributes=battr,
    )


def _asset(asset: dict[str, Any]) -> NativeAsset | None:
    id_ = _number(asset.get("id"), default=-1)
    required = _number(asset.get("required")) == 1
    for kind in ("title", "img", "data", "video"):
        detail = asset.get(kind)
        if isinstance(detail, dict):
            return NativeAsset(
                id=id_,
                required=required,
                kind=kind,
                type=_number(detail.get("type")),
                length_max=_number(detail.get("len")),
                w_min=_number(detail.get("wmin")) or _number(detail.get("w")),
                h_min=_number(detail.get("hmin")) or _number(detail.get("h")),
            )
    # An asset of a kind we can't read: harmless, unless the answer must hold it.
    return NativeAsset(id=id_, required=True, kind="unknown") if required else None


def _number(value: Any, default: int = 0) -> int:
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    if isinstance(value, (int, float)) and 0 <= value < 2**31:
        return int(value)
    return default
