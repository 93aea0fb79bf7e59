"""One HTTP/1.1 connection, with at most one request under way.

A general client costs more for each request than the whole judgement of an answer, and what the client
spends the bidder cannot have. So this is an `asyncio.Protocol` over httptools (llhttp): a request is one
write, an answer one callback, and no task or future is made for either.

Whatever the other end does comes back as an `Answer` that names it; nothing raises, and nothing it sends
is kept beyond ANSWER_BYTES_MAX. There is no way to follow a redirect.
"""

import asyncio
from collections.abc import Callable
from typing import Literal, cast

import httptools
import msgspec

from loadtest.limits import ANSWER_BYTES_MAX

Failure = Literal["", "silent", "unsent", "refused", "closed", "not_http", "too_large"]
"""Why there is no answer: `silent` for ANSWER_SECONDS_MAX; `unsent`, as no connection was free in time;
`refused` to connect; `closed` before the answer was whole; `not_http`; `too_large`."""


class Answer(msgspec.Struct, frozen=True):
    """What came back, and when by the client's clock. Status 0 is no answer: `failure` says why."""

    status: int
    body: bytes
    sent_s: float
    done_s: float
    failure: Failure = ""


Done = Callable[[Answer], None]


class Connection(asyncio.Protocol):
    """`settled(self)` is called whenever a request is over or the connection is; `is_open` tells which."""

    def __init__(self, clock: Callable[[], float], settled: Callable[["Connection"], None]) -> None:
        self._clock = clock
        self._settled = settled
        self._transport: asyncio.Transport | None = None
        self._done: Done | None = None
        self._begin()
        self.sent_s = 0.0

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    @property
    def is_busy(self) -> bool:
        return self._done is not None

    def send(self, request: bytes, done: Done) -> None:
        """Send one request; `done` is called once, with the answer or what came instead of it."""
        assert self._transport is not None
        assert self._done is None
        self._begin()
        self._done = done
        self.sent_s = self._clock()
        self._transport.write(request)

    def fail(self, failure: Failure) -> None:
        """Close the connection; a request under way ends with this failure."""
        if self._transport is None:
            return
        self._transport.abort()
        self._transport = None
        self._end(Answer(0, b"", self.sent_s, self._clock(), failure))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none by inheritance.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._done is None:
            self.fail("not_http")  # it speaks before it was asked
        elif self._received > ANSWER_BYTES_MAX:
            self.fail("too_large")
        else:
            self._read(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is None:
            return
        if self._ends_with_connection and error is None:
            self._is_complete = True
        if self._is_complete and self._done is not None:
            self._transport = None
            self._end(Answer(self._status, bytes(self._body), self.sent_s, self._clock()))
        else:
            self.fail("closed")

    # What llhttp calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._has_length = True

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        self._ends_with_connection = not self._has_length and self._status >= 200

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        if self._status >= 200:
            self._is_extra = self._is_complete
            self._is_complete = True
            self._ends_with_connection = False
            self._stays_open = self._parser.should_keep_alive()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._status = self._received = 0
        self._has_length = self._ends_with_connection = self._is_complete = False
        self._is_extra = self._stays_open = False

    def _read(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail("not_http")
            return
        if self._is_extra:
            self.fail("not_http")  # two answers to one request
        elif self._is_complete:
            answer = Answer(self._status, bytes(self._body), self.sent_s, self._clock())
            if not self._stays_open and self._transport is not None:
                self._transport.abort()
                self._transport = None
            self._end(answer)

    def _end(self, answer: Answer) -> None:
        # The connection is free before its answer is looked at: whoever waits for it is sent first.
        done, self._done = self._done, None
        self._settled(self)
        if done is not None:
            done(answer)
