"""Read the `native.request` of an imp into a NativeShape (OpenRTB Native 1.2, section 4).

The markup is a JSON string by the book, an object from some exchanges, with or without version 1.0's
root key. The same few come again and again; `bidder.openrtb.offers` remembers them.
"""

from typing import Any

import msgspec

from bidder.openrtb.opportunity import NativeAsset, NativeShape, StreamShape

NATIVE_ASSETS_MAX = 32
_IMPRESSION, _IMAGE = 1, 1
"""Native 1.2, 7.6 and 7.7: the event, and the method of tracking it."""


def native_shape(request: str | dict[str, Any] | None, battr: tuple[int, ...]) -> NativeShape | None:
    """Return what a native imp asks for, or None when it asks for nothing we can read."""
    if not isinstance(request, str):
        return _from_object(request, battr)
    try:
        return _from_object(msgspec.json.decode(request), battr)
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
        event_trackers=_takes_image_trackers(root.get("eventtrackers")),
        privacy=_number(root.get("privacy")) == 1,
        blocked_attributes=battr,
    )


def _takes_image_trackers(trackers: Any) -> bool:
    """Tell whether impressions may be tracked by an image (4.7: event 1, method 1)."""
    return isinstance(trackers, list) and any(
        isinstance(tracker, dict)
        and _number(tracker.get("event")) == _IMPRESSION
        and _IMAGE in _numbers(tracker.get("methods"))
        for tracker in trackers
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
                stream=_video(detail) if kind == "video" else None,
            )
    # An asset of a kind we can't read: harmless, unless the answer must hold it.
    return NativeAsset(id=id_, required=True, kind="unknown") if required else None


def _video(detail: dict[str, Any]) -> StreamShape:
    """Read a video asset (4.5), a small copy of the imp's video object."""
    mimes = detail.get("mimes")
    return StreamShape(
        mimes=tuple(mime for mime in mimes if isinstance(mime, str)) if isinstance(mimes, list) else (),
        duration_min_s=_number(detail.get("minduration")),
        duration_max_s=_number(detail.get("maxduration")),
        protocols=_numbers(detail.get("protocols")),
    )


def _numbers(values: Any) -> tuple[int, ...]:
    return tuple(_number(value, default=-1) for value in values) if isinstance(values, list) else ()


def _number(value: Any, default: int = 0) -> int:
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    if isinstance(value, (int, float)) and 0 <= value < 2**31:
        return int(value)
    return default
