"""Builders of small configs and requests for tests: name only what the test is about."""

from collections.abc import Sequence
from typing import Any

from bidder.openrtb.opportunity import BannerShape, MediaOffer, Opportunity, Slot
from config.money import BILLION, CpmMicros, Money
from config.schema import (
    Advertiser,
    Budget,
    Bundle,
    Campaign,
    Creative,
    Engine,
    ExchangeProfile,
    Image,
    LineItem,
    MediaFile,
    NativeAssets,
    Segment,
)

CDN = "https://cdn.shop.example"
BUNDLE_KEY = b"signs configs nobody acts on"


def banner(id_: str = "banner-300x250", w: int = 300, h: int = 250, **changes: Any) -> Creative:
    fields: dict[str, Any] = {"image_url": f"{CDN}/{id_}.png", "w": w, "h": h}
    return Creative(id=id_, format="banner", landing_url="https://shop.example/", **(fields | changes))


def video(id_: str = "video-15", seconds: int = 15, **changes: Any) -> Creative:
    files = (MediaFile(url=f"{CDN}/{id_}.mp4", mime="video/mp4", w=1280, h=720, bitrate_kbps=2_000),)
    fields: dict[str, Any] = {"media_files": files, "duration_seconds": seconds}
    return Creative(id=id_, format="video", landing_url="https://shop.example/", **(fields | changes))


def audio(id_: str = "audio-30", seconds: int = 30, **changes: Any) -> Creative:
    files = (MediaFile(url=f"{CDN}/{id_}.mp3", mime="audio/mpeg", bitrate_kbps=128),)
    fields: dict[str, Any] = {"media_files": files, "duration_seconds": seconds}
    return Creative(id=id_, format="audio", landing_url="https://shop.example/", **(fields | changes))


def native(id_: str = "native-1", **changes: Any) -> Creative:
    assets = NativeAssets(
        title="Autumn boots, half the weight",
        sponsored_by="Shop",
        description="Light boots for long walks.",
        call_to_action="Look inside",
        icon=Image(url=f"{CDN}/icon.png", w=80, h=80),
        image=Image(url=f"{CDN}/main.png", w=1200, h=627),
    )
    return Creative(
        id=id_, format="native", landing_url="https://shop.example/", **({"native": assets} | changes)
    )


def line_item(
    id_: str = "line-1", cpm: float = 5.0, creatives: Sequence[str] = (), **fields: Any
) -> LineItem:
    names = tuple(creatives) or ("banner-300x250",)
    price = {"bid_cpm": CpmMicros(round(cpm * 1_000_000))}
    return LineItem(id=id_, creatives=names, **(price | fields))


def campaign(id_: str = "campaign-1", line_items: Sequence[LineItem] = (), **fields: Any) -> Campaign:
    defaults: dict[str, Any] = {"budget": Budget(total=Money(1_000 * BILLION)), "pacing": "asap"}
    return Campaign(id=id_, line_items=tuple(line_items) or (line_item(),), **(defaults | fields))


def advertiser(
    id_: str = "shop",
    campaigns: Sequence[Campaign] = (),
    creatives: Sequence[Creative] = (),
    **fields: Any,
) -> Advertiser:
    defaults: dict[str, Any] = {"domain": f"{id_}.example", "categories": ("IAB18-1",), "seat": f"seat-{id_}"}
    return Advertiser(
        id=id_,
        campaigns=tuple(campaigns) or (campaign(),),
        creatives=tuple(creatives) or (banner(),),
        **(defaults | fields),
    )


def bundle(
    *advertisers: Advertiser,
    exchanges: Sequence[ExchangeProfile] = (ExchangeProfile(id="plain"),),
    segments: Sequence[str] = (),
    version: str = "test-1",
) -> Bundle:
    return Bundle(
        version=version,
        engine=Engine(audience_size_min=0),
        exchanges=tuple(exchanges),
        segments=tuple(Segment(name=name) for name in segments),
        advertisers=advertisers or (advertiser(),),
    )


def slot(imp_id: str = "1", floor_cpm_micros: int = 0, **fields: Any) -> Slot:
    media = MediaOffer(banner=BannerShape(sizes=((300, 250),)))
    return Slot(imp_id=imp_id, floor_cpm_micros=floor_cpm_micros, **({"media": media} | fields))


def opportunity(*slots: Slot, **fields: Any) -> Opportunity:
    defaults: dict[str, Any] = {"request_id": "request-1", "exchange_id": "plain"}
    return Opportunity(slots=slots or (slot(),), **(defaults | fields))


def bid_request(**fields: Any) -> dict[str, Any]:
    """An OpenRTB request for one 300x250 banner on a site."""
    request: dict[str, Any] = {
        "id": "request-1",
        "imp": [{"id": "1", "banner": {"format": [{"w": 300, "h": 250}]}, "bidfloor": 0.5}],
        "site": {"domain": "news.example", "page": "https://news.example/today"},
        "device": {"devicetype": 2, "os": "Windows"},
        "user": {"buyeruid": "demo-000000001"},
        "at": 1,
        "tmax": 5_000,
        "cur": ["USD"],
    }
    return request | fields
