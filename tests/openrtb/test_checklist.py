"""What our bidder must do, number by number, through the bid port of a real worker.

The numbers are those of the checklist in the project's OpenRTB reference; 26 to 29 and 32, the events port's,
are in `test_checklist_events`, 30 to 35 in `test_checklist_people`.
"""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from config.limits import BODY_BYTES_MAX, IDLE_SECONDS_MAX
from config.schema import ExchangeProfile, Traffic
from loadtest.validate_notices import MACROS
from tests.openrtb.checklist_config import EXCHANGES, VENDOR_ID, ask_for, checklist_bundle
from tests.openrtb.checklist_port import MEMBER, bids, nbr, video
from tests.openrtb.consent.strings import tc_string
from tests.running import RunningWorker, running_worker
from tests.waiting import SECONDS_MAX

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_01_a_request_is_answered_200_or_204_and_no_body_gets_a_5xx(worker: RunningWorker) -> None:
    assert await bids(worker, ask_for(14))
    assert await worker.ask(ask_for(14, bcat=["IAB18"])) == (204, b"")
    plain = json.dumps(ask_for(14)).encode()
    for body in (
        plain[:-1] + b',"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        plain.replace(b"5000", b"9" * 400),
        plain.replace(b"request-1", b"\\ud800"),
        b"\xef\xbb\xbf" + plain,
        json.dumps(
            ask_for(14) | {"imp": [{"id": str(n), "banner": {"w": 300, "h": 250}} for n in range(2_000)]}
        ).encode(),
        b"",
        b"\x00\xff",
    ):
        assert (await worker.ask(body))[0] in (200, 204, 400), body[:80]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[1]",
        b"7",
        b'{"imp":[{"id":"1"}]}',
        b'{"id":"r"}',
        b'{"id":"r","imp":[]}',
        b'{"id":"r","imp":{}}',
        b'{"id":"r","imp":{"id":"1","banner":{"w":300,"h":250}},"app":{"bundle":"claim.14.example"}}',
        b'{"id":"r","imp":[{}]}',
    ],
)
async def test_02_what_is_no_request_is_400_and_empty(worker: RunningWorker, body: bytes) -> None:
    assert await worker.ask(body) == (400, b"")


async def test_03_gzip_is_read_and_bounded_and_never_sent_unasked(worker: RunningWorker) -> None:
    body = json.dumps(ask_for(14)).encode()
    zipped, bomb = gzip.compress(body), gzip.compress(b" " * (BODY_BYTES_MAX * 4))
    for data, headers, expected in (
        (zipped, {"Content-Encoding": "gzip"}, 200),
        (body, {}, 200),
        (body, {"Content-Encoding": "gzip"}, 400),
        (bomb, {"Content-Encoding": "gzip"}, 413),
    ):
        async with worker.http.post(
            worker.url, data=data, headers=headers, skip_auto_headers=["Accept-Encoding"]
        ) as response:
            assert (response.status, response.headers.get("Content-Encoding")) == (expected, None)


async def test_04_any_version_and_json_type_is_taken_and_2_6_sent_back(worker: RunningWorker) -> None:
    for version in (None, "2.2", "2.5", "2.6", "3.0"):
        for content_type in (None, "application/json", "application/json;charset=utf-8"):
            headers = {"x-openrtb-version": version, "Content-Type": content_type}
            async with worker.http.post(
                worker.url,
                data=json.dumps(ask_for(14)),
                headers={name: value for name, value in headers.items() if value},
                skip_auto_headers=["Content-Type"],
            ) as response:
                assert response.status == 200
                assert response.headers["x-openrtb-version"] == "2.6"
                assert response.headers["Content-Type"] == "application/json"


async def test_05_a_connection_takes_ten_thousand_requests_and_survives_errors(worker: RunningWorker) -> None:
    body = json.dumps(ask_for(24, test=1)).encode()
    good = b"POST /bid/plain HTTP/1.1\r\nhost: b\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    bad = b"POST /bid/plain HTTP/1.1\r\nhost: b\r\ncontent-length: 1\r\n\r\n{"
    reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
    for _ in range(200):
        writer.write(good * 49 + bad)
        async with asyncio.timeout(SECONDS_MAX):
            for allowed in ((b"204",),) * 49 + ((b"400", b"204"),):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.split()[1] in allowed, "under load a request is declined unread"
    writer.close()
    await writer.wait_closed()
    assert IDLE_SECONDS_MAX >= 150


async def test_06_only_post_asks_for_bids_and_a_body_has_a_limit(worker: RunningWorker) -> None:
    for method in ("GET", "PUT", "DELETE"):
        async with worker.http.request(method, worker.url) as response:
            assert (response.status, response.headers["Allow"]) == (405, "POST")
    assert (await worker.ask(b" " * (BODY_BYTES_MAX + 1)))[0] == 413


async def test_07_a_deadline_is_kept_or_declined_at_once(worker: RunningWorker) -> None:
    assert await bids(worker, ask_for(14, tmax=4_000))
    assert await bids(worker, ask_for(14, tmax=None)), "absent: the exchange's default"
    assert await worker.ask(ask_for(14, tmax=EXCHANGES[0].network_allowance_ms + 1)) == (204, b"")
    assert await nbr(worker, ask_for(14, tmax=1)) == 15


async def test_08_a_burst_is_answered_to_the_last_request(worker: RunningWorker) -> None:
    async def one(number: int) -> int:
        status, _ = await worker.ask(ask_for(14, id=f"burst-{number}"))
        return status

    statuses = await asyncio.gather(*(one(number) for number in range(600)))
    assert set(statuses) <= {200, 204}


async def test_09_readiness_is_told_without_bidding(worker: RunningWorker) -> None:
    async with worker.http.get(worker.url.replace("/bid/plain", "/ready")) as response:
        assert response.status == 200
        assert "1" in await response.text()


async def test_10_types_are_mended_and_the_unknown_passed_over(worker: RunningWorker) -> None:
    imp: dict[str, Any] = {
        "banner": {"w": "300", "h": 250.0, "pos": 999, "battr": None},
        "bidfloor": "4.5",
        "tagid": "",
    }
    device: dict[str, Any] = {"devicetype": 77, "carrier": 70092, "language": None, "new": {}}
    assert await bids(worker, ask_for(14, imp, device=device, at="1", future=[]))
    asset = {"assets": [{"id": 1, "required": 1, "title": {"len": 90}}], "ver": 1}
    for request in (asset, json.dumps(asset), {"native": asset}, json.dumps({"native": asset})):
        assert await bids(worker, ask_for(21, {"native": {"request": request, "ver": 1}}))


async def test_11_signals_are_read_at_both_homes(worker: RunningWorker) -> None:
    assert await bids(worker, ask_for(30, **MEMBER))
    refused = tc_string([VENDOR_ID + 1], range(1, 11))
    for regs in ({"gdpr": 1}, {"ext": {"gdpr": 1}}, {"us_privacy": "1YYN"}, {"ext": {"us_privacy": "1YYN"}}):
        for user in ({"consent": refused}, {"ext": {"consent": refused}}):
            assert not await bids(worker, ask_for(30, regs=regs, user=MEMBER["user"] | user)), regs
    chain = {"complete": 1, "ver": "1.0", "nodes": [{"asi": "blocked.example", "sid": "1"}]}
    for fields in (
        {"source": {"schain": chain}},
        {"source": {"ext": {"schain": chain}}},
        {"ext": {"schain": chain}},
    ):
        assert not await bids(worker, ask_for(14, **fields)), fields


async def test_12_two_channels_are_none_and_opposite_lists_apply_together(worker: RunningWorker) -> None:
    assert not await bids(worker, ask_for(14, site={"domain": "news.example"}))
    assert await bids(worker, ask_for(14, wseat=["seat-shop"], bseat=["other"]))
    assert not await bids(worker, ask_for(14, wseat=["seat-shop"], bseat=["seat-shop"]))
    assert await bids(worker, ask_for(14, acat=["IAB18"], bcat=["IAB1"]))
    assert not await bids(worker, ask_for(14, acat=["IAB18"], bcat=["IAB18-1"]))


async def test_13_client_hints_win_and_nothing_inherits_a_currency(worker: RunningWorker) -> None:
    hints = {"os": "Windows", "sua": {"platform": {"brand": "macOS"}}}
    assert await bids(worker, ask_for(13, device=hints))
    assert not await bids(worker, ask_for(13, device={"os": "Windows"}))
    assert not await bids(worker, ask_for(14, {"bidfloor": 4.5, "bidfloorcur": "EUR"}))
    assert await bids(worker, ask_for(14, {"bidfloor": 4.5}))
    deal = {"deals": [{"id": "D-1", "bidfloor": 4.5}]}
    assert await bids(worker, ask_for(17, {"bidfloor": 4.5, "bidfloorcur": "EUR", "pmp": deal}))
    assert ExchangeProfile(id="x").auction_type_default == 2


async def test_14_ids_and_prices_of_a_response_are_sound(worker: RunningWorker) -> None:
    imps = [{"id": f"imp-{n}", "banner": {"w": 300, "h": 250}} for n in range(5)]
    found = await bids(worker, ask_for(14) | {"id": "é-1", "imp": imps})
    assert [bid["impid"] for bid in found] == [imp["id"] for imp in imps]
    assert len({bid["id"] for bid in found}) == 5
    assert all(bid["price"] == 5 for bid in found)
    assert len(await bids(worker, ask_for(14) | {"imp": imps}, "curious")) == 2, "at most bids_max"


async def test_15_floors_go_deal_then_media_then_imp(worker: RunningWorker) -> None:
    async def bid_on(imp: dict[str, Any]) -> bool:
        return bool(await bids(worker, ask_for(15, imp)))

    assert await bid_on({**video(), "bidfloor": 5})
    assert not await bid_on({**video(), "bidfloor": 5.000001})
    assert await bid_on({**video(mincpmpersec=0.33), "bidfloor": 9})
    assert not await bid_on(video(mincpmpersec=0.34))
    ranges = [{"mindur": 10, "maxdur": 20, "bidfloor": 4}, {"mindur": 21, "bidfloor": 40}]
    assert await bid_on({**video(durfloors=ranges), "bidfloor": 9})
    assert not await bid_on({**video(durfloors=ranges[1:]), "bidfloor": 9})
    assert not await bid_on({**video(), "bidfloor": 4.01, "bidfloorcur": "EUR"})
    deal = {"deals": [{"id": "D-1", "bidfloor": 4}], "private_auction": 1}
    assert await bids(worker, ask_for(17, {"bidfloor": 99, "pmp": deal}))


async def test_16_a_bid_is_in_a_currency_that_was_asked_for(worker: RunningWorker) -> None:
    for cur, expected in ((None, "USD"), (["USD", "EUR"], "USD"), (["EUR"], "EUR")):
        status, body = await worker.ask(ask_for(14, cur=cur))
        assert (status, json.loads(body)["cur"]) == (200, expected)
    assert (await bids(worker, ask_for(14, cur=["EUR"])))[0]["price"] == 4
    assert not await bids(worker, ask_for(14, cur=["JPY"]))


async def test_17_deals_have_their_own_terms(worker: RunningWorker) -> None:
    async def dealt(*deals: dict[str, Any], **pmp: Any) -> list[tuple[str | None, float]]:
        sizes = {"banner": {"format": [{"w": 300, "h": 250}, {"w": 728, "h": 90}]}}
        found = await bids(worker, ask_for(17, {**sizes, "pmp": {"deals": list(deals), **pmp}}))
        return [(bid.get("dealid"), bid["price"]) for bid in found]

    deal = {"id": "D-1", "bidfloor": 4}
    assert await dealt(deal) == [("D-1", 5), (None, 5)], "the deal and the open auction"
    assert await dealt(deal, private_auction=1) == [("D-1", 5)]
    assert await dealt(deal | {"at": 3}, private_auction=1) == [("D-1", 4)]
    assert await dealt(deal | {"wseat": ["other"]}, private_auction=1) == []
    assert await dealt(deal | {"wadomain": ["other.example"]}, private_auction=1) == []
    assert await dealt({"id": "D-9"}, private_auction=1) == []
    both = await dealt({"id": "D-2", "bidfloor": 1}, deal | {"guar": 1, "at": 3}, private_auction=1)
    assert both[0] == ("D-1", 4), "the guaranteed one first"


@pytest.mark.parametrize(
    ("imp", "fields"),
    [
        ({}, {"wseat": ["other"]}),
        ({}, {"bseat": ["seat-shop"]}),
        ({}, {"badv": ["example"]}),
        ({}, {"bcat": ["IAB18"]}),
        ({}, {"acat": ["IAB1"]}),
        ({"banner": {"w": 728, "h": 90}}, {"bapp": ["com.shop.example"]}),
        ({"banner": {"w": 728, "h": 90, "battr": [6]}}, {}),
        ({"banner": {"w": 728, "h": 90}}, {"wlang": ["de"]}),
        ({"banner": {"w": 300, "h": 250, "btype": [2]}}, {}),
        ({"banner": {"w": 320, "h": 50, "api": [3]}}, {}),
    ],
)
async def test_18_each_block_stops_what_it_names(
    worker: RunningWorker, imp: dict[str, Any], fields: dict[str, Any]
) -> None:
    assert not await bids(worker, ask_for(18, imp, **fields))
    for size in ({"w": 300, "h": 250}, {"w": 728, "h": 90}, {"w": 320, "h": 50, "api": [5]}):
        assert await bids(worker, ask_for(18, {"banner": size, "secure": 1}))


async def test_19_a_bid_fits_what_is_offered(worker: RunningWorker) -> None:
    ratio = {"banner": {"format": [{"wratio": 6, "hratio": 5, "wmin": 300}]}}
    for imp, mtype in (
        ({"banner": {"w": 300, "h": 250}}, 1),
        (ratio, 1),
        (video(), 2),
        (video(rqddurs=[15]), 2),
        (video(maxduration=10, maxextended=5), 2),
    ):
        (bid, *_) = await bids(worker, ask_for(19, imp))
        assert bid["mtype"] == mtype
    for imp in (
        {"banner": {"w": 1, "h": 1}},
        video(protocols=[99]),
        video(rqddurs=[6]),
        video(maxduration=10),
    ):
        assert not await bids(worker, ask_for(19, imp)), imp


async def test_20_a_dynamic_pod_is_filled_within_its_terms(worker: RunningWorker) -> None:
    found = await bids(worker, ask_for(20, video(poddur=60, maxseq=3, podid="p")))
    assert sum(bid["dur"] for bid in found) <= 60
    assert 2 <= len(found) <= 3
    assert len(await bids(worker, ask_for(20, video(poddur=60, maxseq=1, podid="p")))) == 1
    assert len(await bids(worker, ask_for(20, video(poddur=20, podid="p")))) == 1
    assert len(await bids(worker, ask_for(20, video(poddur=60, podid="p", poddedupe=[1])))) == 1
    assert "slotinpod" not in (await bids(worker, ask_for(20, video(slotinpod=1))))[0]


async def test_21_native_answers_what_is_required_under_the_root_of_its_version(
    worker: RunningWorker,
) -> None:
    assets = [
        {"id": 4, "required": 1, "title": {"len": 90}},
        {"id": 5, "required": 1, "img": {"type": 3, "wmin": 600, "hmin": 300}},
        {"id": 6, "required": 1, "data": {"type": 1}},
    ]
    for root in (lambda r: r, lambda r: {"native": r}):
        asked = {"request": json.dumps(root({"ver": "1.2", "assets": assets}))}
        (bid,) = await bids(worker, ask_for(21, {"native": asked}))
        answer = json.loads(bid["adm"])
        answer = answer.get("native", answer)
        assert {asset["id"] for asset in answer["assets"]} == {4, 5, 6}
        assert answer["link"]["url"]
    missing = [*assets, {"id": 7, "required": 1, "data": {"type": 500}}]
    assert not await bids(worker, ask_for(21, {"native": {"request": json.dumps({"assets": missing})}}))


async def test_22_a_bid_always_says_what_exchanges_require(worker: RunningWorker) -> None:
    asset = json.dumps({"assets": [{"id": 1, "title": {"len": 90}}]})
    audio = {"mimes": ["audio/mpeg"], "maxduration": 30}
    for imp in ({}, video(), {"audio": audio}, {"native": {"request": asset}}):
        (bid, *_) = await bids(worker, ask_for(22, imp))
        assert bid["adomain"] == ["shop.example"]
        assert bid["cat"] == ["IAB18-1"]
        assert bid["cid"] == "shop-all"
        assert 0 < len(bid["crid"].encode()) <= 64
        assert bid["mtype"] in (1, 2, 3, 4)


async def test_23_the_price_macro_stands_where_the_exchange_wants_it(worker: RunningWorker) -> None:
    (plain,) = await bids(worker, ask_for(23))
    assert "${AUCTION_PRICE}" in plain["adm"]
    assert "${AUCTION_PRICE}" in plain["burl"]
    (openx,) = await bids(worker, ask_for(23), "openx")
    assert "${AUCTION_PRICE:OXCRYPT}" in openx["adm"]
    assert "${AUCTION_PRICE}" not in openx["adm"]
    (google,) = await bids(worker, ask_for(23, video()), "google")
    assert "AUCTION_PRICE" not in google["adm"]
    for bid in (plain, openx, google):
        assert len(bid["nurl"]) <= 2_000
        found = {part.split("}")[0].split(":")[0] for part in json.dumps(bid).split("${")[1:]}
        assert found <= MACROS


async def test_24_a_test_request_spends_nothing(worker: RunningWorker) -> None:
    before = await worker.account_check("shop-all")
    for _ in range(5):
        assert not await bids(worker, ask_for(24, test=1))
    after = await worker.account_check("shop-all")
    assert after.spent == before.spent == 0


async def test_25_doubtful_traffic_is_declined_with_its_reason(
    worker: RunningWorker, redis_server_url: str, tmp_path: Path
) -> None:
    chain = {"complete": 1, "ver": "1.0", "nodes": [{"asi": "blocked.example", "sid": "1"}]}
    unlisted = {"complete": 1, "ver": "1.0", "nodes": [{"asi": "seller.example", "sid": "8"}]}
    assert await nbr(worker, ask_for(14, device={"ua": "ExampleBot/2.1"})) == 3
    assert await nbr(worker, ask_for(14, device={"ip": "203.0.113.9"})) == 5
    assert await nbr(worker, ask_for(14, source={"schain": chain})) == 17
    site = {"app": None, "site": {"domain": "listed.example"}, "source": {"schain": unlisted}}
    assert await nbr(worker, ask_for(14, **site)) == 12
    whole_chains = checklist_bundle(Traffic(complete_chain_required=True))
    async with running_worker(redis_server_url, whole_chains, tmp_path) as strict:
        assert await nbr(strict, ask_for(14, source={"schain": chain | {"complete": 0}})) == 16
