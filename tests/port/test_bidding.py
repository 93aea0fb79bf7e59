"""Bids through a real worker: targeting, audiences, floors, blocks, privacy and money."""

import asyncio
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import redis.asyncio
from prometheus_client import REGISTRY

from bidder.openrtb.notice_token import TokenSigner
from config import bundle_store
from config.embedded_server import EmbeddedServer
from config.limits import LOOKUP_TIMEOUT_MS
from config.money import BILLION, Money
from config.schema import (
    Budget,
    ExchangeProfile,
    FrequencyCap,
    Geo,
    LineItemBudget,
    Places,
    Targeting,
    account_code,
    code_of,
)
from config.settings import load_secrets
from pacing.caps import record_impression
from pacing.ledger import Ledger
from tests.factories import (
    advertiser,
    audio,
    banner,
    bid_request,
    bundle,
    campaign,
    line_item,
    native,
    video,
)
from tests.running import RunningWorker, running_worker
from tests.waiting import SECONDS_MAX

NATIVE_REQUEST = json.dumps(
    {
        "ver": "1.2",
        "eventtrackers": [{"event": 1, "methods": [1]}],
        "assets": [
            {"id": 1, "required": 1, "title": {"len": 90}},
            {"id": 2, "required": 1, "img": {"type": 3, "wmin": 600, "hmin": 300}},
            {"id": 3, "required": 1, "data": {"type": 1, "len": 25}},
        ],
    }
)
MEDIA: dict[str, dict[str, Any]] = {
    "banner": {"banner": {"format": [{"w": 300, "h": 250}]}},
    "video": {"video": {"mimes": ["video/mp4"], "minduration": 5, "maxduration": 30, "protocols": [2, 3, 7]}},
    "audio": {"audio": {"mimes": ["audio/mpeg"], "maxduration": 30}},
    "native": {"native": {"request": NATIVE_REQUEST, "ver": "1.2"}},
}


async def test_each_format_is_bid_on_with_every_field_an_exchange_wants(
    redis_url: str, tmp_path: Path
) -> None:
    creatives = [banner(), video(), audio(), native()]
    config = bundle(
        advertiser(
            creatives=creatives,
            campaigns=[campaign(line_items=[line_item(creatives=[c.id for c in creatives])])],
        )
    )
    async with running_worker(redis_url, config, tmp_path) as worker:
        for mtype, (format_, media) in enumerate(MEDIA.items(), start=1):
            (bid,) = await worker.bids(bid_request(imp=[{"id": "imp-9", "bidfloor": 1.0, **media}]))
            assert bid["mtype"] == mtype
            assert bid["impid"] == "imp-9"
            assert bid["price"] == 5
            assert bid["adomain"] == ["shop.example"]
            assert bid["cat"] == ["IAB18-1"]
            assert bid["cid"] == "campaign-1"
            assert bid["crid"] == bid["adid"]
            assert bid["crid"].startswith(format_)
            for url, path in (("nurl", "/win"), ("burl", "/bill"), ("lurl", "/loss")):
                assert path in bid[url]
            assert "${AUCTION_PRICE}" in bid["burl"]
            assert "${AUCTION_PRICE}" in bid["adm"]
            assert "/imp?t=" in bid["adm"]
            assert "/click?t=" in bid["adm"]
            if format_ == "banner":
                assert (bid["w"], bid["h"]) == (300, 250)
            if format_ in ("video", "audio"):
                assert bid["dur"] in (15, 30)
                assert bid["adm"].startswith("<VAST ")


async def test_bid_ids_and_tokens_are_unique(redis_url: str, tmp_path: Path) -> None:
    async with running_worker(redis_url, bundle(), tmp_path) as worker:
        imps = [{"id": str(n), **MEDIA["banner"]} for n in range(5)]
        bids = [bid for _ in range(4) for bid in await worker.bids(bid_request(imp=imps))]
    assert [bid["impid"] for bid in bids] == [str(n) for n in range(5)] * 4
    assert len({bid["id"] for bid in bids}) == 20
    assert len({bid["burl"] for bid in bids}) == 20


async def test_only_members_of_the_audience_are_bid_on(redis_url: str, tmp_path: Path) -> None:
    item = line_item(audience="gardeners and not renters")
    config = bundle(
        advertiser(campaigns=[campaign(line_items=[item])]), segments=["gardeners", "renters", "drivers"]
    )
    async with running_worker(redis_url, config, tmp_path) as worker:
        await worker.put_in_segments("in", "gardeners", "drivers")
        await worker.put_in_segments("out", "gardeners", "renters")
        assert await worker.bids(bid_request(user={"buyeruid": "in"}))
        assert not await worker.bids(bid_request(user={"buyeruid": "out"}))
        assert not await worker.bids(bid_request(user={"buyeruid": "stranger"}))
        assert not await worker.bids(bid_request(user={}))
        assert not await worker.bids(bid_request(user={"buyeruid": "in"}, regs={"coppa": 1}))


async def test_no_bid_below_the_floor_and_none_in_another_currency(redis_url: str, tmp_path: Path) -> None:
    async with running_worker(redis_url, bundle(), tmp_path) as worker:

        async def price(**imp: Any) -> float | None:
            bids = await worker.bids(bid_request(imp=[{"id": "1", **MEDIA["banner"], **imp}]))
            return bids[0]["price"] if bids else None

        assert await price(bidfloor=5.0) == 5
        assert await price(bidfloor=5.000001) is None
        assert await price(bidfloor=1.0, bidfloorcur="EUR") is None
        assert not await worker.bids(bid_request(cur=["EUR"]))
        assert await worker.bids(bid_request(cur=["EUR", "USD"]))


async def test_blocks_are_respected(redis_url: str, tmp_path: Path) -> None:
    async with running_worker(redis_url, bundle(), tmp_path) as worker:
        assert await worker.bids(bid_request(bcat=["IAB1", "IAB18-2"], badv=["other.example"]))
        for blocks in (
            {"bcat": ["IAB18-1"]},
            {"bcat": ["IAB18"]},
            {"badv": ["shop.example"]},
            {"badv": ["example"]},
            {"bseat": ["seat-shop"]},
            {"wseat": ["seat-other"]},
        ):
            assert not await worker.bids(bid_request(**blocks)), blocks


async def test_an_insecure_creative_is_not_shown_where_https_is_asked_for(
    redis_url: str, tmp_path: Path
) -> None:
    config = bundle(advertiser(creatives=[banner(image_url="http://cdn.shop.example/a.png")]))
    async with running_worker(redis_url, config, tmp_path) as worker:
        assert await worker.bids(bid_request(imp=[{"id": "1", **MEDIA["banner"]}]))
        assert not await worker.bids(bid_request(imp=[{"id": "1", "secure": 1, **MEDIA["banner"]}]))


async def test_deals(redis_url: str, tmp_path: Path) -> None:
    item = line_item("deal-line", targeting=Targeting(deals=("D-1",)))
    config = bundle(advertiser(campaigns=[campaign(line_items=[item, line_item("open-line", 3.0)])]))
    deal = {"id": "D-1", "bidfloor": 4.0, "at": 1}
    async with running_worker(redis_url, config, tmp_path) as worker:

        async def bid(**pmp: Any) -> dict[str, Any] | None:
            bids = await worker.bids(bid_request(imp=[{"id": "1", **MEDIA["banner"], "pmp": pmp}]))
            return bids[0] if bids else None

        taken = await bid(deals=[deal])
        assert taken is not None
        assert (taken["dealid"], taken["price"]) == ("D-1", 5)
        open_bid = await bid(deals=[{"id": "D-2"}])
        assert open_bid is not None
        assert ("dealid" in open_bid, open_bid["price"]) == (False, 3)
        assert await bid(deals=[{"id": "D-2"}], private_auction=1) is None
        fixed = await bid(deals=[deal | {"at": 3}])
        assert fixed is not None
        assert fixed["price"] == 4
        assert await bid(deals=[deal | {"wseat": ["seat-other"]}], private_auction=1) is None


async def test_places_and_a_config_change_without_a_restart(redis_url: str, tmp_path: Path) -> None:
    def in_region(region: str, version: str) -> Any:
        targeting = Targeting(geo=Geo(include=Places(regions=(region,))))
        return bundle(
            advertiser(campaigns=[campaign(line_items=[line_item(targeting=targeting)])]), version=version
        )

    iowa = bid_request(device={"geo": {"country": "USA", "region": "IA"}})
    new_york = bid_request(device={"geo": {"country": "USA", "region": "NY"}})
    async with running_worker(redis_url, in_region("USA-IA", "v1"), tmp_path) as worker:
        assert await worker.bids(iowa)
        await bundle_store.publish(worker.redis, in_region("USA-NY", "v2"), worker.bundle_key)
        async with asyncio.timeout(SECONDS_MAX):
            while not await worker.bids(new_york):
                pass
        assert not await worker.bids(iowa)


async def test_a_campaign_that_left_the_config_has_no_money_to_bid_with(
    redis_url: str, tmp_path: Path
) -> None:
    def available(campaign_id: str) -> float | None:
        return REGISTRY.get_sample_value("hustings_lease_available", {"campaign": campaign_id})

    stays, goes = campaign("stays"), campaign("goes", [line_item("other")])
    both = bundle(advertiser(campaigns=[stays, goes]), version="v1")
    async with running_worker(redis_url, both, tmp_path) as worker, asyncio.timeout(SECONDS_MAX):
        while not available("goes"):
            await worker.bids(bid_request())
        only = bundle(advertiser(campaigns=[stays]), version="v2")
        await bundle_store.publish(worker.redis, only, worker.bundle_key)
        while available("goes"):
            await worker.bids(bid_request())
        assert available("stays")


async def test_a_worker_never_bids_more_than_the_budget(redis_url: str, tmp_path: Path) -> None:
    """Bids of 5 CPM cost 5,000,000 billionths: seven fit into this budget, whoever wins them."""
    tight = campaign(budget=Budget(total=Money(7 * 5_000_000 + 4_999_999)))
    async with running_worker(redis_url, bundle(advertiser(campaigns=[tight])), tmp_path) as worker:
        bids = 0
        for _ in range(60):
            bids += len(await worker.bids(bid_request()))
        account = await worker.account_check("campaign-1")
        assert bids <= 7
        assert account.spent == 0
        assert account.leased <= tight.budget.total
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        left = await Ledger(client).account(code_of("campaign-1"))
    assert left is not None
    left.check()
    # Draining gave back what was not reserved; bids that may still be billed stay covered.
    assert left.leased == bids * 5_000_000


async def test_a_capped_line_item_stops_at_its_cap_and_needs_a_person(redis_url: str, tmp_path: Path) -> None:
    item = line_item(frequency_cap=FrequencyCap(per_day=4))
    config = bundle(advertiser(campaigns=[campaign(line_items=[item])]))
    async with running_worker(redis_url, config, tmp_path) as worker:
        known = bid_request(user={"buyeruid": "demo-1"})
        user_hash = worker.identity.hash("cookie", "demo-1")
        assert not await worker.bids(bid_request(user={}))
        for _ in range(3):
            now_s = int((await worker.redis.time())[0])
            await record_impression(worker.redis, user_hash, [code_of("line-1")], now_s)
        assert await worker.bids(known)
        # Three were shown, and one may be.
        assert not await worker.bids(known)


async def test_a_burst_of_one_person_gets_no_more_bids_than_the_cap_leaves(
    redis_url: str, tmp_path: Path
) -> None:
    """Nothing has been shown yet: what was bid a moment ago, or on another imp, counts all the same."""
    item = line_item(frequency_cap=FrequencyCap(per_flight=3))
    config = bundle(advertiser(campaigns=[campaign(line_items=[item])]))
    async with running_worker(redis_url, config, tmp_path) as worker:
        ann = bid_request(user={"buyeruid": "ann"})
        ann["imp"] = [ann["imp"][0] | {"id": str(n)} for n in range(2)]
        answers = await asyncio.gather(*(worker.bids(ann) for _ in range(5)))
        assert sum(len(bids) for bids in answers) == 3
        assert await worker.bids(bid_request(user={"buyeruid": "bob"}))
        assert await worker.bids(bid_request(user={"buyeruid": "demo-2"}))


async def test_test_requests_and_hopeless_deadlines_get_no_bid(redis_url: str, tmp_path: Path) -> None:
    async with running_worker(redis_url, bundle(), tmp_path) as worker:
        assert not await worker.bids(bid_request(test=1))
        assert not await worker.bids(bid_request(tmax=21))
        assert not await worker.bids(bid_request(app={"bundle": "com.game.example"}))
        assert await worker.bids(bid_request())


async def test_an_exchange_that_bills_on_the_impression_gets_no_burl(redis_url: str, tmp_path: Path) -> None:
    config = bundle(exchanges=[ExchangeProfile(id="plain", billing_event="impression")])
    async with running_worker(redis_url, config, tmp_path) as worker:
        (bid,) = await worker.bids(bid_request())
    assert "burl" not in bid
    assert "${AUCTION_PRICE}" in bid["adm"]


async def test_redis_slow_means_contextual_bids_in_time(tmp_path: Path) -> None:
    open_item, member_item = line_item("open", 1.0), line_item("members", 4.0, audience="gardeners")
    config = bundle(
        advertiser(
            campaigns=[campaign(line_items=[open_item, member_item], budget=Budget(total=Money(BILLION)))]
        ),
        segments=["gardeners"],
    )
    member = bid_request(user={"buyeruid": "in"})
    with EmbeddedServer.start(tmp_path / "redis", durable=False) as server:
        async with running_worker(
            server.url, config, tmp_path, lookup_timeout_ms=LOOKUP_TIMEOUT_MS
        ) as worker:
            await worker.put_in_segments("in", "gardeners")
            await until_price(worker, member, 4)
            os.kill(server.pid, signal.SIGSTOP)
            try:
                assert (await worker.bids(member))[0]["price"] == 1
            finally:
                os.kill(server.pid, signal.SIGCONT)
            # Without Redis there is no new money either: some answers may be empty.
            await until_price(worker, member, 4)


async def until_price(worker: RunningWorker, request: dict[str, Any], price: float) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while [bid["price"] for bid in await worker.bids(request)] != [price]:
            pass


async def test_a_line_item_with_a_budget_of_its_own_stops_there_and_others_go_on(
    redis_url: str, tmp_path: Path
) -> None:
    dear = line_item("dear", 4.0, budget=LineItemBudget(total=Money(3 * 4_000_000)))
    config = bundle(advertiser(campaigns=[campaign(line_items=[dear, line_item("cheap", 2.0)])]))
    async with running_worker(redis_url, config, tmp_path) as worker:
        signer = TokenSigner(load_secrets(Path(worker.settings.secret_file)).notice_key)
        said = []
        for _ in range(6):
            (bid,) = await worker.bids(bid_request())
            token = re.search(r"[?&]t=([\w-]+)", bid["nurl"])
            notice = signer.read(token[1]) if token else None
            assert notice is not None
            said.append((bid["price"], notice.from_line_item))
        # The dear one is leased a share at a time, so the cheap one may come between.
        assert 1 <= said.count((4.0, True)) <= 3
        assert said.count((2.0, False)) == 6 - said.count((4.0, True))
        own = await worker.ledger.account(account_code("campaign-1", "dear"))
        assert own is not None
        assert own.leased <= 3 * 4_000_000
