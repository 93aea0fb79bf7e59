"""The markup of an ad (`adm`), for each format: HTML, VAST, or a native answer.

Every URL of ours in it carries `TOKEN`, which the renderer replaces by the bid's own notice token;
`${AUCTION_PRICE}` and its like are the exchange's to replace (OpenRTB 2.6, 4.4).
"""

from collections.abc import Iterable
from html import escape
from xml.etree import ElementTree as Xml

import orjson

from bidder.decision.media import VAST_VERSIONS, answers, data_text
from bidder.openrtb.opportunity import NativeAsset, NativeShape, StreamShape
from config.schema import Creative, MediaFile, NativeAssets

TOKEN = "NOTICE-TOKEN-NOTICE-TOKEN"
"""Stands where a bid's token goes in prepared markup and URLs."""

_VAST_4_NAMESPACE = "http://www.iab.com/VAST"
_AD_SYSTEM = "Hustings"


def impression_url(events_url: str) -> str:
    return f"{events_url}/imp?t={TOKEN}&p=${{AUCTION_PRICE}}"


def click_url(events_url: str) -> str:
    return f"{events_url}/click?t={TOKEN}"


def banner_html(creative: Creative, events_url: str) -> str:
    """Return a linked image and the impression pixel."""
    assert creative.image_url is not None
    size = f'width="{creative.w}" height="{creative.h}"'
    return (
        f'<a href="{escape(click_url(events_url))}" target="_blank" rel="noopener">'
        f'<img src="{escape(creative.image_url)}" {size} alt="" style="border:0"></a>'
        f'<img src="{escape(impression_url(events_url))}" width="1" height="1" alt="" '
        'style="position:absolute;visibility:hidden">'
    )


def vast(creative: Creative, shape: StreamShape, protocol: int, title: str, events_url: str) -> str:
    """Return an inline linear VAST document of the version that `protocol` names.

    Only media files of a type the imp takes are listed. Element order follows the version's schema.
    """
    version = VAST_VERSIONS[protocol]
    modern = version.startswith("4")
    root = Xml.Element("VAST", {"version": version} | ({"xmlns": _VAST_4_NAMESPACE} if modern else {}))
    inline = Xml.SubElement(Xml.SubElement(root, "Ad", id=creative.id), "InLine")
    Xml.SubElement(inline, "AdSystem").text = _AD_SYSTEM
    if not modern:
        Xml.SubElement(inline, "AdTitle").text = title
    Xml.SubElement(inline, "Impression").text = impression_url(events_url)
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
    minutes, seconds = divmod(creative.duration_seconds or 0, 60)
    hours, minutes = divmod(minutes, 60)
    Xml.SubElement(linear, "Duration").text = f"{hours:02d}:{minutes:02d}:{seconds:02d}"
    if not modern:
        _video_clicks(linear, events_url)
    files = Xml.SubElement(linear, "MediaFiles")
    for file in creative.media_files:
        if file.mime in shape.mimes:
            Xml.SubElement(files, "MediaFile", _media_attributes(file)).text = file.url
    if modern:
        _video_clicks(linear, events_url)
    return Xml.tostring(root, encoding="unicode")


def native_json(assets: NativeAssets, shape: NativeShape, events_url: str) -> str:
    """Return the native answer to a shape: every asset it asks for and the creative has."""
    answered = [_native_answer(asset, assets) for asset in shape.assets if answers(asset, assets)]
    answer: dict[str, object] = {"assets": answered, "link": {"url": click_url(events_url)}}
    if shape.event_trackers:
        answer["ver"] = "1.2"
        answer["eventtrackers"] = [{"event": 1, "method": 1, "url": impression_url(events_url)}]
    else:
        answer["imptrackers"] = [impression_url(events_url)]
    return orjson.dumps({"native": answer} if shape.wrapped else answer).decode()


def _video_clicks(linear: Xml.Element, events_url: str) -> None:
    clicks = Xml.SubElement(linear, "VideoClicks")
    Xml.SubElement(clicks, "ClickThrough").text = click_url(events_url)


def _media_attributes(file: MediaFile) -> dict[str, str]:
    attributes = {"delivery": "progressive", "type": file.mime}
    optional: Iterable[tuple[str, int | None]] = (
        ("bitrate", file.bitrate_kbps),
        # The schema requires a size; audio has none, and says 0.
        ("width", file.w or 0),
        ("height", file.h or 0),
    )
    return attributes | {name: str(value) for name, value in optional if value is not None}


def _native_answer(asset: NativeAsset, assets: NativeAssets) -> dict[str, object]:
    if asset.kind == "title":
        return {"id": asset.id, "title": {"text": assets.title}}
    if asset.kind == "data":
        return {"id": asset.id, "data": {"value": data_text(assets, asset.type)}}
    image = assets.icon if asset.type == 1 else assets.image
    assert image is not None
    return {"id": asset.id, "img": {"url": image.url, "w": image.w, "h": image.h}}
