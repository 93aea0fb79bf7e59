"""The whole exchange against a stub bidder over real HTTP: its books are what the stub billed."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiohttp import web

from loadtest import notices
from loadtest.exchange import Exchange, ExchangeSettings
from loadtest.landscape import Landscapes, LogNormal
from loadtest.lane import Target
from loadtest.notices import NoticeHabits
from loadtest.pool import TargetError
from loadtest.tally import Problem, Summary
from loadtest.traffic import TrafficMix, requests
from tests.loadtest.answers import BANNER, bid, request, response
from tests.loadtest.stub_bidder import StubBidder, running_stub

COUNT = 120
PROMPT: dict[str, Any] = {
    "impression_after_min_s": 0.0,
    "impression_after_max_s": 0.01,
    "click_after_max_s": 0.01,
    "click_share": 0.0,
}


@pytest_asyncio.fixture
async def stub() -> AsyncIterator[StubBidder]:
    async with running_stub() as running:
        yield running


def patient_mix() -> TrafficMix:
    """A deadline that a busy machine meets."""
    # The stub knows neither breaks, where it may not repeat itself, nor multipliers.
    return TrafficMix(users=100, tmax_ms=4_000, break_share=0, screen_share=0)


def rivals(rivals_max: int) -> Landscapes:
    return Landscapes.alike(LogNormal(rivals_max=rivals_max, median_cpm_micros=6_000_000))


async def run(
    stub: StubBidder,
    *,
    moments: Iterable[float] = (0.0,) * COUNT,
    source: Any = None,
    rivals_max: int = 4,
    connections: int = 8,
    **habits: Any,
) -> Summary:
    exchange = Exchange(
        ExchangeSettings(
            seed=11,
            connections=connections,
            landscapes=rivals(rivals_max),
            habits=NoticeHabits(**{**PROMPT, **habits}),
        ),
        [Target("stub", stub.target)],
    )
    source = source or requests(patient_mix(), random.Random(3))
    (summary,) = await exchange.run(source, moments, asyncio.Event())
    return summary


def one(**fields: Any) -> Any:
    return iter([{**request(banner=BANNER), **fields}])


async def test_the_books_equal_what_the_bidder_billed(stub: StubBidder) -> None:
    summary = await run(stub, click_share=0.5)
    assert summary.errors_by_kind == {}
    assert summary.problems == ()
    assert summary.requests == summary.answers == summary.bid_answers == COUNT
    assert summary.bids == summary.wins + summary.losses
    assert summary.wins > 20
    assert summary.losses > 20
    assert {a.id: a.spent for a in summary.campaigns if a.spent} == stub.spent_by_campaign()
    assert summary.spend == sum(stub.spent_by_campaign().values()) > 0
    counts = stub.counts()
    assert counts["win"] == counts["bill"] == counts["imp"] == summary.wins == summary.impressions
    assert counts["loss"] == summary.losses
    assert 0 < counts["click"] == summary.clicks < summary.wins
    assert all(query["code"] == "102" and query["min"] for kind, query in stub.calls if kind == "loss")


async def test_a_seed_repeats_the_auctions_whatever_the_order_of_answers(stub: StubBidder) -> None:
    first = await run(stub, connections=8, click_share=0.3, lost_share=0.2)
    second = await run(stub, connections=1, click_share=0.3, lost_share=0.2)
    assert first.campaigns == second.campaigns
    assert (first.losses, first.notices, first.notices_lost) == (
        second.losses,
        second.notices,
        second.notices_lost,
    )
    assert min(first.wins, first.losses, first.clicks, first.notices_lost) > 0


async def test_a_repeated_notice_is_sent_twice_and_booked_once(stub: StubBidder) -> None:
    summary = await run(stub, rivals_max=0, repeated_share=1.0, click_share=1.0)
    counts = stub.counts()
    assert summary.errors == 0
    assert counts["bill"] == counts["imp"] == counts["click"] == 2 * summary.wins
    assert summary.wins == summary.impressions == summary.clicks == len(stub.billed)
    assert summary.spend == sum(stub.spent_by_campaign().values())
    assert summary.notices_repeated == 4 * summary.wins


async def test_a_lost_notice_is_counted_and_not_sent(stub: StubBidder) -> None:
    summary = await run(stub, rivals_max=0, lost_share=1.0)
    assert stub.calls == []
    assert summary.notices_lost == 3 * summary.wins > 0
    assert (summary.spend, summary.impressions, summary.errors) == (0, 0, 0)


async def test_some_lost_notices_leave_the_rest_in_agreement(stub: StubBidder) -> None:
    summary = await run(stub, rivals_max=0, lost_share=0.3, repeated_share=0.2)
    assert summary.notices_lost > 0
    assert 0 < len(stub.billed) < summary.wins
    assert summary.spend == sum(stub.spent_by_campaign().values())
    assert summary.impressions == len(stub.bids_told("imp"))


async def test_a_delayed_notice_still_arrives_before_the_end(stub: StubBidder) -> None:
    summary = await run(stub, moments=(0.0,) * 5, rivals_max=0, delayed_share=1.0, delay_s=0.05)
    assert summary.notices_delayed == stub.counts().total() == 3 * summary.wins > 0


async def test_a_refused_billing_notice_is_tried_again(stub: StubBidder) -> None:
    stub.refuse_bills = 2
    summary = await run(stub, source=one(), rivals_max=0)
    assert summary.errors == 0
    assert summary.notices["burl"] == 3
    assert summary.spend == sum(stub.spent_by_campaign().values()) > 0


async def test_a_billing_notice_refused_every_time_is_an_error_and_no_spend(stub: StubBidder) -> None:
    stub.refuse_bills = 99
    summary = await run(stub, source=one(), rivals_max=0)
    assert summary.errors_by_kind == {"burl_notice": 1}
    assert summary.problems == (Problem("A burl was answered 503.", 1),)
    assert summary.spend == 0
    assert summary.impressions == 1


async def test_a_notice_that_nobody_takes_is_told_of(
    stub: StubBidder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "BILLING_ATTEMPTS_MAX", 1)

    async def with_a_burl_to_nowhere(http: web.Request) -> web.StreamResponse:
        asked = orjson.loads(await http.read())
        its_bid = bid(asked["imp"][0], stub.base) | {"burl": "http://127.0.0.1:1/bill?p=${AUCTION_PRICE}"}
        return web.json_response(response(asked, its_bid))

    stub.answer = with_a_burl_to_nowhere
    summary = await run(stub, source=one(), rivals_max=0)
    assert summary.problems == (Problem("A burl got no whole answer in time.", 1),)
    assert summary.errors_by_kind == {"burl_notice": 1}


async def test_a_bid_without_burl_is_billed_by_its_impression(stub: StubBidder) -> None:
    async def without_burl(http: web.Request) -> web.Response:
        asked = orjson.loads(await http.read())
        answer = bid(asked["imp"][0], stub.base, price=3.25)
        del answer["burl"]
        return web.Response(body=orjson.dumps(response(asked, answer)))

    stub.answer = without_burl
    summary = await run(stub, source=one(), rivals_max=0)
    assert summary.spend == 3_250_000


async def test_a_late_answer_is_a_timeout_and_its_bid_takes_no_part(stub: StubBidder) -> None:
    release = asyncio.Event()

    async def late(http: web.Request) -> web.StreamResponse:
        # 50 ms after the request, so after its tmax of 1 ms; the clock only has to pass, not to be exact.
        asyncio.get_running_loop().call_later(0.05, release.set)
        await release.wait()
        return await stub.bid_on_everything(http)

    stub.answer = late
    summary = await run(stub, source=one(tmax=1), rivals_max=0)
    assert (summary.timeouts, summary.bids, summary.errors) == (1, 0, 0)
    assert summary.latency_ms.max >= 1
    assert stub.calls == []


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, b"", "http_500"),
        (302, b"", "http_302"),
        (200, b"{", "not_json"),
        (200, b"[]", "invalid_response"),
    ],
)
async def test_a_bad_answer_is_an_error_of_its_kind(
    stub: StubBidder, status: int, body: bytes, kind: str
) -> None:
    async def bad(http: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={"Location": "/imp"} if status == 302 else {})

    stub.answer = bad
    summary = await run(stub, source=one())
    assert summary.errors_by_kind == {kind: 1}
    assert stub.calls == []


async def test_an_endless_answer_is_cut_off(stub: StubBidder) -> None:
    async def endless(http: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(http)
        for _ in range(40):
            await answer.write(b" " * 65_536)
        return answer

    stub.answer = endless
    assert (await run(stub, source=one())).errors_by_kind == {"too_large": 1}


async def test_an_invalid_bid_is_refused_whole_and_its_sentence_kept(stub: StubBidder) -> None:
    async def below_floor(http: web.Request) -> web.Response:
        asked = orjson.loads(await http.read())
        return web.Response(body=orjson.dumps(response(asked, bid(asked["imp"][0], stub.base, price=0.25))))

    stub.answer = below_floor
    summary = await run(stub, source=one())
    assert summary.errors_by_kind == {"invalid_response": 1}
    assert summary.problems == (Problem("Bid 'b-1': price 0.25 is below the floor of 0.5.", 1),)
    assert (summary.bids, stub.calls) == (0, [])


@pytest.mark.parametrize(
    ("owned", "notice_host", "called"),
    [(False, "localhost", True), (False, "0.0.0.0", False), (True, "0.0.0.0", True)],
)
async def test_only_loopback_is_called_unless_the_target_is_owned(
    stub: StubBidder, owned: bool, notice_host: str, called: bool
) -> None:
    """0.0.0.0 reaches the stub, but is not a loopback address."""

    async def elsewhere(http: web.Request) -> web.Response:
        asked = orjson.loads(await http.read())
        base = stub.base.replace("127.0.0.1", notice_host)
        return web.Response(body=orjson.dumps(response(asked, bid(asked["imp"][0], base))))

    stub.answer = elsewhere
    asked = request(banner=BANNER, secure=0)
    summary = await run(stub, source=iter([asked]), rivals_max=0, target_is_owned=owned, click_share=1.0)
    assert summary.wins == 1
    assert bool(stub.calls) == called
    assert summary.errors == 0


async def test_an_owned_target_still_calls_no_third_party(stub: StubBidder) -> None:
    async def mixed(http: web.Request) -> web.Response:
        asked = orjson.loads(await http.read())
        answer = bid(asked["imp"][0], stub.base)
        answer["adm"] = answer["adm"].replace(stub.base, stub.base.replace("127.0.0.1", "0.0.0.0"))
        return web.Response(body=orjson.dumps(response(asked, answer)))

    stub.answer = mixed
    source = iter([request(banner=BANNER, secure=0)])
    summary = await run(stub, source=source, rivals_max=0, target_is_owned=True)
    assert stub.counts() == {"win": 1, "bill": 1}
    assert summary.impressions == 0


async def test_latency_counts_from_the_planned_moment(stub: StubBidder) -> None:
    """With one connection and a bidder that holds the first answer, the second request waits."""
    release = asyncio.Event()

    async def held(http: web.Request) -> web.StreamResponse:
        if stub.asked == 0:
            asyncio.get_running_loop().call_later(0.08, release.set)
            await release.wait()
        stub.asked += 1
        return web.Response(status=204)

    stub.answer = held
    summary = await run(stub, moments=(0.0, 0.0), connections=1)
    assert summary.no_bids == 2
    assert summary.latency_ms.p50 >= 75


async def test_stopping_ends_the_sending_and_drains_the_notices(stub: StubBidder) -> None:
    stop = asyncio.Event()

    async def stopping(http: web.Request) -> web.StreamResponse:
        if stub.asked == 4:
            stop.set()
        return await stub.bid_on_everything(http)

    stub.answer = stopping
    exchange = Exchange(
        ExchangeSettings(seed=1, connections=1, landscapes=rivals(0), habits=NoticeHabits(**PROMPT)),
        [Target("stub", stub.target)],
    )
    source = requests(patient_mix(), random.Random(3))
    moments = iter([number / 1e3 for number in range(1_000)] + [3_600.0])
    (summary,) = await exchange.run(source, moments, stop)
    assert 5 <= summary.requests < 1_001
    assert summary.spend == sum(stub.spent_by_campaign().values()) > 0
    assert exchange.snapshots() == [summary]
    assert exchange.ending == "stopped"


async def test_a_target_where_nobody_listens_is_one_sentence() -> None:
    async with running_stub() as stub:
        target = Target("stub", stub.target)
    exchange = Exchange(ExchangeSettings(seed=1), [target])
    with pytest.raises(TargetError, match=r"can't connect to 127\.0\.0\.1:\d+ .*is the bidder running\?"):
        await exchange.run(one(), (0.0,), asyncio.Event())


async def test_notices_that_outlast_the_drain_are_errors(
    stub: StubBidder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.exchange.DRAIN_SECONDS_MAX", 1.0)
    endless: dict[str, Any] = {"impression_after_min_s": 3_600.0, "impression_after_max_s": 3_600.0}
    summary = await run(stub, source=one(), rivals_max=0, **endless)
    assert summary.errors_by_kind == {"undrained": 1}
    assert stub.counts() == {"win": 1}


async def test_a_silent_bidder_is_given_up_on_and_counts_as_a_timeout(
    stub: StubBidder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.pool.ANSWER_SECONDS_MAX", 0.1)
    done = asyncio.Event()

    async def silent(http: web.Request) -> web.StreamResponse:
        await done.wait()
        return web.Response(status=204)

    stub.answer = silent
    summary = await run(stub, source=one())
    done.set()
    assert (summary.timeouts, summary.answers, summary.errors) == (1, 0, 0)


async def test_a_bid_in_a_currency_the_books_do_not_keep_is_an_error(stub: StubBidder) -> None:
    async def in_euros(http: web.Request) -> web.Response:
        asked = orjson.loads(await http.read())
        answer = {**response(asked, bid(asked["imp"][0], stub.base)), "cur": "EUR"}
        return web.Response(body=orjson.dumps(answer))

    stub.answer = in_euros
    summary = await run(stub, source=one(cur=["USD", "EUR"]))
    assert summary.errors_by_kind == {"other_currency": 1}


async def test_campaigns_past_the_limit_are_errors_and_not_booked(
    stub: StubBidder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.books.CAMPAIGNS_MAX", 1)
    summary = await run(stub, rivals_max=0)
    assert len(summary.campaigns) == 1
    assert 0 < summary.errors_by_kind["too_many_campaigns"] < COUNT
    assert summary.spend == sum(stub.spent_by_campaign().values())
