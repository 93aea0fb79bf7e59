"""The page of `hustings campaign report`, opened from the disk as whoever gets it opens it."""

from pathlib import Path

import redis.asyncio

from bidder.campaign_page import campaigns_page
from tests.browser.access import faults_of_access
from tests.browser.chromium import Browser
from tests.test_campaign_report import a_month, month_of_hours, report


async def test_it_opens_from_the_disk_and_fits_every_screen(
    browser: Browser, redis_client: redis.asyncio.Redis, screenshots: Path, tmp_path: Path
) -> None:
    await a_month(redis_client)
    await month_of_hours(redis_client)
    file = tmp_path / "report.html"
    file.write_text(campaigns_page(await report(redis_client)), "utf-8")
    for name, width, dark in (("desktop-light", 1280, False), ("phone-dark", 320, True)):
        page = await browser.page(width=width, height=800, dark=dark)
        await page.open(file.as_uri())
        await page.until("document.readyState === 'complete'")
        assert await page.value("document.documentElement.scrollWidth") == width
        await page.picture(screenshots / f"campaign-report-{name}.png")
        assert await faults_of_access(page) == []
        assert page.faults == []
        assert page.addresses == [file.as_uri()]
