"""The markup of creatives that bring their own, of wrappers, and of native answers."""

import json
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pytest

from bidder.openrtb.markup import banner_html, native_json, vast
from bidder.openrtb.notice_urls import NoticeUrls
from bidder.openrtb.opportunity import NativeAsset, NativeShape, StreamShape
from config.schema import Creative, ExchangeProfile, MediaFile, NativeAssets
from tests.factories import banner, native, video

URLS = NoticeUrls("https://ev.example", ExchangeProfile(id="plain"))
TAG = "https://vast.partner.example/tag?a=1&b=2"
NAMESPACE = "{http://www.iab.com/VAST}"


def test_html_gets_our_addresses_where_it_names_them() -> None:
    html = (
        '<script>go("{click_url}", "https://t.example/?to={click_url_encoded}", {retries: 2})</script>'
        '<img src="{impression_url}">'
    )
    made = banner_html(banner(image_url=None, html=html), URLS)
    encoded = quote(URLS.click(), safe="")
    assert made == (
        f'<script>go("{URLS.click()}", "https://t.example/?to={encoded}", {{retries: 2}})</script>'
        f'<img src="{URLS.impression()}">'
    )


def test_html_without_a_place_for_it_gets_the_pixel_after_it() -> None:
    made = banner_html(banner(image_url=None, html="<b>Boots</b>"), URLS)
    assert made.startswith("<b>Boots</b><img ")
    assert made.count("/imp?t=") == 1


def test_an_iframe_shows_its_address_and_is_followed_by_the_pixel() -> None:
    address = "https://ads.partner.example/300?x=1&click={click_url_encoded}"
    made = banner_html(banner(image_url=None, iframe_url=address), URLS)
    assert 'width="300" height="250"' in made
    assert f"x=1&amp;click={quote(URLS.click(), safe='')}" in made
    assert made.count("/imp?t=") == 1


def document(creative: Creative, protocol: int, **shape: Any) -> ElementTree.Element:
    fields = {"mimes": ("video/mp4",)} | shape
    return ElementTree.fromstring(vast(creative, StreamShape(**fields), protocol, "Autumn", URLS))


@pytest.mark.parametrize(
    ("protocol", "version", "order"),
    [
        (5, "2.0", ["AdSystem", "VASTAdTagURI", "Impression", "Creatives"]),
        (6, "3.0", ["AdSystem", "VASTAdTagURI", "Impression", "Creatives"]),
        (8, "4.0", ["AdSystem", "Impression", "Creatives", "VASTAdTagURI"]),
        (14, "4.2", ["AdSystem", "Impression", "Creatives", "VASTAdTagURI"]),
        (16, "4.3", ["AdSystem", "Impression", "Creatives", "VASTAdTagURI"]),
    ],
)
def test_a_wrapper_counts_for_us_and_leads_on(protocol: int, version: str, order: list[str]) -> None:
    root = document(video(media_files=(), vast_url=TAG, vast_version="2.0"), protocol)
    assert root.get("version") == version
    (wrapper,) = [element for element in root.iter() if element.tag.endswith("Wrapper")]
    assert [child.tag.removeprefix(NAMESPACE) for child in wrapper] == order
    texts = {element.tag.removeprefix(NAMESPACE): element.text for element in root.iter()}
    assert texts["VASTAdTagURI"] == TAG
    assert texts["Impression"] == URLS.impression("vast_impression")
    assert texts["ClickTracking"] == URLS.click()
    assert "ClickThrough" not in texts


@pytest.mark.parametrize(
    ("protocol", "order"),
    [
        (2, ["Duration", "TrackingEvents", "VideoClicks", "MediaFiles"]),
        (3, ["Duration", "TrackingEvents", "VideoClicks", "MediaFiles"]),
        (7, ["TrackingEvents", "Duration", "MediaFiles", "VideoClicks"]),
        (13, ["TrackingEvents", "Duration", "MediaFiles", "VideoClicks"]),
        (5, ["TrackingEvents", "VideoClicks"]),
        (8, ["TrackingEvents", "VideoClicks"]),
    ],
)
def test_a_whole_play_is_told_once_where_the_version_has_its_place(protocol: int, order: list[str]) -> None:
    creative = video() if len(order) == 4 else video(media_files=(), vast_url=TAG, vast_version="2.0")
    root = document(creative, protocol)
    (linear,) = [element for element in root.iter() if element.tag.endswith("Linear")]
    assert [child.tag.removeprefix(NAMESPACE) for child in linear] == order
    (tracking,) = [element for element in root.iter() if element.tag.removeprefix(NAMESPACE) == "Tracking"]
    assert (tracking.get("event"), tracking.text) == ("complete", URLS.completion())


def test_a_skip_button_is_offered_unless_the_player_has_one() -> None:
    creative = video(skip_after_seconds=65, seconds=90)
    (linear,) = document(creative, 3).iter("Linear")
    assert linear.get("skipoffset") == "00:01:05"
    (linear,) = document(creative, 3, skippable=True).iter("Linear")
    assert linear.get("skipoffset") is None


def test_only_files_that_suit_the_player_are_listed() -> None:
    files = (
        MediaFile(url="https://a.example/hd", mime="video/mp4", w=1920, h=1080, bitrate_kbps=8_000),
        MediaFile(url="https://a.example/hls", mime="video/mp4", w=640, h=360, delivery="streaming"),
        MediaFile(url="https://a.example/sd", mime="video/mp4", w=640, h=360, bitrate_kbps=900),
    )
    root = document(video(media_files=files), 3, bitrate_max_kbps=1_000)
    assert [(file.text, file.get("delivery")) for file in root.iter("MediaFile")] == [
        ("https://a.example/hls", "streaming"),
        ("https://a.example/sd", "progressive"),
    ]


def native_answer(creative: Creative, *assets: NativeAsset, **shape: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(native_json(creative, NativeShape(assets, **shape), "Autumn", URLS))
    return answer


TITLE = NativeAsset(1, True, "title", length_max=90)


def test_a_native_film_is_vast_within_the_answer() -> None:
    film = native(media_files=video().media_files, duration_seconds=15)
    asset = NativeAsset(7, True, "video", stream=StreamShape(("video/mp4",), 5, 30, protocols=(2, 3)))
    answer = native_answer(film, TITLE, asset)
    assert [one["id"] for one in answer["assets"]] == [1, 7]
    root = ElementTree.fromstring(answer["assets"][1]["video"]["vasttag"])
    assert root.get("version") == "3.0"
    assert [duration.text for duration in root.iter("Duration")] == ["00:00:15"]


def test_a_privacy_notice_is_sent_only_where_it_is_asked_for() -> None:
    url = "https://shop.example/privacy"
    with_notice = native(native=NativeAssets(title="Boots", sponsored_by="Shop", privacy_url=url))
    assert "privacy" not in native_answer(with_notice, TITLE)
    assert native_answer(with_notice, TITLE, privacy=True)["privacy"] == url
    assert "privacy" not in native_answer(native(), TITLE, privacy=True)


def test_impressions_are_tracked_the_way_that_was_asked_for() -> None:
    modern, older = native_answer(native(), TITLE), native_answer(native(), TITLE, event_trackers=False)
    assert modern["eventtrackers"] == [{"event": 1, "method": 1, "url": URLS.impression()}]
    assert older["imptrackers"] == [URLS.impression()]
    assert "eventtrackers" not in older
    assert "imptrackers" not in modern
