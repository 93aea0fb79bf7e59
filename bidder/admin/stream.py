"""What open dashboards hear: server-sent events, for as long as they keep up.

    stream = Stream(watcher, pulses)
    app.router.add_get("/stream", stream.serve)

A listener gets `pulses`, the last ten minutes, then `pulse` and `status` every two seconds:

    event: pulse
    data: {"at_s":1772000000.0,"seconds":2.0,"requests":612,...}

A status is asked of Redis while somebody listens, once for all of them. A comment goes out when nothing else
did for HEARTBEAT_SECONDS, so that a proxy keeps the connection and a dead one is found. A browser connects
again by itself, and begins with `pulses` anew: events have no ids, and nothing has to be made up for.

A listener has room for LISTENER_EVENTS_MAX events. Who does not read fast enough for that is dropped, for
what would be kept for them grows without end and is old when they read it. LISTENERS_MAX listen at a time;
others are told to come again.
"""

import asyncio
import contextlib
import logging
import time
from typing import Final

import msgspec
from aiohttp import web

from bidder.admin.pulse import Pulse, Pulses, pause_s
from bidder.admin.snapshot import Watcher
from bidder.admin.status import abridged, status

LISTENERS_MAX: Final = 64
LISTENER_EVENTS_MAX: Final = 8
HEARTBEAT_SECONDS: Final = 10.0
WRITE_SECONDS_MAX: Final = 10.0
"""A listener whose connection takes nothing for this long is dropped."""
RETRY_MS: Final = 2_000
"""How long a browser waits before it connects again."""
STATUS_SECONDS: Final = 2.0
CAMPAIGNS_SHOWN_MAX: Final = 200
LINE_ITEMS_SHOWN_MAX: Final = 5
"""With a budget of their own, of each campaign."""

HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Accel-Buffering": "no"}
_ENCODER = msgspec.json.Encoder()
_COMMENT = b":\n\n"

logger = logging.getLogger(__name__)


def event(name: str, data: object) -> bytes:
    """Return one server-sent event; its data is one line of JSON."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), _ENCODER.encode(data))


class Stream:
    """The listeners of one admin port."""

    def __init__(self, watcher: Watcher, pulses: Pulses) -> None:
        self._watcher = watcher
        self._pulses = pulses
        self._listeners: set[asyncio.Queue[bytes | None]] = set()
        self._heard = asyncio.Event()
        self._last_status = b""
        pulses.on_pulse = self._on_pulse

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Tell one listener everything until one of the two goes."""
        if len(self._listeners) >= LISTENERS_MAX:
            return web.Response(
                status=503, text="too many dashboards are open\n", headers=HEADERS | {"Retry-After": "10"}
            )
        response = web.StreamResponse(headers=HEADERS | {"Content-Type": "text/event-stream"})
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(LISTENER_EVENTS_MAX)
        self._listeners.add(queue)
        self._heard.set()
        try:
            await response.prepare(request)
            first = b"retry: %d\n\n" % RETRY_MS + event("pulses", self._pulses.recent) + self._last_status
            await _write(response, first)
            while (text := await _next(queue)) is not None:
                await _write(response, text)
        except (ConnectionError, TimeoutError):
            # Gone, or too slow: either way nobody hears this.
            pass
        finally:
            self._forget(queue)
        return response

    async def run(self, stop: asyncio.Event) -> None:
        """Ask for a status as long as somebody listens, until told to stop; then let the listeners go."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                heard = asyncio.create_task(self._heard.wait())
                await asyncio.wait([stopping, heard], return_when=asyncio.FIRST_COMPLETED)
                heard.cancel()
                if stop.is_set():
                    break
                began_s = time.monotonic()
                now = abridged(
                    status(await self._watcher.snapshot()), CAMPAIGNS_SHOWN_MAX, LINE_ITEMS_SHOWN_MAX
                )
                self._last_status = event("status", now)
                self._tell(self._last_status)
                pause = pause_s(STATUS_SECONDS, time.monotonic() - began_s)
                await asyncio.wait([stopping], timeout=pause)
        finally:
            stopping.cancel()
            for queue in list(self._listeners):
                self._drop(queue)

    def _on_pulse(self, pulse: Pulse) -> None:
        if self._listeners:
            self._tell(event("pulse", pulse))

    def _tell(self, text: bytes) -> None:
        for queue in list(self._listeners):
            try:
                queue.put_nowait(text)
            except asyncio.QueueFull:
                logger.info("a dashboard that reads too slowly is dropped")
                self._drop(queue)

    def _drop(self, queue: asyncio.Queue[bytes | None]) -> None:
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)
        self._forget(queue)

    def _forget(self, queue: asyncio.Queue[bytes | None]) -> None:
        self._listeners.discard(queue)
        if not self._listeners:
            self._heard.clear()
            # What the next one hears first must not be of an hour ago.
            self._last_status = b""


async def _next(queue: asyncio.Queue[bytes | None]) -> bytes | None:
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(queue.get(), HEARTBEAT_SECONDS)
    return _COMMENT


async def _write(response: web.StreamResponse, text: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS_MAX):
        await response.write(text)
