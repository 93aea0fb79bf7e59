"""The connections to one origin, and who waits for one.

    pool = Pool(origin, addresses, connections=64)
    await pool.open()
    pool.ask(request, give_up_s, done)       # at once; `done(answer)` comes later, exactly once
    await pool.close()

A connection carries one request at a time, as exchanges use them, and each is used in its turn, so that
all processes behind a port get their share. A request that finds none idle waits, first come first
served, and goes out unless its moment `give_up_s` has passed (`unsent`). A bidder silent for
ANSWER_SECONDS_MAX costs the connection.

What breaks is replaced when somebody needs it; an attempt that fails is the failure of one request that
waits (`refused`). So a bidder that is gone is noticed with every request, and never waited for in vain.
"""

import asyncio
import contextlib
import os
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from loadtest.addresses import Origin
from loadtest.connection import Answer, Connection, Done, Failure
from loadtest.limits import ANSWER_SECONDS_MAX, CONNECT_SECONDS_MAX, OPEN_REQUESTS_MAX, SWEEP_SECONDS


class TargetError(Exception):
    """The target can't be tested; the message says why and how to mend it."""


class _Waiting(msgspec.Struct, frozen=True):
    request: bytes
    since_s: float
    give_up_s: float
    done: Done


class Pool:
    """Up to `connections` to the judged `addresses` of an origin. To be made on a running loop."""

    def __init__(
        self,
        origin: Origin,
        addresses: Sequence[str],
        connections: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._origin = origin
        self._addresses = addresses
        self._connections_max = connections
        self._clock = clock
        self._tls = ssl.create_default_context() if origin.is_tls else None
        self._connections: set[Connection] = set()
        self._idle: deque[Connection] = deque()
        self._waiting: deque[_Waiting] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._sweeper = asyncio.create_task(self._sweep())

    async def open(self) -> None:
        """Open the connections; raises TargetError when there is not even one."""
        try:
            await self._connect()
        except OSError as error:
            raise TargetError(f"{_reason(self._origin, error)}; is the bidder running?") from None
        more = (self._connect() for _ in range(self._connections_max - 1))
        await asyncio.gather(*more, return_exceptions=True)

    def ask(self, request: bytes, give_up_s: float, done: Done) -> None:
        """Send a request as soon as a connection is free, if that is before `give_up_s` on the clock."""
        if self._idle:
            self._idle.popleft().send(request, done)
        elif len(self._waiting) >= OPEN_REQUESTS_MAX:
            now_s = self._clock()
            done(Answer(0, b"", now_s, now_s, "unsent"))
        else:
            self._waiting.append(_Waiting(request, self._clock(), give_up_s, done))
            self._replace()

    async def close(self) -> None:
        """Close everything; what is under way or waiting ends as `closed`."""
        tasks = [*self._opening, self._sweeper]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._waiting:
            self._drop(self._waiting.popleft(), "closed")
        for connection in list(self._connections):
            connection.fail("closed")
        # A transport closes its socket in the next turn of the loop.
        await asyncio.sleep(0)

    def _settled(self, connection: Connection) -> None:
        """Give a connection that is free to the next who waits, or forget one that is closed."""
        if not connection.is_open:
            self._connections.discard(connection)
            with contextlib.suppress(ValueError):
                self._idle.remove(connection)
            if self._waiting:
                self._replace()
            return
        while self._waiting:
            waiting = self._waiting.popleft()
            if waiting.give_up_s > self._clock():
                connection.send(waiting.request, waiting.done)
                return
            self._drop(waiting, "unsent")
        self._idle.append(connection)

    def _replace(self) -> None:
        if len(self._connections) + len(self._opening) < self._connections_max:
            task = asyncio.create_task(self._connect_for_waiting())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect_for_waiting(self) -> None:
        """Open a connection; each attempt that fails is the failure of one who waits."""
        while self._waiting:
            try:
                await self._connect()
            except OSError:
                if self._waiting:
                    self._drop(self._waiting.popleft(), "refused")
            else:
                return

    async def _connect(self) -> None:
        """Open one connection, to the first of the addresses that takes it."""
        loop = asyncio.get_running_loop()
        for number, address in enumerate(self._addresses, 1):
            try:
                async with asyncio.timeout(CONNECT_SECONDS_MAX):
                    _, connection = await loop.create_connection(
                        lambda: Connection(self._clock, self._settled),
                        address,
                        self._origin.port,
                        ssl=self._tls,
                        server_hostname=self._origin.host if self._tls else None,
                    )
            except OSError:
                if number == len(self._addresses):
                    raise
            else:
                if connection.is_open:
                    self._connections.add(connection)
                    self._settled(connection)
                return

    def _drop(self, waiting: _Waiting, failure: Failure) -> None:
        waiting.done(Answer(0, b"", waiting.since_s, self._clock(), failure))

    async def _sweep(self) -> None:
        """Give up on who is silent, and on requests whose auction is over."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now_s = self._clock()
            for connection in list(self._connections):
                if connection.is_busy and now_s - connection.sent_s > ANSWER_SECONDS_MAX:
                    connection.fail("silent")
            while self._waiting and self._waiting[0].give_up_s <= now_s:
                self._drop(self._waiting.popleft(), "unsent")


def _reason(origin: Origin, error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"{origin} does not answer"
    if isinstance(error, ssl.SSLError):
        why = getattr(error, "verify_message", "") or error.reason or error
        return f"{origin} and this client can't agree on TLS ({why})"
    # asyncio's own words repeat the address.
    return f"can't connect to {origin} ({os.strerror(error.errno) if error.errno else error})"
