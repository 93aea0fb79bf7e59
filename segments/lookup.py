"""The users of a batch of bid requests, from Redis, in one round trip: the hot path of the store.

    lookup = await UserLookup.connect("redis://127.0.0.1:6379/0", timeout_ms=20)
    lookup.fetch(user_hashes, done)            # returns at once

    def done(values):                          # once, when everything is in, or None
        if values is not None:
            users = unpack_users(values[::2], words, today)
            caps = values[1::2]

Problem: a general client spends 12 to 60 microseconds of Python on each command, for connection
pools, futures and retries; a whole bid takes 24. Here a user costs two commands, whose every length is
known beforehand, so both are one template filled by one `%`, and a batch is one write:

    HGET s:<bucket> <rest of the hash>     the segments          (`segments.store`)
    GET  f:<hash>                          the frequency caps    (`pacing`)

`segments.wire` keeps the replies in order, and says how. A lost connection answers None to whatever
waits and is made anew by one owned task, with growing pauses.

Measured at batches of 64 users: 0.24 microseconds of Python a key (0.15 to ask, 0.09 to read), and about
1 with what the sockets cost; a batch of one pays for its two system calls alone.

Rejected: redis-py's pipeline (12 microseconds a command); MGET (reads keys only, and the segments live in
hashes); a Lua script or a transaction (one reply to parse, but it blocks the server, and the keys
live in different slots); a timer for each batch (they share a timeout, so one timer serves the oldest).
"""

import asyncio
import contextlib
import logging
import struct
from collections.abc import Sequence

import redis

from config import redis_keys
from config.limits import (
    LOOKUP_CONNECT_SECONDS_MAX,
    LOOKUP_OWED_REPLIES_MAX,
    LOOKUP_RECONNECT_SECONDS_MAX,
)
from segments.bitsets import unpack_users
from segments.store import BUCKET_SHIFT, FIELD, caps_key, location
from segments.wire import Counts, Done, Endpoint, Values, Wire

__all__ = ["UserLookup", "unpack_users"]

_LOG = logging.getLogger(__name__)
_RECONNECT_SECONDS_MIN = 0.05
_REPLIES_A_USER = 2
_REFUSALS = ("WRONGPASS", "NOAUTH", "NOPERM", "ERR AUTH", "ERR invalid password")


def _command_template() -> bytes:
    """HGET and GET of one user in RESP, for `% (bucket, field, whole hash)`."""
    key, field = location(0)
    parts = ((len(key), redis_keys.SEGMENT_BUCKET), (len(field), b"%b"))
    hget = b"".join(b"$%d\r\n%b\r\n" % part for part in parts)
    get = b"$%d\r\n%b\r\n" % (len(caps_key(0)), redis_keys.caps(b"%b"))
    return b"*3\r\n$4\r\nHGET\r\n" + hget + b"*2\r\n$3\r\nGET\r\n" + get


_COMMANDS = _command_template()
_HASH = struct.Struct(">Q")

assert redis_keys.segment_bucket(7) == redis_keys.SEGMENT_BUCKET % 7, "the pattern makes the key"


class UserLookup:
    """One connection to Redis for look-ups, kept up."""

    def __init__(self, endpoint: Endpoint, timeout_ms: int) -> None:
        self.reconnects = 0
        """Times the connection was made anew."""
        self._counts = Counts()
        self._endpoint = endpoint
        self._timeout_s = timeout_ms / 1_000
        self._wire: Wire | None = None
        self._keeper: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, url: str, timeout_ms: int) -> "UserLookup":
        """Connect to a `redis://`, `rediss://` or `unix://` URL, as redis-py reads it.

        Raises redis.AuthenticationError when the password is refused or missing and
        redis.ConnectionError for anything else.
        """
        lookup = cls(Endpoint(url), timeout_ms)
        lookup._wire = wire = await lookup._open()
        lookup._keeper = asyncio.get_running_loop().create_task(lookup._keep_connected(wire))
        return lookup

    @property
    def connected(self) -> bool:
        return self._wire is not None and self._wire.open

    @property
    def timeouts(self) -> int:
        """Fetches that were not answered in time."""
        return self._counts.timeouts

    @property
    def failures(self) -> int:
        """Fetches answered None for any other reason."""
        return self._counts.failures

    def fetch(self, user_hashes: Sequence[int], done: Done) -> None:
        """Ask for the segments and caps of these users and return; `done` is called exactly once.

        It gets [segments, caps, segments, caps, ...] in the order of the users, None for what is absent;
        or None alone when the connection is down, Redis answers with an error, or not in time.
        When that is known beforehand (no connection, too much in flight), or there is no user to ask
        for, `done` is called before `fetch` returns; else later, from the event loop. It must not raise.
        """
        wire = self._wire
        replies = _REPLIES_A_USER * len(user_hashes)
        if wire is None or not wire.open or wire.owed + replies > LOOKUP_OWED_REPLIES_MAX:
            self._counts.failures += 1
            done(None)
            return
        if not replies:
            done([])
            return
        commands = [
            _COMMANDS % (user_hash >> BUCKET_SHIFT, (octets := _HASH.pack(user_hash))[FIELD], octets)
            for user_hash in user_hashes
        ]
        wire.send(b"".join(commands), replies, done)

    async def close(self) -> None:
        """Close the connection for good; what waits is answered None."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        if self._wire is not None:
            self._wire.abort()
            await self._wire.lost.wait()

    async def _keep_connected(self, wire: Wire) -> None:
        while True:
            await wire.lost.wait()
            _LOG.warning("lost the look-up connection to %s", self._endpoint)
            pause_s = _RECONNECT_SECONDS_MIN
            while not wire.open:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LOOKUP_RECONNECT_SECONDS_MAX)
                with contextlib.suppress(redis.ConnectionError):
                    wire = await self._open()
            self._wire = wire
            self.reconnects += 1
            _LOG.warning("the look-up connection to %s is back", self._endpoint)

    async def _open(self) -> Wire:
        endpoint = self._endpoint
        wire = Wire(asyncio.get_running_loop(), LOOKUP_CONNECT_SECONDS_MAX)
        with contextlib.ExitStack() as undo:
            undo.callback(wire.abort)
            try:
                async with asyncio.timeout(LOOKUP_CONNECT_SECONDS_MAX):
                    await endpoint.connect(wire)
                    await self._greet(wire)
            except TimeoutError:
                raise redis.ConnectionError(
                    f"{endpoint} did not answer within {LOOKUP_CONNECT_SECONDS_MAX} seconds"
                ) from None
            except OSError as error:
                raise redis.ConnectionError(f"can't reach {endpoint}: {error.strerror or error}") from None
            undo.pop_all()
        wire.enter_service(self._timeout_s, self._counts)
        return wire

    async def _greet(self, wire: Wire) -> None:
        """Authenticate, choose the database, and see that the server answers."""
        answered: asyncio.Future[Values | None] = asyncio.get_running_loop().create_future()

        def answer(values: Values | None) -> None:
            if not answered.done():  # else the wait for it was cancelled
                answered.set_result(values)

        commands, replies = self._endpoint.greeting()
        wire.send(commands, replies, answer)
        if await answered is not None:
            return
        fault = wire.error or "it closed the connection"
        if fault.startswith(_REFUSALS):
            raise redis.AuthenticationError(f"{self._endpoint} refuses the user or password: {fault}")
        raise redis.ConnectionError(f"{self._endpoint} can't be used: {fault}")
