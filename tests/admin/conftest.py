"""The admin port as operators meet it, over a real Redis and a folder of metric files."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest
import pytest_asyncio
import redis.asyncio
from aiohttp import web
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from bidder.admin.app import admin_app
from bidder.admin.pulse import Pulses
from bidder.admin.snapshot import Watcher
from bidder.admin.stream import Stream
from config.schema import Bundle
from pacing.ledger import Ledger
from tests.events.factories import CLOCK_S, bundle
from tests.events.processes import REPOSITORY


class Answer(NamedTuple):
    """What came back, with its body read."""

    status: int
    headers: Mapping[str, str]
    text: str


class AdminPort:
    """A running admin port, a client of it, and the Redis behind it."""

    def __init__(
        self,
        url: str,
        client: redis.asyncio.Redis,
        session: aiohttp.ClientSession,
        pulses: Pulses,
        stream: Stream,
    ) -> None:
        self.url = url
        self.pulses = pulses
        self.stream = stream
        self.client = client
        self.ledger = Ledger(client)
        self.session = session

    async def get(self, path: str) -> Answer:
        async with self.session.get(self.url + path) as response:
            return Answer(response.status, response.headers, await response.text())

    async def status(self) -> dict[str, Any]:
        answer = await self.get("/status.json")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        decoded: dict[str, Any] = msgspec.json.decode(answer.text)
        return decoded

    async def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return the samples of /metrics by name and labels, as a Prometheus parser reads them."""
        answer = await self.get("/metrics")
        assert answer.status == 200
        families: list[Metric] = list(text_string_to_metric_families(answer.text))
        assert len({family.name for family in families}) == len(families)
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }


@asynccontextmanager
async def admin_port(
    client: redis.asyncio.Redis,
    metrics_dir: Path,
    config: Bundle | None,
    pulse_clock: Callable[[], float] = time.time,
) -> AsyncIterator[AdminPort]:
    """Serve the admin port of one config over one Redis and one folder of metric files."""
    watcher = Watcher(client, Ledger(client), metrics_dir, config, clock=lambda: CLOCK_S)
    pulses = Pulses(watcher.metrics, pulse_clock)
    stream = Stream(watcher, pulses)
    runner = web.AppRunner(admin_app(watcher, stream), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    stop = asyncio.Event()
    showing = asyncio.create_task(stream.run(stop))
    async with aiohttp.ClientSession() as session:
        try:
            yield AdminPort(url, client, session, pulses, stream)
        finally:
            stop.set()
            await showing
            await runner.cleanup()


@pytest.fixture
def metrics_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "metrics"
    folder.mkdir()
    return folder


@pytest_asyncio.fixture
async def port(redis_client: redis.asyncio.Redis, metrics_dir: Path) -> AsyncIterator[AdminPort]:
    async with admin_port(redis_client, metrics_dir, bundle()) as running:
        yield running


def run_worker(metrics_dir: Path, code: str) -> int:
    """Run a process that writes metrics as a child of the supervisor does; return its process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"from bidder.metrics import *\n{code}"],
        cwd=REPOSITORY,
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(metrics_dir)},
    )
    assert process.wait(30) == 0
    return process.pid
