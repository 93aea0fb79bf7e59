"""The part of a strict exchange's judgement that is about native ads (OpenRTB Native 1.2).

Each function yields what is wrong, worded to end a sentence that begins with the bid's name. They raise
`MarkupError` when the markup can't be read at all.
"""

from collections.abc import Iterator

import orjson

from loadtest.addresses import host_of
from loadtest.markup import MarkupError, is_wrapped, native_impression_urls, native_root, read_vast
from loadtest.reading import Object, is_count, list_of, object_of, objects_of
from loadtest.validate_media import VAST_PROTOCOLS

KINDS = (("title", "text"), ("img", "url"), ("video", "vasttag"), ("data", "value"))
"""Native 1.2, 5.2: an asset answers with exactly one of these, and the field it can't do without."""

VERSIONS_WITHOUT_EVENT_TRACKERS = ("1", "1.0", "1.1")


def native_problems(media: Object, adm: str) -> Iterator[str]:
    """Judge a native ad: every required asset answered in kind, a link, trackers as they were asked for."""
    root, asked = native_root(adm), _native_request(media)
    if is_wrapped(root) and not is_wrapped(asked):
        yield 'its native markup is wrapped in "native", and the request is not'
    if is_wrapped(asked) and not is_wrapped(root):
        yield 'its native markup is not wrapped in "native", as the request is'
    native = root["native"] if is_wrapped(root) else root
    request = asked["native"] if is_wrapped(asked) else asked
    wanted = {asset["id"]: asset for asset in objects_of(request.get("assets")) if is_count(asset.get("id"))}
    answered = set()
    for asset in list_of(native.get("assets")):
        asset_id = asset.get("id") if isinstance(asset, dict) else None
        if not is_count(asset_id) or asset_id not in wanted:
            yield f"native asset {asset_id!r} was not asked for"
            continue
        if asset_id in answered:
            yield f"native asset {asset_id} is answered twice"
        answered.add(asset_id)
        yield from _asset_problems(wanted[asset_id], asset)
    for asset_id, asset in wanted.items():
        if asset.get("required") == 1 and asset_id not in answered:
            yield f"required native asset {asset_id} is not answered"
    link = object_of(native.get("link")).get("url")
    if not isinstance(link, str) or not host_of(link):
        yield "the native ad has no link.url"
    yield from _tracker_problems(request, native)
    if native.get("privacy") is not None and request.get("privacy") != 1:
        yield "the native ad has a privacy URL, which was not asked for"


def _tracker_problems(request: Object, native: Object) -> Iterator[str]:
    if not native_impression_urls(native):
        yield "the native ad has no impression tracker"
    trackers = objects_of(native.get("eventtrackers"))
    asked = request.get("eventtrackers")
    if not isinstance(asked, list):
        if trackers and str(request.get("ver")) in VERSIONS_WITHOUT_EVENT_TRACKERS:
            yield f"the native ad has eventtrackers, which version {request['ver']} does not know"
        return
    methods = {
        (entry.get("event"), method)
        for entry in objects_of(asked)
        for method in list_of(entry.get("methods"))
        if is_count(entry.get("event")) and is_count(method)
    }
    for tracker in trackers:
        event, method = tracker.get("event"), tracker.get("method")
        if methods and not (is_count(event) and is_count(method) and (event, method) in methods):
            yield f"an event tracker of event {event!r}, method {method!r} was not asked for"


def _native_request(media: Object) -> Object:
    request = media.get("request")
    if isinstance(request, str):
        try:
            request = orjson.loads(request)
        except orjson.JSONDecodeError:
            return {}
    return object_of(request)


def _asset_problems(wanted: Object, asset: Object) -> Iterator[str]:
    answers = [kind for kind, _ in KINDS if kind in asset]
    if len(answers) > 1:
        yield f"native asset {asset['id']} answers with {' and '.join(answers)}"
    for kind, content in KINDS:
        if not isinstance(wanted.get(kind), dict):
            continue
        answer, offered = object_of(asset.get(kind)), wanted[kind]
        value = answer.get(content)
        if not isinstance(value, str) or not value:
            yield f"native asset {asset['id']} has no {kind}.{content}"
        elif kind == "img":
            yield from _image_problems(asset["id"], answer, offered)
        elif kind == "video":
            yield from _video_problems(asset["id"], value, offered)
        elif is_count(offered.get("len")) and offered["len"] and len(value) > offered["len"]:
            yield f"native asset {asset['id']} has {len(value)} characters; {offered['len']} were offered"
        return


def _image_problems(asset_id: int, answer: Object, offered: Object) -> Iterator[str]:
    for side, least in (("w", "wmin"), ("h", "hmin")):
        pixels, pixels_min = answer.get(side), offered.get(least)
        if is_count(pixels) and is_count(pixels_min) and pixels < pixels_min:
            yield f"native asset {asset_id} is smaller than {least} {pixels_min}"


def _video_problems(asset_id: int, vast_tag: str, offered: Object) -> Iterator[str]:
    try:
        vast = read_vast(vast_tag)
    except MarkupError as error:
        yield f"native asset {asset_id}: {error}"
        return
    protocols = list_of(offered.get("protocols"))
    protocol = VAST_PROTOCOLS.get(vast.version, (0, 0))[vast.is_wrapper]
    if protocols and protocol not in protocols:
        yield f"native asset {asset_id} is VAST {vast.version} (protocol {protocol}), which is not offered"
    mimes = list_of(offered.get("mimes"))
    if mimes and vast.media_files and not any(file.mime in mimes for file in vast.media_files):
        yield f"native asset {asset_id} has no <MediaFile> of an offered MIME type"
    shortest, longest = offered.get("minduration"), offered.get("maxduration")
    seconds = vast.duration_seconds
    if seconds is not None and (
        (is_count(shortest) and seconds < shortest) or (is_count(longest) and longest and seconds > longest)
    ):
        yield f"native asset {asset_id} lasts {seconds} s, which is not offered"
