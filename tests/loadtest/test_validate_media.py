"""Banners, VAST and native ads against what their impression offers."""

import orjson
import pytest

from tests.loadtest.answers import BANNER, NATIVE, Object, vast
from tests.loadtest.judging import (
    Change,
    both,
    judged,
    native_change,
    on_media,
    replacing,
    setting,
    unchanged,
)

SKIPPABLE = replacing("adm", "<Linear>", '<Linear skipoffset="00:00:05">')
WRAPPER = (
    '<VAST version="4.2"><Ad id="1"><Wrapper><AdSystem>s</AdSystem><AdServingId>i</AdServingId>'
    "<Impression>https://bidder.example/imp?p=${AUCTION_PRICE}</Impression>"
    "<VASTAdTagURI>https://ads.example/tag</VASTAdTagURI></Wrapper></Ad></VAST>"
)


def asked_for(**changes: object) -> Object:
    """A native object whose request differs from the usual one."""
    return {"request": orjson.dumps(orjson.loads(NATIVE["request"]) | changes).decode()}


def test_an_interstitial_takes_what_fits_the_screen() -> None:
    screen = {"instl": 1, "banner": {"w": 320, "h": 480}}
    assert judged("banner", setting(w=300, h=250), screen) == []
    assert judged("banner", setting(w=300, h=250), {**screen, "instl": 0}) != []
    assert judged("banner", setting(w=336, h=280), screen) != []


def test_the_size_may_be_the_banners_own_beside_its_formats() -> None:
    assert judged("banner", setting(w=970, h=90), {"banner": {**BANNER, "w": 970, "h": 90}}) == []


@pytest.mark.parametrize(
    ("media_fields", "change", "sentence"),
    [
        ({"maxduration": 10, "maxextended": 5}, unchanged, ""),
        ({"maxduration": 10, "maxextended": -1}, unchanged, ""),
        ({"maxduration": 10, "maxextended": 4}, unchanged, "dur 15 is longer than the 14 seconds offered"),
        ({"rqddurs": [15], "maxduration": 6}, unchanged, ""),
        ({"linearity": 2}, unchanged, "its VAST is linear, and the impression takes only non-linear ads"),
        ({}, setting(protocol=7), "protocol says 7, but its VAST is 3"),
        ({}, SKIPPABLE, "its VAST can be skipped, and attr does not hold 16"),
        ({}, setting(attr=[16]), "attr holds 16, and its VAST can't be skipped"),
        ({}, both(SKIPPABLE, setting(attr=[16])), ""),
        (
            {"skip": 1},
            both(SKIPPABLE, setting(attr=[16])),
            "it can be skipped by itself, where the player puts a skip button of its own",
        ),
        (
            {},
            replacing("adm", "<MediaFile ", '<MediaFile apiFramework="VPAID" '),
            "its VAST needs 'VPAID', which the impression does not support",
        ),
        ({"api": [2]}, replacing("adm", "<MediaFile ", '<MediaFile apiFramework="VPAID" '), ""),
        (
            {"maxbitrate": 900},
            replacing("adm", "<MediaFile ", '<MediaFile bitrate="2000" '),
            "no <MediaFile> is within the offered bit rates",
        ),
        ({"delivery": [2]}, unchanged, ""),
        ({"delivery": [1]}, unchanged, "no <MediaFile> is delivered as the impression asks"),
        (
            {"protocols": [11]},
            replacing("adm", 'VAST version="3.0"', 'VAST version="4.1"'),
            "VAST 4.1 requires an <AdServingId>, and it has none",
        ),
        ({"protocols": [14]}, setting(adm=WRAPPER), ""),
        (
            {"protocols": [13]},
            setting(adm=WRAPPER),
            "VAST 4.2 (protocol 14) is not among the offered protocols",
        ),
        (
            {"protocols": [14]},
            setting(adm=WRAPPER.replace("https://ads.example/tag", "")),
            "its VAST wraps no <VASTAdTagURI>",
        ),
    ],
)
def test_video_is_held_to_the_players_terms(media_fields: Object, change: Change, sentence: str) -> None:
    assert on_media("video", change, **media_fields) == ([f"Bid 'b-1': {sentence}."] if sentence else [])


def with_video(tag: str) -> Change:
    return native_change(lambda native: native["assets"].append({"id": 4, "video": {"vasttag": tag}}))


VIDEO_ASSET = {
    "id": 4,
    "required": 1,
    "video": {"mimes": ["video/mp4"], "minduration": 5, "maxduration": 30, "protocols": [3]},
}
TAG = vast("video/mp4", 'width="640" height="360"', "https://a.example/i", "https://a.example/c")


@pytest.mark.parametrize(
    ("tag", "sentence"),
    [
        (TAG, ""),
        ("<VAST", "native asset 4: its VAST is not well-formed XML"),
        (TAG.replace('"3.0"', '"2.0"'), "native asset 4 is VAST 2.0 (protocol 2), which is not offered"),
        (TAG.replace("video/mp4", "video/ogg"), "native asset 4 has no <MediaFile> of an offered MIME type"),
        (TAG.replace("00:00:15", "00:00:45"), "native asset 4 lasts 45 s, which is not offered"),
    ],
)
def test_a_video_asset_is_held_to_its_own_terms(tag: str, sentence: str) -> None:
    assets = [*orjson.loads(NATIVE["request"])["assets"], VIDEO_ASSET]
    found = judged("native", with_video(tag), {"native": asked_for(assets=assets)})
    assert [text.removeprefix("Bid 'b-1': ")[: len(sentence)] for text in found] == (
        [sentence] if sentence else []
    )


@pytest.mark.parametrize(
    ("changes", "change", "sentence"),
    [
        ({"ver": "1.1"}, unchanged, "the native ad has eventtrackers, which version 1.1 does not know"),
        ({"eventtrackers": [{"event": 1, "methods": [1, 2]}]}, unchanged, ""),
        (
            {"eventtrackers": [{"event": 1, "methods": [2]}]},
            unchanged,
            "an event tracker of event 1, method 1 was not asked for",
        ),
        ({"privacy": 1}, native_change(lambda n: n.update(privacy="https://p.example/")), ""),
        (
            {},
            native_change(lambda n: n.update(privacy="https://p.example/")),
            "the native ad has a privacy URL, which was not asked for",
        ),
        (
            {},
            native_change(lambda n: n["assets"][0].update(data={"value": "x"})),
            "native asset 1 answers with title and data",
        ),
        ({}, native_change(lambda n: n["assets"].append(n["assets"][0])), "native asset 1 is answered twice"),
        (
            {},
            native_change(lambda n: n["link"].update(url="javascript:go()")),
            "the native ad has no link.url",
        ),
    ],
)
def test_native_answers_what_was_asked_and_no_more(changes: Object, change: Change, sentence: str) -> None:
    found = judged("native", change, {"native": asked_for(**changes)})
    assert found == ([f"Bid 'b-1': {sentence}."] if sentence else [])
