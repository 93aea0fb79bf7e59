"""What a native imp asks for, in the forms that it is asked in."""

import json
from typing import Any

import pytest

from bidder.openrtb.native_request import native_shape
from bidder.openrtb.opportunity import NativeAsset, NativeShape, StreamShape

ASSETS = [{"id": 1, "required": 1, "title": {"len": 90}}]


def shape(**fields: Any) -> NativeShape:
    read = native_shape(json.dumps({"assets": ASSETS} | fields), ())
    assert read is not None
    return read


@pytest.mark.parametrize("ver", ["1.2", "1.1", 1, None])
def test_a_string_and_an_object_say_the_same(ver: object) -> None:
    request = {"ver": ver, "assets": ASSETS}
    assert native_shape(request, ()) == native_shape(json.dumps(request), ()) == shape(ver=ver)
    assert native_shape({"native": request}, ()) == NativeShape(shape().assets, True, False)


@pytest.mark.parametrize(
    "request_", [None, "", "{", "[]", "5", {"assets": []}, {"assets": 5}, {"native": {}}]
)
def test_what_asks_for_nothing_is_nothing(request_: Any) -> None:
    assert native_shape(request_, ()) is None


@pytest.mark.parametrize(
    ("trackers", "image"),
    [
        ([{"event": 1, "methods": [1, 2]}], True),
        ([{"event": 1, "methods": ["1"]}], True),
        ([{"event": 1, "methods": [2]}], False),
        ([{"event": 2, "methods": [1]}], False),
        ([], False),
        (None, False),
        ([5, {"event": 1}], False),
    ],
)
def test_event_trackers_are_used_where_they_take_an_image(trackers: object, image: bool) -> None:
    assert shape(eventtrackers=trackers).event_trackers == image


def test_a_privacy_notice_is_asked_for_by_a_one() -> None:
    assert shape(privacy=1).privacy
    assert not shape(privacy=0).privacy
    assert not shape().privacy


def test_a_video_asset_is_a_small_video_object() -> None:
    video = {"mimes": ["video/mp4", 5], "minduration": 5, "maxduration": 30, "protocols": [2, 3]}
    (asset,) = shape(assets=[{"id": 4, "required": 1, "video": video}]).assets
    expected = StreamShape(("video/mp4",), 5, 30, protocols=(2, 3))
    assert asset == NativeAsset(4, True, "video", stream=expected)
