"""Several bids at once: what one impression takes, and what one ad break may hold twice."""

from typing import Any

import pytest

from loadtest.house import House
from loadtest.validate import problems
from tests.loadtest.answers import BANNER, VIDEO, Object, bid, request, response
from tests.loadtest.judging import on_media, setting

OPEN_POD = VIDEO | {"podid": "pod-1", "poddur": 60, "maxseq": 3, "slotinpod": 1}


def video_bid(imp: Object, number: int, **fields: Any) -> Object:
    """A bid that shares nothing with those of other numbers."""
    answer = bid(imp, bid_id=f"b-{number}") | {"crid": f"cr-{number}", "adomain": [f"a{number}.example"]}
    answer |= {"cat": [f"IAB{number + 1}"], **fields}
    return answer | {"adm": answer["adm"].replace("https://cdn.example/m", f"https://cdn.example/m{number}")}


def dynamic(count: int, media: Object | None = None, **fields: Any) -> list[str]:
    """Judge bids on one dynamic pod; the fields are those of all of them."""
    asked = request(video=OPEN_POD | (media or {}))
    return problems(asked, response(asked, *(video_bid(asked["imp"][0], n, **fields) for n in range(count))))


def structured(media: Object, **fields: Any) -> list[str]:
    """Judge a bid on each of two imps of one pod."""
    asked = request(video=VIDEO | {"podid": "pod-1"} | media)
    asked["imp"].append(asked["imp"][0] | {"id": "2"})
    return problems(
        asked, response(asked, *(video_bid(imp, n, **fields) for n, imp in enumerate(asked["imp"])))
    )


def test_a_dynamic_pod_takes_bids_up_to_its_seconds_and_its_number() -> None:
    assert dynamic(3) == []
    assert dynamic(4, {"maxseq": 4}) == []
    assert dynamic(4) == ["Pod '1' has 4 bids; maxseq 3 is the most."]
    assert dynamic(3, {"poddur": 44}) == ["Pod '1' is filled with 45 seconds of its 44."]


@pytest.mark.parametrize(
    ("offered", "wanted", "passes"),
    [(1, 1, True), (1, 0, True), (1, -1, False), (0, 1, False), (2, -1, True)],
)
def test_a_place_in_the_pod_is_asked_for_where_the_seller_guarantees_it(
    offered: int, wanted: int, passes: bool
) -> None:
    assert (dynamic(1, {"slotinpod": offered}, slotinpod=wanted) == []) == passes


def test_only_a_dynamic_pod_has_places_to_ask_for() -> None:
    assert on_media("video", setting(slotinpod=1), slotinpod=1) == [
        "Bid 'b-1': it asks for a slotinpod, and the impression is no dynamic pod."
    ]


@pytest.mark.parametrize(
    ("rule", "fields", "what"),
    [
        (1, {"adomain": ["same.example"]}, "advertiser 'same.example'"),
        (2, {"cat": ["IAB3"]}, "category 'IAB3'"),
        (3, {"crid": "same"}, "creative 'same'"),
    ],
)
def test_a_pod_may_not_repeat_what_it_says(rule: int, fields: Object, what: str) -> None:
    forbidden = [f"Pod 'pod-1' has {what} twice, which poddedupe forbids."]
    assert structured({"poddedupe": [rule]}, **fields) == forbidden
    assert dynamic(2, {"poddedupe": [rule]}, **fields) == forbidden
    assert structured({"poddedupe": [5]}, **fields) == []
    assert structured({"poddedupe": [rule]}) == []


def test_a_media_file_is_known_by_its_url() -> None:
    asked = request(video=OPEN_POD | {"poddedupe": [4]})
    imp = asked["imp"][0]
    twice = [video_bid(imp, 1), video_bid(imp, 1) | {"id": "b-2", "crid": "cr-2"}]
    assert problems(asked, response(asked, *twice)) == [
        "Pod 'pod-1' has media file 'https://cdn.example/m1' twice, which poddedupe forbids."
    ]


def test_alternatives_for_one_impression_are_no_repetition_but_have_a_number() -> None:
    asked = request(video=VIDEO | {"podid": "p", "poddedupe": [1]}, pmp={"deals": [{"id": "d"}]})
    (imp,) = asked["imp"]
    open_bid = video_bid(imp, 1)
    deal_bid = open_bid | {"id": "b-2", "dealid": "d"}
    assert problems(asked, response(asked, open_bid, deal_bid)) == []
    third = video_bid(imp, 3)
    assert problems(asked, response(asked, open_bid, deal_bid, third)) == [
        "Impression '1' has 3 bids; 2 is the most."
    ]
    assert problems(asked, response(asked, open_bid, deal_bid, third), House(bids_per_imp_max=3)) == []


def test_one_creative_is_offered_once_on_the_same_terms() -> None:
    asked = request(banner=BANNER)
    answers = [bid(asked["imp"][0], bid_id=name) for name in ("b-1", "b-2")]
    assert problems(asked, response(asked, *answers)) == [
        "Impression '1' is offered one creative twice on the same terms."
    ]
