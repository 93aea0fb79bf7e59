"""HTTP to the bidder: bid requests to one URL, and the notices its answers name.

Both keep their connections open and never follow a redirect: where it leads is another's server. Both
connect only to this machine, unless the operator vouches for the target.
"""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from loadtest.addresses import Origin, addresses_of, is_loopback, origin_of, request_target
from loadtest.connection import Answer, Done
from loadtest.limits import ANSWER_SECONDS_MAX, NOTICE_CONNECTIONS, NOTICE_ORIGINS_MAX, NOTICE_SECONDS_MAX
from loadtest.pool import Pool, TargetError


class BidClient:
    """Posts bid requests to one URL; `async with` opens and closes the connections.

    Raises TargetError when entered, if the URL leads away from this machine and is not `is_owned`, or
    if nobody listens there.
    """

    def __init__(
        self,
        target: str,
        connections: int,
        clock: Callable[[], float] = time.perf_counter,
        *,
        is_owned: bool = False,
    ) -> None:
        origin = origin_of(target)
        if origin is None:
            raise TargetError(
                f"{target!r} is not an http or https URL; it looks like http://127.0.0.1:8080/bid/plain"
            )
        self._origin = origin
        self._is_owned = is_owned
        self._connections = connections
        self._clock = clock
        self._pool: Pool | None = None
        self._head = b"".join(
            (
                b"POST ",
                request_target(target),
                b" HTTP/1.1\r\nHost: ",
                str(origin).encode(),
                b"\r\nContent-Type: application/json\r\nx-openrtb-version: 2.6\r\nContent-Length: ",
            )
        )

    def send(self, body: bytes, give_up_s: float, done: Done) -> None:
        """Send one request if a connection is free before `give_up_s`; `done` gets the answer."""
        assert self._pool is not None
        self._pool.ask(b"%b%d\r\n\r\n%b" % (self._head, len(body), body), give_up_s, done)

    async def ask(self, body: bytes) -> Answer:
        """Send one request and return its answer, however late; failures are answers too."""
        answered, done = _awaited()
        self.send(body, self._clock() + ANSWER_SECONDS_MAX, done)
        return await answered

    async def __aenter__(self) -> Self:
        origin = self._origin
        try:
            addresses = await addresses_of(origin)
        except OSError:
            raise TargetError(f"{origin.host} has no address; is the name spelt right?") from None
        for address in addresses:
            if not self._is_owned and not is_loopback(address):
                named = origin.host if address == origin.host else f"{origin.host} ({address})"
                raise TargetError(
                    f"{named} is not this machine; add --i-own-this-target if it is yours and you may load it"
                )
        self._pool = Pool(origin, addresses, self._connections, self._clock)
        try:
            await self._pool.open()
        except TargetError:
            await self._pool.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._pool is not None
        await self._pool.close()


class NoticeClient:
    """Calls notice, pixel and click URLs."""

    def __init__(self) -> None:
        self._origins: dict[Origin, asyncio.Task[tuple[Pool | None, bool]]] = {}

    async def may_call(self, url: str, *, is_owned: bool) -> bool:
        """Tell whether this URL may be called: it leads to this machine, or its origin `is_owned`."""
        origin = origin_of(url)
        if origin is None:
            return False
        _, is_here = await self._known(origin)
        return is_here or is_owned

    async def call(self, url: str) -> int:
        """Get a URL that may be called and return the status; 0 when there was no whole answer in time."""
        origin = origin_of(url)
        assert origin is not None
        pool, _ = await self._known(origin)
        if pool is None:
            return 0
        answered, done = _awaited()
        request = b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (request_target(url), str(origin).encode())
        pool.ask(request, time.perf_counter() + NOTICE_SECONDS_MAX, done)
        return (await answered).status

    async def _known(self, origin: Origin) -> tuple[Pool | None, bool]:
        """Return an origin's connections, None if there are none to it, and whether it is this machine."""
        task = self._origins.get(origin)
        if task is None:
            if len(self._origins) >= NOTICE_ORIGINS_MAX:
                return None, False
            task = self._origins[origin] = asyncio.create_task(_pool(origin))
        return task.result() if task.done() else await asyncio.shield(task)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._origins.values():
            pool, _ = await task
            if pool is not None:
                await pool.close()


async def _pool(origin: Origin) -> tuple[Pool | None, bool]:
    try:
        addresses = await addresses_of(origin)
    except OSError:
        return None, False
    return Pool(origin, addresses, NOTICE_CONNECTIONS), all(is_loopback(address) for address in addresses)


def _awaited() -> tuple[asyncio.Future[Answer], Done]:
    """Return a future and what gives it its answer; whoever awaited it may have been cancelled by then."""
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def done(answer: Answer) -> None:
        if not answered.done():
            answered.set_result(answer)

    return answered, done
