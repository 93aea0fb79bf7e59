"""What is read of an imp's media and deals and of a request's lists, and in which currency."""

from typing import Any

import msgspec
import pytest

from bidder.decision.floors import UNREACHABLE_CPM_MICROS, floor_class, floor_cpm_micros
from bidder.openrtb.decode import decode_request
from bidder.openrtb.opportunity import (
    NO_BLOCKS,
    BannerShape,
    Blocks,
    DurationFloors,
    Opportunity,
    Pod,
    Slot,
    StreamShape,
)
from bidder.openrtb.translate import translate
from config.currency import Currencies, parse_rate
from config.limits import PART_BYTES_CACHED_MAX
from config.schema import ExchangeProfile
from tests.factories import audio, banner, bid_request, video

PLAIN = ExchangeProfile(id="plain")
DOLLARS = Currencies("USD", {"EUR": parse_rate("1.25")})
MP4 = ["video/mp4"]


def read(**fields: Any) -> Opportunity:
    body = msgspec.json.encode(bid_request(**fields))
    return translate(decode_request(body), PLAIN, DOLLARS, lambda source, id_: 7)


def slot(device: dict[str, Any] | None = None, cur: list[str] | None = None, **imp: Any) -> Slot:
    (only,) = read(imp=[{"id": "1", **imp}], device=device or {}, cur=cur or ["USD"]).slots
    return only


def banner_shape(device: dict[str, Any] | None = None, **fields: Any) -> BannerShape:
    instl = fields.pop("instl", 0)
    shape = slot(device, banner=fields, instl=instl).media.banner
    assert shape is not None
    return shape


def video_shape(**fields: Any) -> StreamShape:
    shape = slot(video={"mimes": MP4, **fields}).media.video
    assert shape is not None
    return shape


def test_sizes_come_from_the_format_list_and_else_from_w_and_h() -> None:
    both = banner_shape(
        w=1, h=2, format=[{"w": 300, "h": 250}, {"w": 0, "h": 9}, {"wratio": 16, "hratio": 9}]
    )
    assert (both.sizes, both.ratios) == (((300, 250),), ((16, 9, 0),))
    assert banner_shape(w=300, h=250).sizes == ((300, 250),)
    assert banner_shape().sizes == ()


@pytest.mark.parametrize("fields", [{}, {"format": [{"w": 1, "h": 1}]}])
def test_an_interstitial_without_a_size_has_the_screen(fields: dict[str, Any]) -> None:
    assert banner_shape({"w": 390, "h": 844}, instl=1, **fields).sizes == ((390, 844),)
    assert banner_shape({}, instl=1, **fields).sizes == ()


def test_an_interstitial_with_a_size_keeps_it() -> None:
    assert banner_shape({"w": 390, "h": 844}, instl=1, w=320, h=480).sizes == ((320, 480),)


def test_a_banner_has_room_to_expand_where_it_says_so() -> None:
    assert not banner_shape().expandable
    assert not banner_shape(expdir=[], topframe=0).expandable
    assert banner_shape(expdir=[3]).expandable
    assert banner_shape(topframe=1).expandable


def test_a_stream_says_what_its_player_is_like() -> None:
    shape = video_shape(
        skip=1,
        plcmt=2,
        startdelay=-2,
        minbitrate=300,
        maxbitrate=900,
        delivery=[2],
        boxingallowed=0,
        w=640,
        h=360,
    )
    assert shape == StreamShape(
        mimes=("video/mp4",),
        skippable=True,
        placement=2,
        start="post-roll",
        bitrate_min_kbps=300,
        bitrate_max_kbps=900,
        delivery=(2,),
        boxing=False,
        w=640,
        h=360,
    )


@pytest.mark.parametrize(
    ("delay", "start"),
    [(None, ""), (0, "pre-roll"), (15, "mid-roll"), (-1, "mid-roll"), (-2, "post-roll"), (-3, "")],
)
def test_a_start_delay_is_a_place_in_the_stream(delay: int | None, start: str) -> None:
    assert video_shape(startdelay=delay).start == start


def test_the_same_bytes_are_read_once() -> None:
    media: dict[str, Any] = {"banner": {"w": 300, "h": 250, "battr": [1]}}
    assert slot(**media).media is slot(**media).media
    assert slot(**media).media is not slot(**media, secure=1).media


def test_what_is_too_large_to_remember_is_read_all_the_same() -> None:
    sizes = [{"w": 300, "h": n} for n in range(1, PART_BYTES_CACHED_MAX // 10)]
    assert len(banner_shape(format=sizes).sizes) == len(sizes)
    deals = [{"id": f"deal-{n}"} for n in range(60)]
    assert len(slot(banner={}, pmp={"deals": deals, "x": "y" * PART_BYTES_CACHED_MAX}).deals) == 60
    assert len(read(badv=[f"shop-{n}.example" for n in range(1_000)]).blocks.domains) == 1_000


@pytest.mark.parametrize("junk", [None, 5, "x", [], [{}], {"format": 7, "battr": "x"}])
def test_media_that_can_not_be_read_offers_nothing(junk: object) -> None:
    media = slot(banner=junk, video=junk, native=junk, pmp=junk).media
    assert media.video is None or not media.video.mimes
    assert media.banner is None or not media.banner.sizes
    assert media.native is None


# Breaks.


def test_a_dynamic_imp_is_its_stream_alone() -> None:
    got = slot(
        banner={"w": 300, "h": 250},
        video={"mimes": MP4, "podid": "a", "poddur": 60, "maxseq": 3, "poddedupe": [1, 3, 5, 9]},
    )
    assert got.pod == Pod("a", 60, 3, dedupe=0b0101)
    assert got.media.banner is None


def test_an_imp_of_a_structured_break_takes_one_ad_of_any_format_it_offers() -> None:
    got = slot(banner={"w": 300, "h": 250}, video={"mimes": MP4, "podid": "a"})
    assert got.pod == Pod("a")
    assert got.media.banner is not None
    assert slot(video={"mimes": MP4}).pod is None


@pytest.mark.parametrize(
    ("multiplier", "millionths"),
    [(None, 1_000_000), (0, 1_000_000), (0.4, 400_000), (2.3, 2_300_000), (12, 12_000_000)],
)
def test_out_of_home_one_play_is_several_impressions(multiplier: float | None, millionths: int) -> None:
    assert slot(banner={}, qty={"multiplier": multiplier}).multiplier_millionths == millionths


# Floors: a deal's guidance, then the stream's, then the imp's.

FIFTEEN, THIRTY = video(), video("video-30", 30)


def floors(deal: dict[str, Any] | None, cur: list[str] | None = None, **imp: Any) -> list[float]:
    got = slot(cur=cur, pmp={"deals": [{"id": "d", **deal}]} if deal is not None else None, **imp)
    offer = got.deals[0] if deal is not None else None
    classes = [floor_class(creative) for creative in (banner(), FIFTEEN, THIRTY, audio())]
    return [floor_cpm_micros(got, offer, class_) / 1_000_000 for class_ in classes]


BY_SECOND = {"mimes": MP4, "mincpmpersec": 0.5}
BY_RANGE = {
    "mimes": MP4,
    "durfloors": [{"maxdur": 15, "bidfloor": 4}, {"mindur": 16, "maxdur": 20, "bidfloor": 6}],
}


@pytest.mark.parametrize(
    ("deal", "imp", "expected"),
    [
        (None, {"bidfloor": 2}, [2, 2, 2, 2]),
        (None, {"bidfloor": 2, "video": BY_SECOND}, [2, 7.5, 15, 2]),
        (None, {"bidfloor": 2, "video": BY_RANGE}, [2, 4, 2, 2]),
        (None, {"bidfloor": 2, "audio": {**BY_SECOND, "mimes": ["audio/mpeg"]}}, [2, 2, 2, 15]),
        ({"bidfloor": 1}, {"bidfloor": 2, "video": BY_SECOND}, [1, 1, 1, 1]),
        ({}, {"bidfloor": 2, "video": BY_SECOND}, [2, 7.5, 15, 2]),
        ({"bidfloor": 0}, {"bidfloor": 2}, [2, 2, 2, 2]),
        ({"mincpmpersec": 0.1}, {"bidfloor": 2, "video": BY_SECOND}, [2, 1.5, 3, 3]),
        ({"durfloors": [{"mindur": 20, "bidfloor": 9}]}, {"bidfloor": 2}, [2, 2, 9, 9]),
        ({"bidfloor": 2, "mincpmpersec": 0.1}, {}, [2, 2, 3, 3]),
    ],
)
def test_floors_are_taken_in_their_order(
    deal: dict[str, Any] | None, imp: dict[str, Any], expected: list[float]
) -> None:
    assert floors(deal, **imp) == expected


def test_floors_in_another_currency_are_converted_and_without_a_rate_out_of_reach() -> None:
    assert floors(None, bidfloor=2, bidfloorcur="EUR", video=BY_RANGE) == [2.5, 5, 2.5, 2.5]
    unreachable = UNREACHABLE_CPM_MICROS / 1_000_000
    assert floors(None, bidfloor=2, bidfloorcur="GBP", video=BY_RANGE) == [unreachable] * 4
    assert floors(None, bidfloorcur="GBP", video=BY_SECOND) == [unreachable] * 4
    assert floors({"bidfloor": 1, "bidfloorcur": "GBP"}, bidfloor=2) == [unreachable] * 4
    assert floors({"bidfloor": 1, "bidfloorcur": "EUR"}, bidfloor=2, bidfloorcur="GBP") == [1.25] * 4


def test_where_several_floors_are_stated_the_highest_counts() -> None:
    several = DurationFloors(100_000, ((0, 30, 1_000_000), (10, 40, 2_000_000)))
    assert [several.floor_of(seconds) for seconds in (5, 10, 30, 40, 41)] == [
        1_000_000,
        2_000_000,
        3_000_000,
        4_000_000,
        4_100_000,
    ]


# Deals.


def test_guaranteed_deals_come_first_and_the_rest_in_their_order() -> None:
    deals = [{"id": "a"}, {"id": "b", "guar": 1}, {"id": "c"}, {"id": "d", "guar": 1}]
    assert [deal.id for deal in slot(banner={}, pmp={"deals": deals}).deals] == ["b", "d", "a", "c"]


def test_a_fixed_price_that_is_not_stated_fixes_nothing() -> None:
    for terms, fixed in (({"bidfloor": 3}, True), ({}, False), ({"mincpmpersec": 0.1}, False)):
        (deal,) = slot(banner={}, pmp={"deals": [{"id": "a", "at": 3, **terms}]}).deals
        assert deal.fixed_price == fixed


def test_a_fixed_price_in_another_currency_is_met_exactly() -> None:
    yen = Currencies("USD", {"JPY": parse_rate("0.0065")})
    imp = {"id": "1", "pmp": {"deals": [{"id": "a", "at": 3, "bidfloor": 777.777777, "bidfloorcur": "JPY"}]}}
    request = decode_request(msgspec.json.encode(bid_request(imp=[imp], cur=["JPY"])))
    (deal,) = translate(request, PLAIN, yen, lambda source, id_: 0).slots[0].deals
    assert deal.fixed_there_cpm_micros == 777_777_777


# Lists.


def test_lists_are_read_whatever_form_their_entries_have() -> None:
    got = read(
        bcat=["IAB18", 7, "iab11-4"],
        badv=[
            "WWW.Shop.Example",
            "x.example.",
            " .y.example",
            "https://www.z.example:443/shop?a=b",
            "//",
            "",
        ],
        bapp=["com.a"],
        bseat=["s"],
        wlangb=["en-GB", "ES"],
    ).blocks
    assert got == Blocks(
        categories=("IAB18", "1:7", "IAB11-4"),
        domains=("shop.example", "x.example", "y.example", "z.example"),
        apps=("com.a",),
        seats=("s",),
        allowed_languages=("en", "es"),
    )


def test_categories_are_those_of_the_taxonomy_but_iab_ids_are_always_the_first() -> None:
    got = read(cattax=7, bcat=["52", 53, "IAB11-4"], acat=["1"]).blocks
    assert got.categories == ("7:52", "7:53", "IAB11-4")
    assert got.allowed_categories == ("7:1",)


def test_without_lists_nothing_is_blocked() -> None:
    assert read().blocks is NO_BLOCKS
    assert read(bcat=None, badv=[]).blocks == NO_BLOCKS
    assert read(bcat=["IAB1"]).blocks is read(bcat=["IAB1"]).blocks


@pytest.mark.parametrize(
    ("metric", "rates"),
    [
        (None, (0, 0)),
        ([{"type": "viewability", "value": 0.63, "vendor": "EXCHANGE"}], (630_000_000, 0)),
        (
            [{"type": "video_completion_rate", "value": 1}, {"type": "viewability", "value": 0.5}],
            (500_000_000, 1_000_000_000),
        ),
        ([{"type": "session_depth", "value": 1}, {"value": 0.5}, {"type": "viewability"}], (0, 0)),
        ([{"type": "viewability", "value": 63}], (0, 0)),
        ("viewability", (0, 0)),
    ],
)
def test_what_an_exchange_says_of_views_and_completions_is_kept(metric: Any, rates: tuple[int, int]) -> None:
    read_slot = slot(metric=metric)
    assert (read_slot.view_billionths, read_slot.completion_billionths) == rates
