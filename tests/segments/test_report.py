"""The page about audiences: what it says is what was counted, and it needs nothing from elsewhere."""

import re
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest
import redis.asyncio

from segments.counts_history import SegmentCounts
from segments.overlap import Overlaps
from segments.registry import Definition, Load, SegmentRegistry
from segments.report import report_page
from segments.report_charts import even_ticks, line_plot, spark, thinned
from segments.store import SCAN_CHUNKS, SegmentStore
from segments.survey import Survey, take_survey
from tests.segments.crowd import NAMES, TODAY, draw_people, living, store_people

DAY = 86_400
NOW = TODAY * DAY + 3_600
VOID = {"meta", "rect", "polygon", "polyline", "br"}


class Page(HTMLParser):
    """The tables and words of a page; `th`, `td` and `tr` may be left open, nothing else."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.labels: list[str] = []
        self.attributes: set[str] = set()
        self.tags: set[str] = set()
        self._open: list[str] = []
        self._cell = False
        self.text = ""
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.labels += [value for name, value in attrs if name == "aria-label" and value]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")
            self._cell = True
        if tag not in VOID | {"tr", "th", "td"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("table", "thead"):
            self._cell = False
        if tag not in VOID | {"tr", "th", "td"}:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["style"]:
            return
        self.text += data
        if self._cell:
            self.tables[-1][-1][-1] += data


def a_survey(n: int = 3) -> Survey:
    names = tuple(f"s{number}" for number in range(n))
    sizes = [100 - number for number in range(n)]
    cookies = np.full((n, n), 20, np.int64)
    np.fill_diagonal(cookies, sizes)
    if n > 1:
        cookies[0, 1] = cookies[1, 0] = 66
    segments = tuple(Definition(name, index) for index, name in enumerate(names))
    counts = SegmentCounts(NOW, 1_000, dict(zip(names, sizes, strict=True)))
    return Survey(segments, counts, Overlaps(names, cookies), {TODAY: 400, TODAY + 6: 50, TODAY + 9: 550})


async def test_a_survey_is_what_plain_sets_say(redis_client: redis.asyncio.Redis) -> None:
    rng = np.random.default_rng(4)
    people = draw_people(rng, 2_000)
    await store_people(redis_client, rng, people)
    calls: list[None] = []
    survey = await take_survey(
        SegmentStore(redis_client),
        await SegmentRegistry(redis_client).describe(),
        TODAY,
        NOW,
        lambda: calls.append(None),
    )
    alive = living(people)
    assert len(calls) == SCAN_CHUNKS
    assert survey.counts.at_s == NOW
    assert survey.counts.cookies == len(alive)
    assert survey.counts.sizes == {name: sum(name in members for members in alive) for name in NAMES}
    days = [person.last_day for person in people if person.last_day >= TODAY]
    assert survey.last_days == {day: days.count(day) for day in set(days)}
    row, column = survey.overlaps.names.index("s0"), survey.overlaps.names.index("s2")
    assert survey.overlaps.cookies[row, column] == sum({"s0", "s2"} <= members for members in alive)
    assert "s69" in report_page(survey, [])


def test_the_page_needs_nothing_from_elsewhere() -> None:
    html = report_page(a_survey(), [SegmentCounts(NOW - DAY, 900, {"s0": 80})])
    page = Page(html)
    assert not page.tags & {"script", "link", "img", "iframe", "object"}
    assert not page.attributes & {"src", "href", "onclick", "onload"}
    assert not re.search(r"https?:|url\(|@import", html)
    assert "prefers-color-scheme: dark" in html


def test_each_number_is_in_a_table() -> None:
    earlier = [SegmentCounts(NOW - day * DAY, 1_000 - day, {"s0": 100 - day}) for day in range(1, 60)]
    page = Page(report_page(a_survey(), earlier))
    growth, sizes, loads, weeks, heat, alike = page.tables
    assert growth[1][1] == "1,000"
    assert growth[-1][1] == "941"
    assert [row[1] for row in sizes[1:]] == ["100", "99", "98"]
    # s0 was counted 29 times in the 30 days before.
    assert sizes[1][4] == "+29"
    assert sizes[2][4] == ""
    assert loads[1:] == [["never", "3", ""]]
    assert [row[1] for row in weeks[1:]] == ["450", "550"]
    assert weeks[1][0] == "2024-10-04 to 2024-10-10"
    assert heat[1] == ["1 s0", "100", "66", "20"]
    assert heat[2] == ["2 s1", "67", "100", "20"]
    assert alike[1][:4] == ["s0", "s1", "66", "49.6"]
    assert "45% of the cookies end within 7 days unless they are loaded again" in page.labels


def test_freshness_tells_files_from_events() -> None:
    survey = a_survey(4)
    loads = [Load(NOW - 60, "monday.csv"), Load(NOW - 3 * DAY, "friday.csv"), Load(NOW - 40 * DAY, "old.csv")]
    segments = [
        msgspec.structs.replace(segment, load=load)
        for segment, load in zip(survey.segments, loads, strict=False)
    ] + [msgspec.structs.replace(survey.segments[3], ruled=True)]
    page = Page(report_page(msgspec.structs.replace(survey, segments=tuple(segments)), []))
    sizes, ages = page.tables[:2]
    assert [row[5] for row in sizes[1:]] == [
        "2024-10-04monday.csv",
        "2024-10-01friday.csv",
        "2024-08-25old.csv",
        "by events, always",
    ]
    assert [row[:2] for row in ages[1:]] == [
        ["within a day", "1"],
        ["1 to 7 days ago", "1"],
        ["longer ago", "1"],
        ["by events, always", "1"],
    ]


def test_a_segment_keeps_its_past_under_its_former_name() -> None:
    survey = a_survey(1)
    renamed = msgspec.structs.replace(survey.segments[0], former_names=("was",))
    page = Page(
        report_page(
            msgspec.structs.replace(survey, segments=(renamed,)), [SegmentCounts(NOW - DAY, 9, {"was": 60})]
        )
    )
    assert page.tables[1][1][4] == "+40"


def test_words_of_people_are_words_and_no_markup() -> None:
    survey = a_survey(2)
    marked = msgspec.structs.replace(
        survey.segments[0], description="<script>&", owner="a-b", load=Load(NOW, "<b>.csv")
    )
    page = Page(report_page(msgspec.structs.replace(survey, segments=(marked, survey.segments[1])), []))
    assert "a-b’s · <script>&" in page.text
    assert "<b>.csv" in page.text
    assert "script" not in page.tags


@pytest.mark.parametrize("n", [0, 1, 60])
def test_few_segments_and_many(n: int) -> None:
    page = Page(report_page(a_survey(n), []))
    assert "first time that everybody was counted" in page.text
    if n > 20:
        assert "40 smaller ones" in page.text
        assert [len(table) - 1 for table in page.tables[:2]] == [20, 40]
        assert {row[0] for table in page.tables[:2] for row in table[1:]} == {f"s{i}" for i in range(n)}


def test_an_empty_store_has_a_page() -> None:
    survey = Survey((), SegmentCounts(NOW, 0, {}), Overlaps((), np.zeros((0, 0), np.int64)), {})
    assert "No segment is defined." in Page(report_page(survey, [])).text


def test_cookies_that_last_for_decades_share_the_last_column() -> None:
    survey = msgspec.structs.replace(a_survey(), last_days={TODAY: 1, 65_535: 999})
    weeks = Page(report_page(survey, [])).tables[2]
    assert weeks[2] == ["2026-10-02 or later", "999"]


def test_long_histories_are_thinned_for_a_plot() -> None:
    assert thinned(range(1_000), 5) == [0, 250, 500, 749, 999]
    assert thinned([1, 2], 5) == [1, 2]
    assert even_ticks(["a", "b", "c"]) == ["a", "b", "c"]
    assert spark([7]) == ""
    points = re.findall(r"[\d.]+,[\d.]+", spark(list(range(400))).partition("points=")[2])
    assert (len(points), points[0], points[-1]) == (30, "0.0,22.0", "100.0,2.0")


def test_a_plot_of_nothing_is_a_flat_line() -> None:
    assert 'points="0.00,100.00 100.00,100.00"' in line_plot([(0.0, 0), (1.0, 0)], [], "none")
