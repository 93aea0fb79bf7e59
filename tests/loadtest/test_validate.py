"""The judge passes good bids of every kind, and names the one thing wrong with a bad one."""

import random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.auction import hold_auctions
from loadtest.landscape import Landscapes
from loadtest.markup import trackers
from loadtest.validate import problems
from tests.loadtest.answers import BANNER, MEDIA, NATIVE, VIDEO, Object, bid, request, response
from tests.loadtest.judging import Change, judged, native_change, replacing, setting


@pytest.mark.parametrize("media", MEDIA)
def test_a_good_bid_passes(media: str) -> None:
    assert judged(media, lambda _: None) == []


@pytest.mark.parametrize("body", [{}, {"id": "auction-1", "seatbid": []}, {"id": "auction-1", "nbr": 2}])
def test_every_form_of_no_bid_passes(body: Object) -> None:
    assert problems(request(banner=BANNER), body) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda r: r.update(id="other"), "The response id 'other' is not the request's."),
        (lambda r: r.update(cur="EUR"), "The response's cur 'EUR' is none of those asked for."),
        (lambda r: r.update(seatbid={}), "The response's seatbid is not an array."),
        (lambda r: r.update(seatbid=[{"bid": []}]), "A seatbid holds no array of bids."),
        (lambda r: r.update(seatbid=[{"bid": [3]}]), "A seatbid holds a bid that is not an object."),
        (
            lambda r: r["seatbid"].append({"bid": [{**r["seatbid"][0]["bid"][0], "crid": "cr-2"}]}),
            "Bid 'b-1' shares its id with another bid.",
        ),
        (lambda r: r["seatbid"][0]["bid"][0].pop("id"), "Bid None has no id of its own."),
        (
            lambda r: r["seatbid"][0].update(bid=r["seatbid"][0]["bid"] * 300),
            "The response holds 300 bids; 256 is the most.",
        ),
    ],
)
def test_a_faulty_envelope_is_named(change: Change, sentence: str) -> None:
    asked = request(banner=BANNER)
    answer = response(asked, bid(asked["imp"][0]))
    change(answer)
    assert problems(asked, answer) == [sentence]


def test_an_answer_that_is_no_object_is_named() -> None:
    assert problems(request(banner=BANNER), [1]) == ["The response is not a JSON object."]


@pytest.mark.parametrize(
    ("media", "change", "sentence"),
    [
        ("banner", setting(impid="9"), "impid '9' is no impression of the request"),
        ("banner", setting(impid=[]), "impid [] is no impression of the request"),
        ("banner", setting(price="2.5"), "price '2.5' is not a number"),
        ("banner", setting(price=True), "price True is not a number"),
        ("banner", setting(price=-1), "price -1 is no price"),
        ("banner", setting(price=0.4999), "price 0.4999 is below the floor of 0.5"),
        ("banner", setting(dealid="d"), "dealid 'd' is no deal of the impression"),
        ("banner", setting(crid=""), "crid does not name its creative"),
        ("banner", setting(cid=None), "cid does not name its campaign"),
        ("banner", setting(crid="é" * 33), "crid is longer than 64 bytes"),
        ("banner", setting(adomain=[]), "adomain does not list the advertiser's domain"),
        (
            "banner",
            setting(adomain=["a" * 129]),
            "adomain holds a domain of more than 128 characters",
        ),
        ("banner", setting(cat=[]), "cat does not list the creative's categories"),
        (
            "banner",
            setting(mtype=9),
            "mtype 9 is none of 1 (banner), 2 (video), 3 (audio), 4 (native)",
        ),
        ("banner", setting(mtype=2), "mtype 2 answers with video, which impression '1' does not offer"),
        ("banner", setting(adm=""), "adm is missing"),
        ("banner", replacing("adm", "${AUCTION_PRICE}", "1"), "adm lacks ${AUCTION_PRICE}"),
        ("banner", replacing("burl", "${AUCTION_PRICE}", "1"), "burl lacks ${AUCTION_PRICE}"),
        ("banner", setting(nurl="ftp://x"), "nurl 'ftp://x' is not an http or https URL"),
        (
            "banner",
            setting(nurl="http://127.0.0.1/ HTTP/1.1\r\nX: y"),
            "nurl 'http://127.0.0.1/ HTTP/1.1\\r\\nX: y' is not an http or https URL",
        ),
        (
            "banner",
            setting(nurl="https://bidder.example/" + "n" * 2_000),
            "nurl has 2023 characters; 2000 is the most",
        ),
        ("banner", setting(w=728, h=90), "a banner of 728x90 is none of the offered sizes"),
        ("banner", setting(w=None), "w and h do not give the banner's size"),
        (
            "banner",
            setting(lurl="http://bidder.example/loss"),
            "the impression is secure, but 'http://bidder.example/loss' is not https",
        ),
        (
            "banner",
            replacing("adm", "https://cdn.example/a.png", "http://cdn.example/a.png"),
            "the impression is secure, but 'http://cdn.example/a.png' is not https",
        ),
        (
            "video",
            replacing("adm", "https://cdn.example/m", "http://cdn.example/m"),
            "the impression is secure, but 'http://cdn.example/m' is not https",
        ),
        (
            "native",
            replacing("adm", "https://cdn.example/i.jpg", "http://cdn.example/i.jpg"),
            "the impression is secure, but 'http://cdn.example/i.jpg' is not https",
        ),
        ("video", setting(dur=None), "dur does not give the ad's seconds"),
        ("video", setting(dur=14), "its VAST lasts 15 s, but dur says 14"),
        (
            "video",
            replacing("adm", "<Duration>00:00:15</Duration>", ""),
            "its VAST has no <Duration> like 00:00:15",
        ),
        ("audio", replacing("adm", "</VAST>", ""), "its VAST is not well-formed XML"),
        (
            "audio",
            replacing("adm", "<VAST version", "<!DOCTYPE a []><VAST version"),
            "its VAST declares a document type; players refuse those",
        ),
        ("audio", replacing("adm", "VAST", "VMAP"), "its XML begins with <VMAP>, not <VAST>"),
        (
            "video",
            replacing("adm", 'VAST version="3.0"', 'VAST version="9"'),
            "VAST version '9' is unknown",
        ),
        (
            "video",
            replacing("adm", 'VAST version="3.0"', 'VAST version="1.0"'),
            "VAST 1.0 (protocol 1) is not among the offered protocols",
        ),
        (
            "video",
            lambda b: b.update(adm=b["adm"].replace("Impression>", "Error>") + "<!-- ${AUCTION_PRICE} -->"),
            "its VAST has no <Impression>",
        ),
        (
            "video",
            lambda b: b.update(
                adm=b["adm"].replace("<MediaFile ", "<Other ").replace("</MediaFile>", "</Other>")
            ),
            "its VAST has no <MediaFile>",
        ),
        ("video", replacing("adm", "video/mp4", "video/ogg"), "no <MediaFile> is of an offered MIME type"),
        ("video", replacing("adm", "https://cdn.example/m", ""), "a <MediaFile> has no URL"),
        (
            "video",
            replacing("adm", 'width="1280"', ""),
            "a <MediaFile> does not give its width and height",
        ),
        ("native", setting(adm="${AUCTION_PRICE}"), "its native markup is not JSON"),
        ("native", setting(adm='["${AUCTION_PRICE}"]'), "its native markup is not a JSON object"),
        (
            "native",
            lambda b: b.update(adm='{"native":' + b["adm"] + "}"),
            'its native markup is wrapped in "native", and the request is not',
        ),
        (
            "native",
            native_change(lambda n: n["assets"].pop(0)),
            "required native asset 1 is not answered",
        ),
        (
            "native",
            native_change(lambda n: n["assets"].append({"id": 8})),
            "native asset 8 was not asked for",
        ),
        (
            "native",
            native_change(lambda n: n["assets"][0].update(title={"text": ""})),
            "native asset 1 has no title.text",
        ),
        (
            "native",
            native_change(lambda n: n["assets"][2]["data"].update(value="x" * 31)),
            "native asset 3 has 31 characters; 30 were offered",
        ),
        (
            "native",
            native_change(lambda n: n["assets"][1]["img"].update(w=299)),
            "native asset 2 is smaller than wmin 300",
        ),
        ("native", native_change(lambda n: n.pop("link")), "the native ad has no link.url"),
        (
            "native",
            native_change(lambda n: n["eventtrackers"][0].update(event=2)),
            "the native ad has no impression tracker",
        ),
    ],
)
def test_one_thing_wrong_is_the_one_thing_named(media: str, change: Change, sentence: str) -> None:
    found = judged(media, change)
    assert len(found) == 1, found
    assert found[0].startswith(f"Bid 'b-1': {sentence}")
    assert found[0].endswith(".")


def test_a_price_of_zero_is_named() -> None:
    assert judged("banner", setting(price=0), {"bidfloor": 0}) == ["Bid 'b-1': price 0 is not above zero."]


def test_a_price_at_the_floor_passes() -> None:
    assert judged("banner", setting(price=0.1), {"bidfloor": 0.1}) == []


@pytest.mark.parametrize(
    ("bcat", "passes"), [(["IAB3"], False), (["IAB3-1"], False), (["IAB3-12", "IAB30"], True), ([70], True)]
)
def test_a_blocked_category_blocks_itself_and_its_children(bcat: list[Any], passes: bool) -> None:
    sentence = "Bid 'b-1': category 'IAB3-1' is blocked by bcat."
    assert judged("banner", lambda _: None, bcat=bcat) == ([] if passes else [sentence])


@pytest.mark.parametrize(
    ("badv", "domain", "passes"),
    [
        ("rival.example", "rival.example", False),
        ("Rival.Example", "shop.rival.example", False),
        ("shop.rival.example", "rival.example", True),
        ("rival.example", "notrival.example", True),
    ],
)
def test_a_blocked_advertiser_blocks_its_subdomains(badv: str, domain: str, passes: bool) -> None:
    found = judged("banner", setting(adomain=[domain]), badv=[badv])
    assert found == ([] if passes else [f"Bid 'b-1': advertiser {domain!r} is blocked by badv."])


def test_a_blocked_creative_attribute_is_named() -> None:
    found = judged("banner", setting(attr=[2, 8]), {"banner": {**BANNER, "battr": [8]}})
    assert found == ["Bid 'b-1': creative attribute 8 is blocked by battr."]


@pytest.mark.parametrize(
    ("media_fields", "sentence"),
    [
        ({"minduration": 20}, "dur 15 is shorter than minduration 20"),
        ({"maxduration": 10}, "dur 15 is longer than the 10 seconds offered"),
        ({"rqddurs": [6, 30]}, "dur 15 is none of the required durations"),
    ],
)
def test_a_length_that_was_not_offered_is_named(media_fields: Object, sentence: str) -> None:
    found = judged("video", lambda _: None, {"video": {**VIDEO, **media_fields}})
    assert found == [f"Bid 'b-1': {sentence}."]


def test_native_1_0_is_wrapped_both_ways() -> None:
    wrapped = {"native": {**NATIVE, "request": '{"native":' + NATIVE["request"] + "}"}}
    assert judged("native", lambda b: b.update(adm='{"native":' + b["adm"] + "}"), wrapped) == []
    assert judged("native", lambda _: None, wrapped) == [
        "Bid 'b-1': its native markup is not wrapped in \"native\", as the request is."
    ]


def test_a_deal_has_its_own_floor() -> None:
    deal = {"pmp": {"deals": [{"id": "d", "bidfloor": 3, "bidfloorcur": "USD"}]}}
    found = judged("banner", setting(dealid="d"), deal)
    assert found == ["Bid 'b-1': price 2.5 is below the floor of 3."]


def test_a_flexible_format_takes_its_shape() -> None:
    flexible = {"banner": {"format": [{"wratio": 6, "hratio": 5, "wmin": 300}]}}
    assert judged("banner", setting(w=600, h=500), flexible) == []
    assert judged("banner", setting(w=240, h=200), flexible) != []


def test_plain_http_to_loopback_is_fine_on_a_secure_impression() -> None:
    for media in MEDIA:
        asked = request(**{media: MEDIA[media]})
        answer = bid(asked["imp"][0], base="http://127.0.0.1:8081")
        assert problems(asked, response(asked, answer)) == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1.example", "localhost.example", "127.0.0.1@elsewhere.example", "10.0.0.1"]
)
def test_a_host_that_only_looks_like_loopback_is_not(host: str) -> None:
    assert judged("banner", setting(lurl=f"http://{host}/loss")) != []


def test_a_request_with_wrong_types_restricts_nothing() -> None:
    asked = request(native={**NATIVE, "request": "{", "battr": 3})
    asked.update(bcat=7, badv={"a": 1}, cur=None)
    asked["imp"][0].update(bidfloor="high", secure="yes")
    asked["imp"] += [None, {"id": []}]
    answer = bid(asked["imp"][0])
    answer["adm"] = orjson.dumps({**orjson.loads(answer["adm"]), "assets": []}).decode()
    assert problems(asked, response(asked, answer)) == []


def test_deeply_nested_native_markup_is_judged_not_crashed_on() -> None:
    deep = '{"x":' + "[" * 900 + '"${AUCTION_PRICE}"' + "]" * 900 + "}"
    assert "Bid 'b-1': the native ad has no link.url." in judged("native", setting(adm=deep))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
BID_FIELDS = sorted({key for media in MEDIA for key in bid(request(**{media: MEDIA[media]})["imp"][0])})


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(MEDIA)),
    st.dictionaries(st.sampled_from([*BID_FIELDS, "attr", "iurl", "dealid", "cattax"]), ANYTHING, max_size=2),
    st.dictionaries(st.sampled_from(["bcat", "badv", "cur", "at", "test", "cattax"]), ANYTHING, max_size=2),
    st.dictionaries(
        st.sampled_from(
            ["battr", "format", "w", "h", "mimes", "protocols", "rqddurs", "maxduration", "request"]
        ),
        ANYTHING,
        max_size=2,
    ),
)
def test_whatever_either_side_sends_is_judged_and_what_passes_can_be_auctioned(
    media: str, bid_fields: Object, request_fields: Object, media_fields: Object
) -> None:
    good = request(**{media: MEDIA[media]})
    asked = {**request(**{media: {**MEDIA[media], **media_fields}}), **request_fields}
    answer = response(asked, {**bid(good["imp"][0]), **bid_fields})
    if not problems(asked, answer):
        for outcome in hold_auctions(asked, answer, Landscapes(), random.Random(1)):
            trackers(outcome.bid["mtype"], outcome.bid["adm"])


@pytest.mark.parametrize("media", MEDIA)
def test_the_trackers_of_an_ad_are_found(media: str) -> None:
    answer = bid(request(**{media: MEDIA[media]})["imp"][0])
    found = trackers(answer["mtype"], answer["adm"])
    assert found.impression_urls == ("https://bidder.example/imp?b=b-1&c=c-1&p=${AUCTION_PRICE}",)
    assert found.click_url == "https://bidder.example/click?b=b-1&c=c-1"
