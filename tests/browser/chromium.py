"""A real Chromium without a window, told what to do over its DevTools protocol.

    async with chromium(folder) as browser:
        page = await browser.page(width=390, height=800)
        await page.open("http://127.0.0.1:8082/")
        await page.until("document.readyState === 'complete'")

It is the program of the system's package (Debian: `chromium`); nothing is downloaded. A page collects what
its console says, what it throws and every address it asks for.
"""

import asyncio
import base64
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.waiting import SECONDS_MAX

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def chromium_program() -> str:
    """Return the browser to use; skips the test where there is none."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium on the path: install Debian's package `chromium` to run this test")
    return program


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.faults: list[str] = []
        """What the console said as a warning or an error, what was thrown, what the policy refused."""
        self.addresses: list[str] = []
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            told = msgspec.json.decode(message.data)
            if "id" in told:
                self._replies.pop(told["id"]).set_result(told)
                continue
            said = told["params"]
            match told["method"]:
                case "Network.requestWillBeSent":
                    self.addresses.append(said["request"]["url"])
                case "Runtime.exceptionThrown":
                    details = said["exceptionDetails"]
                    self.faults.append(details.get("exception", {}).get("description", details["text"]))
                case "Runtime.consoleAPICalled" if said["type"] in ("warning", "error"):
                    self.faults.append(" ".join(str(one.get("value", "")) for one in said["args"]))
                case "Log.entryAdded" if said["entry"]["level"] in ("warning", "error"):
                    self.faults.append(said["entry"]["text"])

    async def tell(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        reply = self._replies[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        async with asyncio.timeout(SECONDS_MAX):
            told = await reply
        assert "error" not in told, told["error"]
        result: dict[str, Any] = told["result"]
        return result

    async def open(self, url: str) -> None:
        """Go to a page; return when it has loaded."""
        await self.tell("Page.navigate", url=url)
        await self.until("location.href !== 'about:blank' && document.readyState === 'complete'")

    async def value(self, expression: str) -> Any:
        """Return what an expression is in the page; a promise is waited for."""
        told = await self.tell(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        async with asyncio.timeout(SECONDS_MAX):
            while not await self.value(expression):  # noqa: ASYNC110 - a page can only be asked
                await asyncio.sleep(0.05)

    async def emulate(self, *, width: int, height: int, dark: bool = False, still: bool = True) -> None:
        """Be a screen of this size, of a reader who likes it dark, and without motion."""
        await self.tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        await self.tell("Emulation.setEmulatedMedia", features=features)

    async def press(self, key: str) -> None:
        """Press and release a key, named as in the DOM."""
        codes = {"Tab": 9, "Enter": 13}
        for kind in ("rawKeyDown", "keyUp"):
            await self.tell(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=codes[key],
                **({"text": "\r"} if key == "Enter" and kind == "rawKeyDown" else {}),
            )

    async def picture(self, path: Path) -> None:
        """Write the whole page as PNG."""
        size = (await self.tell("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        told = await self.tell("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        await asyncio.to_thread(_write, path, base64.b64decode(told["data"]))

    async def close(self) -> None:
        await self._socket.close()
        await self._reader


class Browser:
    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        self.pages: list[Page] = []

    async def page(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        """Open an empty tab."""
        async with self._session.put(f"{self._url}/json/new?about:blank") as response:
            address = (await response.json())["webSocketDebuggerUrl"]
        page = Page(await self._session.ws_connect(address, max_msg_size=64 * 1024 * 1024))
        self.pages.append(page)
        for domain in ("Page", "Runtime", "Network", "Log"):
            await page.tell(f"{domain}.enable")
        await page.emulate(width=width, height=height, dark=dark)
        return page


@contextlib.asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Browser]:
    """Start a browser whose profile is in a folder, and leave nothing running."""
    program = chromium_program()
    profile = folder / "profile"
    process = await asyncio.create_subprocess_exec(
        program,
        "--headless=new",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-dev-shm-usage",
        "--disable-extensions",
        "--disable-gpu",
        "--disable-sync",
        "--hide-scrollbars",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(SECONDS_MAX):
            while not (lines := _said(profile / "DevToolsActivePort")):
                assert process.returncode is None, "Chromium ended before it could be spoken to"
                await asyncio.sleep(0.05)
        async with aiohttp.ClientSession() as session:
            browser = Browser(f"http://127.0.0.1:{lines[0]}", session)
            try:
                yield browser
            finally:
                for page in browser.pages:
                    await page.close()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _said(path: Path) -> list[str]:
    """Return the port and the path that a browser writes when it listens; empty before."""
    try:
        lines = path.read_text().split("\n")
    except FileNotFoundError:
        return []
    return lines if len(lines) == 2 else []
