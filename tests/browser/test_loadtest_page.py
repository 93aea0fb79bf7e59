"""The page of `hustings loadtest --report`, of a run against a sound bidder and one that is not."""

import asyncio
import random
from pathlib import Path

import pytest
from aiohttp import web

from loadtest.lane import Target
from loadtest.report import page as report_page
from loadtest.result import Asked, result_of
from loadtest.traffic import requests
from tests.browser.access import faults_of_access
from tests.browser.chromium import Browser
from tests.loadtest.stub_bidder import running_stub
from tests.loadtest.test_run import MIX, exchange_with

RATE, SECONDS = 100, 2
ASKED = Asked(
    rate=RATE,
    seconds=SECONDS,
    warm_up_seconds=0,
    seed=3,
    connections=8,
    source="generated",
    shape="flat",
    landscape="log-normal",
    notices="each once and in order",
)
HOSTILE = '<img src=x onerror="document.title=1">'


@pytest.fixture
async def report(tmp_path: Path) -> Path:
    """The page of a run that found errors of several kinds, on disk."""
    async with running_stub() as sound, running_stub() as faulty:

        async def answer_badly(http: web.Request) -> web.StreamResponse:
            if faulty.asked % 9 == 0:
                faulty.asked += 1
                return web.Response(status=500)
            if faulty.asked % 5 == 0:
                faulty.asked += 1
                return web.json_response({"id": HOSTILE, "seatbid": [], "cur": HOSTILE})
            return await faulty.bid_on_everything(http)

        faulty.answer = answer_badly
        targets = (Target("sound", sound.target), Target(f"faulty {HOSTILE}", faulty.target))
        exchange = exchange_with(*targets, click_share=0.2)
        moments = [n / RATE for n in range(RATE * SECONDS)]
        await exchange.run(requests(MIX, random.Random(3)), moments, asyncio.Event())
        html = report_page(result_of(ASKED, targets, exchange, "2026-11-03T20:00:00+00:00"))
    file = tmp_path / "report.html"
    file.write_text(html, "utf-8")
    return file


async def test_it_opens_from_the_disk_and_fits_every_screen(
    browser: Browser, report: Path, screenshots: Path
) -> None:
    for name, width, dark in (
        ("desktop-light", 1280, False),
        ("desktop-dark", 1280, True),
        ("phone-light", 320, False),
        ("phone-dark", 320, True),
    ):
        page = await browser.page(width=width, height=800, dark=dark)
        await page.open(report.as_uri())
        await page.until("document.readyState === 'complete'")
        assert await page.value("document.documentElement.scrollWidth") == width
        await page.picture(screenshots / f"loadtest-report-{name}.png")
        assert await faults_of_access(page) == []
        assert page.faults == []
        assert page.addresses == [report.as_uri()]
        # What a bidder, or the command line, wrote is text on it.
        assert await page.value("document.images.length") == 0
        assert "Load test of sound, faulty <img" in await page.value("document.title")


async def test_everything_on_it_can_be_reached_and_is_drawn_in_its_theme(
    browser: Browser, report: Path
) -> None:
    grounds = []
    for dark in (False, True):
        page = await browser.page(width=320, dark=dark)
        await page.open(report.as_uri())
        grounds.append(await page.value("getComputedStyle(document.body).backgroundColor"))
        # Of every table, what is wider than a phone can be scrolled to, with the keyboard as well.
        hidden = await page.value(
            "[...document.querySelectorAll('table')].filter((table) => {"
            " const room = table.parentElement;"
            " return table.scrollWidth > room.clientWidth"
            " && !(getComputedStyle(room).overflowX === 'auto' && room.tabIndex === 0) }).length"
        )
        assert hidden == 0
        lines = await page.value(
            "[...document.querySelectorAll('polyline')].map((line) => getComputedStyle(line).stroke)"
        )
        assert len(lines) == 2 + 2 * 4
        assert "none" not in lines
    assert grounds[0] != grounds[1]
