"""A run against several targets, with a warm-up, unruly notices, and a client that watches itself."""

import asyncio
import io
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rich.console import Console

from bidder.cli.loadtest_view import watch
from config.load import load_folder
from config.schema import Bundle
from loadtest.exchange import Exchange, ExchangeSettings
from loadtest.landscape import Landscapes, LogNormal
from loadtest.lane import Target
from loadtest.limits import CPU_SHARE_MAX, LATE_MS_MAX
from loadtest.notices import NoticeHabits
from loadtest.strain import Strain
from loadtest.traffic import FORMATS, MixError, TrafficMix, requests, with_formats
from tests.loadtest.answers import BANNER, request
from tests.loadtest.stub_bidder import StubBidder, running_stub
from tests.port.test_real_requests import example_config
from tests.running import RunningWorker, running_events, running_worker

COUNT = 60
PROMPT: dict[str, Any] = {
    "impression_after_min_s": 0.0,
    "impression_after_max_s": 0.01,
    "click_after_max_s": 0.01,
}
MIX = TrafficMix(users=100, tmax_ms=4_000, break_share=0, screen_share=0)


@pytest.fixture
async def stub() -> AsyncIterator[StubBidder]:
    async with running_stub() as running:
        yield running


@pytest.fixture
async def other() -> AsyncIterator[StubBidder]:
    async with running_stub() as running:
        yield running


def exchange_with(*targets: Target, warm_up_s: float = 0.0, rivals_max: int = 4, **habits: Any) -> Exchange:
    settings = ExchangeSettings(
        seed=11,
        connections=8,
        warm_up_s=warm_up_s,
        landscapes=Landscapes.alike(LogNormal(rivals_max=rivals_max, median_cpm_micros=6_000_000)),
        habits=NoticeHabits(**{**PROMPT, **habits}),
    )
    return Exchange(settings, targets)


async def test_two_targets_get_the_same_requests_and_the_same_rivals(
    stub: StubBidder, other: StubBidder
) -> None:
    bodies: dict[str, list[bytes]] = {}

    def recording(bidder: StubBidder) -> None:
        async def answer(http: web.Request) -> web.StreamResponse:
            bodies.setdefault(bidder.base, []).append(await http.read())
            return await bidder.bid_on_everything(http)

        bidder.answer = answer

    recording(stub)
    recording(other)
    exchange = exchange_with(Target("one", stub.target), Target("two", other.target), click_share=0.5)
    source = requests(MIX, random.Random(3))
    one, two = await exchange.run(source, [n / 500 for n in range(COUNT)], asyncio.Event())
    assert sorted(bodies[stub.base]) == sorted(bodies[other.base])
    assert len(bodies[stub.base]) == COUNT
    assert one.errors == two.errors == 0
    assert one.campaigns == two.campaigns
    assert (one.wins, one.losses, one.clicks) == (two.wins, two.losses, two.clicks)
    # Each has its own notices.
    assert stub.spent_by_campaign() == other.spent_by_campaign()
    assert {query["b"] for kind, query in stub.calls if kind == "win"} == other.bids_told("win")


async def test_a_warm_up_is_booked_apart_and_not_measured(stub: StubBidder) -> None:
    slow_first, begun = 10, itertools.count()

    async def answering(http: web.Request) -> web.StreamResponse:
        if next(begun) < slow_first:
            await asyncio.sleep(1.0)
        return await stub.bid_on_everything(http)

    stub.answer = answering
    exchange = exchange_with(Target("stub", stub.target), warm_up_s=1.0)
    moments = [n / 1_000 for n in range(slow_first)] + [1.2 + n / 500 for n in range(COUNT)]
    (measured,) = await exchange.run(requests(MIX, random.Random(3)), moments, asyncio.Event())
    (warm_up,) = exchange.warm_ups()
    assert (warm_up.requests, measured.requests) == (slow_first, COUNT)
    assert measured.latency_ms.p50 < warm_up.latency_ms.p50
    assert min(warm_up.wins, measured.wins) > 0
    assert warm_up.spend + measured.spend == sum(stub.spent_by_campaign().values())
    assert sum(second.requests for (timeline,) in [exchange.timelines()] for second in timeline) == COUNT


async def test_a_reordered_win_is_told_backwards_and_booked_the_same(stub: StubBidder) -> None:
    exchange = exchange_with(Target("stub", stub.target), rivals_max=0, reordered_share=1.0, click_share=0.0)
    (summary,) = await exchange.run(iter([request(banner=BANNER)]), [0.0], asyncio.Event())
    assert [kind for kind, _ in stub.calls] == ["imp", "bill", "win"]
    assert summary.notices_reordered == 1
    assert summary.spend == sum(stub.spent_by_campaign().values()) > 0


async def test_either_copy_of_a_notice_may_be_the_late_one(stub: StubBidder) -> None:
    exchange = exchange_with(
        Target("stub", stub.target), repeated_share=1.0, delayed_share=0.5, delay_s=0.05, click_share=0.0
    )
    moments = [n / 500 for n in range(COUNT)]
    (summary,) = await exchange.run(requests(MIX, random.Random(3)), moments, asyncio.Event())
    assert summary.errors == 0
    assert 0 < summary.notices_delayed < 2 * summary.notices_repeated
    assert summary.spend == sum(stub.spent_by_campaign().values()) > 0


async def test_a_client_with_too_much_open_leaves_requests_out_and_says_so(
    stub: StubBidder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.lane.OPEN_REQUESTS_MAX", 5)
    release = asyncio.Event()

    async def held(http: web.Request) -> web.StreamResponse:
        stub.asked += 1
        if stub.asked == 5:
            asyncio.get_running_loop().call_later(0.2, release.set)
        await release.wait()
        return web.Response(status=204)

    stub.answer = held
    exchange = exchange_with(Target("stub", stub.target))
    moments = [n / 1_000 for n in range(COUNT)]
    (summary,) = await exchange.run(requests(MIX, random.Random(3)), moments, asyncio.Event())
    assert summary.requests + summary.skipped == COUNT
    assert summary.skipped > 0
    assert any("left out" in reason for reason in exchange.client().verdict)


async def test_the_timeline_tells_what_happened_when(stub: StubBidder) -> None:
    async def failing_later(http: web.Request) -> web.StreamResponse:
        if stub.asked >= 10:
            return web.Response(status=500)
        return await stub.bid_on_everything(http)

    stub.answer = failing_later
    exchange = exchange_with(Target("stub", stub.target))
    moments = [0.0] * 10 + [1.05] * 6
    (summary,) = await exchange.run(requests(MIX, random.Random(3)), moments, asyncio.Event())
    ((first, second, *_),) = exchange.timelines()
    assert (first.requests, first.bid_answers, first.errors) == (10, 10, 0)
    assert (second.requests, second.bid_answers, second.errors) == (6, 0, 6)
    assert summary.errors_by_kind == {"http_500": 6}


async def ledger_at_rest(
    worker: RunningWorker, bundle: Bundle, expected: Mapping[str, int]
) -> dict[str, int]:
    """Return what each campaign spent, as soon as that is as expected, or after many looks.

    On a busy machine notices wait in the spool, acknowledged and not yet booked.
    """
    codes = {code: campaign.id for code, campaign in bundle.campaigns_by_code().items()}
    spent: dict[str, int] = {}
    for _ in range(400):
        accounts = await worker.ledger.accounts(list(codes))
        spent = {codes[code]: account.spent for code, account in accounts.items() if account.spent}
        if spent == expected:
            break
        await asyncio.sleep(0.05)
    return spent


async def test_the_ledger_of_a_real_engine_agrees_with_the_books_whatever_notices_do(
    redis_url: str, tmp_path: Path
) -> None:
    """Every answer passes the strict exchange; notices come twice, late, backwards or never."""
    mix = TrafficMix(users=100, tmax_ms=4_000, known_user_share=0.0)
    bundle = load_folder(example_config())
    async with (
        running_events(redis_url, tmp_path) as events_url,
        running_worker(redis_url, bundle, tmp_path, events_url=events_url) as worker,
    ):
        exchange = exchange_with(
            *(Target("one", worker.url), Target("two", worker.url)),
            warm_up_s=0.1,
            rivals_max=1,
            repeated_share=0.3,
            delayed_share=0.3,
            delay_s=0.2,
            reordered_share=0.3,
            lost_share=0.1,
        )
        moments = [n / 200 for n in range(150)]
        summaries = await exchange.run(requests(mix, random.Random(3)), moments, asyncio.Event())
        books: Counter[str] = Counter()
        for summary in (*summaries, *exchange.warm_ups()):
            books.update({account.id: account.spent for account in summary.campaigns})
        spent = await ledger_at_rest(worker, bundle, +books)
    for summary in summaries:
        assert (summary.errors, summary.problems) == (0, ())
        assert min(summary.wins, summary.notices_lost, summary.notices_delayed) > 0
        assert min(summary.notices_repeated, summary.notices_reordered, summary.no_bids) > 0
    assert spent == +books


async def test_a_terminal_shows_each_target_while_it_runs(stub: StubBidder, other: StubBidder) -> None:
    targets = Target("[one]", stub.target), Target("two", other.target)
    exchange = exchange_with(*targets, warm_up_s=0.9)
    stop = asyncio.Event()
    schedule = iter([n / 50 for n in range(COUNT)])
    run = asyncio.create_task(exchange.run(requests(MIX, random.Random(3)), schedule, stop))
    drawn = io.StringIO()
    await watch(exchange, targets, 0.3, run, stop, Console(file=drawn, force_terminal=True, width=150))
    await run
    assert "warming up" in drawn.getvalue()
    assert "[one]" in drawn.getvalue()
    assert "this client: " in drawn.getvalue()


def strained(late_s: float = 0.0, cpu_per_s: float = 0.2, lags_s: tuple[float, ...] = ()) -> Strain:
    """What is left of ten seconds by clocks of our own."""
    clock, cpu = itertools.count(0.0, 10.0), itertools.count(0.0, 10.0 * cpu_per_s)
    strain = Strain(lambda: next(clock), lambda: next(cpu))
    strain.begin()
    for _ in range(100):
        strain.sent(late_s)
    strain.end()
    return strain


def test_a_client_that_keeps_up_has_no_verdict() -> None:
    figures = strained(late_s=0.001).figures(skipped=0)
    assert figures.verdict == ()
    assert figures.cpu_share == 0.2


@pytest.mark.parametrize(
    ("strain", "skipped", "word"),
    [
        (strained(late_s=2 * LATE_MS_MAX / 1e3), 0, "after their planned moment"),
        (strained(cpu_per_s=CPU_SHARE_MAX + 0.05), 0, "95% of a processor core"),
        (strained(), 3, "left out 3 requests"),
    ],
)
def test_each_way_to_be_the_bottleneck_has_its_sentence(strain: Strain, skipped: int, word: str) -> None:
    (reason,) = strain.figures(skipped).verdict
    assert word in reason


async def test_a_loop_that_is_held_up_is_noticed() -> None:
    clock_s = 0.0
    strain = Strain(lambda: clock_s, lambda: 0.0)
    strain.begin()
    watching = asyncio.create_task(strain.watch())
    for _ in range(5):
        # By its own clock each short sleep of the watcher takes half a second.
        await asyncio.sleep(0.03)
        clock_s += 0.5
    watching.cancel()
    (reason,) = strain.figures(0).verdict
    assert "event loop" in reason


def test_what_is_before_and_after_does_not_count() -> None:
    strain = Strain(lambda: 0.0, lambda: 0.0)
    strain.sent(9.0)
    strain.begin()
    strain.sent(0.001)
    strain.end()
    strain.sent(9.0)
    assert strain.figures(0).late_ms.max == pytest.approx(1)


@pytest.mark.parametrize("name", FORMATS)
def test_a_mix_of_one_format_has_no_other(name: str) -> None:
    marks = {
        "web-banner": ("site", "banner"),
        "app-banner": ("app", "banner"),
        "native": (None, "native"),
        "web-video": ("site", "video"),
        "television": ("app", "video"),
        "audio": ("app", "audio"),
        "screen": ("dooh", "video"),
    }
    place, media = marks[name]
    mix = with_formats(TrafficMix(users=10), f"{name}=2")
    for asked in itertools.islice(requests(mix, random.Random(1)), 50):
        assert all(media in imp for imp in asked["imp"])
        assert place is None or place in asked


def test_a_mix_is_by_weight() -> None:
    mix = with_formats(TrafficMix(users=10), "audio=3, screen = 1")
    sample = list(itertools.islice(requests(mix, random.Random(1)), 2_000))
    assert sum("dooh" in asked for asked in sample) / len(sample) == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize("text", ["", "audio", "audio=", "audio=-1", "audio=nan", "audio=inf", "radio=1"])
def test_what_is_no_mix_is_refused(text: str) -> None:
    with pytest.raises(MixError):
        with_formats(TrafficMix(), text)
