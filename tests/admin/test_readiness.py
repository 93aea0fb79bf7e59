"""/live and /ready: what an installation must have to be sent traffic, and what is said when it lacks it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from bidder.admin import readiness
from config import bundle_store, refused_edit
from config.embedded_server import EmbeddedServer
from config.limits import WORKER_HEARTBEAT_SECONDS_MAX
from tests.admin.conftest import AdminPort, admin_port, run_worker
from tests.admin.shop import FIRST_WORKER, LABELS, beat
from tests.events.factories import CLOCK_S, bundle
from tests.factories import BUNDLE_KEY


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
