"""Which creatives fit which offers, rule by rule."""

from typing import Any

import numpy as np
import pytest

from bidder.decision.media import MediaRows, mismatch, shown_attributes, vast_protocol
from bidder.decision.reasons import Mismatch
from bidder.openrtb.opportunity import (
    BannerShape,
    MediaOffer,
    NativeAsset,
    NativeShape,
    StreamShape,
)
from config.schema import Creative, Image, MediaFile, NativeAssets, SlotTargeting
from tests.factories import audio, banner, native, video

FILM = video(skip_after_seconds=None)
WRAPPED = video(media_files=(), vast_url="https://vast.partner.example/tag")
HTML = banner(image_url=None, html="<script>go()</script>")
IFRAME = banner(image_url=None, iframe_url="https://ads.partner.example/300x250")


def on_banner(creative: Creative, interstitial: bool = False, **shape: Any) -> Mismatch | None:
    fields = {"sizes": ((300, 250),)} | shape
    return mismatch(MediaOffer(banner=BannerShape(**fields), interstitial=interstitial), creative)


def on_video(creative: Creative, **shape: Any) -> Mismatch | None:
    return mismatch(MediaOffer(video=StreamShape(**({"mimes": ("video/mp4",)} | shape))), creative)


@pytest.mark.parametrize(
    ("w", "h", "fits"),
    [(300, 250, True), (320, 180, True), (640, 360, True), (319, 180, False), (160, 90, False)],
)
def test_a_flexible_size_is_a_shape_and_a_smallest_width(w: int, h: int, fits: bool) -> None:
    assert (on_banner(banner(w=w, h=h), ratios=((16, 9, 320),)) is None) == fits


@pytest.mark.parametrize(
    ("w", "h", "fits"),
    [
        (320, 480, True),
        (300, 250, True),
        (160, 192, True),
        (159, 480, False),
        (320, 191, False),
        (321, 480, False),
    ],
)
def test_an_interstitial_may_be_half_as_wide_and_two_fifths_as_high(w: int, h: int, fits: bool) -> None:
    offered: dict[str, Any] = {"sizes": ((320, 480),)}
    assert (on_banner(banner(w=w, h=h), interstitial=True, **offered) is None) == fits
    assert on_banner(banner(w=w, h=h), **offered) is (None if (w, h) == (320, 480) else Mismatch.SIZE)


def test_each_kind_of_banner_has_its_type() -> None:
    for creative, type_ in ((banner(), 2), (HTML, 3), (IFRAME, 4)):
        others = tuple({1, 2, 3, 4} - {type_})
        assert on_banner(creative, blocked_types=others) is None
        assert on_banner(creative, blocked_types=(type_,)) is Mismatch.ATTRIBUTE


def test_an_expanding_banner_needs_room() -> None:
    assert on_banner(banner(attributes=(4,))) is Mismatch.ATTRIBUTE
    assert on_banner(banner(attributes=(4,)), expandable=True) is None
    assert on_banner(banner(attributes=(4,)), expandable=True, blocked_attributes=(4,)) is Mismatch.ATTRIBUTE


def test_an_api_that_is_not_listed_is_not_there() -> None:
    assert on_banner(banner(apis=(5,))) is Mismatch.API
    assert on_banner(banner(apis=(5, 7)), apis=(3, 5)) is Mismatch.API
    assert on_banner(banner(apis=(5,)), apis=(3, 5)) is None
    assert on_video(video(apis=(7,))) is Mismatch.API
    assert on_video(video(apis=(7,)), apis=(7,)) is None


def test_everything_a_creative_loads_must_be_https() -> None:
    for creative in (
        banner(image_url=None, html='<img src="HTTP://a.example/x.png">'),
        banner(image_url=None, iframe_url="http://a.example/"),
        video(media_files=(), vast_url="http://a.example/vast"),
    ):
        assert mismatch(everything(secure=True), creative) is Mismatch.NOT_SECURE
        assert mismatch(everything(secure=False), creative) is None


def everything(**fields: Any) -> MediaOffer:
    stream = StreamShape(mimes=("video/mp4",), protocols=(2, 3, 5, 6))
    return MediaOffer(banner=BannerShape(sizes=((300, 250),)), video=stream, **fields)


@pytest.mark.parametrize(
    ("creative", "protocols", "written"),
    [
        (FILM, (), 3),
        (FILM, (2, 3, 7, 11, 13, 15, 17), 15),
        (FILM, (5, 6), None),
        (video(skip_after_seconds=5), (2,), None),
        (video(skip_after_seconds=5), (2, 3), 3),
        (WRAPPED, (), 6),
        (WRAPPED, (2, 3, 5), None),
        (WRAPPED, (5, 6, 8, 12, 14, 16, 18), 16),
        (video(media_files=(), vast_url="https://a.example/", vast_version="4.1"), (5, 6, 8), None),
        (video(media_files=(), vast_url="https://a.example/", vast_version="2.0"), (2, 5), 5),
    ],
)
def test_the_highest_vast_that_both_sides_know(
    creative: Creative, protocols: tuple[int, ...], written: int | None
) -> None:
    shape = StreamShape(mimes=("video/mp4",), protocols=protocols)
    assert vast_protocol(shape, creative) == written
    assert on_video(creative, protocols=protocols) is (None if written else Mismatch.PROTOCOL)


def test_a_skip_button_of_ours_is_left_out_where_the_player_has_one() -> None:
    ours = video(skip_after_seconds=5, attributes=(13,))
    plain, skippable = StreamShape(mimes=()), StreamShape(mimes=(), skippable=True)
    assert shown_attributes(plain, ours) == (13, 16)
    assert shown_attributes(skippable, ours) == (13,)
    assert on_video(ours, blocked_attributes=(16,)) is Mismatch.ATTRIBUTE
    assert on_video(ours, blocked_attributes=(16,), skippable=True) is None


def test_one_behind_a_vast_url_cant_be_left_out() -> None:
    theirs = video(media_files=(), vast_url="https://a.example/", skip_after_seconds=5)
    assert on_video(theirs) is None
    assert on_video(theirs, skippable=True) is Mismatch.SKIP


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        ({"bitrate_min_kbps": 2_000, "bitrate_max_kbps": 2_000}, True),
        ({"bitrate_min_kbps": 2_001}, False),
        ({"bitrate_max_kbps": 1_999}, False),
        ({"delivery": (2, 3)}, True),
        ({"delivery": (1,)}, False),
        ({"boxing": False, "w": 854, "h": 480}, True),
        ({"boxing": False, "w": 640, "h": 480}, False),
        ({"boxing": True, "w": 640, "h": 480}, True),
        ({"boxing": False}, True),
    ],
)
def test_a_file_must_suit_the_player(shape: dict[str, Any], fits: bool) -> None:
    assert on_video(FILM, **shape) is (None if fits else Mismatch.MIME)


def test_one_file_that_suits_is_enough() -> None:
    files = (
        MediaFile(url="https://a.example/hd", mime="video/mp4", w=1920, h=1080, bitrate_kbps=8_000),
        MediaFile(url="https://a.example/sd", mime="video/mp4", w=640, h=360, bitrate_kbps=900),
    )
    assert on_video(video(media_files=files), bitrate_max_kbps=1_000) is None


def test_a_native_film_answers_a_video_asset() -> None:
    asset = NativeAsset(4, True, "video", stream=StreamShape(("video/mp4",), 5, 30, protocols=(3,)))
    offer = MediaOffer(native=NativeShape((asset,)))
    film = native(media_files=FILM.media_files, duration_seconds=15)
    assert mismatch(offer, film) is None
    assert mismatch(offer, native()) is Mismatch.NATIVE_ASSET
    assert mismatch(offer, native(media_files=FILM.media_files, duration_seconds=45)) is Mismatch.NATIVE_ASSET


@pytest.mark.parametrize(
    ("type_", "field"),
    [
        (3, "rating"),
        (6, "price"),
        (7, "sale_price"),
        (8, "phone"),
        (10, "description_2"),
        (11, "display_url"),
    ],
)
def test_each_data_asset_has_its_field(type_: int, field: str) -> None:
    offer = MediaOffer(native=NativeShape((NativeAsset(1, True, "data", type=type_, length_max=5),)))
    assets: dict[str, Any] = {"title": "Boots", "sponsored_by": "Shop"}
    assert mismatch(offer, native(native=NativeAssets(**assets))) is Mismatch.NATIVE_ASSET
    assert mismatch(offer, native(native=NativeAssets(**assets | {field: "12345"}))) is None
    assert mismatch(offer, native(native=NativeAssets(**assets | {field: "123456"}))) is Mismatch.NATIVE_ASSET


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (SlotTargeting(), True),
        (SlotTargeting(placements=("instream",)), True),
        (SlotTargeting(placements=("interstitial", "standalone")), False),
        (SlotTargeting(starts=("mid-roll", "pre-roll")), True),
        (SlotTargeting(starts=("post-roll",)), False),
        (SlotTargeting(rewarded=True), True),
        (SlotTargeting(rewarded=False), False),
        (SlotTargeting(interstitial=False), True),
        (SlotTargeting(interstitial=True), False),
    ],
)
def test_a_line_item_may_ask_for_a_kind_of_place(wanted: SlotTargeting, fits: bool) -> None:
    shape = StreamShape(mimes=("video/mp4",), placement=1, start="pre-roll")
    assert mismatch(MediaOffer(video=shape, rewarded=True), FILM, wanted) is (None if fits else Mismatch.SLOT)


def test_a_place_in_a_stream_is_not_met_by_a_banner() -> None:
    offer = MediaOffer(banner=BannerShape(((300, 250),)))
    assert mismatch(offer, banner(), SlotTargeting(starts=("pre-roll",))) is Mismatch.SLOT


def test_rows_hold_what_the_rule_says_of_each_ad() -> None:
    """Ads are grouped by what offers can tell apart: no two different answers may share a group."""
    creatives = [
        banner(),
        banner("b2", 728, 90),
        HTML,
        IFRAME,
        banner("b3", apis=(5,)),
        banner("b4", attributes=(4,)),
        FILM,
        video("v2", 30),
        video("v3", skip_after_seconds=5),
        video("v4", media_files=(MediaFile(url="https://a.example/", mime="video/mp4", w=4, h=3),)),
        WRAPPED,
        audio(),
        native(),
        native("n2", media_files=FILM.media_files, duration_seconds=15),
        native(
            "n3",
            native=NativeAssets(title="B", sponsored_by="S", icon=Image(url="https://a.example/", w=9, h=9)),
        ),
    ]
    wanted = [SlotTargeting(), SlotTargeting(rewarded=True)]
    ads = [(creative, want) for creative in creatives for want in wanted]
    stream: dict[str, Any] = {"mimes": ("video/mp4", "audio/mpeg")}
    offers = [
        everything(),
        everything(rewarded=True, secure=True),
        MediaOffer(banner=BannerShape(((728, 90),), ((6, 5, 100),), (2,), apis=(5,), expandable=True)),
        MediaOffer(video=StreamShape(**stream, skippable=True, w=640, h=360, boxing=False)),
        MediaOffer(video=StreamShape(**stream, protocols=(2, 6)), audio=StreamShape(**stream)),
        MediaOffer(native=NativeShape((NativeAsset(1, True, "img", type=1, w_min=50),))),
        MediaOffer(native=NativeShape((NativeAsset(1, True, "video", stream=StreamShape(**stream)),))),
    ]
    rows = MediaRows(ads, words=1)
    for offer in offers:
        bits = int(rows.bits[rows.row_of(offer), 0])
        expected = [mismatch(offer, creative, want) is None for creative, want in ads]
        assert [bool(bits >> i & 1) for i in range(len(ads))] == expected
    assert any(np.any(rows.bits[rows.row_of(offer)]) for offer in offers)
