"""The report holds the run's figures, escapes what the bidder wrote, and needs nothing from outside;
the command refuses what it should."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import orjson
import pytest
import typer
from typer.testing import CliRunner

from bidder.cli.loadtest import loadtest
from loadtest.books import Books
from loadtest.limits import PROBLEMS_KEPT_MAX
from loadtest.report import RunLabel, page, result
from loadtest.tally import Problem, Tally
from tests.loadtest.stub_bidder import running_stub

LABEL = RunLabel(
    target="http://127.0.0.1:1/bid/<x>", rate_per_s=5, seconds=2, seed=1, connections=4, source="generated"
)


def tally() -> Tally:
    counted = Tally("USD")
    counted.requests = counted.answers = 4
    counted.bid_answers = counted.bids = 2
    for elapsed_s, latency_s in ((0.1, 0.002), (0.9, 0.004), (1.5, 0.090)):
        counted.second(elapsed_s).requests += 1
        counted.latency.record(latency_s)
    assert counted.books.open_account("acme<script>")
    counted.books.enter_win("acme<script>")
    counted.books.enter_spend("acme<script>", 2_123_456)
    counted.books.enter_impression("acme<script>")
    counted.refuse(["Bid '<b>': price -1 is no price."])
    counted.timeouts = 1
    return counted


def test_the_result_has_the_promised_keys_and_exact_money() -> None:
    found = result(tally().summary(2.0))
    assert found["spend"] == "0.002123456"
    assert (found["currency"], found["requests"], found["bids"], found["wins"]) == ("USD", 4, 2, 1)
    assert (found["impressions"], found["clicks"], found["errors"], found["timeouts"]) == (1, 0, 1, 1)
    assert found["errors_by_kind"] == {"invalid_response": 1}
    assert found["problems"] == [{"sentence": "Bid '<b>': price -1 is no price.", "times": 1}]
    assert (found["rate"], found["bid_rate"]) == (2.0, 0.5)
    assert found["latency_ms"]["p50"] == pytest.approx(4, rel=0.02)
    assert found["latency_ms"]["p99"] == pytest.approx(90, rel=0.02)
    assert set(found["client_lag_ms"]) >= {"p50", "p99"}
    assert found["campaigns"][0]["id"] == "acme<script>"
    assert found["campaigns"][0]["spent"] == "0.002123456"
    orjson.dumps(found)


def test_the_page_escapes_what_others_wrote() -> None:
    counted = tally()
    html = page(LABEL, counted.summary(2.0), counted.timeline)
    assert "acme&lt;script&gt;" in html
    assert "/bid/&lt;x&gt;" in html
    assert "&lt;b&gt;" in html
    assert "<script" not in html


def test_the_page_refers_to_nothing_outside() -> None:
    counted = tally()
    html = page(LABEL, counted.summary(2.0), counted.timeline)
    assert not re.search(r"\b(src|href)\s*=|@import|url\(", html)
    assert re.findall(r"https?://[^\s<]*", html) == ["http://127.0.0.1:1/bid/&lt;x&gt;"]
    assert html.count("<svg") == html.count("</svg>") == 2
    assert html.count("<polyline") == 4


def test_the_page_of_a_run_without_answers_is_whole() -> None:
    html = page(LABEL, Tally("USD").summary(0.0), [])
    assert "no answers" in html
    assert "no requests" in html


def test_a_slow_load_generator_says_so() -> None:
    counted = tally()
    assert counted.summary(2.0).client_note == ""
    counted.client_lag.record(0.2)
    note = counted.summary(2.0).client_note
    assert "more than 200 ms after their planned moment" in note
    assert note in page(LABEL, counted.summary(2.0), counted.timeline)


def test_a_fault_is_shown_once_with_its_count_and_only_so_many_faults() -> None:
    counted = Tally("USD")
    for number in range(30):
        counted.refuse([f"Bid '{number}': price 0.{number} is below the floor of {number}."])
    counted.refuse(["x" * length for length in range(1, 40)])
    problems = counted.summary(1.0).problems
    assert problems[0] == Problem("Bid '0': price 0.0 is below the floor of 0.", 30)
    assert len(problems) == PROBLEMS_KEPT_MAX
    assert counted.summary(1.0).errors_by_kind == {"invalid_response": 31}


def test_books_whose_totals_and_accounts_differ_are_caught() -> None:
    books = Books()
    assert books.open_account("c")
    books.enter_win("c")
    books.enter_spend("c", 5)
    books.check()
    books.spent += 1
    with pytest.raises(AssertionError):
        books.check()


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
    assert ready.wait(10)
    yield address[0]
    done.set()
    thread.join(10)


def test_the_command_runs_and_writes_both_reports(stub_target: str, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    done = run(
        "--target", stub_target, "--rate", "50", "--seconds", "0.5", "--json", "--report", str(report)
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    printed = orjson.loads(done.stdout)
    assert printed["requests"] > 0
    assert printed["errors"] == 0
    assert f"<b>{printed['requests']}</b>" in report.read_text()


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


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--target", "http://bidder.example/bid/plain"), "bidder.example is not this machine; add --i-own-"),
        (("--target", "http://127.0.0.1@bidder.example/bid"), "bidder.example is not this machine"),
        (("--target", "127.0.0.1:8080"), "is not an http or https URL"),
        (("--target", "http://127.0.0.1:1/bid/plain"), "can't connect to 127.0.0.1:1"),
        (("--target", "http://127.0.0.1:1/", "--replay", "absent.jsonl"), "can't read absent.jsonl"),
        (("--target", "http://127.0.0.1:1/", "--report", "no/such/folder.html"), "there is no folder"),
    ],
)
def test_what_can_t_be_run_is_one_sentence_and_status_2(arguments: tuple[str, ...], sentence: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    "option", [("--rate", "20001"), ("--rate", "0"), ("--seconds", "86401"), ("--connections", "1025")]
)
def test_rate_seconds_and_connections_have_limits(option: tuple[str, str]) -> None:
    assert run("--target", "http://127.0.0.1:1/", *option).exit_code == 2
