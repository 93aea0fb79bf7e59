"""One connection to Redis, spoken by hand: batches of commands out, batches of replies back.

Redis answers a connection in order. So no reply carries a name and none needs one: the replies owed
to the oldest batch come first. hiredis parses them; when the oldest batch has its number, it is done.

    written        [ batch 1: 4 ][ batch 2: 2 ][ batch 3: 6 ]
    read so far      v v v v       v .           . . . . . .      batch 1 done; batch 2 has one of 2

A batch that runs out of time is answered None and leaves the queue, but its replies still come. All
batches wait equally long, so those that ran out are the oldest: it is enough to count the replies
they are still owed and to drop that many before the next batch gets any. Nothing is matched by guess:
a broken reply, or one that nobody is owed, ends the connection.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis
import redis
import redis.asyncio

from config.limits import LOOKUP_STALLED_SECONDS_MAX

Values = list[bytes | None]
Done = Callable[[Values | None], None]

_POLL_SECONDS = 0.001


class Counts:
    """What became of the batches that were not answered."""

    def __init__(self) -> None:
        self.timeouts = 0
        self.failures = 0


class _Batch:
    __slots__ = ("deadline_s", "done", "replies", "values")

    def __init__(self, replies: int, deadline_s: float, done: Done) -> None:
        self.replies = replies
        self.deadline_s = deadline_s
        self.done = done
        self.values: Values = []


class Wire(asyncio.Protocol):
    """One connection, from its making to its loss; a lost one is replaced, not mended.

    open: whether `send` may be called. owed: replies still to come, late ones included. error: the
    last error reply. lost: set when the connection is gone and every batch is answered.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self.open = False
        self.owed = 0
        self.error = ""
        self.lost = asyncio.Event()
        self.counts = Counts()
        self._loop = loop
        self._timeout_s = timeout_s
        self._reader = hiredis.Reader(replyError=self._note_error)
        self._waiting: deque[_Batch] = deque()
        self._late = 0
        self._late_since_s = 0.0
        self._erred = False
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def send(self, commands: bytes, replies: int, done: Done) -> None:
        """Write packed commands; `done` gets their replies, or None, later and exactly once.

        The wire must be open. `done` must not raise.
        """
        assert self._transport is not None
        deadline_s = self._loop.time() + self._timeout_s
        self._waiting.append(_Batch(replies, deadline_s, done))
        self.owed += replies
        if self._timer is None:
            self._timer = self._loop.call_at(deadline_s, self._look_at_clock)
        self._transport.write(commands)

    def enter_service(self, timeout_s: float, counts: Counts) -> None:
        """From here on a batch may wait this long, and is counted here. None may be waiting."""
        assert not self._waiting
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timeout_s = timeout_s
        self.counts = counts

    def abort(self) -> None:
        """Drop the connection; what waits is answered None a moment later."""
        if self.open:
            assert self._transport is not None
            self.open = False
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none by inheritance.
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def data_received(self, data: bytes) -> None:
        if not self.open:
            return
        self._reader.feed(data)
        try:
            self._hand_out()
        except hiredis.ProtocolError as error:
            self.error = str(error)
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting:
            self.counts.failures += 1
            self._waiting.popleft().done(None)
        self.lost.set()

    def _hand_out(self) -> None:
        gets = self._reader.gets
        if self._late:
            self._late_since_s = self._loop.time()
            while self._late:
                if gets() is False:
                    return
                self._late -= 1
                self.owed -= 1
            self._erred = False
        while self._waiting:
            batch = self._waiting[0]
            values = batch.values
            for _ in range(batch.replies - len(values)):
                value: Any = gets()
                if value is False:
                    return
                values.append(value)
            self._waiting.popleft()
            self.owed -= batch.replies
            if self._erred:
                self._erred = False
                self.counts.failures += 1
                batch.done(None)
            else:
                batch.done(values)
        if gets() is not False:
            raise hiredis.ProtocolError("a reply came that nobody asked for")

    def _note_error(self, text: str) -> Exception:
        # Called by the parser: asking each value whether it is an error would cost more than parsing it.
        self._erred = True
        self.error = text
        return hiredis.ReplyError(text)

    def _look_at_clock(self) -> None:
        """Give up on batches past their deadline, but only after one more look at the socket.

        After a busy moment their replies may lie there unread: uvloop runs timers before it polls.
        """
        now_s = self._loop.time()
        if not self._waiting:
            self._timer = None
        elif self._waiting[0].deadline_s > now_s:
            self._timer = self._loop.call_at(self._waiting[0].deadline_s, self._look_at_clock)
        else:
            self._timer = self._loop.call_later(_POLL_SECONDS, self._give_up, now_s)

    def _give_up(self, deadline_s: float) -> None:
        now_s = self._loop.time()
        if self._late and now_s - self._late_since_s > LOOKUP_STALLED_SECONDS_MAX:
            self.error = f"no reply for {LOOKUP_STALLED_SECONDS_MAX} seconds"
            self.abort()
            return
        if not self._late:
            self._late_since_s = now_s
        overdue: list[_Batch] = []
        while self._waiting and self._waiting[0].deadline_s <= deadline_s:
            batch = self._waiting.popleft()
            self._late += batch.replies - len(batch.values)
            self.owed -= len(batch.values)
            overdue.append(batch)
        self._look_at_clock()
        self.counts.timeouts += len(overdue)
        for batch in overdue:
            batch.done(None)


class Endpoint:
    """Where a Redis is and how to enter, from a URL as redis-py reads it. Shown without its password."""

    def __init__(self, url: str) -> None:
        """Raises redis.ConnectionError when the URL can't be read."""
        try:
            pool = redis.asyncio.ConnectionPool.from_url(url)
            self._entry: Any = pool.connection_class(**pool.connection_kwargs)
        except (ValueError, TypeError) as error:
            raise redis.ConnectionError(f"the Redis URL can't be used: {error}") from None

    def __str__(self) -> str:
        entry = self._entry
        return f"Redis at {entry.path if self._is_socket_file else f'{entry.host}:{entry.port}'}"

    @property
    def _is_socket_file(self) -> bool:
        return isinstance(self._entry, redis.asyncio.UnixDomainSocketConnection)

    async def connect(self, wire: Wire) -> None:
        """Connect `wire`. Raises OSError."""
        loop, entry = asyncio.get_running_loop(), self._entry
        if self._is_socket_file:
            await loop.create_unix_connection(lambda: wire, entry.path)
            return
        secure = entry.ssl_context.get() if isinstance(entry, redis.asyncio.SSLConnection) else None
        await loop.create_connection(lambda: wire, entry.host, entry.port, ssl=secure)

    def greeting(self) -> tuple[bytes, int]:
        """Return packed commands and their number: log in, choose the database, see that it answers."""
        entry = self._entry
        commands: list[Any] = []
        if entry.password:
            commands.append(("AUTH", *([entry.username] if entry.username else []), entry.password))
        if entry.db:
            commands.append(("SELECT", entry.db))
        commands.append(("PING",))
        return b"".join(hiredis.pack_command(command) for command in commands), len(commands)
