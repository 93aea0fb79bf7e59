"""`bidder.events.directory`: codes to ids, and what happens to those the config has forgotten."""

from collections.abc import AsyncIterator

import msgspec
from prometheus_client import REGISTRY

from bidder.events.directory import Directory, LiveDirectory
from bidder.metrics import UNKNOWN, config_number
from config.schema import Bundle, code_of
from tests.events.factories import CAMPAIGN, CREATIVE, LANDING_URL, LINE_ITEM, bundle


def test_codes_lead_to_ids() -> None:
    directory = Directory(bundle(time_zone="America/Chicago"))
    campaign = directory.campaign(code_of(CAMPAIGN))
    assert (campaign.id, campaign.advertiser_id, campaign.time_zone) == (CAMPAIGN, "shop", "America/Chicago")
    assert directory.line_item_id(code_of(LINE_ITEM)) == LINE_ITEM
    assert directory.exchange_id(code_of("pixel")) == "pixel"
    assert directory.landing_url(code_of(CAMPAIGN), code_of(CREATIVE)) == LANDING_URL


def test_what_the_config_does_not_know_is_unknown_and_its_day_is_utc() -> None:
    for directory in (Directory(None), Directory(bundle())):
        campaign = directory.campaign(code_of("gone"))
        assert (campaign.id, campaign.time_zone) == (UNKNOWN, "UTC")
        assert directory.line_item_id(code_of("gone")) == UNKNOWN
        assert directory.exchange_id(code_of("gone")) == UNKNOWN
        assert directory.landing_url(code_of(CAMPAIGN), code_of("gone")) is None


def two_advertisers_with_a_creative_of_the_same_name() -> Bundle:
    one = bundle()
    other = bundle(campaign_id="autumn", landing_url="https://rival.example/").advertisers[0]
    rival = msgspec.structs.replace(other, id="rival", domain="rival.example")
    return msgspec.structs.replace(one, advertisers=(*one.advertisers, rival))


def test_a_click_never_lands_at_another_advertiser() -> None:
    directory = Directory(two_advertisers_with_a_creative_of_the_same_name())
    assert directory.landing_url(code_of(CAMPAIGN), code_of(CREATIVE)) == LANDING_URL
    assert directory.landing_url(code_of("autumn"), code_of(CREATIVE)) == "https://rival.example/"


def test_a_click_of_a_removed_campaign_lands_only_where_there_is_no_doubt() -> None:
    assert Directory(bundle()).landing_url(code_of("gone"), code_of(CREATIVE)) == LANDING_URL
    doubtful = Directory(two_advertisers_with_a_creative_of_the_same_name())
    assert doubtful.landing_url(code_of("gone"), code_of(CREATIVE)) is None


async def test_a_new_config_is_swapped_in_whole_and_told_to_the_metrics() -> None:
    async def bundles() -> AsyncIterator[Bundle]:
        yield bundle(version="v2", campaign_id="autumn")

    live = LiveDirectory(bundle(version="v1"))
    before = live.current
    await live.follow(bundles())
    assert live.current is not before
    assert before.campaign(code_of(CAMPAIGN)).id == CAMPAIGN
    assert live.current.campaign(code_of(CAMPAIGN)).id == UNKNOWN
    assert live.current.campaign(code_of("autumn")).id == "autumn"
    assert REGISTRY.get_sample_value("hustings_config_version", {"part": "events"}) == config_number("v2")
