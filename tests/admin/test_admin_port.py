"""The admin port over real HTTP, a real Redis, and metric files written by real processes."""

import asyncio
import json
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
import pytest_asyncio
import redis.asyncio
from msgspec.structs import replace
from prometheus_client.multiprocess import mark_process_dead
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from bidder.admin import readiness
from bidder.admin.status import CampaignStatus, LineItemStatus, Status, abridged
from config import bundle_store, redis_keys, refused_edit
from config.calendar import local_day
from config.embedded_server import EmbeddedServer
from config.limits import WORKER_HEARTBEAT_SECONDS_MAX
from config.money import BILLION, Money
from config.schema import LineItemBudget, account_code, code_of
from pacing import plan
from pacing import stop as global_stop
from pacing.plan import CampaignPlan, Plan
from pacing.shading import Shading, publish_shading
from pacing.stop import Stop
from tests.admin.conftest import AdminPort, admin_port, run_worker
from tests.events.factories import BID_MINUTE, CAMPAIGN, CLOCK_S, OWNER, bundle
from tests.factories import BUNDLE_KEY

CODE = code_of(CAMPAIGN)
SPENT = 2_500_000_001
LABELS = frozenset({("campaign", CAMPAIGN), ("advertiser", "shop")})
FIRST_WORKER = """
BID_REQUESTS.labels("plain", "bid").inc(30)
BID_REQUESTS.labels("plain", "no_bid").inc(12)
BIDS.labels("plain", "banner").inc(33)
NO_BIDS.labels("audience").inc(12)
BID_LATENCY.observe_counts([0] * 5 + [42] + [0] * 12, 0.1)
LEASE_AVAILABLE.labels("spring").set(1.5)
LOOKUP_FAILURES.labels("timeout").inc(2)
"""
SECOND_WORKER = """
BID_REQUESTS.labels("plain", "bid").inc(8)
BIDS.labels("plain", "banner").inc(8)
BIDS.labels("plain", "video").inc(1)
NO_BIDS.labels("budget").inc(5)
BID_LATENCY.observe_counts([8] + [0] * 17, 0.003)
LEASE_AVAILABLE.labels("spring").set(0.25)
NOTICES.labels("win", "ok").inc(7)
NOTICES.labels("impression", "ok").inc(6)
NOTICES.labels("impression", "duplicate").inc(2)
NOTICES.labels("click", "ok").inc(1)
NOTICES.labels("bill", "forged").inc(4)
"""

DECIDED = CampaignPlan(
    1 << 14, budget_q16=1 << 14, share_millionths=500_000, budget=10 * BILLION, spent=2 * BILLION
)


async def spend(port: AdminPort) -> None:
    """Open the campaign's account, lease a dollar of it, bill some, and publish a plan."""
    await port.ledger.register(CODE, CAMPAIGN, 100 * BILLION, 10 * BILLION, "UTC")
    day = local_day(BID_MINUTE * 60, "UTC")
    for sequence, price in enumerate((SPENT - 2_000_000_000, 2_000_000_000)):
        await port.ledger.settle(CODE, OWNER, BID_MINUTE, sequence, price, price, day, 0, {})
    lease = await port.ledger.grant(CODE, OWNER, BILLION, day, 1_000_000, 1)
    assert lease.outstanding > 0
    await plan.publish(port.client, Plan(made_at_s=BID_MINUTE * 60.0, version=1, campaigns={CODE: DECIDED}))


async def beat(client: redis.asyncio.Redis, owner: int, silent_s: int = 0) -> None:
    seconds, _ = await client.time()
    await client.zadd(redis_keys.WORKERS, {str(owner): seconds - silent_s})


# -- metrics -------------------------------------------------------------------------------------


async def test_the_numbers_of_all_processes_are_added_up(port: AdminPort, metrics_dir: Path) -> None:
    first = await asyncio.to_thread(run_worker, metrics_dir, FIRST_WORKER)
    await asyncio.to_thread(run_worker, metrics_dir, SECOND_WORKER)
    found = await port.metrics()
    bids = frozenset({("exchange", "plain"), ("format", "banner")})
    assert found["hustings_bids_total", bids] == 41
    outcome = frozenset({("exchange", "plain"), ("outcome", "bid")})
    assert found["hustings_bid_requests_total", outcome] == 38
    assert found["hustings_bid_latency_seconds_count", frozenset()] == 50
    assert found["hustings_bid_latency_seconds_sum", frozenset()] == pytest.approx(0.103)
    assert found["hustings_bid_latency_seconds_bucket", frozenset({("le", "0.0005")})] == 8
    leased = ("hustings_lease_available", frozenset({("campaign", "spring")}))
    assert found[leased] == 1.75
    # A dead worker's lease is no longer available, its counts remain.
    mark_process_dead(first, str(metrics_dir))  # type: ignore[no-untyped-call]
    found = await port.metrics()
    assert found[leased] == 0.25
    assert found["hustings_bids_total", bids] == 41


async def test_a_file_that_a_starting_process_has_just_made_is_left_out(
    port: AdminPort, metrics_dir: Path
) -> None:
    await asyncio.to_thread(run_worker, metrics_dir, FIRST_WORKER)
    (metrics_dir / "counter_99999.db").touch()
    assert (await port.status())["bids"] == 33


async def test_the_ledger_is_read_when_prometheus_asks(port: AdminPort) -> None:
    assert ("hustings_campaign_spent", LABELS) not in await port.metrics()
    await spend(port)
    await beat(port.client, OWNER)
    await bundle_store.publish(port.client, bundle(), BUNDLE_KEY)
    found = await port.metrics()
    assert found["hustings_campaign_budget", LABELS] == 100
    assert found["hustings_campaign_daily_budget", LABELS] == 10
    assert found["hustings_campaign_spent", LABELS] == pytest.approx(SPENT / BILLION)
    assert found["hustings_campaign_spent_today", LABELS] == pytest.approx(SPENT / BILLION)
    assert found["hustings_campaign_leased", LABELS] > 0
    assert found["hustings_campaign_multiplier", LABELS] == 0.25
    assert found["hustings_campaign_window_budget", LABELS] == 10
    assert found["hustings_campaign_window_spent", LABELS] == 2
    assert found["hustings_campaign_window_planned", LABELS] == 5
    assert ("hustings_campaign_goal_multiplier", LABELS) not in found, "it has no goal"
    assert found["hustings_workers_live", frozenset()] == 1
    assert found["hustings_ready", frozenset()] == 1
    assert found["hustings_config_info", frozenset({("version", "v1")})] == 1
    assert any(name == "hustings_build_info" for name, _ in found)


async def test_the_auctions_behind_shaded_prices_are_shown_by_cell(port: AdminPort) -> None:
    await publish_shading(port.client, Shading(version=3, auctions={"plain/banner/phone": 812.5}))
    cell = frozenset({("exchange", "plain"), ("format", "banner"), ("device", "phone")})
    assert ("hustings_shading_auctions", cell) not in await port.metrics()
    await plan.publish(port.client, Plan(made_at_s=CLOCK_S, version=4, shading_version=3))
    assert (await port.metrics())["hustings_shading_auctions", cell] == 812.5


async def test_a_real_prometheus_reads_it(port: AdminPort, metrics_dir: Path, tmp_path: Path) -> None:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no prometheus on the path: install Debian's package `prometheus` to run this test")
    await asyncio.to_thread(run_worker, metrics_dir, FIRST_WORKER)
    await spend(port)
    with prometheus(program, tmp_path, port.url.removeprefix("http://")) as (process, url):
        async with aiohttp.ClientSession(url) as session, asyncio.timeout(25):
            assert await answered(session, process, 'sum(hustings_bids_total{format="banner"})') == 33
            spent = await answered(session, process, f'hustings_campaign_spent{{campaign="{CAMPAIGN}"}}')
            assert spent == pytest.approx(SPENT / BILLION)
            p50 = "histogram_quantile(0.5, hustings_bid_latency_seconds_bucket)"
            assert 0.003 < await answered(session, process, p50) < 0.004


@contextmanager
def prometheus(program: str, folder: Path, target: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run a Prometheus that scrapes one target five times a second; give its process and address."""
    config = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
        "scrape_configs": [{"job_name": "hustings", "static_configs": [{"targets": [target]}]}],
    }
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(config))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    process = subprocess.Popen(
        [
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address={listen}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process, f"http://{listen}"
    finally:
        process.terminate()
        process.wait(10)


async def answered(session: aiohttp.ClientSession, process: subprocess.Popen[bytes], query: str) -> float:
    """Ask Prometheus until it has an answer, or has ended."""
    while process.poll() is None:
        try:
            async with session.get("/api/v1/query", params={"query": query}) as response:
                result = (await response.json())["data"]["result"] if response.status == 200 else []
        except aiohttp.ClientConnectionError:
            result = []
        if result:
            return float(result[0]["value"][1])
        # Not to synchronise: Prometheus can only be asked again and again, and this lets it work.
        await asyncio.sleep(0.1)
    raise AssertionError(f"prometheus ended with status {process.returncode}")


# -- readiness -----------------------------------------------------------------------------------


async def test_it_is_alive_as_soon_as_it_answers(port: AdminPort) -> None:
    assert (await port.get("/live")).text == "live\n"


async def test_it_is_ready_when_there_are_a_config_and_a_live_worker(port: AdminPort) -> None:
    async def asked() -> tuple[int, str]:
        answer = await port.get("/ready")
        # Exchanges look for this character in the answer of a bidder that is ready.
        assert ("1" in answer.text) == (answer.status == 200)
        assert answer.text.count("\n") == 1
        return answer.status, answer.text.strip()

    assert await asked() == (503, readiness.NO_CONFIG)
    await bundle_store.publish(port.client, bundle(), BUNDLE_KEY)
    assert await asked() == (503, readiness.NO_WORKER)
    await beat(port.client, 11, silent_s=WORKER_HEARTBEAT_SECONDS_MAX + 1)
    assert await asked() == (503, readiness.NO_WORKER)
    await beat(port.client, 12)
    assert await asked() == (200, readiness.READY_TEXT)
    status = await port.status()
    assert [worker["owner"] for worker in status["workers"]] == [12]


async def test_an_edit_that_was_refused_is_shown_until_it_is_mended(port: AdminPort) -> None:
    now_s = int(CLOCK_S)
    edit = refused_edit.of("host-a", "campaigns", ["campaigns/a.yaml:1:1: a fault", "another"], now_s)
    await refused_edit.note(port.client, edit, now_s)
    (shown,) = (await port.status())["refused_edits"]
    assert (shown["host"], shown["folder"], shown["fault_count"]) == ("host-a", "campaigns", 2)
    assert (await port.metrics())["hustings_config_faults", frozenset()] == 2
    await refused_edit.clear(port.client, "host-a", "campaigns")
    assert (await port.status())["refused_edits"] == []
    assert (await port.metrics())["hustings_config_faults", frozenset()] == 0


@pytest_asyncio.fixture
async def forsaken(metrics_dir: Path, tmp_path: Path) -> AsyncIterator[AdminPort]:
    """An admin port whose Redis has gone away."""
    server = EmbeddedServer.start(tmp_path / "valkey", durable=False)
    client = redis.asyncio.Redis.from_url(server.url, retry=Retry(NoBackoff(), 0))
    await bundle_store.publish(client, bundle(), BUNDLE_KEY)
    await beat(client, 1)
    server.stop()
    async with admin_port(client, metrics_dir, bundle()) as running:
        yield running
    await client.aclose()


async def test_without_redis_it_says_so_and_shows_what_the_processes_count(
    forsaken: AdminPort, metrics_dir: Path
) -> None:
    await asyncio.to_thread(run_worker, metrics_dir, FIRST_WORKER)
    ready = await forsaken.get("/ready")
    assert (ready.status, ready.text) == (503, readiness.REDIS_SILENT + "\n")
    assert "1" not in ready.text
    assert (await forsaken.get("/live")).status == 200
    status = await forsaken.status()
    assert (status["ready"], status["reason"], status["bids"]) == (False, readiness.REDIS_SILENT, 33)
    assert [campaign["spent"] for campaign in status["campaigns"]] == [None]
    found = await forsaken.metrics()
    assert found["hustings_ready", frozenset()] == 0
    assert found["hustings_campaign_budget", LABELS] == 100
    assert ("hustings_campaign_spent", LABELS) not in found


# -- status and dashboard ------------------------------------------------------------------------


async def test_the_status_adds_up_processes_and_ledger(port: AdminPort, metrics_dir: Path) -> None:
    await asyncio.to_thread(run_worker, metrics_dir, FIRST_WORKER)
    await asyncio.to_thread(run_worker, metrics_dir, SECOND_WORKER)
    await spend(port)
    status = await port.status()
    counts = {name: status[name] for name in ("requests", "bids", "wins", "impressions", "clicks")}
    assert counts == {"requests": 50, "bids": 42, "wins": 7, "impressions": 6, "clicks": 1}
    assert status["no_bid_reasons"] == {"audience": 12, "budget": 5}
    assert status["lookup_failures"] == {"timeout": 2}
    assert status["trouble"] == {"notices forged": 4, "look-ups timeout": 2}
    assert 3 < status["latency_ms"]["p50"] < 4
    assert status["spent"] == "2.500000001"
    (campaign,) = status["campaigns"]
    assert campaign["multiplier"] == 0.25
    money = {name: campaign[name] for name in ("budget", "daily_budget", "spent", "spent_today")}
    assert money == {
        "budget": "100",
        "daily_budget": "10",
        "spent": "2.500000001",
        "spent_today": "2.500000001",
    }
    # Its bills are of an earlier hour.
    assert (campaign["hourly_budget"], campaign["spent_this_hour"]) == (None, "0")
    assert campaign["line_items"] == []
    assert (status["currency"], status["config_version"]) == ("USD", "v1")
    assert (status["redis"]["nodes"], status["redis"]["evicts"]) == (1, False)
    pace = campaign["pace"]
    assert (pace["budget"], pace["spent"], pace["spent_share"]) == ("10", "2.500000001", 0.25)
    # Even, of today: as much as the day has come.
    day_share = CLOCK_S % 86_400 / 86_400
    assert day_share <= pace["planned_share"] <= min(day_share * 1.05, 1)
    assert float(pace["planned"]) == pytest.approx(10 * pace["planned_share"], abs=0.01)
    assert status["plan_age_s"] == CLOCK_S - BID_MINUTE * 60


async def test_a_line_item_with_a_budget_of_its_own_has_its_figures(
    redis_client: redis.asyncio.Redis, metrics_dir: Path
) -> None:
    config = bundle()
    (advertiser,) = config.advertisers
    (campaign,) = advertiser.campaigns
    (line_item,) = campaign.line_items
    own = replace(line_item, budget=LineItemBudget(total=Money(9 * BILLION)))
    budget = replace(campaign.budget, hourly=Money(2 * BILLION))
    campaign = replace(campaign, budget=budget, line_items=(own,))
    config = replace(config, advertisers=(replace(advertiser, campaigns=(campaign,)),))
    async with admin_port(redis_client, metrics_dir, config) as port:
        account = account_code(campaign.id, own.id)
        await port.ledger.register_line_item(account, own.id, 9 * BILLION, None, "UTC")
        await spend(port)
        status = await port.status()
    (row,) = status["campaigns"]
    assert row["hourly_budget"] == "2"
    assert row["line_items"] == [
        {
            "id": own.id,
            "budget": "9",
            "daily_budget": None,
            "spent": "0",
            "spent_today": "0",
            "leased": "0",
        }
    ]
    assert status["spent"] == "2.500000001", "what a line item spends is its campaign's"


async def test_a_stop_is_told_with_its_reason(port: AdminPort) -> None:
    await global_stop.put(port.client, Stop("ann", 5.0, "wrong creative"))
    assert (await port.status())["stopped"] == "ann: wrong creative"


async def test_the_dashboard_lists_the_campaigns_that_spend_most(port: AdminPort) -> None:
    rows = [
        CampaignStatus(
            id=f"c{spent}",
            name="",
            advertiser="shop",
            budget="9",
            daily_budget=None,
            spent=str(spent),
            spent_today=str(spent),
            leased="0",
            paused=paused,
            in_flight=True,
            pacing="even",
            pace=None,
            multiplier=None,
        )
        for spent, paused in ((3, False), (9, True), (1, False), (7, False))
    ]
    whole = msgspec.convert(await port.status(), Status)
    whole = msgspec.structs.replace(whole, campaigns=tuple(rows))
    few = abridged(whole, 2, 9)
    assert ([row.id for row in few.campaigns], few.campaigns_left_out) == (["c3", "c7"], 2)
    assert abridged(whole, 4, 9) == whole
    items = [
        LineItemStatus(id=f"i{n}", budget="9", daily_budget=None, spent=n, spent_today="0", leased="0")
        for n in ("4", "11", "2")
    ]
    crowded = msgspec.structs.replace(
        whole, campaigns=(msgspec.structs.replace(rows[0], line_items=tuple(items)),)
    )
    (row,) = abridged(crowded, 9, 2).campaigns
    assert ([item.id for item in row.line_items], row.line_items_left_out) == (["i4", "i11"], 1)


async def test_before_anything_happened_the_status_is_empty(
    redis_client: redis.asyncio.Redis, metrics_dir: Path
) -> None:
    async with admin_port(redis_client, metrics_dir, None) as port:
        status = await port.status()
        assert (status["requests"], status["campaigns"], status["spent"]) == (0, [], "0")
        assert status["latency_ms"] == {"p50": None, "p95": None, "p99": None}
        assert (status["plan_age_s"], status["audiences"], status["stopped"]) == (None, None, None)
        assert (await port.get("/metrics")).status == 200
