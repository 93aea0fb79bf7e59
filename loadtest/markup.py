"""Reading the ad markup of a bid the way a player or a page would: HTML, VAST, native JSON.

Two readers use it: `validate` to judge the markup, `notices` to find the URLs that a shown and a
clicked ad calls. Nothing here fetches anything.
"""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any, Literal
from xml.etree import ElementTree

import msgspec
import orjson

BANNER, VIDEO, AUDIO, NATIVE = 1, 2, 3, 4
"""`bid.mtype` (OpenRTB 2.6, 4.2.3)."""
EVENT_IMPRESSION = 1
METHOD_IMAGE = 1
"""Native 1.2, 7.6 and 7.7."""

_PRICE_PIXEL = re.compile(
    r"""<img\b[^>]*?\bsrc\s*=\s*["']([^"']*\$\{AUCTION_PRICE[^"']*)["']""", re.IGNORECASE
)
_HREF = re.compile(r"""<a\b[^>]*?\bhref\s*=\s*["']([^"']+)["']""", re.IGNORECASE)
_INSECURE = re.compile(r"""http://[^\s"'<>\\)]+""", re.IGNORECASE)
_NAMES_NOT_ADDRESSES = re.compile(r"""xmlns(?::\w+)?\s*=\s*["'][^"']*["']|<!DOCTYPE[^>]*>""", re.IGNORECASE)
_IFRAME = re.compile(r"<iframe\b", re.IGNORECASE)
_SCRIPT = re.compile(r"<script\b", re.IGNORECASE)
_CLOCK = re.compile(r"^(\d{2}):(\d{2}):(\d{2})(?:\.\d{1,3})?$")


class MarkupError(Exception):
    """Markup that can't be read; the message ends a sentence that begins with the bid."""


HtmlKind = Literal["iframe", "script", "image"]


class MediaFile(msgspec.Struct, frozen=True):
    """A <MediaFile>; sizes and bit rate are 0 when missing or no number."""

    url: str
    mime: str
    w: int
    h: int
    bitrate_kbps: int
    delivery: str


class Vast(msgspec.Struct, frozen=True):
    """What this exchange reads of a VAST document."""

    version: str
    is_wrapper: bool
    ad_tag_url: str
    """Where a wrapper gets the ad it wraps."""
    serving_id: str
    skippable: bool
    """The ad brings a skip button of its own."""
    api_frameworks: tuple[str, ...]
    impression_urls: tuple[str, ...]
    media_files: tuple[MediaFile, ...]
    duration_seconds: int | None
    click_through_url: str
    click_tracking_urls: tuple[str, ...]
    completion_urls: tuple[str, ...]
    insecure_urls: tuple[str, ...]


class Trackers(msgspec.Struct, frozen=True):
    """What an ad calls when it is shown, clicked, and played to its end; and where the click then goes.

    URLs may still hold `${AUCTION_...}` macros.
    """

    impression_urls: tuple[str, ...]
    click_tracking_urls: tuple[str, ...]
    click_url: str
    completion_urls: tuple[str, ...] = ()


def trackers(mtype: int, adm: str) -> Trackers:
    """Find the trackers of an ad; raises MarkupError when its markup can't be read.

    Of an HTML ad's images, those whose URL carries the price are the impression pixels; the rest
    are pictures.
    """
    if mtype == BANNER:
        pixels = tuple(unescape(url) for url in _PRICE_PIXEL.findall(adm))
        link = _HREF.search(adm)
        return Trackers(pixels, (), unescape(link.group(1)) if link else "")
    if mtype == NATIVE:
        native = read_native(adm)
        link_object = _object(native.get("link"))
        return Trackers(
            tuple(native_impression_urls(native)),
            tuple(_texts(link_object.get("clicktrackers"))),
            _text(link_object.get("url")),
        )
    vast = read_vast(adm)
    return Trackers(
        vast.impression_urls, vast.click_tracking_urls, vast.click_through_url, vast.completion_urls
    )


def html_kind(adm: str) -> HtmlKind:
    """Tell what an HTML ad is in the first place: a frame, a script, or pictures and text."""
    if _IFRAME.search(adm):
        return "iframe"
    return "script" if _SCRIPT.search(adm) else "image"


def read_vast(adm: str) -> Vast:
    """Read a VAST document; raises MarkupError when it is none."""
    if "<!DOCTYPE" in adm or "<!ENTITY" in adm:
        raise MarkupError("its VAST declares a document type; players refuse those")
    try:
        root = ElementTree.fromstring(adm.strip())
    except ElementTree.ParseError as error:
        raise MarkupError(f"its VAST is not well-formed XML: {error}") from None
    if _local_name(root) != "VAST":
        raise MarkupError(f"its XML begins with <{_local_name(root)}>, not <VAST>")
    found: dict[str, list[ElementTree.Element]] = {}
    insecure = []
    frameworks: set[str] = set()
    for element in root.iter():
        found.setdefault(_local_name(element), []).append(element)
        if framework := element.get("apiFramework"):
            frameworks.add(framework)
        text = element.text
        if text and _INSECURE.match(text.strip()):
            insecure.append(text.strip())
    durations = [_seconds(_content(element)) for element in found.get("Duration", ())]
    return Vast(
        version=root.get("version", ""),
        is_wrapper="Wrapper" in found,
        ad_tag_url=_first(found, "VASTAdTagURI"),
        serving_id=_first(found, "AdServingId"),
        skippable=any(element.get("skipoffset") is not None for element in found.get("Linear", ())),
        api_frameworks=tuple(sorted(frameworks)),
        impression_urls=tuple(filter(None, map(_content, found.get("Impression", ())))),
        media_files=tuple(map(_media_file, found.get("MediaFile", ()))),
        duration_seconds=durations[0] if durations else None,
        click_through_url=_first(found, "ClickThrough"),
        click_tracking_urls=tuple(filter(None, map(_content, found.get("ClickTracking", ())))),
        completion_urls=tuple(
            filter(
                None,
                (_content(each) for each in found.get("Tracking", ()) if each.get("event") == "complete"),
            )
        ),
        insecure_urls=tuple(insecure),
    )


def native_root(adm: str) -> dict[str, Any]:
    """Return the object a native ad's markup holds, wrapped or not; raises MarkupError when none."""
    try:
        root = orjson.loads(adm)
    except orjson.JSONDecodeError as error:
        raise MarkupError(f"its native markup is not JSON: {error}") from None
    if not isinstance(root, dict):
        raise MarkupError("its native markup is not a JSON object")
    return root


def is_wrapped(root: dict[str, Any]) -> bool:
    """Tell whether a native request or answer sits under the key `native`, as in version 1.0."""
    return isinstance(root.get("native"), dict) and "assets" not in root


def read_native(adm: str) -> dict[str, Any]:
    """Return a native answer, taken out of version 1.0's wrapping; raises MarkupError when it is none."""
    root = native_root(adm)
    inner: dict[str, Any] = root["native"] if is_wrapped(root) else root
    return inner


def native_impression_urls(native: dict[str, Any]) -> list[str]:
    """Return the image pixels a native ad calls when shown: event trackers, and the older list."""
    trackers = native.get("eventtrackers")
    found = [
        _text(tracker.get("url"))
        for tracker in (trackers if isinstance(trackers, list) else ())
        if isinstance(tracker, dict)
        and tracker.get("event") == EVENT_IMPRESSION
        and tracker.get("method") == METHOD_IMAGE
    ]
    return [url for url in found if url] + _texts(native.get("imptrackers"))


def insecure_urls(mtype: int, adm: str) -> list[str]:
    """Return the plain http URLs that showing or clicking the ad may call."""
    if mtype in (VIDEO, AUDIO):
        return list(read_vast(adm).insecure_urls)
    if mtype == NATIVE:
        return [text for text in _strings(read_native(adm)) if _INSECURE.match(text)]
    return _INSECURE.findall(_NAMES_NOT_ADDRESSES.sub("", adm))


def _strings(value: object) -> Iterator[str]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _first(found: dict[str, list[ElementTree.Element]], name: str) -> str:
    """Return the text of the first element of a name; "" when there is none."""
    return next((_content(element) for element in found.get(name, ())), "")


def _local_name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _content(element: ElementTree.Element) -> str:
    return (element.text or "").strip()


def _media_file(element: ElementTree.Element) -> MediaFile:
    def count(name: str) -> int:
        text = element.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0

    return MediaFile(
        url=_content(element),
        mime=element.get("type", ""),
        w=count("width"),
        h=count("height"),
        bitrate_kbps=count("bitrate"),
        delivery=element.get("delivery", ""),
    )


def _seconds(text: str) -> int | None:
    clock = _CLOCK.match(text)
    return int(clock[1]) * 3600 + int(clock[2]) * 60 + int(clock[3]) if clock else None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str) and item] if isinstance(value, list) else []
