"""The dashboard in a real browser: what somebody at the desk, on a phone or without eyes gets."""

from pathlib import Path

import pytest

from pacing import stop as global_stop
from pacing.stop import Stop
from tests.admin.conftest import AdminPort
from tests.browser.access import faults_of_access
from tests.browser.chromium import Browser, Page
from tests.browser.conftest import HOSTILE, Engine

SCREENS = {"desktop": (1280, 900), "phone": (320, 640)}


async def open_dashboard(page: Page, port: AdminPort) -> None:
    """Load the page, and wait until it has heard of everything."""
    await page.open(port.url + "/")
    await page.until("document.getElementById('spent')?.textContent.length > 1")
    await page.until("document.getElementById('rate').textContent !== '–'")


def texts(selector: str) -> str:
    return f"[...document.querySelectorAll({selector!r})].map((found) => found.textContent)"


async def test_it_shows_the_engine_at_work_and_keeps_up(browser: Browser, working: Engine) -> None:
    await working.work()
    page = await browser.page()
    await open_dashboard(page, working.port)
    assert await page.value("document.getElementById('state-text').textContent") == "ready"
    assert await page.value("document.getElementById('notice').hidden")
    assert await page.value(texts("#campaigns th")) == [
        "Spring listHilltop Books · even",
        "ownline item with a budget of its own",
        "Harvest daysHilltop Books · paused",
        "A long name that has to be broken somewhere on a phoneHilltop Books · as soon as possible",
        # Shown as it is written, and nothing else happens.
        f"{HOSTILE}Hilltop Books · even",
    ]
    assert await page.value("document.title") == "Hustings"
    spring, own, *_ = await page.value(texts("#campaigns td:nth-child(2) small"))
    assert spring.startswith("$5.00 of $40.00, 13 %; plan ")
    assert own == "$1.00 of $20.00, 5.0 %"
    # A segment that was never loaded comes first, and is told from one that was.
    assert await page.value(texts("#audiences th")) == ["newsletter", "gardeners"]
    assert await page.value(texts("#audiences td:last-child")) == ["never", "2 h ago"]
    assert "2 segments: 1 loaded within a day, 1 never loaded" in await page.value(
        "document.getElementById('audiences-summary').textContent"
    )
    assert await page.value(texts("#workers th")) == ["3680495909", "4120464380"]
    assert await page.value(texts("#reasons th")) == ["no match", "out of audience", "below floor"]
    assert await page.value(texts("#trouble th")) == ["notices forged"]
    assert "valkey" in await page.value("document.getElementById('redis').textContent")
    before = await page.value("document.getElementById('since').textContent")

    await working.work()
    await page.until(f"document.getElementById('since').textContent !== {before!r}")
    canvases = "document.querySelectorAll('.plot canvas').length"
    assert await page.value(canvases) == 3
    await page.value("document.getElementById('minutes').open = true")
    await page.until("document.querySelectorAll('#minutes-rows th').length > 0")
    await global_stop.put(working.port.client, Stop("ann", 5.0, "wrong creative"))
    await page.until("document.getElementById('state-text').textContent === 'all bidding is stopped'")
    assert await page.value("document.getElementById('notice').textContent") == (
        "All bidding is stopped by ann: wrong creative."
    )
    assert page.faults == []
    assert {address[: len(working.port.url)] for address in page.addresses} == {working.port.url}


async def test_it_fits_every_screen_and_looks_after_itself_in_the_dark(
    browser: Browser, working: Engine, screenshots: Path
) -> None:
    for _ in range(5):
        await working.work()
    grounds = set()
    for name, (width, height) in SCREENS.items():
        for shade in ("light", "dark"):
            page = await browser.page(width=width, height=height, dark=shade == "dark")
            await open_dashboard(page, working.port)
            # Nothing sticks out: what is wider scrolls in its own box.
            assert await page.value("document.documentElement.scrollWidth") == width
            grounds.add(await page.value("getComputedStyle(document.body).backgroundColor"))
            await page.picture(screenshots / f"dashboard-{name}-{shade}.png")
            assert await faults_of_access(page) == []
            assert page.faults == []
    assert len(grounds) == 2


async def test_it_can_be_walked_through_with_the_keyboard(browser: Browser, working: Engine) -> None:
    await working.work()
    page = await browser.page()
    await open_dashboard(page, working.port)
    at = "document.activeElement"
    await page.press("Tab")
    assert await page.value(f"{at}.textContent") == "Skip to campaigns"
    assert await page.value(f"{at}.getBoundingClientRect().left") >= 0
    await page.press("Enter")
    await page.until(f"{at}.id === 'campaigns-heading'")
    met = []
    while True:
        await page.press("Tab")
        what = await page.value(
            f"{at} === document.body ? '' : {at}.getAttribute('aria-labelledby') || {at}.textContent.trim()"
        )
        if not what:
            break
        met.append(what)
        assert await page.value(f"getComputedStyle({at}).outlineStyle") == "solid", what
        assert await page.value(f"parseFloat(getComputedStyle({at}).outlineWidth)") >= 2
        assert len(met) < 40
    # Regions that may have to be scrolled can be reached, and then the links.
    assert met[0] == "campaigns-caption"
    assert met[-4:] == ["metrics", "status.json", "ready", "uPlot"]


async def test_only_the_state_is_announced_and_only_when_it_changes(
    browser: Browser, working: Engine
) -> None:
    await working.work()
    page = await browser.page()
    await open_dashboard(page, working.port)
    assert await page.value(texts("[aria-live]")) == ["ready"]
    await page.value(
        "window.said = 0; new MutationObserver(() => { window.said++; })"
        ".observe(document.getElementById('state'), { childList: true, subtree: true, characterData: true })"
    )
    heard = "document.getElementById('since').textContent"
    before = await page.value(heard)
    await working.work()
    await page.until(f"{heard} !== {before!r}")
    assert await page.value("window.said") == 0


async def test_it_comes_back_when_the_port_does(
    browser: Browser, working: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bidder.admin.stream.RETRY_MS", 50)
    await working.work()
    page = await browser.page()
    await open_dashboard(page, working.port)
    await page.value(
        "window.states = []; new MutationObserver(() => { window.states.push("
        "document.getElementById('state-text').textContent) })"
        ".observe(document.getElementById('state'), { childList: true, subtree: true, characterData: true })"
    )
    stream = working.port.stream
    (listener,) = stream._listeners
    stream._drop(listener)
    await page.until("window.states.at(-1) === 'ready'")
    assert await page.value("window.states") == ["the admin port does not answer; trying again", "ready"]
    assert stream.listeners == 1
