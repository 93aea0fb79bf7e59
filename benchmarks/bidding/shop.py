"""The config that the engine runs with where a protocol needs one: an exchange, an advertiser, a banner."""

from typing import Final

from config.schema import Advertiser, Bundle, Campaign, Creative, Engine, ExchangeProfile

CREATIVE: Final = Creative(
    id="box",
    format="banner",
    w=300,
    h=250,
    image_url="https://cdn.shop.example/box.png",
    landing_url="https://shop.example/",
)


def shop(campaign: Campaign, exchange: ExchangeProfile) -> Bundle:
    """Return a config with one campaign, whose line items have CREATIVE."""
    advertiser = Advertiser(
        id="shop",
        domain="shop.example",
        categories=("IAB22",),
        campaigns=(campaign,),
        creatives=(CREATIVE,),
    )
    return Bundle(
        version="benchmark",
        engine=Engine(audience_size_min=0),
        exchanges=(exchange,),
        segments=(),
        advertisers=(advertiser,),
    )
