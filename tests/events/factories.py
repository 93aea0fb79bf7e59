"""Builders for the events tests: a small config, tokens made under it, and prices sealed for it."""

import hmac
import time
from base64 import urlsafe_b64encode

from bidder.openrtb.notice_token import (
    DEVICE_SHIFT,
    FLAG_BILLED_ON_IMPRESSION,
    FLAG_NOT_PROFILED,
    TokenSigner,
)
from config.money import BILLION, Money, parse_cpm
from config.price_keys import PriceKeys
from config.schema import (
    Advertiser,
    Budget,
    Bundle,
    Campaign,
    Creative,
    Engine,
    ExchangeProfile,
    FrequencyCap,
    LineItem,
    code_of,
)
from pacing.cells import DEVICES
from segments.identity import Identity

SIGNER = TokenSigner(bytes(range(32)))
# The ledger refuses notices of bids made long ago, by its server's clock.
BID_MINUTE = int(time.time()) // 60
CLOCK_S = BID_MINUTE * 60 + 20
PRICE_MAX_CPM_MICROS = 5_000_000
OWNER = 7
CAMPAIGN, LINE_ITEM, CREATIVE = "spring", "spring-banner", "spring-300x250"
GVL_VENDOR_ID = 123
LANDING_URL = "https://shop.example/spring?from=ad"
IDENTITY = Identity(bytes(range(64, 96)))
PRICE_KEYS = {
    "sealed": PriceKeys(b"e" * 32, b"i" * 32),
    "sealed-cpi": PriceKeys(b"x" * 32, b"y" * 32),
}
ID_TEXT = "0123456789abcdef0123456789abcdef"


def bundle(
    *,
    version: str = "v1",
    campaign_id: str = CAMPAIGN,
    time_zone: str = "UTC",
    landing_url: str = LANDING_URL,
) -> Bundle:
    """One advertiser with one campaign, line item and creative, and some exchanges."""
    creative = Creative(
        id=CREATIVE,
        format="banner",
        landing_url=landing_url,
        image_url="https://cdn.example/spring.png",
        w=300,
        h=250,
    )
    cap = FrequencyCap(per_day=250)
    item = LineItem(id=LINE_ITEM, bid_cpm=parse_cpm("5"), creatives=(CREATIVE,), frequency_cap=cap)
    campaign = Campaign(
        id=campaign_id,
        time_zone=time_zone,
        budget=Budget(total=Money(100 * BILLION), daily=Money(10 * BILLION)),
        frequency_cap=cap,
        line_items=(item,),
    )
    return Bundle(
        version=version,
        engine=Engine(gvl_vendor_id=GVL_VENDOR_ID),
        exchanges=(
            ExchangeProfile(id="plain"),
            ExchangeProfile(id="pixel", billing_event="impression"),
            ExchangeProfile(id="matching", sync_redirect_url="https://match.example/set?dsp=9&uid={uid}"),
            ExchangeProfile(id="sealed", price_encryption="google"),
            ExchangeProfile(id="sealed-cpi", price_encryption="openx"),
            ExchangeProfile(id="keyless", price_encryption="google"),
            ExchangeProfile(
                id="hosted",
                id_source="hosted.example",
                id_field="buyeruid",
                setuid_urls=("https://prebid.example/setuid", "https://pbs.example:8443/setuid"),
                sync_redirect_url="https://hosted.example/getuid?to=us",
                link_days=21,
            ),
        ),
        segments=(),
        advertisers=(
            Advertiser(
                id="shop",
                domain="shop.example",
                categories=("IAB22",),
                campaigns=(campaign,),
                creatives=(creative,),
            ),
        ),
    )


def token(
    sequence: int,
    *,
    billed_on_impression: bool = False,
    profiled: bool = True,
    campaign: str = CAMPAIGN,
    creative: str = CREATIVE,
    owner: int = OWNER,
    minute: int = BID_MINUTE,
    price_max_cpm_micros: int = PRICE_MAX_CPM_MICROS,
    user_hash: int = 0,
    exchange: str = "plain",
    device: str = "",
    value_band: int = 0,
) -> str:
    """A genuine token under `bundle()`; each sequence number is another bid."""
    flags = FLAG_BILLED_ON_IMPRESSION if billed_on_impression else 0
    flags |= 0 if profiled else FLAG_NOT_PROFILED
    if device:
        flags |= DEVICES.index(device) + 1 << DEVICE_SHIFT
    codes = (code_of(LINE_ITEM), code_of(campaign), code_of(creative), code_of(exchange))
    return SIGNER.sign(
        flags,
        *codes,
        owner,
        minute,
        sequence,
        minute * 60 + 10,
        price_max_cpm_micros,
        user_hash,
        value_band=value_band,
    ).decode()


def sealed_price(price: int, keys: PriceKeys, at_s: int = CLOCK_S, rest: bytes = bytes(12)) -> str:
    """A price as an exchange encrypts it: 38 characters of base64 with no padding."""
    vector = at_s.to_bytes(4, "big") + rest
    octets = price.to_bytes(8, "big")
    pad = hmac.digest(keys.encryption, vector, "sha1")
    masked = bytes(a ^ b for a, b in zip(octets, pad, strict=False))
    signature = hmac.digest(keys.integrity, octets + vector, "sha1")[:4]
    return urlsafe_b64encode(vector + masked + signature).decode().rstrip("=")
