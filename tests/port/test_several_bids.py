"""Breaks, deals beside the open auction, plays for several people and other currencies, at the port."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bidder.openrtb.notice_token import TokenSigner, split_token
from config.currency import parse_rate
from config.money import BILLION, Money
from config.schema import (
    Budget,
    Bundle,
    Creative,
    Engine,
    ExchangeProfile,
    ExchangeRates,
    Targeting,
)
from config.settings import load_secrets
from tests.factories import advertiser, banner, bid_request, bundle, campaign, line_item, video
from tests.running import RunningWorker, running_worker

BREAK = {"mimes": ["video/mp4"], "minduration": 5, "maxduration": 60}
GENEROUS = ExchangeProfile(id="plain", bids_per_imp_max=4)
_TOKEN = re.compile(r"[?&]t=([^&]+)")


def shop(number: int, creatives: Sequence[Creative], **fields: Any) -> Any:
    """An advertiser whose one line item has these creatives."""
    ids = [creative.id for creative in creatives]
    campaigns = [campaign(f"c-{number}", [line_item(f"l-{number}", creatives=ids)])]
    return advertiser(f"shop-{number}", campaigns, creatives, **fields)


def signed_maximum(worker: RunningWorker, bid: dict[str, Any]) -> tuple[int, int]:
    """Return the most a bid's notice may book, in our currency and, if it is another, in the bid's."""
    match = _TOKEN.search(bid["burl"])
    assert match is not None
    token, there = split_token(match[1])
    notice = TokenSigner(load_secrets(Path(worker.settings.secret_file)).notice_key).read(token)
    assert notice is not None
    return notice.price_max_cpm_micros, there


async def test_a_dynamic_break_gets_several_ads_within_its_time(redis_url: str, tmp_path: Path) -> None:
    creatives = [video("a-15"), video("b-15"), video("c-30", 30), video("d-45", 45)]
    async with running_worker(
        redis_url, bundle(shop(0, creatives), exchanges=[GENEROUS]), tmp_path
    ) as worker:

        async def ads(**fields: Any) -> list[int]:
            bids = await worker.bids(bid_request(imp=[{"id": "1", "video": BREAK | fields}]))
            assert len({bid["crid"] for bid in bids}) == len(bids)
            assert all((bid.get("slotinpod") == 0) == ("poddur" in fields) for bid in bids)
            return sorted(bid["dur"] for bid in bids)

        for seconds in (10, 20, 45, 60, 120):
            durations = await ads(podid="a", poddur=seconds)
            assert sum(durations) <= seconds
            assert bool(durations) == (seconds > 10)
        assert await ads(poddur=105) == [15, 15, 30, 45]
        assert len(await ads(poddur=105, maxseq=2)) == 2
        assert await ads() == [15, 15, 30, 45], "bids beside each other share no time"


async def test_one_bid_an_imp_where_the_exchange_takes_no_more(redis_url: str, tmp_path: Path) -> None:
    creatives = [video("a-15"), video("b-15")]
    async with running_worker(redis_url, bundle(shop(0, creatives)), tmp_path) as worker:
        assert len(await worker.bids(bid_request(imp=[{"id": "1", "video": BREAK | {"poddur": 60}}]))) == 1


async def test_a_break_has_no_advertiser_twice_where_it_says_so(redis_url: str, tmp_path: Path) -> None:
    config = bundle(shop(0, [video("a-15"), video("b-15")]), shop(1, [video("c-15")]))
    async with running_worker(redis_url, config, tmp_path) as worker:

        async def domains(**fields: Any) -> list[str]:
            imps = [{"id": str(n), "video": BREAK | {"podid": "a"} | fields} for n in range(3)]
            return sorted(bid["adomain"][0] for bid in await worker.bids(bid_request(imp=imps)))

        assert len(await domains()) == 3
        assert await domains(poddedupe=[1]) == ["shop-0.example", "shop-1.example"]
        assert len(await domains(poddedupe=[3])) == 3
        assert len(await domains(poddedupe=[5])) == 3


async def test_the_dearest_ads_bid_beside_each_other(redis_url: str, tmp_path: Path) -> None:
    creatives = [banner(f"b-{number}") for number in range(5)]
    items = [line_item(c.id, creatives=[c.id], cpm=number + 1.0) for number, c in enumerate(creatives)]
    shop_ = advertiser(campaigns=[campaign(line_items=items)], creatives=creatives)
    async with running_worker(redis_url, bundle(shop_, exchanges=[GENEROUS]), tmp_path) as worker:
        imp = {"id": "1", "banner": {"w": 300, "h": 250}}

        async def prices(**fields: Any) -> list[float]:
            return [bid["price"] for bid in await worker.bids(bid_request(imp=[imp | fields]))]

        assert await prices() == [5, 4, 3, 2], "as many as the exchange takes"
        assert await prices(bidfloor=3.5) == [5, 4]


async def test_a_deal_and_the_open_auction_are_both_bid_on(redis_url: str, tmp_path: Path) -> None:
    items = [
        line_item("dealt", creatives=["banner-300x250"], targeting=Targeting(deals=("D-1", "D-2"))),
        line_item("open", creatives=["other"], cpm=4.0),
    ]
    creatives = [banner(), banner("other")]
    config = bundle(
        advertiser(campaigns=[campaign(line_items=items)], creatives=creatives), exchanges=[GENEROUS]
    )
    imp = {"id": "1", "banner": {"w": 300, "h": 250}}
    async with running_worker(redis_url, config, tmp_path) as worker:

        async def answer(*deals: dict[str, Any], **pmp: Any) -> list[tuple[str | None, str]]:
            bids = await worker.bids(bid_request(imp=[imp | {"pmp": {"deals": deals, **pmp}}]))
            return [(bid.get("dealid"), bid["crid"]) for bid in bids]

        both = [("D-1", "banner-300x250"), (None, "other")]
        assert await answer({"id": "D-1"}) == both
        assert await answer({"id": "D-9"}) == [(None, "other")]
        assert await answer({"id": "D-1"}, private_auction=1) == both[:1]
        # The creative is already on the imp, under the guaranteed deal.
        assert await answer({"id": "D-1"}, {"id": "D-2", "guar": 1}) == [
            ("D-2", "banner-300x250"),
            (None, "other"),
        ]


async def test_a_response_has_no_more_bids_than_the_exchange_takes(redis_url: str, tmp_path: Path) -> None:
    config = bundle(exchanges=[ExchangeProfile(id="plain", bids_max=2)])
    async with running_worker(redis_url, config, tmp_path) as worker:
        imps = [{"id": str(n), "banner": {"w": 300, "h": 250}} for n in range(5)]
        assert [bid["impid"] for bid in await worker.bids(bid_request(imp=imps))] == ["0", "1"]


async def test_of_imps_with_one_id_the_first_is_bid_on(redis_url: str, tmp_path: Path) -> None:
    async with running_worker(redis_url, bundle(), tmp_path) as worker:
        imp: dict[str, Any] = {"id": "1", "banner": {"w": 300, "h": 250}, "bidfloor": 1}
        (bid,) = await worker.bids(
            bid_request(imp=[imp, imp | {"id": 1, "bidfloor": 2}, imp | {"bidfloor": 3}])
        )
        assert bid["impid"] == "1"
        assert not await worker.bids(bid_request(imp=[imp | {"bidfloor": 99}, imp]))


async def test_a_play_for_several_people_may_be_billed_for_all_of_them(
    redis_url: str, tmp_path: Path
) -> None:
    async with running_worker(redis_url, bundle(), tmp_path) as worker:
        for multiplier, maximum in ((2.5, 12_500_000), (0.4, 2_000_000), (1.0000001, 5_000_005)):
            imp = {"id": "1", "banner": {"w": 300, "h": 250}, "qty": {"multiplier": multiplier}}
            screen = bid_request(imp=[imp], site=None, dooh={"id": "1"}, device={"devicetype": 8})
            (bid,) = await worker.bids(screen)
            assert bid["price"] == 5
            assert signed_maximum(worker, bid) == (maximum, 0)
            assert "q=${AUCTION_MULTIPLIER}" in bid["burl"]


def with_euros(config: Bundle) -> Bundle:
    rates = ExchangeRates(as_of="2026-11-03", rates={"EUR": parse_rate("1.08"), "JPY": parse_rate("0.0065")})
    return msgspec.structs.replace(config, engine=Engine(exchange_rates=rates))


async def test_a_request_in_another_currency_is_bid_on_in_it(redis_url: str, tmp_path: Path) -> None:
    item = line_item(creatives=["banner-300x250"], targeting=Targeting(deals=("D-1",)))
    config = with_euros(
        bundle(
            advertiser(
                campaigns=[
                    campaign(
                        line_items=[item, line_item("open")], budget=Budget(total=Money(1_000 * BILLION))
                    )
                ]
            )
        )
    )
    imp: dict[str, Any] = {"id": "1", "banner": {"w": 300, "h": 250}}
    async with running_worker(redis_url, config, tmp_path) as worker:

        async def answer(cur: list[str], **fields: Any) -> tuple[str, dict[str, Any]] | None:
            status, body = await worker.ask(bid_request(imp=[imp | fields], cur=cur, at=2))
            if status == 204:
                return None
            found = json.loads(body)
            return found["cur"], found["seatbid"][0]["bid"][0]

        euros = await answer(["EUR"])
        assert euros is not None
        assert (euros[0], euros[1]["price"]) == ("EUR", 4.629629)
        assert signed_maximum(worker, euros[1]) == (5_000_000, 4_629_629)
        dollars = await answer(["EUR", "USD"])
        assert dollars is not None
        assert (dollars[0], dollars[1]["price"]) == ("USD", 5)
        assert signed_maximum(worker, dollars[1]) == (5_000_000, 0)
        assert await answer(["GBP"]) is None
        assert await answer(["EUR"], bidfloor=4.62, bidfloorcur="EUR") is not None
        assert await answer(["EUR"], bidfloor=4.63, bidfloorcur="EUR") is None
        assert await answer(["USD"], bidfloor=4.63, bidfloorcur="EUR") is None
        fixed = {"id": "D-1", "at": 3, "bidfloor": 612.345678, "bidfloorcur": "JPY"}
        yen = await answer(["JPY"], pmp={"private_auction": 1, "deals": [fixed]})
        assert yen is not None
        assert (yen[0], yen[1]["price"]) == ("JPY", 612.345678)
