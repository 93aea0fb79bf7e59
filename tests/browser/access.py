"""Whether a page can be used by everybody, as far as a program can tell: axe, in the page itself."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import msgspec

from tests.browser.chromium import Page

AXE = Path(__file__).parent / "axe" / "axe.min.js"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
"""axe-core 4.14.1 as published on npm (MPL-2.0); it is used here and is no part of what is installed."""
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


async def faults_of_access(page: Page) -> list[str]:
    """Return what axe finds against WCAG 2.2 A and AA and its best practices, a sentence each."""
    script = await asyncio.to_thread(AXE.read_bytes)
    assert hashlib.sha256(script).hexdigest() == AXE_SHA256
    await page.value(f"{script.decode()}; typeof axe")
    options = msgspec.json.encode({"runOnly": RULES}).decode()
    found: list[dict[str, Any]] = await page.value(
        f"axe.run(document, {options}).then((all) => all.violations)"
    )
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html']}" for one in found]
