"""One config for the whole checklist: each number has a line item that bids in an app of its own only."""

from typing import Any

import msgspec

from config.currency import parse_rate
from config.schema import (
    BarredRegions,
    Bundle,
    ChainNode,
    Crawler,
    Dsa,
    Engine,
    ExchangeProfile,
    ExchangeRates,
    Inventory,
    InventoryTargeting,
    LineItem,
    Political,
    PoliticalRules,
    Targeting,
    Traffic,
)
from tests.factories import advertiser, audio, banner, bid_request, bundle, campaign, line_item, native, video

VENDOR_ID = 901
SEGMENTS = ("gardeners",)
POLITICAL = PoliticalRules(
    countries=("USA",), barred=(BarredRegions(regions=("USA-NY",), scopes=("local",)),)
)
EXCHANGES = (
    ExchangeProfile(id="plain", bids_per_imp_max=4, political=POLITICAL, tmax_default_ms=4_000),
    ExchangeProfile(id="curious", no_bid="reason", bids_max=2),
    ExchangeProfile(id="openx", price_macro="${AUCTION_PRICE:OXCRYPT}", billing_event="impression"),
    ExchangeProfile(
        id="google",
        price_macro_in=("nurl", "burl", "markup"),
        political=msgspec.structs.replace(POLITICAL, audiences=False),
    ),
)
CREATIVES = (
    banner(),
    banner("banner-728x90", 728, 90, attributes=(6,), language="en", app_bundle="com.shop.example"),
    banner("banner-http", image_url="http://cdn.shop.example/a.png"),
    banner("banner-mraid", 320, 50, apis=(5,)),
    banner("banner-with-notice", 336, 280, shows_dsa_notice=True),
    video(),
    video("video-second", skip_after_seconds=5),
    video("video-30", 30),
    audio(),
    native(),
)


def checklist_bundle(traffic: Traffic | None = None) -> Bundle:
    """Return the config; `traffic` instead of its own lists of crawlers, networks and chains."""
    items = [
        _dear(),
        _item(14),
        _item(15, "video-15"),
        _item(18),
        _item(19, "banner-300x250", "video-15", "video-second"),
        _item(20, "video-15", "video-second", "video-30"),
        _item(21, "native-1"),
        _item(22),
        _item(23, "banner-300x250", "video-15"),
        _item(24),
        _item(30, audience="gardeners"),
        _item(34, "banner-300x250", "banner-with-notice"),
        _item(17, deals=("D-1", "D-2")),
        _item(17, "banner-728x90", name="open"),
        _item(18, "banner-728x90", name="wide"),
        _item(18, "banner-http", name="http"),
        _item(18, "banner-mraid", name="mraid"),
        _item(13, operating_systems=("macos",)),
        _item(28),
        _item(22, "video-30", "audio-30", "native-1", name="streams"),
    ]
    vote = Political(paid_for_by="Paid for by Voters of the County", scope="local")
    politics = advertiser(
        "vote",
        [
            campaign(
                "vote",
                [_item(33, "vote-banner"), _item(35, "vote-banner", audience="gardeners")],
                political=vote,
            )
        ],
        [banner("vote-banner")],
    )
    shop = advertiser(
        "shop", [campaign("shop-all", items)], CREATIVES, dsa=Dsa(behalf="Shop", paid="Shop Holding")
    )
    config = bundle(shop, politics, exchanges=EXCHANGES, segments=SEGMENTS)
    lists = Traffic(
        crawlers=(Crawler(pattern="examplebot"),),
        data_centres=("203.0.113.0/24",),
        blocked_nodes=(ChainNode(asi="blocked.example"),),
        sellers={"listed.example": ("seller.example 7",)},
    )
    rates = ExchangeRates(as_of="2026-09-01", rates={"EUR": parse_rate("1.25")})
    engine = Engine(
        exchange_rates=rates, gvl_vendor_id=VENDOR_ID, platform_domain="dsp.example", audience_size_min=0
    )
    return msgspec.structs.replace(config, engine=engine, traffic=traffic or lists)


def ask_for(number: int, imp: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A request from the app of a number: one 300x250 banner unless `imp` says otherwise."""
    offered = {
        "id": "1",
        **({"banner": {"w": 300, "h": 250}} if imp is None or not _has_media(imp) else {}),
        **(imp or {}),
    }
    request = bid_request(imp=[offered], app={"bundle": _app(number)}, site=None) | fields
    return {name: value for name, value in request.items() if value is not None}


def _has_media(imp: dict[str, Any]) -> bool:
    return bool({"banner", "video", "audio", "native"} & imp.keys())


def _app(number: int) -> str:
    return f"claim.{number}.example"


def _dear() -> LineItem:
    """Never met: a worker leases money for fifty bids at the highest price, so this funds thousands."""
    return line_item(
        "claim-0",
        1_000.0,
        targeting=Targeting(inventory=InventoryTargeting(include=Inventory(bundles=(_app(0),)))),
    )


def _item(
    number: int, *creatives: str, name: str = "", audience: str | None = None, **targeting: Any
) -> LineItem:
    inventory = InventoryTargeting(include=Inventory(bundles=(_app(number),)))
    return line_item(
        f"claim-{number}{name}",
        creatives=creatives or ("banner-300x250",),
        audience=audience,
        targeting=Targeting(inventory=inventory, **targeting),
    )
