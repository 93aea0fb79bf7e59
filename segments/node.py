"""One Redis server that look-ups use: kept connected, and left alone while it is too slow.

    node = Node(endpoint, timeout_s, notify)
    await node.open()                       # raises when it can't be reached now
    fault = node.send(commands, replies, done)

A server is in one of three conditions, and one owned task moves it from one to the next:

    well        batches are sent
    too slow    LOOKUP_BREAKER_TIMEOUTS batches in a row ran out of time: the breaker is open. Whoever asks
                is told so at once, instead of making an exchange wait in vain; a PING every
                LOOKUP_PROBE_SECONDS, answered in time, closes it
    lost        no connection; attempts go on, with short pauses

A PING is answered after everything that was asked before it, so its answer in time says that no late
reply is in the way any more. A server that stays silent altogether is `lost` after
LOOKUP_STALLED_SECONDS_MAX: a new connection finds its way where an old one waits for a packet to be
sent again.
"""

import asyncio
import logging
from collections.abc import Callable

import redis

from config.limits import (
    LOOKUP_OWED_REPLIES_MAX,
    LOOKUP_PROBE_SECONDS,
    LOOKUP_RECONNECT_PAUSE_SECONDS_MAX,
    LOOKUP_RECONNECT_SECONDS_MAX,
)
from segments.endpoint import Endpoint
from segments.wire import Done, Fault, Wire

_LOG = logging.getLogger(__name__)
_RECONNECT_PAUSE_SECONDS_MIN = 0.05
_PING = b"*1\r\n$4\r\nPING\r\n"


class Node:
    """One server. `wire` is its connection while it is well, else None."""

    def __init__(self, endpoint: Endpoint, timeout_s: float, notify: Callable[[], None]) -> None:
        """`notify` is called when the server gets into trouble and when it is well again."""
        self.endpoint = endpoint
        self.wire: Wire | None = None
        self.reconnects = 0
        """Times the connection was made anew."""
        self._connection: Wire | None = None
        self._timeout_s = timeout_s
        self._notify = notify
        self._keeper: asyncio.Task[None] | None = None

    @property
    def well(self) -> bool:
        """Tell whether look-ups may use it now."""
        return self.wire is not None and self.wire.open

    @property
    def connected(self) -> bool:
        """Tell whether it is connected, even if it is left alone because it is slow."""
        return self._connection is not None and self._connection.open

    async def open(self) -> None:
        """Connect, and keep connected from then on. Raises as `Wire.connected` does."""
        self._connection = await Wire.connected(self.endpoint, self._timeout_s)
        self.start()
        self.wire = self._connection

    def start(self) -> None:
        """Keep the server connected from now on, whether or not it can be reached yet."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    def send(self, commands: bytes, replies: int, done: Done) -> Fault | None:
        """Send a batch. A Fault means that nothing was sent and `done` will not be called."""
        wire = self.wire
        if wire is None:
            return Fault.BREAKER if self.connected else Fault.DOWN
        if not wire.open:
            return Fault.DOWN
        if wire.owed + replies > LOOKUP_OWED_REPLIES_MAX:
            return Fault.BREAKER
        wire.send(commands, replies, done)
        return None

    async def close(self) -> None:
        """Close the connection for good; what waits is told Fault.DOWN."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        self.wire = None
        if self._connection is not None:
            self._connection.abort()
            await self._connection.lost.wait()

    async def _keep(self) -> None:
        while True:
            wire = self._connection
            if wire is None or not wire.open:
                wire = self._connection = await self._reconnected(first=wire is None)
            self.wire = wire
            self._notify()
            await wire.trouble.wait()
            self.wire = None
            self._notify()
            if wire.open:
                _LOG.warning("%s is too slow for look-ups", self.endpoint)
                await self._until_answered_in_time(wire)
            if not wire.open:
                await wire.lost.wait()
                _LOG.warning("lost the look-up connection to %s", self.endpoint)

    async def _until_answered_in_time(self, wire: Wire) -> None:
        while wire.open:
            _, fault = await wire.ask(_PING, 1)
            if fault is None:
                wire.timeouts_in_a_row = 0
                wire.trouble.clear()
                _LOG.warning("%s answers look-ups in time again", self.endpoint)
                return
            await asyncio.sleep(LOOKUP_PROBE_SECONDS)

    async def _reconnected(self, first: bool) -> Wire:
        pause_s = _RECONNECT_PAUSE_SECONDS_MIN
        while True:
            try:
                wire = await Wire.connected(self.endpoint, self._timeout_s, LOOKUP_RECONNECT_SECONDS_MAX)
            except redis.ConnectionError:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LOOKUP_RECONNECT_PAUSE_SECONDS_MAX)
                continue
            if not first:
                self.reconnects += 1
                _LOG.warning("the look-up connection to %s is back", self.endpoint)
            return wire
