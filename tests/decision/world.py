"""Random configs, requests and people that meet often enough to be worth deciding on.

Everything follows from one seed. Most parts of most line items and requests are plain, so that ads
get through to the later rules; each rule is broken now and then.
"""

import random
import zlib
from functools import cache
from typing import Any, get_args

import msgspec
import numpy as np

from bidder.decision.explain import Person
from bidder.openrtb.opportunity import (
    NO_BLOCKS,
    BannerShape,
    Blocks,
    DealOffer,
    DsaTerms,
    DurationFloors,
    GoogleTerms,
    MediaOffer,
    Opportunity,
    Pod,
    Slot,
    StreamShape,
)
from config.money import CpmMicros, Money
from config.schema import (
    POLITICAL_SCOPES,
    Advertiser,
    Approval,
    BarredRegions,
    BidAdjustments,
    Bundle,
    Campaign,
    Creative,
    Daypart,
    Dsa,
    ExchangeProfile,
    Flight,
    FrequencyCap,
    Geo,
    Inventory,
    InventoryTargeting,
    LineItem,
    LineItemBudget,
    Places,
    Political,
    PoliticalRules,
    RequiredField,
    SlotTargeting,
    Targeting,
    When,
    code_of,
)
from config.value import Factor, Rate
from pacing.caps import Seen
from pacing.features import TABLE_SLOTS
from pacing.prediction import PREDICTED, SCORE_ONE, EventModel, Model, cell_name, exponential_link
from tests.factories import advertiser, banner, bundle, campaign, line_item, video

SEGMENTS = [f"segment-{i}" for i in range(70)]
NAMED_SEGMENTS = [*SEGMENTS[:4], SEGMENTS[-1]]
CREATIVES = [
    banner(),
    banner("banner-728x90", 728, 90),
    banner("insecure", 300, 250, image_url="http://cdn.shop.example/a.png"),
    banner("html", 300, 250, image_url=None, html="<b>Boots</b>", apis=(5,), app_bundle="com.shop.example"),
    video(language="en"),
    video("video-30", 30, attributes=(13,), other_categories={"7": ("52",)}),
    video("skip-20", 20, skip_after_seconds=5),
    video("wrapped-10", 10, media_files=(), vast_url="https://vast.partner.example/x", language="es"),
    video("skip-10", 10, media_files=(), vast_url="https://vast.partner.example/y", attributes=(16,)),
]
NO_LIMIT = 2**60
NOW_S = 1_795_000_000
"""2026-11-18, a Wednesday."""


@cache
def noise(seed: int) -> bytes:
    """The weights of a model of nothing."""
    weights = np.random.default_rng(seed).integers(-900, 900, TABLE_SLOTS)
    return zlib.compress(weights.astype("<i2").tobytes(), 1)


class World:
    """What one seed makes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.config = self._config()
        self.people = [Person(), self._person(), self._person()]
        self.requests = [self._request() for _ in range(24)]
        self.draw = self._random.getrandbits(64)
        self.place = self._random.choice([(0, 1), (0, 1), (0, 2), (1, 2), (2, 4)])
        """This worker's among all."""
        self.bids_before = [self._random.randint(0, 2) for _ in range(3)]
        """How many bids of each person's are live already, of whatever the person has seen."""

    def budget(self) -> int:
        return self._random.choice([NO_LIMIT, NO_LIMIT, 7_000_000, 2_000_000, 0])

    def multiplier_q16(self) -> int:
        return self._random.choice([65_536, 65_536, 65_536, 32_768, 1])

    def too_small(self) -> frozenset[str]:
        """Ids of the line items with an audience of too few people."""
        items = [i for a in self.config.advertisers for c in a.campaigns for i in c.line_items]
        return frozenset(item.id for item in items if item.audience and self._rarely(6, True, False))

    # One in `n`; else the plain value.
    def _rarely(self, n: int, unusual: Any, plain: Any = ()) -> Any:
        return unusual if self._random.randrange(n) == 0 else plain

    def _some(self, values: list[Any], most: int = 2) -> tuple[Any, ...]:
        return tuple(self._random.sample(values, self._random.randint(1, most)))

    def _config(self) -> Bundle:
        advertisers = [self._advertiser(a) for a in range(self._random.randint(1, 2))]
        exchanges = (
            ExchangeProfile(id="plain", bids_per_imp_max=self._random.choice([1, 2, 4])),
            ExchangeProfile(
                id="other", bids_max=2, bids_per_imp_max=2, political=PoliticalRules(countries=("USA", "CAN"))
            ),
            self._strict_exchange(),
        )
        return bundle(*advertisers, exchanges=exchanges, segments=SEGMENTS)

    def _strict_exchange(self) -> ExchangeProfile:
        return ExchangeProfile(
            id="strict",
            approval_required=self._rarely(4, True, False),
            markup=self._rarely(6, "registered", "adm"),
            requires=self._rarely(2, self._some(list(get_args(RequiredField)), 4)),
            extensions="google",
            political=PoliticalRules(
                countries=("USA",),
                barred=(BarredRegions(regions=("USA-IA",), scopes=("state", "local")),),
                audiences=self._rarely(2, True, False),
            ),
        )

    def _creative(self, creative: Creative, number: int) -> Creative:
        approval = Approval(
            state=self._random.choice(["approved", "approved", "pending", "disapproved"]),
            id=self._rarely(2, None, "77"),
        )
        return msgspec.structs.replace(
            creative,
            id=f"{creative.id}-{number}",
            approvals=self._rarely(2, {"strict": approval}, {}),
            political=self._rarely(8, self._political(), None),
            restricted_categories=self._rarely(4, self._some([33, 34])),
            shows_dsa_notice=self._rarely(2, True, False),
            preview_url=self._rarely(2, "https://cdn.shop.example/p.png", None),
        )

    def _political(self) -> Political:
        return Political(paid_for_by="Shop", scope=self._random.choice(POLITICAL_SCOPES))

    def _advertiser(self, number: int) -> Advertiser:
        creatives = [self._creative(creative, number) for creative in CREATIVES]
        names = [creative.id for creative in creatives]
        return advertiser(
            f"shop-{number}",
            [self._campaign(f"{number}-{c}", names) for c in range(self._random.randint(1, 2))],
            creatives,
            categories=self._random.choice([("IAB18-1",), ("IAB1", "IAB11-5"), ("IAB11-4",)]),
            seats=self._rarely(2, {"strict": "958"}, self._rarely(2, {"strict": f"seat-shop-{number}"}, {})),
            billing_ids=self._rarely(2, {"strict": 7}, {}),
            dsa=self._rarely(2, Dsa(behalf="Shop", paid="Shop"), None),
        )

    def _campaign(self, name: str, creatives: list[str]) -> Campaign:
        count = self._rarely(5, 40, self._random.randint(1, 4))
        return campaign(
            f"campaign-{name}",
            [self._line_item(f"line-{name}-{i}", creatives) for i in range(count)],
            frequency_cap=self._rarely(4, self._cap(), FrequencyCap()),
            time_zone="America/Chicago",
            political=self._rarely(6, self._political(), None),
            paused=self._rarely(12, True, False),
        )

    def _price(self) -> dict[str, Any]:
        """The fields that say what a line item pays: mostly a flat price."""
        pick = self._random.choice
        highest = CpmMicros(pick([500_000, 2_000_000, 2_000_000, 3_500_000]))
        factors = BidAdjustments(
            segments={name: self._factor() for name in self._some(NAMED_SEGMENTS, 4)},
            zips=self._rarely(2, {"USA-50309": self._factor(), "USA-00501": self._factor()}, {}),
        )
        price = {
            "bid_cpm": highest,
            "bid_cpm_max": self._rarely(6, CpmMicros(2 * highest), None),
            "bid_adjustments": self._rarely(4, factors, BidAdjustments()),
        }
        events = {"bid_vcpm": CpmMicros(3_000_000), "bid_cpcv": Money(3_000_000)}
        events |= {"bid_cpc": Money(pick([4 * 10**8, 2 * 10**9])), "bid_cpa": Money(2 * 10**10)}
        event = pick([*events, "bid_cpc", "bid_cpa"])
        priced = price | {event: events[event], "bid_cpm": None, "bid_cpm_max": highest}
        priced["expected_rate"] = self._rarely(2, Rate(pick([200_000, 3_000_000, 10**9])), None)
        return priced if self._random.randrange(3) == 0 else price

    def _factor(self) -> Factor:
        return Factor(self._random.choice([100_000, 333_333, 800_000, 1_250_000, 10_000_000]))

    def model(self) -> Model | None:
        """A model that has learned something of everything: noise."""
        return None if self._random.randrange(3) == 0 else self._model()

    def _model(self) -> Model:
        campaigns = [c.id for a in self.config.advertisers for c in a.campaigns]
        names = [cell_name(exchange.id, c) for exchange in self.config.exchanges for c in campaigns]
        items = [i.id for a in self.config.advertisers for c in a.campaigns for i in c.line_items]
        models = {
            event: EventModel(
                offset=-7 * SCORE_ONE,
                weights=noise(self._random.randrange(2)),
                link=tuple((exponential_link() * self._random.choice([0.5, 1, 1.5])).astype(int).tolist()),
                ratios={name: self._random.randint(30_000, 120_000) for name in self._some(names)},
                learned={code_of(id_): 10 ** self._random.randint(0, 5) for id_ in items},
            )
            for event in self._random.sample(PREDICTED, self._random.randint(1, 2))
        }
        return Model(version=1, made_at_s=NOW_S, events=models)

    def _line_item(self, name: str, creatives: list[str]) -> LineItem:
        return line_item(
            name,
            creatives=self._some(creatives, 3),
            **self._price(),
            targeting=self._rarely(2, self._targeting(), Targeting()),
            audience=self._rarely(2, self._audience(2), None),
            frequency_cap=self._rarely(3, self._cap(), FrequencyCap()),
            budget=self._rarely(4, LineItemBudget(total=Money(1)), LineItemBudget()),
            paused=self._rarely(12, True, False),
            flight=self._rarely(
                10,
                self._random.choice([Flight(end=When("2026-01-01")), Flight(start=When("2026-11-10"))]),
                Flight(),
            ),
        )

    def _targeting(self) -> Targeting:
        return Targeting(
            geo=self._rarely(
                3, Geo(include=self._places(), exclude=self._rarely(2, self._places(), Places())), Geo()
            ),
            inventory=self._rarely(
                3,
                InventoryTargeting(
                    include=self._rarely(2, self._inventory(), Inventory()),
                    exclude=self._rarely(2, self._inventory(), Inventory()),
                ),
                InventoryTargeting(),
            ),
            devices=self._rarely(4, self._some(["desktop", "phone", "mobile", "tablet", "tv"])),
            operating_systems=self._rarely(5, self._some(["ios", "android"], 1)),
            exchanges=self._rarely(5, self._some(["plain", "other"], 1)),
            deals=self._rarely(4, self._some(["deal-1", "deal-2"])),
            slot=self._rarely(5, self._slot_targeting(), SlotTargeting()),
            dayparts=self._rarely(6, (Daypart(days=("mon", "wed"), from_hour=6, to_hour=20),)),
        )

    def _slot_targeting(self) -> SlotTargeting:
        return SlotTargeting(
            placements=self._rarely(3, ("instream",)),
            starts=self._rarely(3, ("pre-roll",)),
            interstitial=self._rarely(3, False, None),
            rewarded=self._rarely(3, True, None),
        )

    def _places(self) -> Places:
        return Places(
            countries=self._rarely(3, ("USA",)),
            regions=self._rarely(2, ("USA-IA",)),
            metros=self._rarely(3, ("679",)),
            zips=self._rarely(3, ("USA-50309",)),
        )

    def _inventory(self) -> Inventory:
        domains = self._some(["news.example", "sport.news.example", "blog.example"])
        return Inventory(domains=domains, bundles=self._rarely(2, ("com.game.example",)))

    def _audience(self, depth: int) -> Any:
        kind = self._random.choice(["name", "any", "all", "not"]) if depth else "name"
        if kind == "name":
            return self._random.choice(NAMED_SEGMENTS)
        if kind == "not":
            return {"not": self._audience(depth - 1)}
        return {kind: [self._audience(depth - 1) for _ in range(self._random.randint(1, 3))]}

    def _cap(self) -> FrequencyCap:
        return FrequencyCap(
            per_day=self._rarely(2, self._random.randint(1, 3), None),
            per_hour=self._rarely(2, self._random.randint(1, 2), None),
            per_week=self._rarely(4, self._random.randint(2, 5), None),
            per_flight=self._rarely(4, self._random.randint(2, 6), None),
            gap_minutes=self._rarely(6, self._random.choice([5, 90]), None),
        )

    def _person(self) -> Person:
        campaigns = [c for a in self.config.advertisers for c in a.campaigns]
        ids = [c.id for c in campaigns] + [i.id for c in campaigns for i in c.line_items]
        seen = {code_of(id_): self._seen() for id_ in self._random.sample(ids, min(len(ids), 6))}
        members = frozenset(self._random.sample(NAMED_SEGMENTS, self._random.randint(0, 4)))
        return Person(members, self._rarely(6, False, True), seen)

    def _seen(self) -> Seen:
        """What somebody has seen who saw it last some minutes, hours or days ago."""
        last_minutes = NOW_S // 60 - self._random.choice([0, 3, 5, 6, 120, 3 * 1_440, 30 * 1_440])
        hour = self._random.randint(1, 2)
        day = hour + self._random.randint(0, 1)
        week = day + self._random.randint(0, 2)
        return Seen(hour, day, week, week + self._random.randint(0, 2), last_minutes)

    def _floor(self) -> int | None:
        return self._random.choice([0, 0, 400_000, 1_000_000, 1_999_999, 2_000_000, 2_000_001, None])

    def _media(self) -> MediaOffer:
        sizes = self._rarely(5, self._some([(728, 90), (1, 1)]), ((728, 90), (300, 250)))
        shape = StreamShape(
            mimes=self._rarely(8, ("video/webm",), ("video/mp4",)),
            duration_min_s=self._rarely(4, 20, 0),
            duration_max_s=self._rarely(3, 20, 0),
            durations_s=self._rarely(8, (30,)),
            protocols=self._rarely(3, (2, 3, 6), self._rarely(6, (5,), self._rarely(6, (2,)))),
            linear=self._rarely(9, False, True),
            blocked_attributes=self._rarely(3, self._some([13, 16])),
            skippable=self._rarely(4, True, False),
            placement=self._random.choice([0, 1, 2]),
            start=self._random.choice(["", "pre-roll", "mid-roll"]),
        )
        banner = BannerShape(sizes, (), self._rarely(8, (2,)), apis=self._rarely(2, (5,)))
        return MediaOffer(
            banner=self._rarely(5, None, banner),
            video=self._rarely(3, None, shape),
            secure=self._rarely(3, True, False),
            interstitial=self._rarely(4, True, False),
            rewarded=self._rarely(4, True, False),
        )

    def _deal(self) -> DealOffer:
        floor = self._floor()
        return DealOffer(
            id=self._random.choice(["deal-1", "deal-2", "deal-3"]),
            floor_cpm_micros=floor,
            first_price=self._rarely(2, True, False),
            fixed_price=self._rarely(3, bool(floor), False),
            seats=self._rarely(4, self._some(["seat-shop-0", "seat-shop-1"], 1)),
            domains=self._rarely(4, self._some(["shop-0.example", "shop-1.example", "example"], 1)),
            guaranteed=self._rarely(3, True, False),
            duration_floors=self._rarely(4, self._duration_floors(), None),
        )

    def _duration_floors(self) -> DurationFloors:
        ranges = [(0, 15, 1_000_000), (16, 20, 100_000), (30, 60, 2_000_000)]
        per_second = self._random.choice([0, 50_000, 100_000])
        return DurationFloors(per_second, self._rarely(2, self._some(ranges), ()))

    def _pod(self) -> Pod:
        return Pod(
            id=self._random.choice(["", "break-1", "break-1", "break-2"]),
            seconds=self._rarely(2, self._random.choice([10, 45, 60]), 0),
            ads_max=self._random.choice([0, 2, 3]),
            dedupe=self._random.choice([0, 0b0001, 0b0010, 0b0100, 0b1000, 0b1111]),
        )

    def _blocks(self) -> Blocks:
        categories = ["IAB18", "IAB18-1", "IAB11", "IAB11-5", "IAB1-5", "7:52", "8:1"]
        seats = ["seat-shop-0", "seat-shop-1"]
        return Blocks(
            categories=self._rarely(2, self._some(categories)),
            allowed_categories=self._rarely(5, self._some(categories, 4)),
            domains=self._rarely(3, self._some(["shop-0.example", "op-0.example", "example"], 1)),
            apps=self._rarely(3, ("com.shop.example",)),
            seats=self._rarely(3, self._some(["seat-shop-0", "seat-9"], 1)),
            allowed_seats=self._rarely(4, self._some(seats, 1)),
            allowed_languages=self._rarely(5, self._some(["en", "es"], 1)),
        )

    def _slot(self, exchange_id: str) -> Slot:
        deals = tuple(self._deal() for _ in range(self._rarely(3, self._random.randint(1, 2), 0)))
        return Slot(
            imp_id="1",
            media=self._media(),
            floor_cpm_micros=self._floor(),
            deals=deals,
            deals_only=self._rarely(6, True, False),
            video_floors=self._rarely(5, self._duration_floors(), None),
            pod=self._rarely(2, self._pod(), None),
            multiplier_millionths=self._rarely(4, self._random.choice([400_000, 3_500_001]), 1_000_000),
            google=self._google() if exchange_id == "strict" else None,
            view_billionths=self._rarely(3, self._random.choice([1, 700_000_000, 10**9]), 0),
            completion_billionths=self._rarely(3, 400_000_000, 0),
        )

    def _google(self) -> GoogleTerms:
        return GoogleTerms(
            billing_ids=self._random.choice([(), (7,), (8,), (7, 8), (8, 9)]),
            restricted_categories=self._rarely(3, self._some([33, 34]), (33, 34)),
        )

    def _request(self) -> Opportunity:
        pick = self._random.choice
        exchange_id = pick(["plain", "plain", "other", "strict"])
        return Opportunity(
            request_id="r",
            exchange_id=exchange_id,
            slots=tuple(self._slot(exchange_id) for _ in range(self._random.randint(1, 3))),
            first_price=pick([True, False]),
            domain=pick(["", "news.example", "live.sport.news.example", "mynews.example"]),
            bundle=self._rarely(4, pick(["com.game.example", "com.x.example"]), ""),
            device_type=self._random.randint(0, 9),
            operating_system=pick(["", "ios", "android", "plan9"]),
            country=pick(["", "USA", "USA", "CAN"]),
            region=pick(["", "USA-IA", "USA-IA", "USA-TX"]),
            metro=pick(["", "679", "1"]),
            zip_code=pick(["", "USA-50309", "USA-10001"]),
            user_hash=self._random.randint(0, 2),
            blocks=self._rarely(3, self._blocks(), NO_BLOCKS),
            dsa=self._rarely(4, DsaTerms(pick([True, False]), pick([0, 1, 2])), None),
        )
