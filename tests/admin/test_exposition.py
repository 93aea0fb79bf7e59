"""/metrics over real HTTP, a real Redis, and metric files written by real processes."""

import asyncio
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.multiprocess import mark_process_dead

from config import bundle_store
from config.money import BILLION
from pacing import plan
from pacing.plan import Plan
from pacing.shading import Shading, publish_shading
from tests.admin.conftest import AdminPort, run_worker
from tests.admin.shop import FIRST_WORKER, LABELS, SECOND_WORKER, SPENT, beat, spend
from tests.events.factories import CAMPAIGN, CLOCK_S, OWNER, bundle
from tests.factories import BUNDLE_KEY
from tests.waiting import SECONDS_MAX


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
        async with aiohttp.ClientSession(url) as session, asyncio.timeout(SECONDS_MAX):
            assert await answered(session, process, 'sum(hustings_bids_total{format="banner"})') == 33
            spent = await answered(session, process, f'hustings_campaign_spent{{campaign="{CAMPAIGN}"}}')
            assert spent == pytest.approx(SPENT / BILLION)
            p50 = "histogram_quantile(0.5, hustings_bid_latency_seconds_bucket)"
            assert 0.003 < await answered(session, process, p50) < 0.004


@contextmanager
def prometheus(program: str, folder: Path, target: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run a Prometheus that scrapes one target once a second; give its process and address."""
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
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
        process.wait(SECONDS_MAX)


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
