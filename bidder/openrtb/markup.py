"""The markup of an ad (`adm`), for each format: HTML, VAST, or a native answer.

The URLs of ours in it are those of `bidder.openrtb.notice_urls`. A creative's own HTML or iframe address
names them in braces:

    {click_url}           counts the click, then leads to the creative's landing_url
    {click_url_encoded}   the same, to stand inside another URL
    {impression_url}      our impression pixel; where the HTML has no place for it, one is put after it
"""

from html import escape
from urllib.parse import quote
from xml.etree import ElementTree as Xml

import orjson

from bidder.decision.media import (
    INLINE_VERSIONS,
    SKIPPABLE,
    WRAPPER_VERSIONS,
    answers,
    data_text,
    playable_files,
    shown_attributes,
    vast_protocol,
)
from bidder.openrtb.notice_urls import TOKEN, NoticeUrls
from bidder.openrtb.opportunity import NativeAsset, NativeShape, StreamShape
from config.schema import Creative, MediaFile

CLICK_URL, CLICK_URL_ENCODED, IMPRESSION_URL = "{click_url}", "{click_url_encoded}", "{impression_url}"

_VAST_4_NAMESPACE = "http://www.iab.com/VAST"
_AD_SYSTEM = "Hustings"


def banner_html(creative: Creative, urls: NoticeUrls) -> str:
    """Return a linked image, the creative's own HTML, or an iframe, and the impression pixel."""
    if creative.html is not None:
        html = _filled(creative.html, urls)
        return html if IMPRESSION_URL in creative.html else html + _pixel(urls)
    size = f'width="{creative.w}" height="{creative.h}"'
    if creative.iframe_url is not None:
        source = escape(_filled(creative.iframe_url, urls))
        return f'<iframe src="{source}" {size} scrolling="no" style="border:0"></iframe>{_pixel(urls)}'
    assert creative.image_url is not None
    return (
        f'<a href="{escape(urls.click())}" target="_blank" rel="noopener">'
        f'<img src="{escape(creative.image_url)}" {size} alt="" style="border:0"></a>{_pixel(urls)}'
    )


def _filled(text: str, urls: NoticeUrls) -> str:
    text = text.replace(CLICK_URL, urls.click()).replace(CLICK_URL_ENCODED, quote(urls.click(), safe=""))
    return text.replace(IMPRESSION_URL, urls.impression())


def _pixel(urls: NoticeUrls) -> str:
    return (
        f'<img src="{escape(urls.impression())}" width="1" height="1" alt="" '
        'style="position:absolute;visibility:hidden">'
    )


def vast(creative: Creative, shape: StreamShape, protocol: int, title: str, urls: NoticeUrls) -> str:
    """Return the linear VAST document that `protocol` names: in line, or a wrapper of a `vast_url`.

    Only media files that the player takes are listed. Element order follows the version's schema.
    """
    if creative.vast_url is not None:
        return _wrapper(creative, WRAPPER_VERSIONS[protocol], urls)
    version = INLINE_VERSIONS[protocol]
    modern = version.startswith("4")
    root = _vast_root(version)
    inline = Xml.SubElement(Xml.SubElement(root, "Ad", id=creative.id), "InLine")
    Xml.SubElement(inline, "AdSystem").text = _AD_SYSTEM
    if not modern:
        Xml.SubElement(inline, "AdTitle").text = title
    Xml.SubElement(inline, "Impression").text = urls.impression("vast_impression")
    if modern:
        if version != "4.0":
            Xml.SubElement(inline, "AdServingId").text = TOKEN
        Xml.SubElement(inline, "AdTitle").text = title
    part = Xml.SubElement(Xml.SubElement(inline, "Creatives"), "Creative", id=creative.id)
    if modern:
        universal = Xml.SubElement(part, "UniversalAdId", idRegistry="unknown")
        universal.text = "unknown"
        if version == "4.0":
            universal.set("idValue", "unknown")
    linear = Xml.SubElement(part, "Linear")
    if creative.skip_after_seconds is not None and SKIPPABLE in shown_attributes(shape, creative):
        linear.set("skipoffset", _clock(creative.skip_after_seconds))
    if modern:
        _tracking_events(linear, urls)
    Xml.SubElement(linear, "Duration").text = _clock(creative.duration_seconds or 0)
    if not modern:
        _tracking_events(linear, urls)
        _video_clicks(linear, "ClickThrough", urls)
    files = Xml.SubElement(linear, "MediaFiles")
    for file in playable_files(shape, creative):
        Xml.SubElement(files, "MediaFile", _media_attributes(file)).text = file.url
    if modern:
        _video_clicks(linear, "ClickThrough", urls)
    return Xml.tostring(root, encoding="unicode")


def _wrapper(creative: Creative, version: str, urls: NoticeUrls) -> str:
    """Impressions, clicks and whole plays are ours to count; everything else is behind the `vast_url`."""
    modern = version.startswith("4")
    root = _vast_root(version)
    wrapper = Xml.SubElement(Xml.SubElement(root, "Ad", id=creative.id), "Wrapper")
    Xml.SubElement(wrapper, "AdSystem").text = _AD_SYSTEM
    if not modern:
        Xml.SubElement(wrapper, "VASTAdTagURI").text = creative.vast_url
    Xml.SubElement(wrapper, "Impression").text = urls.impression("vast_impression")
    part = Xml.SubElement(Xml.SubElement(wrapper, "Creatives"), "Creative", id=creative.id)
    linear = Xml.SubElement(part, "Linear")
    _tracking_events(linear, urls)
    _video_clicks(linear, "ClickTracking", urls)
    if modern:
        Xml.SubElement(wrapper, "VASTAdTagURI").text = creative.vast_url
    return Xml.tostring(root, encoding="unicode")


def _vast_root(version: str) -> Xml.Element:
    namespace = {"xmlns": _VAST_4_NAMESPACE} if version.startswith("4") else {}
    return Xml.Element("VAST", {"version": version} | namespace)


def _clock(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}"


def _tracking_events(linear: Xml.Element, urls: NoticeUrls) -> None:
    events = Xml.SubElement(linear, "TrackingEvents")
    Xml.SubElement(events, "Tracking", event="complete").text = urls.completion()


def _video_clicks(linear: Xml.Element, kind: str, urls: NoticeUrls) -> None:
    Xml.SubElement(Xml.SubElement(linear, "VideoClicks"), kind).text = urls.click()


def _media_attributes(file: MediaFile) -> dict[str, str]:
    # The schema requires a size; audio has none, and says 0.
    size = {"width": str(file.w or 0), "height": str(file.h or 0)}
    bitrate = {} if file.bitrate_kbps is None else {"bitrate": str(file.bitrate_kbps)}
    return {"delivery": file.delivery, "type": file.mime} | bitrate | size


def native_json(creative: Creative, shape: NativeShape, title: str, urls: NoticeUrls) -> str:
    """Return the native answer to a shape: every asset it asks for and the creative has."""
    assets = [asset for asset in shape.assets if answers(asset, creative)]
    answer: dict[str, object] = {
        "assets": [_native_answer(asset, creative, title, urls) for asset in assets],
        "link": {"url": urls.click()},
    }
    if shape.event_trackers:
        answer["ver"] = "1.2"
        answer["eventtrackers"] = [{"event": 1, "method": 1, "url": urls.impression()}]
    else:
        answer["imptrackers"] = [urls.impression()]
    assert creative.native is not None
    if shape.privacy and creative.native.privacy_url:
        answer["privacy"] = creative.native.privacy_url
    return orjson.dumps({"native": answer} if shape.wrapped else answer).decode()


def _native_answer(asset: NativeAsset, creative: Creative, title: str, urls: NoticeUrls) -> dict[str, object]:
    native = creative.native
    assert native is not None
    if asset.kind == "title":
        return {"id": asset.id, "title": {"text": native.title}}
    if asset.kind == "data":
        return {"id": asset.id, "data": {"value": data_text(native, asset.type)}}
    if asset.kind == "video":
        assert asset.stream is not None
        protocol = vast_protocol(asset.stream, creative)
        assert protocol is not None
        # VAST must have an impression. It is the same pixel as the native ad's, which counts once.
        return {"id": asset.id, "video": {"vasttag": vast(creative, asset.stream, protocol, title, urls)}}
    image = native.icon if asset.type == 1 else native.image
    assert image is not None
    return {"id": asset.id, "img": {"url": image.url, "w": image.w, "h": image.h}}
