"""Exchanges that differ, through a real worker: no-bids in their form, politics, declarations, traffic."""

import json
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bidder.decision.reasons import Reason
from bidder.openrtb.no_bid import NBR_OWN
from config.schema import (
    Approval,
    BarredRegions,
    ChainNode,
    Crawler,
    Dsa,
    Engine,
    ExchangeProfile,
    Political,
    PoliticalRules,
    Traffic,
)
from tests.factories import advertiser, banner, bid_request, bundle, campaign, line_item
from tests.running import RunningWorker, running_worker

IN_IOWA = {"geo": {"country": "USA", "region": "IA"}}


async def answer(worker: RunningWorker, exchange_id: str, **fields: Any) -> tuple[int, Any]:
    url = worker.url.replace("/plain", f"/{exchange_id}")
    status, body = await worker.ask(bid_request(**fields), url=url)
    return status, json.loads(body) if body else None


async def seats(worker: RunningWorker, exchange_id: str, **fields: Any) -> list[str]:
    _, body = await answer(worker, exchange_id, **fields)
    return [seat["seat"] for seat in body["seatbid"]] if body else []


async def test_an_exchange_is_told_that_there_is_no_bid_in_its_own_form(
    redis_url: str, tmp_path: Path
) -> None:
    config = bundle(
        exchanges=[
            ExchangeProfile(id="plain"),
            ExchangeProfile(id="curious", no_bid="reason"),
            ExchangeProfile(id="timing", no_bid="processing_time"),
            ExchangeProfile(id="paused", no_bid="reason", paused=True),
        ]
    )
    async with running_worker(redis_url, config, tmp_path) as worker:
        blocked = {"bcat": ["IAB18"]}
        assert await answer(worker, "plain", **blocked) == (204, None)
        none = {"id": "request-1", "seatbid": [], "nbr": NBR_OWN + Reason.NO_MATCH}
        assert await answer(worker, "curious", **blocked) == (200, none)
        assert await answer(worker, "curious", tmax=21) == (200, none | {"nbr": 15})
        assert await answer(worker, "curious", app={"bundle": "x"}) == (200, none | {"nbr": 2})
        status, timed = await answer(worker, "timing", **blocked)
        assert (status, timed.keys()) == (200, {"id", "ext"})
        assert timed["ext"].keys() == {"processing_time_ms"}
        paused = none | {"nbr": NBR_OWN + Reason.EXCHANGE_PAUSED}
        assert await answer(worker, "paused") == (200, paused)
        for exchange_id in ("plain", "curious", "timing"):
            assert (await answer(worker, exchange_id))[1]["seatbid"]
        # What is no request is no request in any form.
        for exchange_id in ("curious", "timing", "paused"):
            url = worker.url.replace("/plain", f"/{exchange_id}")
            assert await worker.ask(b"{}", url=url) == (400, b"")


async def test_political_ads_go_where_exchange_country_and_state_allow(
    redis_url: str, tmp_path: Path
) -> None:
    paid = Political(paid_for_by="Open Ballots", scope="state")
    rules = PoliticalRules(
        countries=("USA",), barred=(BarredRegions(regions=("USA-CA",), scopes=("state", "local")),)
    )
    group = advertiser(
        "group",
        campaigns=[campaign(political=paid)],
        categories=("IAB11-4",),
        seat="group",
        creatives=[banner()],
    )
    config = bundle(
        group, exchanges=[ExchangeProfile(id="plain"), ExchangeProfile(id="open", political=rules)]
    )
    async with running_worker(redis_url, config, tmp_path) as worker:
        assert await seats(worker, "open", device=IN_IOWA) == ["group"]
        assert await seats(worker, "plain", device=IN_IOWA) == []
        for region in ("CA", "US-CA", "California", None):
            there = {"geo": {"country": "USA", "region": region}}
            assert await seats(worker, "open", device=there) == []
        places: list[dict[str, Any]] = [{}, {"geo": {}}, {"geo": {"country": "DEU", "region": "BE"}}]
        for elsewhere in places:
            assert await seats(worker, "open", device=elsewhere) == []
        for blocked in ("IAB11", "IAB11-4"):
            assert await seats(worker, "open", device=IN_IOWA, bcat=[blocked]) == []
        assert await seats(worker, "open", device=IN_IOWA, bcat=["IAB11-5"]) == ["group"]


async def test_the_seat_the_exchange_knows_is_sent_and_held_against_its_lists(
    redis_url: str, tmp_path: Path
) -> None:
    config = bundle(
        advertiser(seat="shop", seats={"numbers": "958"}),
        exchanges=[ExchangeProfile(id="plain"), ExchangeProfile(id="numbers", requires=("numeric_seat",))],
    )
    async with running_worker(redis_url, config, tmp_path) as worker:
        assert await seats(worker, "plain", wseat=["shop"]) == ["shop"]
        assert await seats(worker, "numbers", wseat=["958"]) == ["958"]
        assert await seats(worker, "numbers", wseat=["shop"]) == []
        assert await seats(worker, "numbers", bseat=["958"]) == []
        assert await seats(worker, "plain", bseat=["958"]) == ["shop"]


async def test_reviewed_creatives_only_where_the_exchange_wants_it(redis_url: str, tmp_path: Path) -> None:
    creatives = [
        banner("pending", approvals={"strict": Approval(state="pending")}),
        banner("good", approvals={"strict": Approval(state="approved", id="77")}),
        banner("bad", approvals={"plain": Approval(state="disapproved")}),
    ]
    config = bundle(
        *(
            advertiser(
                f"shop-{creative.id}",
                campaigns=[campaign(f"c-{creative.id}", [line_item(f"l-{creative.id}", 5.0, [creative.id])])],
                creatives=[creative],
                seat=creative.id,
            )
            for creative in creatives
        ),
        exchanges=[ExchangeProfile(id="plain"), ExchangeProfile(id="strict", approval_required=True)],
    )
    async with running_worker(redis_url, config, tmp_path) as worker:
        for creative_id in ("pending", "good", "bad"):
            only = {"wseat": [creative_id]}
            strict = creative_id == "good"
            assert bool(await seats(worker, "strict", **only)) is strict, creative_id
            assert bool(await seats(worker, "plain", **only)) is (creative_id != "bad"), creative_id
        _, body = await answer(worker, "strict")
        assert body["seatbid"][0]["bid"][0]["adid"] == "77"


async def test_a_dsa_declaration_or_no_bid(redis_url: str, tmp_path: Path) -> None:
    silent = advertiser("silent", seat="silent", campaigns=[campaign("c-2", [line_item("l-2", 9.0)])])
    plain = bundle(advertiser(seat="shop", dsa=Dsa(behalf="Shop", paid="Shop")), silent)
    config = replace(plain, engine=Engine(platform_domain="dsp.example"))
    async with running_worker(redis_url, config, tmp_path) as worker:

        async def sold(**dsa: Any) -> list[str]:
            return await seats(worker, "plain", regs={"ext": {"dsa": dsa}})

        assert await sold() == await sold(dsarequired=0) == await sold(dsarequired=1) == ["silent"]
        for required in (2, 3, "3"):
            assert await sold(dsarequired=required, pubrender=1) == ["shop"]
        assert await sold(dsarequired=2, pubrender=0) == []
        assert await sold(dsarequired=2) == []
        _, body = await answer(worker, "plain", regs={"ext": {"dsa": {"dsarequired": 3, "pubrender": 2}}})
        assert body["seatbid"][0]["bid"][0]["ext"]["dsa"] == {
            "behalf": "Shop",
            "paid": "Shop",
            "transparency": [{"domain": "dsp.example", "dsaparams": [2]}],
            "adrender": 0,
        }


async def test_google_names_billing_ids_and_restricted_categories(redis_url: str, tmp_path: Path) -> None:
    owner = advertiser(
        seat="shop", billing_ids={"google": 29_290_087_654}, creatives=[banner(restricted_categories=(33,))]
    )
    profile = ExchangeProfile(id="google", extensions="google")
    config = bundle(owner, exchanges=[ExchangeProfile(id="plain"), profile])
    async with running_worker(redis_url, config, tmp_path) as worker:

        async def ext(exchange_id: str = "google", **imp_ext: Any) -> Any:
            imp = {"id": "1", "banner": {"format": [{"w": 300, "h": 250}]}, "ext": imp_ext}
            _, body = await answer(worker, exchange_id, imp=[imp])
            return body and body["seatbid"][0]["bid"][0].get("ext", {})

        allowed: dict[str, Any] = {"allowed_restricted_category": [32, 33]}
        sent = {"restricted_category": [33]}
        billed = sent | {"billing_id": 29_290_087_654}
        assert await ext(**allowed) == sent
        assert await ext(**allowed, billing_id=["29290087654", "7"]) == billed
        assert await ext(**allowed, billing_id=[29290087654, 7]) == billed
        assert await ext(**allowed, billing_id=["7"]) == sent
        assert await ext(**allowed, billing_id=["7", "8"]) is None
        assert await ext(billing_id=["29290087654"]) is None
        assert await ext("plain", billing_id=["7", "8"]) == {}


async def test_traffic_that_nobody_bids_on(redis_url: str, tmp_path: Path) -> None:
    lists = Traffic(
        crawlers=(Crawler(pattern="examplebot"),),
        data_centres=("198.51.100.0/24",),
        blocked_nodes=(ChainNode(asi="bad.example"),),
        complete_chain_required=True,
        sellers={"news.example": ("market.example 47",)},
    )
    profile = ExchangeProfile(id="curious", no_bid="reason")
    config = replace(bundle(exchanges=[ExchangeProfile(id="plain"), profile]), traffic=lists)
    async with running_worker(redis_url, config, tmp_path) as worker:

        async def nbr(
            *, sid: str = "47", complete: int = 1, asi: str = "market.example", **device: Any
        ) -> Any:
            chain = {"ver": "1.0", "complete": complete, "nodes": [{"asi": asi, "sid": sid, "hp": 1}]}
            _, body = await answer(worker, "curious", device=device, source={"schain": chain})
            return body.get("nbr")

        assert await nbr(ua="Mozilla/5.0", ip="203.0.113.7") is None
        assert await nbr(ua="ExampleBot/1.0") == 3
        assert await nbr(ip="198.51.100.9") == 5
        assert await nbr(sid="48") == 12
        assert await nbr(complete=0) == 16
        assert await nbr(asi="bad.example") == 17
        assert (await answer(worker, "curious"))[1]["nbr"] == 16
