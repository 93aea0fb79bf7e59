"""The whole engine as real processes, started as a person starts it.

A start takes seconds, so the tests share an engine for as long as none of them ends it: each leaves it as
able to bid as it was, and takes what is in its books for given.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import redis.asyncio

from config.embedded_server import running_url
from tests.factories import bid_request
from tests.waiting import SECONDS_MAX

EXAMPLES = Path(str(resources.files("config"))) / "examples"
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Engine:
    """`hustings serve` on free ports, with a server of its own."""

    def __init__(self, process: asyncio.subprocess.Process, data: Path) -> None:
        self.process = process
        self.data = data
        self.bid_url = self.events_url = self.admin_url = ""

    async def read_addresses(self) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS_MAX):
            for name in ("bid_url", "events_url", "admin_url"):
                line = (await self.process.stdout.readline()).decode()
                setattr(self, name, line.split()[-1].rstrip("/"))
        self.bid_url = self.bid_url.replace("{exchange}", "plain")

    async def stop(self) -> int:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(SECONDS_MAX):
            return await self.process.wait()


async def run_hustings(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Run the command to its end; return status, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bidder.cli.main", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | (env or {}),
    )
    try:
        async with asyncio.timeout(SECONDS_MAX):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def started_process(data: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bidder.cli.main", "serve", "--config", str(EXAMPLES)),
        *("--data", str(data), "--workers", "2", "--drain-seconds", "0", *options),
        *("--bid-port", "0", "--events-port", "0", "--admin-port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        await Engine(process, data).stop()


@contextlib.asynccontextmanager
async def started_engine(data: Path, *options: str) -> AsyncIterator[Engine]:
    async with started_process(data, *options) as process:
        running = Engine(process, data)
        await running.read_addresses()
        yield running


class Engines:
    """The engine that the tests share, and those that came before it."""

    def __init__(self, closing: contextlib.AsyncExitStack) -> None:
        self._closing = closing
        self._latest: Engine | None = None

    async def start(self, data: Path) -> Engine:
        """Start an engine in a data folder; it is the one that is shared from now on."""
        self._latest = await self._closing.enter_async_context(started_engine(data))
        return self._latest

    async def running(self, folder: Path) -> Engine:
        """Return the one that is shared, or where a test has ended that, one with new data in a folder."""
        if self._latest is None or self._latest.process.returncode is not None:
            return await self.start(folder / "data")
        return self._latest


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines() -> AsyncIterator[Engines]:
    async with contextlib.AsyncExitStack() as closing:
        yield Engines(closing)


@pytest_asyncio.fixture(loop_scope="module")
async def engine(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return await engines.running(tmp_path_factory.mktemp("engine"))


async def spend(engine: Engine) -> dict[str, Any]:
    """Return what each campaign has spent, by the command line."""
    code, out, err = await run_hustings("budget", "status", "--json", "--data", str(engine.data))
    assert code == 0, err
    return {row["campaign"]: row["spent"] for row in json.loads(out)["campaigns"]}


async def booked_spend(engine: Engine, before: dict[str, Any]) -> dict[str, Any]:
    """Return what each campaign has spent, once something was booked since `before`.

    A process that Redis did not answer in time keeps a notice, and books it soon.
    """
    async with asyncio.timeout(SECONDS_MAX):
        while (spent := await spend(engine)) == before:
            pass
    return spent


async def bills_by_outcome(http: aiohttp.ClientSession, engine: Engine) -> Counter[str]:
    """Return how many bills the engine has taken, by what became of them."""
    async with http.get(f"{engine.admin_url}/metrics") as response:
        text = await response.text()
    found = re.findall(r'^hustings_notices_total{kind="bill",outcome="(\w+)"} (\S+)$', text, re.MULTILINE)
    return Counter({outcome: int(float(count)) for outcome, count in found})


async def bill(http: aiohttp.ClientSession, bid: dict[str, Any]) -> None:
    async with http.get(bid["burl"].replace("${AUCTION_PRICE}", str(bid["price"]))) as response:
        assert response.status == 204


async def a_bid(http: aiohttp.ClientSession, engine: Engine) -> dict[str, Any]:
    """Ask until somebody bids; a campaign's first lease may be a second away."""
    request = bid_request(imp=[{"id": "1", "banner": {"format": [{"w": 300, "h": 250}]}}], user={})
    request |= {"device": {"devicetype": 4, "os": "iOS"}, "app": {"bundle": "com.example.any"}}
    del request["site"]
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            async with http.post(engine.bid_url, json=request) as response:
                assert response.status in (200, 204)
                if response.status == 200:
                    bid: dict[str, Any] = (await response.json())["seatbid"][0]["bid"][0]
                    return bid
            await asyncio.sleep(0.05)


async def test_from_request_to_booked_impression(engine: Engine) -> None:
    async with aiohttp.ClientSession() as http:
        spent_before = await spend(engine)
        bills_before = await bills_by_outcome(http, engine)
        bid = await a_bid(http, engine)
        price = str(bid["price"])
        async with http.get(bid["nurl"].replace("${AUCTION_PRICE}", price)) as response:
            assert response.status == 204
        await bill(http, bid)
        spent = await booked_spend(engine, spent_before)
        await bill(http, bid)
        async with asyncio.timeout(SECONDS_MAX):
            while (bills := await bills_by_outcome(http, engine) - bills_before)["duplicate"] < 1:
                pass
        assert (bills["ok"], bills["duplicate"]) == (1, 1)
        assert await spend(engine) == spent
        more = {campaign: float(amount) - float(spent_before[campaign]) for campaign, amount in spent.items()}
        assert more.pop(bid["cid"]) == pytest.approx(float(price) / 1_000)
        assert not any(more.values())
        async with http.get(f"{engine.admin_url}/ready") as response:
            assert response.status == 200


async def test_a_killed_worker_is_replaced_and_requests_go_on(engine: Engine) -> None:
    async with aiohttp.ClientSession() as http:
        await a_bid(http, engine)
        workers = [pid for pid, module in children_of(engine.process.pid) if module == "bidder.port.main"]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                now = [pid for pid, module in children_of(engine.process.pid) if module == "bidder.port.main"]
                if len(now) == 2 and workers[0] not in now:
                    break
                await asyncio.sleep(0.05)
        # A fresh connection may be given to either worker: both must bid.
        for _ in range(8):
            async with aiohttp.ClientSession() as fresh:
                assert await a_bid(fresh, engine)


async def test_sigterm_while_it_starts_leaves_no_process_either(tmp_path: Path) -> None:
    async with started_process(tmp_path / "data") as process:
        children: list[tuple[int, str]] = []
        async with asyncio.timeout(SECONDS_MAX):
            while not any(not module for _, module in children):
                await asyncio.sleep(0.01)
                children = children_of(process.pid)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(SECONDS_MAX):
            assert await process.wait() == 0
    await until_ended([pid for pid, _ in children])


async def test_a_private_server_that_dies_is_started_again_with_its_ledger(engine: Engine) -> None:
    url = running_url(engine.data)
    assert url is not None
    async with redis.asyncio.Redis.from_url(url) as client:
        # Else what was written in the last second, of a slow disk the last two, may be missing in its file.
        await client.config_set("appendfsync", "always")
    spent_before = await spend(engine)
    async with aiohttp.ClientSession() as http:
        await bill(http, await a_bid(http, engine))
        spent = await booked_spend(engine, spent_before)
        (server,) = [pid for pid, module in children_of(engine.process.pid) if not module]
        os.kill(server, signal.SIGKILL)
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                code, out, _ = await run_hustings("budget", "status", "--json", "--data", str(engine.data))
                if code == 0:
                    break
        assert {row["campaign"]: row["spent"] for row in json.loads(out)["campaigns"]} == spent
        await bill(http, await a_bid(http, engine))
        await booked_spend(engine, spent)


async def test_two_engines_do_not_share_a_data_folder(engine: Engine) -> None:
    code, _, err = await run_hustings("serve", "--data", str(engine.data))
    assert code == 2
    assert "another engine" in err
    assert_one_sentence(err)


async def test_a_config_applied_while_running_reaches_the_workers(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "config"
    copy_of_examples(folder)
    path = folder / "advertisers" / "driftless-outfitters.yaml"
    text = path.read_text()
    assert "bid_cpm: 9.60" in text
    path.write_text(text.replace("bid_cpm: 9.60", "bid_cpm: $1.25"))
    async with aiohttp.ClientSession() as http:
        assert (await a_bid(http, engine))["price"] > 1.25
        code, out, err = await run_hustings("config", "apply", str(folder), "--data", str(engine.data))
        assert code == 0, err
        assert "9.6" in out
        async with asyncio.timeout(SECONDS_MAX):
            while (await a_bid(http, engine))["price"] > 5:
                pass


async def test_an_engine_that_was_killed_leaves_nothing_in_the_way_of_the_next(
    engine: Engine, engines: Engines
) -> None:
    children = children_of(engine.process.pid)
    spent_before = await spend(engine)
    async with aiohttp.ClientSession() as http:
        await bill(http, await a_bid(http, engine))
    spent = await booked_spend(engine, spent_before)
    engine.process.kill()
    await engine.process.wait()
    await until_ended([pid for pid, module in children if module])
    (server,) = [pid for pid, module in children if not module]
    assert alive(server), "the ledger's server is not ended by accident"
    successor = await engines.start(engine.data)
    assert not alive(server)
    assert len(list(engine.data.glob("metrics-*"))) == 1, "the killed engine's are gone"
    assert await spend(successor) == spent


async def test_sigterm_drains_and_leaves_no_process(engine: Engine) -> None:
    children = [pid for pid, _ in children_of(engine.process.pid)]
    assert len(children) == 6  # two workers, events, admin, training, the server
    assert await engine.stop() == 0
    assert not [pid for pid in children if alive(pid)]


@pytest.mark.parametrize("which", ["bid", "events", "admin"])
async def test_a_port_in_use_is_one_sentence_and_status_2(tmp_path: Path, which: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"bid": "0", "events": "0", "admin": "0"} | {which: str(taken.getsockname()[1])}
        code, _, err = await run_hustings(
            *("serve", "--config", str(EXAMPLES), "--data", str(tmp_path)),
            *(part for name, port in ports.items() for part in (f"--{name}-port", port)),
        )
    assert code == 2
    assert f"--{which}-port" in err
    assert_one_sentence(err)


async def test_a_dead_redis_is_one_sentence_and_status_2(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{unused.getsockname()[1]}/0"
        for command in (
            ("serve", "--config", str(EXAMPLES), "--data", str(tmp_path), "--redis", url),
            ("config", "apply", str(EXAMPLES), "--redis", url),
            ("segments", "list", "--redis", url),
            ("budget", "status", "--redis", url),
        ):
            code, _, err = await run_hustings(*command)
            assert code == 2, command
            assert_one_sentence(err)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (("--redis", "nonsense"), "redis://"),
        (("--redis", "redis://127.0.0.1:port/0"), "--redis"),
        (("--events-host", "0.0.0.0"), "--events-url"),
        (("--events-url", "http://ev.example"), "https"),
    ],
)
async def test_an_option_that_can_not_work_is_one_sentence_and_status_2(
    tmp_path: Path, options: tuple[str, ...], hint: str
) -> None:
    ports = ("--bid-port", "0", "--events-port", "0", "--admin-port", "0")
    code, _, err = await run_hustings("serve", "--data", str(tmp_path), *ports, *options)
    assert code == 2
    assert hint in err
    assert_one_sentence(err)


async def test_an_invalid_config_names_its_faults_and_starts_nothing(tmp_path: Path) -> None:
    copy_of_examples(tmp_path / "config")
    path = tmp_path / "config" / "advertisers" / "driftless-outfitters.yaml"
    path.write_text(path.read_text().replace("bid_cpm:", "bid_cmp:", 1))
    code, _, err = await run_hustings("serve", "--config", str(tmp_path / "config"), "--data", str(tmp_path))
    assert code == 2
    assert "driftless-outfitters.yaml:" in err
    assert "bid_cpm" in err
    assert "Traceback" not in err
    assert not (tmp_path / "redis.url").exists()


async def test_an_unusable_secret_is_one_sentence_and_status_2(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("short")
    secret.chmod(0o600)
    code, _, err = await run_hustings(
        *("serve", "--config", str(EXAMPLES), "--data", str(tmp_path / "data")),
        *("--bid-port", "0", "--events-port", "0", "--admin-port", "0"),
        env={"HUSTINGS_SECRET_FILE": str(secret)},
    )
    assert code == 2
    assert "secret" in err
    assert "Traceback" not in err


async def test_a_data_folder_that_can_not_be_is_one_sentence_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = await run_hustings("serve", "--data", str(tmp_path / "file" / "data"))
    assert code == 2
    assert "--data" in err
    assert_one_sentence(err)


async def test_the_demo_ends_by_itself_with_books_that_agree() -> None:
    code, out, err = await run_hustings("demo", "--seconds", "3", "--rate", "100", "--json")
    assert code == 0, err
    summary = json.loads(out)
    assert summary["requests"] > 0
    assert 0 < summary["wins"] <= summary["bids"]
    assert summary["errors"] == 0
    assert summary["currency"] == "USD"
    assert set(summary["latency_ms"]) == {"p50", "p99"}
    assert summary["spend"] > 0
    assert sum(c["spent"] for c in summary["campaigns"]) == pytest.approx(summary["spend"])
    assert all(0 <= c["spent"] <= c["budget"] for c in summary["campaigns"])


def assert_one_sentence(err: str) -> None:
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1, err


def copy_of_examples(folder: Path) -> None:
    for path in EXAMPLES.rglob("*.yaml"):
        target = folder / path.relative_to(EXAMPLES)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text())


def children_of(pid: int) -> list[tuple[int, str]]:
    """Return the child processes as (pid, Python module they run or "")."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    found = []
    for line in listing.stdout.splitlines():
        child, parent, args = line.split(None, 2)
        if int(parent) == pid:
            _, _, rest = args.partition(" -m ")
            found.append((int(child), rest.split()[0] if rest else ""))
    return found


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended and waits for an absent parent does not."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip()[:1] not in ("", "Z")


async def until_ended(pids: list[int]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while any(alive(pid) for pid in pids):  # noqa: ASYNC110 - nobody can tell us: they are not our children
            await asyncio.sleep(0.05)
