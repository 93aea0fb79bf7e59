"""Generated traffic is what its mix says, and the same for ever from one seed."""

import hashlib
import random
from collections import Counter
from itertools import islice
from typing import Any

import orjson
import pytest

from loadtest.inventory import OPT_OUTS
from loadtest.places import IOWA
from loadtest.traffic import TrafficMix, requests

Object = dict[str, Any]
COUNT = 4_000
OLDER_TRAFFIC = "ccc849a2ec6e935f"


def take(count: int, seed: int = 7, mix: TrafficMix | None = None) -> list[Object]:
    return list(islice(requests(mix or TrafficMix(), random.Random(seed)), count))


@pytest.fixture(scope="module")
def sample() -> list[Object]:
    return take(COUNT)


def share(sample: list[Object], condition: Any) -> float:
    return sum(1 for request in sample if condition(request)) / len(sample)


def test_a_seed_gives_the_same_requests() -> None:
    assert orjson.dumps(take(200)) == orjson.dumps(take(200))
    assert orjson.dumps(take(200)) != orjson.dumps(take(200, seed=8))


def test_ids_are_unique_and_bodies_between_600_bytes_and_4_kb(sample: list[Object]) -> None:
    assert len({request["id"] for request in sample}) == COUNT
    sizes = [len(orjson.dumps(request)) for request in sample if "dooh" not in request]
    assert min(sizes) >= 600
    assert max(sizes) <= 4_096


def test_every_medium_and_both_site_and_app_occur(sample: list[Object]) -> None:
    media = Counter(
        name
        for request in sample
        for imp in request["imp"]
        for name in ("banner", "video", "audio", "native")
        if name in imp
    )
    assert min(media[name] / COUNT for name in ("banner", "video", "audio", "native")) > 0.05
    assert all(len({"site", "app", "dooh"} & request.keys()) == 1 for request in sample)
    assert 0.2 < share(sample, lambda request: "app" in request) < 0.6
    sized = [imp["banner"] for request in sample for imp in request["imp"] if "banner" in imp]
    assert any("format" in banner for banner in sized)
    assert any("w" in banner and "format" not in banner for banner in sized)


def test_impressions_number_one_to_three_with_ids_of_their_own(sample: list[Object]) -> None:
    counts = Counter(len(request["imp"]) for request in sample)
    assert set(counts) == {1, 2, 3}
    assert counts[1] > COUNT * 0.7
    assert all(len({imp["id"] for imp in request["imp"]}) == len(request["imp"]) for request in sample)


def test_floors_lie_between_ten_cents_and_four_dollars_and_some_are_absent(sample: list[Object]) -> None:
    imps = [imp for request in sample for imp in request["imp"]]
    floors = [imp["bidfloor"] for imp in imps if "bidfloor" in imp]
    assert 0.1 <= min(floors) < 0.2
    assert 2.5 < max(floors) <= 4.0
    assert 0.05 < 1 - len(floors) / len(imps) < 0.3


def test_native_asks_for_title_main_image_and_sponsor(sample: list[Object]) -> None:
    natives = [imp["native"] for request in sample for imp in request["imp"] if "native" in imp]
    for native in natives:
        wanted = orjson.loads(native["request"])
        required = [asset for asset in wanted["assets"] if asset["required"] == 1]
        assert wanted["ver"] == "1.2"
        assert "title" in required[0]
        assert required[1]["img"]["type"] == 3
        assert required[2]["data"]["type"] == 1


def test_visitors_are_mostly_in_iowa_at_its_own_zips(sample: list[Object]) -> None:
    zips = {zip_ for place in IOWA for zip_ in place.zips}
    assert all(50_001 <= int(zip_) <= 52_809 for zip_ in zips)
    at_home = [r["device"]["geo"] for r in sample if r["device"]["geo"]["region"] == "IA"]
    assert 0.8 < len(at_home) / COUNT < 0.9
    assert {geo["country"] for geo in at_home} == {"USA"}
    assert {geo["zip"] for geo in at_home} <= zips
    assert {"679", "637", "682"} <= {geo["metro"] for geo in at_home}


def test_four_of_five_visitors_are_known_and_a_few_come_often(sample: list[Object]) -> None:
    known = [request["user"]["buyeruid"] for request in sample if "user" in request]
    assert 0.75 < len(known) / COUNT < 0.81
    numbers = [int(user.removeprefix("demo-")) for user in known]
    assert all(user == f"demo-{number:09d}" for user, number in zip(known, numbers, strict=True))
    assert min(numbers) >= 0
    assert max(numbers) < 200_000
    # A Zipf law with exponent 0.8 gives the first tenth of the people some 60 % of the visits.
    assert 0.5 < sum(number < 20_000 for number in numbers) / len(numbers) < 0.75


def test_the_number_of_users_is_a_parameter() -> None:
    few = take(300, mix=TrafficMix(users=3))
    assert {request["user"]["buyeruid"] for request in few if "user" in request} == {
        "demo-000000000",
        "demo-000000001",
        "demo-000000002",
    }


def test_deadlines_currency_auction_type_and_blocks(sample: list[Object]) -> None:
    assert {request["tmax"] for request in sample} == {100}
    assert all(request["cur"] == ["USD"] for request in sample)
    assert share(sample, lambda request: request["at"] == 1) > 0.85
    assert 0.1 < share(sample, lambda request: "bcat" in request) < 0.2
    assert 0.05 < share(sample, lambda request: "badv" in request) < 0.15
    assert 0.8 < share(sample, lambda request: request["imp"][0]["secure"] == 1) < 0.97


def test_screens_out_of_home_count_people_and_know_nobody(sample: list[Object]) -> None:
    screens = [request for request in sample if "dooh" in request]
    assert 0.01 < len(screens) / COUNT < 0.06
    for request in screens:
        assert 0 < request["imp"][0]["qty"]["multiplier"] <= 40
        assert request["device"]["devicetype"] == 8
        assert "user" not in request


def test_television_has_breaks_of_fixed_places_and_of_time_to_fill(sample: list[Object]) -> None:
    breaks = [request["imp"] for request in sample if "podid" in request["imp"][0].get("video", {})]
    structured = [imps for imps in breaks if "poddur" not in imps[0]["video"]]
    dynamic = [imps for imps in breaks if "poddur" in imps[0]["video"]]
    assert min(len(structured), len(dynamic)) > COUNT * 0.005
    assert {len(imps) for imps in structured} == {2, 3}
    assert {len(imps) for imps in dynamic} == {1}


def test_some_people_may_not_be_recognised_and_some_banners_fill_the_screen(sample: list[Object]) -> None:
    assert 0.03 < share(sample, lambda request: request.get("regs") in OPT_OUTS) < 0.07
    assert 0.01 < share(sample, lambda request: request["imp"][0].get("instl") == 1) < 0.04


def test_a_mix_without_the_rare_kinds_is_the_older_traffic_to_the_byte() -> None:
    """Measurements made before there were any can be repeated."""
    older = TrafficMix(screen_share=0, break_share=0, full_screen_share=0, opt_out_share=0)
    bodies = b"".join(orjson.dumps(request) for request in take(300, mix=older))
    assert hashlib.sha256(bodies).hexdigest()[:16] == OLDER_TRAFFIC


def test_every_name_on_the_net_is_an_example(sample: list[Object]) -> None:
    for request in sample:
        place = request.get("site") or request.get("app") or request["dooh"]
        assert place["domain"].endswith(".example")
        assert all(domain.endswith(".example") for domain in request.get("badv", ()))
