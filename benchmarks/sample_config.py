"""A made-up config of any size: advertisers, campaigns and line items as a busy buyer would have them.

    config = sample_bundle(line_items=1_000, segments=256, seed=2016)
    plan = sample_plan(config, now_s)

It is made for the traffic of `loadtest.traffic`, so that what it names is met. Every line item wants an
audience and a part of Iowa, so strangers and other places get no bid however many line items there
are, and between a third and two thirds of the requests do. Audiences name one segment in 40, whatever
the number of segments: a finer taxonomy is asked for more of its names.

Of the line items with dayparts two are alike in all but the hours: one runs by day, its twin by night.
So the hour at which a benchmark runs changes which of the two bids, but not whether one does.
"""

import random
from collections.abc import Sequence
from itertools import count, islice
from typing import Any

import msgspec
import numpy as np

from config.money import BILLION, CpmMicros, Money
from config.schema import (
    POLITICS,
    Advertiser,
    Budget,
    Bundle,
    Campaign,
    Creative,
    Daypart,
    DeviceKind,
    Engine,
    ExchangeProfile,
    Format,
    FrequencyCap,
    Geo,
    Image,
    Inventory,
    InventoryTargeting,
    LineItem,
    MediaFile,
    NativeAssets,
    Places,
    Political,
    PoliticalRules,
    Segment,
    Targeting,
    code_of,
)
from loadtest.inventory import APPS, AUDIO_APPS, SITES, TV_APPS
from loadtest.places import IOWA
from pacing.cells import cells_of
from pacing.landscape import Key, Landscape, win_shares
from pacing.plan import MULTIPLIER_ONE_Q16, CampaignPlan, Plan
from pacing.shading import Shading, shade_rows

EXCHANGE_ID = "plain"
LINE_ITEMS_PER_CAMPAIGN = 20
CAMPAIGNS_PER_ADVERTISER = 4
SEGMENTS_PER_AUDIENCE_NAME = 40
EXCLUDED_NAMES_MAX = 4
CPM_CENTS_MIN, CPM_CENTS_MAX = 120, 1_400
AUCTIONS_PER_CELL = 2_000
MIN_TO_WIN_MEDIAN_CPM_MICROS = 1_300_000
PLAN_SEED = 7

_CDN = "https://cdn.benchmark.example"
_LANDING_URL = "https://www.benchmark.example/offer?utm_source=hustings&utm_medium=programmatic"
_BANNER_SIZES = ((300, 250), (320, 50), (728, 90), (300, 600), (160, 600), (970, 250), (336, 280))
_CATEGORIES = (POLITICS, "IAB2-3", "IAB3-12", "IAB8-18", "IAB13-2", "IAB18-1", "IAB20-18", "IAB24")
"""Some of them are among those that `loadtest.traffic` blocks."""
_PAID = Political(paid_for_by="Benchmark", scope="issue")

_METROS = sorted({place.metro for place in IOWA})
_ZIPS = [f"USA-{code}" for place in IOWA for code in place.zips]
_DOMAINS = [site["domain"] for site in SITES]
_BUNDLES = [app["bundle"] for app in (*APPS, *AUDIO_APPS, *TV_APPS)]
_DEVICES: tuple[tuple[DeviceKind, ...], ...] = (("mobile",), ("desktop",), ("tv", "connected"), ("phone",))
_BY_DAY, _BY_NIGHT = (
    (Daypart(from_hour=6, to_hour=18),),
    (Daypart(from_hour=18, to_hour=24), Daypart(from_hour=0, to_hour=6)),
)


def segment_names(segments: int) -> tuple[str, ...]:
    """Return the names of the segments; the bit of each is its place."""
    return tuple(f"segment-{number:04d}" for number in range(segments))


def sample_bundle(line_items: int, segments: int, seed: int) -> Bundle:
    """Make a config; the same arguments give the same one for ever."""
    rng = random.Random(seed)
    names = segment_names(segments)
    numbers = count()
    advertisers: list[Advertiser] = []
    left = line_items
    while left > 0:
        creatives = _creatives(f"advertiser-{len(advertisers)}")
        campaigns: list[Campaign] = []
        while left > 0 and len(campaigns) < CAMPAIGNS_PER_ADVERTISER:
            wanted = min(left, LINE_ITEMS_PER_CAMPAIGN)
            campaigns.append(_campaign(rng, next(numbers), wanted, names, creatives))
            left -= wanted
        advertisers.append(_advertiser(rng, len(advertisers), campaigns, creatives))
    return Bundle(
        version=f"benchmark-{line_items}-{segments}-{seed}",
        engine=Engine(audience_size_min=0),
        exchanges=(ExchangeProfile(id=EXCHANGE_ID, political=PoliticalRules(countries=("USA",))),),
        segments=tuple(Segment(name=name) for name in names),
        advertisers=tuple(advertisers),
    )


def sample_plan(config: Bundle, now_s: float) -> Plan:
    """Return a plan that holds every campaign back a little; `sample_shading` belongs to it."""
    rng = np.random.default_rng(PLAN_SEED)
    codes = [code_of(campaign.id) for a in config.advertisers for campaign in a.campaigns]
    multipliers = rng.integers(MULTIPLIER_ONE_Q16 // 2, MULTIPLIER_ONE_Q16 + 1, len(codes)).tolist()
    return Plan(
        made_at_s=now_s,
        version=1,
        campaigns=dict(zip(codes, map(CampaignPlan, multipliers), strict=True)),
        shading_version=1,
    )


def sample_shading(config: Bundle) -> Shading:
    """Return the shading of `sample_plan`: rows for every cell."""
    rng = np.random.default_rng(PLAN_SEED)
    landscape = Landscape()
    for cell in cells_of(exchange.id for exchange in config.exchanges):
        for factor in rng.lognormal(0, 0.7, AUCTIONS_PER_CELL):
            landscape.observe_price(Key(cell), int(MIN_TO_WIN_MEDIAN_CPM_MICROS * factor))
    return Shading(version=1, rows=shade_rows(win_shares(landscape.copy())))


def _advertiser(
    rng: random.Random, number: int, campaigns: Sequence[Campaign], creatives: Sequence[Creative]
) -> Advertiser:
    categories = tuple(rng.sample(_CATEGORIES, 2))
    if POLITICS in categories:
        campaigns = [msgspec.structs.replace(campaign, political=_PAID) for campaign in campaigns]
    return Advertiser(
        id=f"advertiser-{number}",
        domain=f"advertiser-{number}.example",
        seat=f"seat-{number}",
        categories=categories,
        campaigns=tuple(campaigns),
        creatives=tuple(creatives),
    )


def _campaign(
    rng: random.Random, number: int, line_items: int, names: Sequence[str], creatives: Sequence[Creative]
) -> Campaign:
    made: list[LineItem] = []
    while len(made) < line_items:
        item = _line_item(rng, f"line-{number}-{len(made)}", names, creatives)
        if rng.random() < 0.15 and len(made) + 2 <= line_items:
            targeting = item.targeting
            by_night = msgspec.structs.replace(targeting, dayparts=_BY_NIGHT)
            made.append(msgspec.structs.replace(item, id=f"{item.id}-night", targeting=by_night))
            item = msgspec.structs.replace(
                item, targeting=msgspec.structs.replace(targeting, dayparts=_BY_DAY)
            )
        made.append(item)
    return Campaign(
        id=f"campaign-{number}",
        budget=Budget(total=Money(100_000_000 * BILLION), daily=Money(50_000_000 * BILLION)),
        frequency_cap=FrequencyCap(per_day=4) if rng.random() < 0.5 else FrequencyCap(),
        line_items=tuple(made),
    )


def _line_item(rng: random.Random, id_: str, names: Sequence[str], creatives: Sequence[Creative]) -> LineItem:
    format_ = rng.choices(("banner", "native", "video", "audio"), weights=(50, 20, 20, 10))[0]
    fitting = [creative.id for creative in creatives if creative.format == format_]
    # Two draws, the lower one taken: cheap line items are commoner than dear ones.
    cents = min(rng.randint(CPM_CENTS_MIN, CPM_CENTS_MAX) for _ in range(2))
    return LineItem(
        id=id_,
        bid_cpm=CpmMicros(cents * 10_000),
        audience=_audience(rng, names),
        targeting=Targeting(
            geo=_geo(rng),
            inventory=_inventory(rng),
            devices=rng.choice(_DEVICES) if format_ in ("banner", "native") and rng.random() < 0.4 else (),
            operating_systems=("ios", "android") if rng.random() < 0.1 else (),
            exchanges=(EXCHANGE_ID,) if rng.random() < 0.1 else (),
        ),
        creatives=tuple(rng.sample(fitting, rng.randint(1, min(3, len(fitting))))),
        frequency_cap=FrequencyCap(per_day=6, per_hour=3) if rng.random() < 0.4 else FrequencyCap(),
    )


def _audience(rng: random.Random, names: Sequence[str]) -> dict[str, Any]:
    """Any of some segments; for half of the line items, minus others, or within others as well."""
    few = max(1, len(names) // SEGMENTS_PER_AUDIENCE_NAME)
    audience: dict[str, Any] = {"any": rng.sample(names, few)}
    kind = rng.random()
    if kind < 0.3:
        return {"all": [audience, {"not": {"any": rng.sample(names, min(few, EXCLUDED_NAMES_MAX))}}]}
    if kind < 0.5:
        return {"all": [audience, {"any": rng.sample(names, min(6 * few, len(names)))}]}
    return audience


def _geo(rng: random.Random) -> Geo:
    kind = rng.random()
    if kind < 0.4:
        include = Places(regions=("USA-IA",))
    elif kind < 0.7:
        include = Places(metros=tuple(rng.sample(_METROS, 3)))
    else:
        include = Places(zips=tuple(rng.sample(_ZIPS, 8)))
    exclude = Places(zips=tuple(rng.sample(_ZIPS, 2))) if rng.random() < 0.1 else Places()
    return Geo(include=include, exclude=exclude)


def _inventory(rng: random.Random) -> InventoryTargeting:
    kind = rng.random()
    if kind < 0.25:
        domains, bundles = rng.sample(_DOMAINS, 6), rng.sample(_BUNDLES, 6)
        return InventoryTargeting(include=Inventory(domains=tuple(domains), bundles=tuple(bundles)))
    if kind < 0.4:
        return InventoryTargeting(exclude=Inventory(domains=tuple(rng.sample(_DOMAINS, 2))))
    return InventoryTargeting()


def _creatives(prefix: str) -> list[Creative]:
    """Every format an advertiser may have: seven banners, two videos, two audio spots, two natives."""
    ids = (f"{prefix}-{number}" for number in count())
    made = [
        Creative(
            id=next(ids),
            format="banner",
            landing_url=_LANDING_URL,
            image_url=f"{_CDN}/{prefix}/{w}x{h}.png",
            w=w,
            h=h,
        )
        for w, h in _BANNER_SIZES
    ]
    for seconds, id_ in zip((15, 30), islice(ids, 2), strict=True):
        files = (
            MediaFile(url=f"{_CDN}/{id_}-720.mp4", mime="video/mp4", w=1280, h=720, bitrate_kbps=2_500),
            MediaFile(url=f"{_CDN}/{id_}-360.mp4", mime="video/mp4", w=640, h=360, bitrate_kbps=800),
        )
        made.append(_stream(id_, "video", files, seconds))
    for seconds, id_ in zip((15, 30), islice(ids, 2), strict=True):
        file = MediaFile(url=f"{_CDN}/{id_}.mp3", mime="audio/mpeg", bitrate_kbps=128)
        made.append(_stream(id_, "audio", (file,), seconds))
    for w, h in ((1200, 627), (600, 314)):
        id_ = next(ids)
        assets = NativeAssets(
            title="A headline of the usual length, and no longer",
            sponsored_by="Benchmark",
            description="What the offer is, in one sentence that fits below the picture.",
            call_to_action="See more",
            icon=Image(url=f"{_CDN}/{id_}-icon.png", w=80, h=80),
            image=Image(url=f"{_CDN}/{id_}.png", w=w, h=h),
        )
        made.append(Creative(id=id_, format="native", landing_url=_LANDING_URL, native=assets))
    return made


def _stream(id_: str, format_: Format, files: tuple[MediaFile, ...], seconds: int) -> Creative:
    return Creative(
        id=id_, format=format_, landing_url=_LANDING_URL, media_files=files, duration_seconds=seconds
    )
