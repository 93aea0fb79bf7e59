"""The one model of a campaign config: what the YAML says is what every process reads.

A config folder holds

    engine.yaml              Engine: currency and other settings all advertisers share
    traffic.yaml             Traffic: what nobody bids on
    segments.yaml            SegmentList: the named audiences
    exchanges/<id>.yaml      one ExchangeProfile each
    advertisers/<id>.yaml    one Advertiser each: its campaigns, line items and creatives

`config.load` reads a folder into a Bundle, which travels as MessagePack through Redis
(`encode_bundle`, `decode_bundle`) to every process. Values a person writes as text are parsed
once, on loading: money to integers (`config.money`), times to `When`. Ids are the
manager's own words; `code_of` turns one into the 32-bit number that the ledger, the notice tokens
and the frequency caps use, so a renamed file or a removed campaign never strands a late notice.

Everything is imported from here. The modules are the folder's files, but `terms` (ids, names and kinds),
`targeting` and `creative` (parts of an advertiser's file), `codes` and `bundle`.
"""

from config.schema.advertiser import (
    Advertiser,
    BidAdjustments,
    Budget,
    Campaign,
    FrequencyCap,
    Goal,
    LineItem,
    LineItemBudget,
    PacingWeight,
)
from config.schema.bundle import Bundle, decode_bundle, decode_hook, encode_bundle
from config.schema.codes import account_code, code_of
from config.schema.creative import Approval, Creative, Dsa, Image, MediaFile, NativeAssets, Political
from config.schema.engine import Engine, ExchangeRates
from config.schema.exchange import (
    BarredRegions,
    ExchangeProfile,
    PoliticalRules,
    PriceMacro,
    PricePlace,
    RequiredField,
)
from config.schema.segments import Segment, SegmentList, SegmentRule
from config.schema.targeting import (
    Daypart,
    Flight,
    Geo,
    Inventory,
    InventoryTargeting,
    Places,
    SlotTargeting,
    Targeting,
)
from config.schema.terms import (
    DEVICE_KINDS,
    POLITICAL_SCOPES,
    POLITICS,
    VIDEO_PLACEMENTS,
    Api,
    Category,
    Country,
    CurrencyCode,
    DeviceKind,
    Domain,
    Format,
    Id,
    Network,
    Pacing,
    Page,
    Pixels,
    Place,
    PoliticalScope,
    Region,
    Seller,
    StreamStart,
    Taxonomy,
    Url,
    VastVersion,
    VideoPlacement,
    Weekday,
    When,
    Zip,
)
from config.schema.traffic import ChainNode, Crawler, Traffic

__all__ = [
    "DEVICE_KINDS",
    "POLITICAL_SCOPES",
    "POLITICS",
    "VIDEO_PLACEMENTS",
    "Advertiser",
    "Api",
    "Approval",
    "BarredRegions",
    "BidAdjustments",
    "Budget",
    "Bundle",
    "Campaign",
    "Category",
    "ChainNode",
    "Country",
    "Crawler",
    "Creative",
    "CurrencyCode",
    "Daypart",
    "DeviceKind",
    "Domain",
    "Dsa",
    "Engine",
    "ExchangeProfile",
    "ExchangeRates",
    "Flight",
    "Format",
    "FrequencyCap",
    "Geo",
    "Goal",
    "Id",
    "Image",
    "Inventory",
    "InventoryTargeting",
    "LineItem",
    "LineItemBudget",
    "MediaFile",
    "NativeAssets",
    "Network",
    "Pacing",
    "PacingWeight",
    "Page",
    "Pixels",
    "Place",
    "Places",
    "Political",
    "PoliticalRules",
    "PoliticalScope",
    "PriceMacro",
    "PricePlace",
    "Region",
    "RequiredField",
    "Segment",
    "SegmentList",
    "SegmentRule",
    "Seller",
    "SlotTargeting",
    "StreamStart",
    "Targeting",
    "Taxonomy",
    "Traffic",
    "Url",
    "VastVersion",
    "VideoPlacement",
    "Weekday",
    "When",
    "Zip",
    "account_code",
    "code_of",
    "decode_bundle",
    "decode_hook",
    "encode_bundle",
]
