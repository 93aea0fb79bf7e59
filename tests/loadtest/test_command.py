"""The command: what it prints and writes, what it refuses, and how it ends."""

import asyncio
import contextlib
import gzip
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import msgspec
import orjson
import pytest
import typer
from aiohttp import web
from typer.testing import CliRunner

from bidder.cli.loadtest import loadtest
from config.money import money_text
from loadtest.limits import FILES_BESIDE_CONNECTIONS, NOTICE_CONNECTIONS
from loadtest.result import Result
from tests.loadtest.stub_bidder import StubBidder, running_stub
from tests.shared_data import shared_data
from tests.waiting import SECONDS_MAX

FULL_DISK = Path("/dev/full")

app = typer.Typer()
app.command()(loadtest)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def stub_target() -> Iterator[str]:
    """A stub bidder on a thread of its own, because the command runs its own event loop."""
    ready, done = Event(), Event()
    address: list[str] = []

    async def serve() -> None:
        async with running_stub() as stub:
            address.append(stub.target)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(SECONDS_MAX)
    yield address[0]
    done.set()
    thread.join(SECONDS_MAX)


def test_the_command_runs_and_writes_both_reports(stub_target: str, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    done = run(
        "--target", stub_target, "--rate", "50", "--seconds", "0.5", "--json", "--report", str(report)
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    printed = orjson.loads(done.stdout)
    assert printed["requests"] > 0
    assert printed["errors"] == 0
    assert f"<dd>{printed['requests']}</dd>" in report.read_text()


def decoded(done: Any) -> Result:
    return msgspec.json.decode(done.stdout, type=Result)


def test_the_result_file_is_what_is_printed(stub_target: str, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    done = run("--target", stub_target, "--rate", "50", "--seconds", "0.3", "--json", "--result", str(file))
    assert done.exit_code == 0, done.output
    assert decoded(done) == msgspec.json.decode(file.read_bytes(), type=Result)
    assert file.read_text().endswith("}\n")


def test_two_targets_get_the_same_and_stand_side_by_side(stub_target: str) -> None:
    both = ("--target", f"old={stub_target}", "--target", f"new={stub_target}")
    done = run(*both, "--rate", "50", "--seconds", "0.5", "--json")
    assert done.exit_code == 0, done.output
    old, new = decoded(done).targets
    assert (old.name, new.name) == ("old", "new")
    assert old.requests == new.requests > 0
    done = run(*both, "--rate", "50", "--seconds", "0.5")
    assert done.stdout.splitlines()[0].split() == ["old", "new"]


def test_what_was_asked_for_is_in_the_result(stub_target: str, tmp_path: Path) -> None:
    landscape = tmp_path / "rivals.json"
    landscape.write_text("[0, 0, 1]")
    done = run(
        *("--target", stub_target, "--rate", "60", "--seconds", "0.5", "--warm-up", "0.3", "--seed", "5"),
        *("--mix", "web-banner=3,native=1", "--users", "10", "--shape", "week", "--shape-from", "34"),
        *("--shape-hours", "12", "--landscape", str(landscape), "--landscape-step", "1.5", "--tmax", "4000"),
        *(
            "--duplicates",
            "0.5",
            "--delayed",
            "0.1",
            "--delay-seconds",
            "0.1",
            "--reordered",
            "0.2",
            "--json",
        ),
    )
    assert done.exit_code == 0, done.output
    found = decoded(done)
    assert found.asked.source == "generated, web-banner=3,native=1, 10 people"
    assert found.asked.shape == "week, 12 hours from hour 34"
    assert found.asked.landscape == "rivals.json"
    assert found.asked.notices == "50% sent twice, 10% 0.1 s late, 20% of wins in the wrong order"
    (target,) = found.targets
    assert target.warm_up.requests > 0
    # The best rival is always at 3.00, so only a bid of 3.01 wins, and pays itself or that.
    assert target.wins > 0
    assert float(target.spend) >= target.wins * 3.01 / 1_000


def test_a_captured_file_is_replayed_once(stub_target: str, tmp_path: Path) -> None:
    file = tmp_path / "captured.jsonl.gz"
    request = {"id": "a", "at": 1, "imp": [{"id": "1", "banner": {"w": 300, "h": 250}}]}
    file.write_bytes(
        gzip.compress(b"".join(orjson.dumps({**request, "id": str(n)}) + b"\n" for n in range(7)))
    )
    done = run(
        *("--target", stub_target, "--rate", "200", "--seconds", "5", "--replay", str(file)),
        *("--once", "--captured-ids", "--json"),
    )
    assert done.exit_code == 0, done.output
    assert decoded(done).requests == 7
    assert decoded(done).ending == "complete"


def test_a_real_week_and_real_rivals_are_read(stub_target: str) -> None:
    done = run(
        *("--target", stub_target, "--rate", "50", "--seconds", "0.5", "--json"),
        *("--shape", str(shared_data("traffic", "hour_of_week.csv")), "--shape-region", "645530"),
        *("--landscape", str(shared_data("auctions", "landscape", "2997.json"))),
    )
    assert done.exit_code == 0, done.output
    assert decoded(done).requests > 0


def test_the_command_replays_a_file_and_shows_a_summary(stub_target: str, tmp_path: Path) -> None:
    file = tmp_path / "captured.jsonl"
    file.write_text('{"id": "a", "at": 1, "imp": [{"id": "1", "banner": {"w": 300, "h": 250}}]}\n')
    done = run("--target", stub_target, "--rate", "40", "--seconds", "0.5", "--replay", str(file))
    assert done.exit_code == 0, done.output
    assert "wins" in done.stdout


def test_errors_make_the_exit_status_1(stub_target: str) -> None:
    missing = stub_target.replace("/bid/plain", "/nothing/here")
    done = run("--target", missing, "--rate", "40", "--seconds", "0.3", "--json")
    assert done.exit_code == 1
    assert set(orjson.loads(done.stdout)["errors_by_kind"]) == {"http_404"}


@pytest.mark.skipif(not FULL_DISK.exists(), reason="a device of Linux")
def test_a_full_disk_does_not_cost_the_figures(stub_target: str, tmp_path: Path) -> None:
    files = ("--result", str(FULL_DISK), "--report", str(tmp_path / "kept.html"))
    done = run("--target", stub_target, "--rate", "40", "--seconds", "0.3", *files)
    assert done.exit_code == 2
    assert "requests" in done.stdout
    assert f"can't write {FULL_DISK}: No space left on device" in done.stderr
    assert (tmp_path / "kept.html").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--target", "http://0.0.0.0:1/bid/plain"), "0.0.0.0 is not this machine; add --i-own-"),
        (("--target", "http://[::ffff:192.0.2.1]:1/bid"), "is not this machine; add --i-own-"),
        (("--target", "http://127.0.0.1@bidder.example/bid"), "is not an http or https URL"),
        (("--target", "http://no.such.host.invalid/bid"), "no.such.host.invalid has no address"),
        (("--target", "http://127.0.0.1:1/", "--target", "http://127.0.0.1:1/b"), "two targets are called"),
        (("--target", "http://127.0.0.1:1/", "--mix", "banner=1"), "'banner' is no format; they are web-"),
        (("--target", "http://127.0.0.1:1/", "--mix", "native=x"), "write it as native=3"),
        (("--target", "http://127.0.0.1:1/", "--mix", "native=0"), "weighs nothing"),
        (("--target", "http://127.0.0.1:1/", "--user-ids", "me"), "has no one place for a number"),
        (("--target", "http://127.0.0.1:1/", "--shape", "absent.csv"), "can't read absent.csv"),
        (("--target", "http://127.0.0.1:1/", "--landscape", "absent.json"), "can't read absent.json"),
        (("--target", "http://127.0.0.1:1/", "--landscape-step", "0", "--landscape", "x"), "is no price"),
        (("--target", "127.0.0.1:8080"), "is not an http or https URL"),
        (("--target", "http://127.0.0.1:1/bid/plain"), "can't connect to 127.0.0.1:1"),
        (("--target", "http://127.0.0.1:1/", "--replay", "absent.jsonl"), "can't read absent.jsonl"),
        (("--target", "http://127.0.0.1:1/", "--report", "no/such/folder.html"), "there is no folder"),
        (("--target", "http://127.0.0.1:1/", "--rate", "15000", "--shape", "week"), "busiest hour"),
    ],
)
def test_what_can_t_be_run_is_one_sentence_and_status_2(arguments: tuple[str, ...], sentence: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    "option",
    [
        ("--rate", "20001"),
        ("--rate", "0"),
        ("--seconds", "86401"),
        ("--connections", "1025"),
        ("--warm-up", "3601"),
    ],
)
def test_rate_seconds_and_connections_have_limits(option: tuple[str, str]) -> None:
    assert run("--target", "http://127.0.0.1:1/", *option).exit_code == 2


def test_so_many_targets_and_connections_are_too_many() -> None:
    targets = [word for number in range(9) for word in ("--target", f"t{number}=http://127.0.0.1:1/")]
    assert "9 targets; 8 is the most" in run(*targets).stderr
    assert "1024 in all is the most" in run(*targets[:6], "--connections", "400").stderr


def test_files_that_can_not_be_opened_are_known_before(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.getrlimit", lambda what: (100, 1_000))
    monkeypatch.setattr("resource.setrlimit", lambda what, limits: allowed.append(limits))
    done = run("--target", "http://127.0.0.1:1/", "--connections", "900")
    assert (done.exit_code, allowed) == (2, [])
    assert "and may have 1000; lower --connections or raise ulimit -n" in done.stderr
    assert "can't connect" in run("--target", "http://127.0.0.1:1/", "--connections", "50").stderr
    assert allowed == [(50 + NOTICE_CONNECTIONS + FILES_BESIDE_CONNECTIONS, 1_000)]


@pytest.fixture
async def stub() -> AsyncIterator[StubBidder]:
    async with running_stub() as running:
        yield running


@contextlib.asynccontextmanager
async def under_way(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bidder.cli.main", "loadtest", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS_MAX):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_ctrl_c_ends_the_sending_and_gives_the_result_so_far(stub: StubBidder) -> None:
    asked = asyncio.Event()

    async def answering(http: web.Request) -> web.StreamResponse:
        if stub.asked == 20:
            asked.set()
        return await stub.bid_on_everything(http)

    stub.answer = answering
    arguments = ("--target", stub.target, "--rate", "100", "--seconds", "600", "--tmax", "5000", "--json")
    async with under_way(*arguments, "--mix", "web-banner=1", "--clicks", "0") as process:
        await asked.wait()
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    result = msgspec.json.decode(out, type=Result)
    assert process.returncode == 0, err
    assert result.ending == "stopped"
    assert 20 <= result.requests < 60_000
    assert b"It was stopped before its end." in err
    booked = {campaign.id: campaign.spent for campaign in result.targets[0].campaigns if campaign.wins}
    assert booked == {id_: money_text(spent) for id_, spent in stub.spent_by_campaign().items()}


async def test_a_second_ctrl_c_does_not_wait_for_the_notices(stub: StubBidder) -> None:
    """Every answer is held, so the first Ctrl-C waits; the second gives what there is."""
    asked, never = asyncio.Event(), asyncio.Event()

    async def held(http: web.Request) -> web.StreamResponse:
        asked.set()
        await never.wait()
        return web.Response(status=204)

    stub.answer = held
    arguments = ("--target", stub.target, "--rate", "100", "--seconds", "600", "--json")
    async with under_way(*arguments) as process:
        await asked.wait()
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert b"Ctrl-C again" in await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
    never.set()
    result = msgspec.json.decode(out, type=Result)
    assert process.returncode == 1
    assert result.ending == "cut"
    assert set(result.errors_by_kind) == {"undrained"}
    assert result.errors + result.timeouts == result.requests
