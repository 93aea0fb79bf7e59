"""One connection to Redis, spoken by hand: batches of commands out, batches of replies back.

Redis answers a connection in order. So no reply carries a name and none needs one: the replies owed
to the oldest batch come first. hiredis parses them; when the oldest batch has its number, it is done.

    written        [ batch 1: 4 ][ batch 2: 2 ][ batch 3: 6 ]
    read so far      v v v v       v .           . . . . . .      batch 1 done; batch 2 has one of 2

A batch that runs out of time is told so and leaves the queue, but its replies still come. All
batches wait equally long, so those that ran out are the oldest: it is enough to count the replies
they are still owed and to drop that many before the next batch gets any. Nothing is matched by guess:
a broken reply, or one that nobody is owed, ends the connection.

What to do about a connection that is lost or slow is `segments.node`'s affair.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, cast

import hiredis
import redis

from config.limits import (
    LOOKUP_BREAKER_TIMEOUTS,
    LOOKUP_CONNECT_SECONDS_MAX,
    LOOKUP_STALLED_SECONDS_MAX,
)
from segments.endpoint import Endpoint

_POLL_SECONDS = 0.001
_REFUSALS = ("WRONGPASS", "NOAUTH", "NOPERM", "ERR AUTH", "ERR invalid password")


class Fault(StrEnum):
    """What went wrong with a batch: the values of a metric's label."""

    TIMEOUT = "timeout"
    """The replies did not come in time."""
    DOWN = "down"
    """There is no connection, or it was lost meanwhile."""
    BREAKER = "breaker"
    """Not sent: the node has been too slow of late, or owes too much already."""
    ERROR = "error"
    """Answered, but at least one of the replies is an error."""


Replies = Sequence[Any]
"""bytes, int, None or a list each, or a hiredis.ReplyError; none at all after TIMEOUT and DOWN."""
Done = Callable[[Replies, Fault | None], None]


class _Batch:
    __slots__ = ("deadline_s", "done", "replies", "values")

    def __init__(self, replies: int, deadline_s: float, done: Done) -> None:
        self.replies = replies
        self.deadline_s = deadline_s
        self.done = done
        self.values: list[Any] = []


class Wire(asyncio.Protocol):
    """One connection, from its making to its loss; a lost one is replaced, not mended.

    open: whether `send` may be called. owed: replies still to come, late ones included. error: the
    last error reply. lost: set when the connection is gone and every batch is told. trouble: set
    then, and when LOOKUP_BREAKER_TIMEOUTS batches have run out of time with none answered between.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self.open = False
        self.owed = 0
        self.error = ""
        self.lost = asyncio.Event()
        self.trouble = asyncio.Event()
        self.timeouts_in_a_row = 0
        self._loop = loop
        self._timeout_s = timeout_s
        self._reader = hiredis.Reader(replyError=self._note_error)
        self._waiting: deque[_Batch] = deque()
        self._late = 0
        self._late_since_s = 0.0
        self._erred = False
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def connected(
        cls, endpoint: Endpoint, timeout_s: float, connect_s: float = LOOKUP_CONNECT_SECONDS_MAX
    ) -> "Wire":
        """Return a wire to a server that has let us in and answers; its batches may wait `timeout_s`.

        Raises redis.AuthenticationError when the password is refused or missing and
        redis.ConnectionError for anything else, also when it takes longer than `connect_s`.
        """
        wire = cls(asyncio.get_running_loop(), connect_s)
        with contextlib.ExitStack() as undo:
            undo.callback(wire.abort)
            try:
                async with asyncio.timeout(connect_s):
                    await endpoint.connect(wire)
                    await wire._greet(endpoint)
            except TimeoutError:
                raise redis.ConnectionError(
                    f"{endpoint} did not answer within {connect_s:g} seconds"
                ) from None
            except OSError as error:
                raise redis.ConnectionError(f"can't reach {endpoint}: {error.strerror or error}") from None
            undo.pop_all()
        wire._wait_no_longer_than(timeout_s)
        return wire

    def send(self, commands: bytes | memoryview, replies: int, done: Done) -> None:
        """Write packed commands; `done` is called later, exactly once, with their replies or a Fault.

        The wire must be open. `done` must not raise.
        """
        assert self._transport is not None
        deadline_s = self._loop.time() + self._timeout_s
        self._waiting.append(_Batch(replies, deadline_s, done))
        self.owed += replies
        if self._timer is None:
            self._timer = self._loop.call_at(deadline_s, self._look_at_clock)
        self._transport.write(commands)

    async def ask(self, commands: bytes | memoryview, replies: int) -> tuple[Replies, Fault | None]:
        """Send and wait: for what is not on the path of a bid. The wire must be open."""
        answered: asyncio.Future[tuple[Replies, Fault | None]] = self._loop.create_future()

        def answer(values: Replies, fault: Fault | None) -> None:
            if not answered.done():  # else the wait for it was cancelled
                answered.set_result((values, fault))

        self.send(commands, replies, answer)
        return await answered

    def abort(self) -> None:
        """Drop the connection; what waits is told a moment later."""
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
            self._waiting.popleft().done((), Fault.DOWN)
        self.lost.set()
        self.trouble.set()

    async def _greet(self, endpoint: Endpoint) -> None:
        _, fault = await self.ask(*endpoint.greeting())
        if fault is None:
            return
        said = self.error or "it closed the connection"
        if said.startswith(_REFUSALS):
            raise redis.AuthenticationError(f"{endpoint} refuses the user or password: {said}")
        raise redis.ConnectionError(f"{endpoint} can't be used: {said}")

    def _wait_no_longer_than(self, timeout_s: float) -> None:
        assert not self._waiting
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timeout_s = timeout_s

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
            self.timeouts_in_a_row = 0
            if self._erred:
                self._erred = False
                batch.done(values, Fault.ERROR)
            else:
                batch.done(values, None)
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
        self.timeouts_in_a_row += len(overdue)
        if self.timeouts_in_a_row >= LOOKUP_BREAKER_TIMEOUTS:
            self.trouble.set()
        for batch in overdue:
            batch.done((), Fault.TIMEOUT)
