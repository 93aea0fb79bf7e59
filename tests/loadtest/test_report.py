"""The report holds the run's figures, escapes what the bidder wrote, and needs nothing from outside."""

import itertools
import re
from html.parser import HTMLParser
from typing import get_args

import msgspec
import pytest

from bidder.cli.loadtest_view import show
from loadtest.books import Books
from loadtest.connection import Failure
from loadtest.exchange import Exchange, ExchangeSettings
from loadtest.lane import Target
from loadtest.limits import PROBLEMS_KEPT_MAX
from loadtest.notices import NoticeKind
from loadtest.report import ERROR_MEANINGS, page
from loadtest.result import Asked, Result, result_of
from loadtest.tally import Problem, Tally

ASKED = Asked(
    rate=5,
    seconds=2,
    warm_up_seconds=0,
    seed=1,
    connections=4,
    source="generated",
    shape="flat",
    landscape="log-normal, by format",
    notices="each once and in order",
)


def count(counted: Tally) -> None:
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


def counted(*targets: Target, is_strained: bool = False) -> Result:
    """The result of a run of two seconds in which each target did the same."""
    clock = iter(itertools.count(start=100.0, step=1.0))
    exchange = Exchange(ExchangeSettings(seed=1, connections=4), targets, clock=lambda: next(clock))
    for lane in exchange.lanes:
        count(lane.measured)
    if is_strained:
        exchange.strain.begin()
        exchange.strain.sent(0.2)
    return result_of(ASKED, targets, exchange, "2026-11-03T20:00:00+00:00")


ONE = Target("<one>", "http://127.0.0.1:1/bid/<x>")
TWO = Target("two", "http://127.0.0.1:2/bid")


def test_the_result_has_exact_money_and_says_what_it_is() -> None:
    found = msgspec.to_builtins(counted(ONE))
    assert (found["kind"], found["version"], found["ending"]) == ("hustings-loadtest", 1, "complete")
    assert found["spend"] == "0.002123456"
    assert (found["currency"], found["requests"], found["bids"], found["wins"]) == ("USD", 4, 2, 1)
    assert (found["impressions"], found["clicks"], found["errors"], found["timeouts"]) == (1, 0, 1, 1)
    (target,) = found["targets"]
    assert target["errors_by_kind"] == found["errors_by_kind"] == {"invalid_response": 1}
    assert target["problems"] == [{"sentence": "Bid '<b>': price -1 is no price.", "times": 1}]
    assert target["bid_rate"] == 0.5
    assert target["latency_ms"] == found["latency_ms"]
    assert found["latency_ms"]["p50"] == pytest.approx(4, rel=0.02)
    assert found["latency_ms"]["p99"] == pytest.approx(90, rel=0.02)
    assert target["campaigns"][0] == {
        "id": "acme<script>", "spent": "0.002123456", "wins": 1, "impressions": 1, "clicks": 0
    }  # fmt: skip
    assert msgspec.json.decode(msgspec.json.encode(counted(ONE)), type=Result) == counted(ONE)


def test_several_targets_add_up_and_the_slowest_is_the_latency() -> None:
    exchange = Exchange(ExchangeSettings(seed=1, connections=4), [ONE, TWO])
    for lane, slow_s in zip(exchange.lanes, (0.1, 3.0), strict=True):
        count(lane.measured)
        lane.measured.latency.record(slow_s)
    found = result_of(ASKED, [ONE, TWO], exchange, "2026-11-03T20:00:00+00:00")
    assert (found.requests, found.wins, found.errors, found.spend) == (8, 2, 2, "0.004246912")
    assert found.errors_by_kind == {"invalid_response": 2}
    assert found.latency_ms.max == found.targets[1].latency_ms.max == 3_000


def test_the_page_escapes_what_others_wrote() -> None:
    html = page(counted(ONE))
    assert "acme&lt;script&gt;" in html
    assert "/bid/&lt;x&gt;" in html
    assert "&lt;one&gt;" in html
    assert "&lt;b&gt;" in html
    assert "<script" not in html
    assert "<one>" not in html


def test_a_target_that_answered_nothing_has_no_latency(capsys: pytest.CaptureFixture[str]) -> None:
    exchange = Exchange(ExchangeSettings(seed=1, connections=4), (ONE,), clock=lambda: 100.0)
    exchange.lanes[0].measured.requests = 3
    result = result_of(ASKED, (ONE,), exchange, "2026-11-03T20:00:00+00:00")
    show(result, is_quiet=False, report=None)
    assert re.search(r"latency +– *$", capsys.readouterr().out, re.MULTILINE)
    assert page(result).count("<dd>–</dd>") == 2


@pytest.mark.parametrize("targets", [(ONE,), (ONE, TWO)])
def test_the_page_refers_to_nothing_outside_and_is_well_formed(targets: tuple[Target, ...]) -> None:
    html = page(counted(*targets))
    assert not re.search(r"\b(src|href)\s*=|@import|url\(", html)
    urls = re.findall(r"https?://[^\s<]*", html)
    assert urls == [target.url.replace("<", "&lt;").replace(">", "&gt;") for target in targets]
    assert html.count("<polyline") == len(targets) + 4 * len(targets)
    body = Elements()
    body.feed(html)
    assert body.open == []
    assert len(body.ids) == len(set(body.ids))
    assert set(body.labels) <= set(body.ids)


class Elements(HTMLParser):
    """What is open, which ids there are, and which are referred to."""

    VOID = ("meta",)

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.labels: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        named = dict(attrs)
        self.ids += [value for name, value in attrs if name == "id" and value]
        if labelled := named.get("aria-labelledby"):
            self.labels.append(labelled)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A path or a line of a drawing: nothing to close, no id."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_of_a_run_without_answers_is_whole() -> None:
    exchange = Exchange(ExchangeSettings(seed=1, connections=4), [ONE])
    html = page(result_of(ASKED, [ONE], exchange, "2026-11-03T20:00:00+00:00"))
    assert "No request was answered." in html
    assert "No request was sent." in html


def test_the_page_compares_targets_column_by_column() -> None:
    html = page(counted(ONE, TWO))
    assert '<th scope="row">sent</th><td>4</td><td>4</td>' in html
    assert re.search(r'<th scope="row">invalid_response<small>.+</small></th><td>1</td><td>1</td>', html)
    assert html.count("acme&lt;script&gt;") == 2


def test_a_client_that_is_the_bottleneck_says_so_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    well = counted(ONE)
    assert (well.client.is_bottleneck, well.client.reasons) == (False, [])
    assert "The client was the bottleneck" not in page(well)
    strained = counted(ONE, is_strained=True)
    assert strained.client.is_bottleneck
    assert "more than 200 ms after their planned moment" in strained.client.reasons[0]
    assert strained.client.reasons[0] in page(strained)
    show(strained, is_quiet=True, report=None)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "The client was the bottleneck" in printed.err


def test_every_kind_of_error_has_a_meaning() -> None:
    kinds = {*get_args(Failure), "not_json", "invalid_response", "other_currency", "too_many_campaigns"}
    kinds |= {f"{kind}_notice" for kind in get_args(NoticeKind)} | {"undrained"}
    assert kinds - {"", "silent", "unsent"} == set(ERROR_MEANINGS)


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
