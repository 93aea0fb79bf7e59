"""The edge: HTTP to the bidder, over connections that stay open.

`BidClient` posts bid requests; the caller holds no more than `connections` of them open at once, so
a request never waits for a connection in here. An answer that is late is still read, because
dropping the connection would make the next request pay for a new one, and so its true latency is
known. Only a bidder silent for ANSWER_SECONDS_MAX is given up on.

`NoticeClient` calls notice URLs. It never follows a redirect: the target is another's server.
"""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp
import msgspec
from yarl import URL

from loadtest.limits import (
    ANSWER_BYTES_MAX,
    ANSWER_SECONDS_MAX,
    NOTICE_CONNECTIONS,
    NOTICE_SECONDS_MAX,
)

_BID_HEADERS = {"Content-Type": "application/json", "x-openrtb-version": "2.6"}
_UNWANTED_HEADERS = ("Accept", "Accept-Encoding", "User-Agent")
CONNECT_SECONDS_MAX = 5.0


class TargetError(Exception):
    """The target can't be tested; the message says why and how to mend it."""


class Answer(msgspec.Struct, frozen=True):
    """What came back, and when by the client's clock. Status 0 is no answer: `failure` says why."""

    status: int
    body: bytes
    sent_s: float
    done_s: float
    failure: str = ""


async def reach(target: str) -> None:
    """Open and close one connection; raises TargetError when nobody listens there."""
    parts = urlsplit(target)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        raise TargetError(f"{host}:{port} does not answer; is the bidder running?") from None
    except OSError as error:
        reason = error.strerror or "it has no address"
        raise TargetError(f"can't connect to {host}:{port} ({reason}); is the bidder running?") from None
    writer.close()
    await writer.wait_closed()


class BidClient:
    """Posts bid requests to one URL."""

    def __init__(self, target: str, connections: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._target = URL(target)
        self._clock = clock
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections),
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX),
            headers=_BID_HEADERS,
            skip_auto_headers=_UNWANTED_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def ask(self, body: bytes) -> Answer:
        """Send one request and read its answer, however late; failures are answers too."""
        sent_s = self._clock()
        try:
            async with self._session.post(self._target, data=body, allow_redirects=False) as response:
                content = await _read(response)
                if content is None:
                    return Answer(0, b"", sent_s, self._clock(), "too_large")
                return Answer(response.status, content, sent_s, self._clock())
        except TimeoutError:
            return Answer(0, b"", sent_s, self._clock(), "silent")
        except (aiohttp.ClientError, OSError):
            return Answer(0, b"", sent_s, self._clock(), "connection")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """Return the body, or None when it is larger than ANSWER_BYTES_MAX."""
    if response.content_length is not None:
        return await response.read() if response.content_length <= ANSWER_BYTES_MAX else None
    parts = bytearray()
    async for part in response.content.iter_any():
        parts += part
        if len(parts) > ANSWER_BYTES_MAX:
            return None
    return bytes(parts)


class NoticeClient:
    """Calls notice, pixel and click URLs."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=NOTICE_CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=NOTICE_SECONDS_MAX),
            skip_auto_headers=_UNWANTED_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def call(self, url: str) -> int:
        """Get a URL and return the status; 0 when there was no answer or an endless one."""
        try:
            # `encoded` keeps the URL byte for byte as the bidder wrote it.
            async with self._session.get(URL(url, encoded=True), allow_redirects=False) as response:
                # An unread body would cost the connection.
                return response.status if await _read(response) is not None else 0
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
