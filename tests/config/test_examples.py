"""The example folder: sound, and with what the demo and its readers need."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

import config
from config.calendar import flight_bounds_s
from config.load import load_folder
from config.money import BILLION, MICROS
from config.schema import Bundle, Campaign, LineItem, Targeting, encode_bundle

EXAMPLES = Path(config.__file__).parent / "examples"
DEMO_YEARS_S = (1_767_290_400, 1_924_970_400)
"""Noon in Iowa on the first day of 2026 and on the last of 2030."""


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_folder(EXAMPLES)


def campaigns(bundle: Bundle) -> list[Campaign]:
    return [campaign for advertiser in bundle.advertisers for campaign in advertiser.campaigns]


def line_items(bundle: Bundle) -> list[LineItem]:
    return [line_item for campaign in campaigns(bundle) for line_item in campaign.line_items]


def test_there_is_enough_of_everything(bundle: Bundle) -> None:
    assert len(bundle.segments) == 168
    assert len(bundle.advertisers) >= 4
    assert len(campaigns(bundle)) >= 8
    assert len(line_items(bundle)) >= 48
    assert all(segment.description for segment in bundle.segments)
    assert {exchange.id for exchange in bundle.exchanges if not exchange.paused} == {"plain"}
    assert {campaign.time_zone for campaign in campaigns(bundle)} == {"America/Chicago"}


def test_every_format_and_size_is_there(bundle: Bundle) -> None:
    creatives = [creative for advertiser in bundle.advertisers for creative in advertiser.creatives]
    sizes = {(creative.w, creative.h) for creative in creatives if creative.format == "banner"}
    assert sizes == {(300, 250), (728, 90), (320, 50), (160, 600), (300, 600), (970, 250)}
    assert {c.duration_seconds for c in creatives if c.format == "video"} == {6, 15, 30}
    assert {c.duration_seconds for c in creatives if c.format == "audio"} == {15, 30}
    for creative in creatives:
        for file in creative.media_files:
            if creative.format == "video":
                assert file.w is not None
                assert file.h is not None
                assert file.w * 9 == file.h * 16
    assert sum(creative.format == "native" for creative in creatives) >= 4
    named = {name for line_item in line_items(bundle) for name in line_item.creatives}
    assert named == {creative.id for creative in creatives}


def test_every_address_is_https_on_an_example_domain(bundle: Bundle) -> None:
    text = encode_bundle(bundle)
    assert b"http://" not in text
    assert all(advertiser.domain.endswith(".example") for advertiser in bundle.advertisers)
    for part in text.split(b"https://")[1:]:
        assert part.split(b"/")[0].endswith(b".example")


def test_budgets_are_small_where_spent_at_once_and_large_where_spread(bundle: Bundle) -> None:
    for campaign in campaigns(bundle):
        assert campaign.budget.daily is not None
        low, high = (2, 40) if campaign.pacing == "asap" else (3_000, 30_000)
        assert low * BILLION <= campaign.budget.daily <= high * BILLION
    assert Counter(campaign.pacing for campaign in campaigns(bundle)) == {"asap": 6, "even": 5}


def test_one_line_item_pays_by_the_click(bundle: Bundle) -> None:
    (clicked,) = [
        one for one in campaigns(bundle) if all(item.bid_cpc is not None for item in one.line_items)
    ]
    assert all(item.expected_rate is not None for item in clicked.line_items)


def test_all_are_live_whenever_the_demo_runs(bundle: Bundle) -> None:
    for campaign in campaigns(bundle):
        for flight in (campaign.flight, *(line_item.flight for line_item in campaign.line_items)):
            start_s, end_s = flight_bounds_s(flight, campaign.time_zone)
            assert start_s <= DEMO_YEARS_S[0]
            assert end_s >= DEMO_YEARS_S[1]


def broad(bundle: Bundle, targeting: Targeting) -> list[tuple[Campaign, LineItem]]:
    return [
        (campaign, line_item)
        for campaign in campaigns(bundle)
        for line_item in campaign.line_items
        if line_item.targeting == targeting and line_item.audience is None
    ]


def test_anonymous_app_traffic_is_bid_on_over_its_usual_floor(bundle: Bundle) -> None:
    found = [
        (campaign, line_item)
        for campaign, line_item in broad(bundle, Targeting(devices=("phone", "tablet")))
        if campaign.pacing == "asap"
        and line_item.cpm_max_micros >= 9 * MICROS
        and campaign.frequency_cap
        == line_item.frequency_cap
        == msgspec.convert({}, type(campaign.frequency_cap))
        and any("300x250" in creative for creative in line_item.creatives)
    ]
    assert found


def test_every_format_has_a_bid_for_anybody_anywhere(bundle: Bundle) -> None:
    creatives = {c.id: c for advertiser in bundle.advertisers for c in advertiser.creatives}
    offered = {
        (creative.format, creative.w, creative.h)
        for _, line_item in broad(bundle, Targeting())
        for creative in (creatives[name] for name in line_item.creatives)
    }
    assert offered >= {("banner", 300, 250), ("banner", 728, 90), ("banner", 320, 50)}
    assert offered >= {("video", None, None), ("audio", None, None), ("native", None, None)}


def test_every_kind_of_targeting_is_shown_once(bundle: Bundle) -> None:
    targetings = [line_item.targeting for line_item in line_items(bundle)]
    places = [targeting.geo.include for targeting in targetings]
    assert any(place.regions == ("USA-IA",) for place in places)
    assert any(place.zips for place in places)
    assert {"679", "637"} <= {metro for place in places for metro in place.metros}
    assert any(targeting.geo.exclude.metros for targeting in targetings)
    assert any(targeting.operating_systems for targeting in targetings)
    assert any(targeting.dayparts for targeting in targetings)
    assert any(targeting.inventory.include.domains for targeting in targetings)
    assert any(targeting.inventory.include.bundles for targeting in targetings)
    assert any(targeting.inventory.exclude.domains for targeting in targetings)
    assert any(isinstance(line_item.audience, dict) for line_item in line_items(bundle))
    assert any(isinstance(line_item.audience, str) for line_item in line_items(bundle))
    assert any(line_item.frequency_cap.per_hour for line_item in line_items(bundle))


def test_the_issue_group_says_what_it_is_and_who_pays(bundle: Bundle) -> None:
    (group,) = [advertiser for advertiser in bundle.advertisers if "IAB11-4" in advertiser.categories]
    natives = [creative.native for creative in group.creatives if creative.native is not None]
    assert natives
    assert all(native.sponsored_by.startswith("Paid for by ") for native in natives)
