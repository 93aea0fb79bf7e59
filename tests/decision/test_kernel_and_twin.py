"""The kernel against its naive twin: same choice, same price, same reason, for any config."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bidder.decision.columns import CandidateColumns
from bidder.decision.decide import Users, decide
from bidder.decision.explain import Market, Person, choose, furthest, judge
from bidder.decision.kernels import decide_batch
from bidder.decision.reasons import Reason
from bidder.decision.schedule import active_ads
from bidder.decision.snapshot import Snapshot, compile_snapshot
from bidder.openrtb.notice_token import FORMATS
from bidder.openrtb.opportunity import BannerShape, DealOffer, MediaOffer, Opportunity, Slot, StreamShape
from config.schema import (
    Bundle,
    Daypart,
    ExchangeProfile,
    Flight,
    FrequencyCap,
    Geo,
    Inventory,
    InventoryTargeting,
    Places,
    Targeting,
    When,
    code_of,
)
from pacing.caps import CAP_RECORD
from pacing.lease import LeaseBook
from pacing.plan import cell_name
from pacing.shading import SHADE_EDGES_CPM_MICROS, shade, shade_table
from tests.factories import advertiser, banner, bundle, campaign, line_item, video

SEGMENTS = [f"segment-{i}" for i in range(70)]
NOW_S = 1_795_000_000  # 2026-11-18
NO_LIMIT = 2**60

few = st.integers(0, 3)


def subset(values: list[Any], most: int = 2) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(values), max_size=most, unique=True).map(tuple)


places = st.builds(
    Places,
    countries=subset(["USA", "CAN"], 1),
    regions=subset(["USA-IA", "USA-NY"], 1),
    metros=subset(["679", "501"], 1),
    zips=subset(["USA-50309", "USA-10001"], 1),
)
inventories = st.builds(
    Inventory,
    domains=subset(["news.example", "sport.news.example", "blog.example"]),
    bundles=subset(["com.game.example", "com.chat.example"], 1),
)
targetings = st.builds(
    Targeting,
    geo=st.builds(Geo, include=places, exclude=places),
    inventory=st.builds(InventoryTargeting, include=inventories, exclude=inventories),
    devices=subset(["desktop", "phone", "mobile", "tablet", "tv"]),
    operating_systems=subset(["ios", "android"], 1),
    exchanges=subset(["plain", "other"], 1),
    deals=st.one_of(st.just(()), st.just(()), subset(["deal-1", "deal-2"])),
    dayparts=st.one_of(st.just(()), st.just((Daypart(days=("mon", "wed"), from_hour=6, to_hour=20),))),
)
names = st.sampled_from([*SEGMENTS[:4], SEGMENTS[-1]])
audiences = st.one_of(
    st.none(),
    names,
    st.recursive(
        names,
        lambda inner: st.one_of(
            st.builds(lambda items: {"any": items}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda items: {"all": items}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda item: {"not": item}, inner),
        ),
        max_leaves=5,
    ),
)
caps = st.one_of(
    st.just(FrequencyCap()),
    st.builds(FrequencyCap, per_day=st.integers(1, 3)),
    st.builds(FrequencyCap, per_hour=st.integers(1, 2)),
)
CREATIVES = [
    banner(),
    banner("banner-728x90", 728, 90),
    banner("insecure", 300, 250, image_url="http://cdn.shop.example/a.png"),
    video(),
    video("video-30", 30, attributes=(13,)),
]


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    advertisers = []
    for a in range(draw(st.integers(1, 2))):
        creatives = [
            type(c)(**{f: getattr(c, f) for f in c.__struct_fields__} | {"id": f"{c.id}-{a}"})
            for c in CREATIVES
        ]
        campaigns = []
        for c in range(draw(st.integers(1, 2))):
            items = [
                line_item(
                    f"line-{a}-{c}-{i}",
                    draw(st.sampled_from([0.5, 2.0, 2.0, 3.5])),
                    draw(
                        st.lists(
                            st.sampled_from([x.id for x in creatives]), min_size=1, max_size=3, unique=True
                        )
                    ),
                    targeting=draw(st.one_of(st.just(Targeting()), targetings)),
                    audience=draw(audiences),
                    frequency_cap=draw(caps),
                    paused=draw(few) == 3,
                    flight=Flight(end=When("2026-01-01")) if draw(st.integers(0, 7)) == 0 else Flight(),
                )
                for i in range(draw(st.integers(1, 40 if draw(few) == 0 else 3)))
            ]
            campaigns.append(
                campaign(f"campaign-{a}-{c}", items, frequency_cap=draw(caps), time_zone="America/Chicago")
            )
        advertisers.append(
            advertiser(
                f"shop-{a}",
                campaigns,
                creatives,
                categories=draw(st.sampled_from([("IAB18-1",), ("IAB1", "IAB11-4")])),
            )
        )
    exchanges = (ExchangeProfile(id="plain"), ExchangeProfile(id="other"))
    return bundle(*advertisers, exchanges=exchanges, segments=SEGMENTS)


media = st.builds(
    MediaOffer,
    banner=st.one_of(st.none(), st.builds(BannerShape, sizes=subset([(300, 250), (728, 90), (1, 1)]))),
    video=st.one_of(
        st.none(),
        st.builds(
            StreamShape,
            mimes=st.just(("video/mp4",)),
            duration_min_s=st.sampled_from([0, 20]),
            duration_max_s=st.sampled_from([0, 20]),
            protocols=st.sampled_from([(), (2, 3), (5,)]),
            blocked_attributes=st.sampled_from([(), (13,)]),
        ),
    ),
    secure=st.booleans(),
)
floors = st.sampled_from([None, 0, 400_000, 1_999_999, 2_000_000, 2_000_001])
deals = st.builds(
    DealOffer,
    id=st.sampled_from(["deal-1", "deal-2", "deal-3"]),
    floor_cpm_micros=floors,
    first_price=st.booleans(),
    fixed_price=st.booleans(),
    seats=subset(["seat-shop-0", "seat-shop-1"], 1),
)
slots = st.builds(
    Slot,
    imp_id=st.just("1"),
    media=media,
    floor_cpm_micros=floors,
    deals=st.lists(deals, max_size=2).map(tuple),
    deals_only=st.booleans(),
)
opportunities = st.builds(
    Opportunity,
    request_id=st.just("r"),
    exchange_id=st.sampled_from(["plain", "other"]),
    slots=st.lists(slots, min_size=1, max_size=3).map(tuple),
    first_price=st.booleans(),
    domain=st.sampled_from(["", "news.example", "www.sport.news.example", "mynews.example"]),
    bundle=st.sampled_from(["", "", "com.game.example", "com.x.example"]),
    device_type=st.integers(0, 9),
    operating_system=st.sampled_from(["", "ios", "android", "plan9"]),
    country=st.sampled_from(["", "USA", "CAN"]),
    region=st.sampled_from(["", "USA-IA", "USA-TX"]),
    metro=st.sampled_from(["", "679", "1"]),
    zip_code=st.sampled_from(["", "USA-50309", "USA-10001"]),
    user_hash=st.integers(0, 2),
    blocked_categories=subset(["IAB18", "IAB18-1", "IAB11", "IAB11-4", "IAB1-5", "IAB9"]),
    blocked_domains=subset(["shop-0.example", "example", "shop-1.example", "op-0.example"], 1),
    allowed_seats=subset(["seat-shop-0", "seat-shop-1"], 1),
    blocked_seats=subset(["seat-shop-0", "seat-9"], 1),
)


@st.composite
def people(draw: st.DrawFn, config: Bundle) -> list[Person]:
    """Three people; the first is nobody."""
    codes = [code_of(c.id) for a in config.advertisers for c in a.campaigns]
    codes += [code_of(i.id) for a in config.advertisers for c in a.campaigns for i in c.line_items]
    found = [Person()]
    for _ in range(2):
        seen = draw(
            st.dictionaries(
                st.sampled_from(codes), st.tuples(st.integers(1, 3), st.integers(0, 2)), max_size=3
            )
        )
        found.append(Person(frozenset(draw(subset(SEGMENTS, 6))), draw(few) > 0, seen))
    return found


def users_of(people_: list[Person], snapshot: Snapshot) -> Users:
    bits = np.zeros((len(people_), snapshot.segment_words), np.uint64)
    records: list[tuple[int, ...]] = []
    offsets = [0]
    for row, person in enumerate(people_):
        for name in person.segments:
            index = SEGMENTS.index(name)
            bits[row, index // 64] |= np.uint64(1 << (index % 64))
        for code, (today, this_hour) in person.seen.items():
            records.append((code, NOW_S // 86_400, today, this_hour, NOW_S // 60))
        offsets.append(len(records))
    known = np.array([person.known for person in people_])
    return Users(bits, known, np.array(records, CAP_RECORD), np.array(offsets, np.int64))


def rows_of_shading(snapshot: Snapshot) -> np.ndarray:
    """Half price for banners on `plain`; no shading elsewhere."""
    cells = [cell_name(profile.id, format_) for profile in snapshot.bundle.exchanges for format_ in FORMATS]
    half = [max(1, edge // 2) for edge in SHADE_EDGES_CPM_MICROS.tolist()]
    return shade_table({cell_name("plain", "banner"): half}, cells)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_kernel_decides_as_the_naive_twin_does(data: st.DataObject) -> None:
    config = data.draw(bundles())
    snapshot = compile_snapshot(config, {name: index for index, name in enumerate(SEGMENTS)})
    requests = data.draw(st.lists(opportunities, min_size=1, max_size=4))
    persons = data.draw(people(config))
    draw = data.draw(st.integers(0, 2**64 - 1))
    codes = snapshot.campaign_codes
    budgets = [data.draw(st.sampled_from([NO_LIMIT, NO_LIMIT, 3_000_000, 0])) for _ in codes]
    multipliers = [data.draw(st.sampled_from([65_536, 65_536, 32_768, 1])) for _ in codes]
    shading = rows_of_shading(snapshot)
    columns = CandidateColumns(snapshot)
    for position, request in enumerate(requests):
        columns.add(position, request, request.user_hash)

    results = []
    for function in (decide_batch, decide_batch.py_func):
        book = LeaseBook(codes, snapshot.campaign_bid_max_cpm_micros)
        book.available[:] = budgets
        book.multiplier_q16[:] = multipliers
        results.append(
            (run(function, snapshot, columns, users_of(persons, snapshot), shading, book, draw), book)
        )
    (decisions, book), (plain, plain_book) = results
    assert decisions == plain
    assert (book.available == plain_book.available).all()
    assert (book.reserved == plain_book.reserved).all()

    market = Market(
        dict(zip(codes, multipliers, strict=True)),
        available := dict(zip(codes, budgets, strict=True)),
        lambda exchange, format_, value: int(
            shade(shading, snapshot.exchange_index[exchange] * len(FORMATS) + FORMATS.index(format_), value)
        ),
    )
    line_items: dict[str, int] = {}
    for ad in snapshot.ads:
        line_items.setdefault(ad.line_item.id, len(line_items))
    taken: set[tuple[int, int]] = set()
    for n, (candidate, (ad_index, price, reason)) in enumerate(
        zip(columns.candidates, decisions, strict=True)
    ):
        imp = (candidate.request, id(candidate.slot))
        if imp in taken:
            assert reason == Reason.IMP_TAKEN
            continue
        request = requests[candidate.request]
        verdicts = [
            judge(ad, request, candidate.slot, candidate.deal, persons[request.user_hash], market, NOW_S)
            for ad in snapshot.ads
        ]
        best = choose(verdicts, line_items, draw, n)
        if best is None:
            assert (ad_index, price, Reason(reason)) == (-1, 0, furthest(verdicts))
            continue
        assert reason == Reason.BID
        assert snapshot.ads[ad_index].line_item.id == best.ad.line_item.id
        assert snapshot.ads[ad_index] in [v.ad for v in verdicts if v.reason is Reason.BID]
        taken.add(imp)
        chosen = next(v for v in verdicts if v.ad == snapshot.ads[ad_index])
        assert price == chosen.price_cpm_micros
        available[code_of(best.ad.campaign.id)] -= price
    assert dict(zip(codes, book.available.tolist(), strict=True)) == available
    book.outstanding[:] = budgets
    book.check()


def run(
    function: Any,
    snapshot: Snapshot,
    columns: CandidateColumns,
    users: Users,
    shading: Any,
    book: LeaseBook,
    draw: int,
) -> list[tuple[int, int, int]]:
    if function is decide_batch:
        active = active_ads(snapshot.schedule, NOW_S)
        decided = decide(snapshot, active, columns, users, shading, book, NOW_S, draw)
        return list(zip(*(column.tolist() for column in decided), strict=True))
    candidates, blocked = columns.arrays()
    out = np.empty((3, len(candidates)), np.int64)
    with np.errstate(over="ignore"):
        function(
            snapshot.arrays,
            active_ads(snapshot.schedule, NOW_S),
            candidates.view(np.recarray),
            blocked,
            snapshot.media.bits,
            users.bits,
            users.known,
            users.cap_records,
            users.cap_offsets,
            shading,
            book.multiplier_q16,
            book.available,
            book.reserved,
            NOW_S,
            np.uint64(draw),
            *out,
        )
    return list(zip(*out.tolist(), strict=True))
