"""Campaigns of every kind for requests of every kind: what `tests.openrtb.object_tables` is drawn near."""

from functools import cache
from importlib import resources
from pathlib import Path

import msgspec

from config.currency import parse_rate
from config.load import load_folder
from config.schema import (
    Advertiser,
    Approval,
    Bundle,
    Creative,
    Dsa,
    Engine,
    ExchangeProfile,
    ExchangeRates,
    Inventory,
    InventoryTargeting,
    LineItem,
    MediaFile,
    Political,
    PoliticalRules,
    Targeting,
)
from tests.factories import CDN, advertiser, audio, banner, bundle, campaign, line_item, native, video

SEGMENTS = ("gardeners",)
EXCHANGE_IDS = ("plain", "google", "xandr", "index", "openx", "pubmatic", "magnite", "bidswitch")


@cache
def wide_config() -> Bundle:
    """Two advertisers on every exchange we have a profile of: all formats, deals, audiences, politics."""
    examples = load_folder(Path(str(resources.files("config"))) / "examples").exchanges
    assert {profile.id for profile in examples} == set(EXCHANGE_IDS)
    profiles = [
        msgspec.structs.replace(
            profile, paused=False, bids_per_imp_max=4, political=PoliticalRules(countries=("USA",))
        )
        for profile in examples
    ]
    rates = ExchangeRates(as_of="2026-09-01", rates={"EUR": parse_rate("1.0837")})
    engine = Engine(exchange_rates=rates, platform_domain="dsp.example", gvl_vendor_id=901)
    config = bundle(_shop(profiles), _politics(profiles), exchanges=profiles, segments=SEGMENTS)
    return msgspec.structs.replace(config, engine=engine)


def _shop(profiles: list[ExchangeProfile]) -> Advertiser:
    third_party = "https://ads.shop.example"
    creatives = [
        banner("wide-banner"),
        banner("long-banner", 728, 90),
        banner("tall-banner", 320, 480, attributes=(6,), language="en"),
        banner("insecure-banner", image_url="http://cdn.shop.example/a.png"),
        banner("script", image_url=None, html=f"<script src='{third_party}/tag.js?{{click_url}}'></script>"),
        banner("frame", image_url=None, iframe_url=f"{third_party}/frame", apis=(5,)),
        video("spot-15", skip_after_seconds=5),
        video("spot-6", 6, media_files=(_file("spot-6", "video/webm"), _file("spot-6", "video/mp4"))),
        video("wrapped", 30, media_files=(), vast_url=f"{third_party}/vast.xml", vast_version="2.0"),
        audio("jingle"),
        audio("jingle-15", 15, language="de"),
        native("card"),
    ]
    return advertiser(
        "shop",
        [campaign("shop-campaign", _items("shop", creatives))],
        _approved(creatives, profiles),
        categories=("IAB18-1",),
        dsa=Dsa(behalf="Shop", paid="Shop Holding"),
        **_known_at(profiles, 17),
    )


def _politics(profiles: list[ExchangeProfile]) -> Advertiser:
    creatives = [banner("vote-banner", shows_dsa_notice=True), video("vote-spot-30", 30), native("vote-card")]
    paid_for_by = Political(paid_for_by="Paid for by Voters of the County", scope="local")
    return advertiser(
        "shop-2",
        [campaign("vote", _items("vote", creatives), political=paid_for_by)],
        _approved(creatives, profiles),
        categories=("IAB1", "IAB3-12"),
        **_known_at(profiles, 18),
    )


def _items(name: str, creatives: list[Creative]) -> list[LineItem]:
    names = [creative.id for creative in creatives]
    apps = InventoryTargeting(include=Inventory(bundles=("com.game.example",)))
    return [
        line_item(f"{name}-open", 3.0, names),
        line_item(f"{name}-audience", 5.0, names, audience="gardeners"),
        line_item(f"{name}-deal", 6.0, names, targeting=Targeting(deals=("D-1", "D-2"))),
        line_item(f"{name}-phones", 4.0, names, targeting=Targeting(devices=("phone",), inventory=apps)),
    ]


def _approved(creatives: list[Creative], profiles: list[ExchangeProfile]) -> list[Creative]:
    approvals = {profile.id: Approval(state="approved", id="4711") for profile in profiles}
    return [msgspec.structs.replace(creative, approvals=approvals) for creative in creatives]


def _known_at(profiles: list[ExchangeProfile], number: int) -> dict[str, dict[str, object]]:
    wanted = [profile.id for profile in profiles if {"seat", "numeric_seat"} & set(profile.requires)]
    return {
        "seats": dict.fromkeys(wanted, str(number)),
        "billing_ids": {profile.id: number for profile in profiles},
    }


def _file(name: str, mime: str) -> MediaFile:
    return MediaFile(url=f"{CDN}/{name}.{mime[-4:]}", mime=mime, w=640, h=360, bitrate_kbps=900)
