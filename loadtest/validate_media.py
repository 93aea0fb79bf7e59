"""The part of a strict exchange's judgement that depends on the kind of ad.

Each function yields what is wrong, worded to end a sentence that begins with the bid's name. They raise
`MarkupError` when the markup can't be read at all. `media` is the offered banner, video, audio or
native object of the impression.
"""

from collections.abc import Iterator
from typing import Any, TypeGuard

import orjson

from loadtest.markup import (
    Vast,
    is_wrapped,
    native_impression_urls,
    native_root,
    read_vast,
)

Object = dict[str, Any]

VAST_PROTOCOLS = {
    "1.0": (1, 4),
    "2.0": (2, 5),
    "3.0": (3, 6),
    "4.0": (7, 8),
    "4.1": (11, 12),
    "4.2": (13, 14),
    "4.3": (15, 16),
}
"""AdCOM "Subtypes - Creative Audio/Video": the number of a version in-line, and as a wrapper."""


def banner_problems(media: Object, bid: Object) -> Iterator[str]:
    """Judge the size: one of the offered formats, or the flexible shape of one."""
    w, h = bid.get("w"), bid.get("h")
    if not _is_count(w) or not _is_count(h):
        yield "w and h do not give the banner's size"
        return
    formats = [size for size in _list(media.get("format")) if isinstance(size, dict)] or [media]
    if all(not (_is_count(size.get("w")) or _is_count(size.get("wratio"))) for size in formats):
        return
    if not any(_fits(size, w, h) for size in formats):
        yield f"a banner of {w}x{h} is none of the offered sizes"


def _fits(size: Object, w: int, h: int) -> bool:
    if (size.get("w"), size.get("h")) == (w, h):
        return True
    wratio, hratio = size.get("wratio"), size.get("hratio")
    return (
        _is_count(wratio) and _is_count(hratio) and w * hratio == h * wratio and w >= (size.get("wmin") or 0)
    )


def vast_problems(media_name: str, media: Object, bid: Object, adm: str) -> Iterator[str]:
    """Judge a video or audio ad: length, VAST version, and whether the player can play a file of it."""
    duration = bid.get("dur")
    if not _is_count(duration):
        yield "dur does not give the ad's seconds"
    else:
        yield from _duration_problems(media, duration)
    vast = read_vast(adm)
    protocols = _list(media.get("protocols"))
    protocol = VAST_PROTOCOLS.get(vast.version, (0, 0))[vast.is_wrapper]
    if not protocol:
        yield f"VAST version {vast.version!r} is unknown"
    elif protocols and protocol not in protocols:
        yield f"VAST {vast.version} (protocol {protocol}) is not among the offered protocols"
    if not vast.impression_urls:
        yield "its VAST has no <Impression>"
    if vast.is_wrapper:
        return
    if vast.duration_seconds is None:
        yield "its VAST has no <Duration> like 00:00:15"
    elif _is_count(duration) and vast.duration_seconds != duration:
        yield f"its VAST lasts {vast.duration_seconds} s, but dur says {duration}"
    yield from _media_file_problems(media_name, media, vast)


def _duration_problems(media: Object, duration: int) -> Iterator[str]:
    exact = _list(media.get("rqddurs"))
    if exact:
        if duration not in exact:
            yield f"dur {duration} is none of the required durations"
        return
    shortest, longest = media.get("minduration"), media.get("maxduration")
    if _is_count(shortest) and duration < shortest:
        yield f"dur {duration} is shorter than minduration {shortest}"
    if _is_count(longest) and longest and duration > longest:
        yield f"dur {duration} is longer than maxduration {longest}"


def _media_file_problems(media_name: str, media: Object, vast: Vast) -> Iterator[str]:
    if not vast.media_files:
        yield "its VAST has no <MediaFile>"
        return
    mimes = _list(media.get("mimes"))
    playable = [file for file in vast.media_files if not mimes or file.mime in mimes]
    if not playable:
        yield "no <MediaFile> is of an offered MIME type"
    if not all(file.url for file in vast.media_files):
        yield "a <MediaFile> has no URL"
    if media_name != "video":
        return
    if not all(file.w and file.h for file in vast.media_files):
        yield "a <MediaFile> does not give its width and height"


def native_problems(media: Object, adm: str) -> Iterator[str]:
    """Judge a native ad: every required asset answered in kind, a link, an impression pixel."""
    root, asked = native_root(adm), _native_request(media)
    if is_wrapped(root) and not is_wrapped(asked):
        yield 'its native markup is wrapped in "native", and the request is not'
    if is_wrapped(asked) and not is_wrapped(root):
        yield 'its native markup is not wrapped in "native", as the request is'
    native = root["native"] if is_wrapped(root) else root
    wanted = {asset["id"]: asset for asset in _requested_assets(asked)}
    answered = set()
    for asset in _list(native.get("assets")):
        asset_id = asset.get("id") if isinstance(asset, dict) else None
        if not _is_count(asset_id) or asset_id not in wanted:
            yield f"native asset {asset_id!r} was not asked for"
            continue
        answered.add(asset_id)
        yield from _asset_problems(wanted[asset_id], asset)
    for asset_id, asset in wanted.items():
        if asset.get("required") == 1 and asset_id not in answered:
            yield f"required native asset {asset_id} is not answered"
    link = native.get("link")
    if not isinstance(link, dict) or not isinstance(link.get("url"), str) or not link["url"]:
        yield "the native ad has no link.url"
    if not native_impression_urls(native):
        yield "the native ad has no impression tracker"


def _native_request(media: Object) -> Object:
    request = media.get("request")
    if isinstance(request, str):
        try:
            request = orjson.loads(request)
        except orjson.JSONDecodeError:
            return {}
    return _object(request)


def _requested_assets(asked: Object) -> list[Object]:
    request = asked["native"] if is_wrapped(asked) else asked
    assets = _list(request.get("assets"))
    return [asset for asset in assets if isinstance(asset, dict) and _is_count(asset.get("id"))]


def _asset_problems(wanted: Object, asset: Object) -> Iterator[str]:
    for kind, content in (("title", "text"), ("img", "url"), ("data", "value"), ("video", "vasttag")):
        if not isinstance(wanted.get(kind), dict):
            continue
        answer = _object(asset.get(kind))
        value = answer.get(content)
        if not isinstance(value, str) or not value:
            yield f"native asset {asset['id']} has no {kind}.{content}"
            return
        longest = wanted[kind].get("len")
        if _is_count(longest) and len(value) > longest:
            yield f"native asset {asset['id']} has {len(value)} characters; {longest} were offered"
        if kind == "img":
            for side, least in (("w", "wmin"), ("h", "hmin")):
                pixels, pixels_min = answer.get(side), wanted[kind].get(least)
                if _is_count(pixels) and _is_count(pixels_min) and pixels < pixels_min:
                    yield f"native asset {asset['id']} is smaller than {least} {pixels_min}"


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _object(value: object) -> Object:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
