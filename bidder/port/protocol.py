"""HTTP on the bid port: llhttp's parser feeding the batch, and answers written in order.

No framework object per request: a complete body becomes one `BidCall` handed to `submit`, and is
answered later by `BidCall.answer`, from whatever batch decided it. Answers leave in the order the
requests came, as HTTP/1.1 pipelining demands. A fault of a request (a bad body, an unknown path,
another method) is answered and the connection lives on; only what makes the stream unreadable ends it.

Whoever holds a connection without using it is closed: IDLE_SECONDS_MAX after the latest request began,
whether that is long answered, never comes to its end, or has an answer that nobody reads.
"""

import asyncio
import contextlib
import time
import zlib
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import cast

import httptools

from config.limits import (
    BODY_BYTES_MAX,
    BODY_DEFLATED_BYTES_MAX,
    HEADER_BYTES_MAX,
    PATHS_CACHED_MAX,
    PIPELINED_REQUESTS_MAX,
)

BID_PATH = b"/bid/"
READY_PATH = b"/ready"
_DISCARDED_BYTES_MAX = 16 * BODY_BYTES_MAX
"""What follows the headers is read up to this size, and thrown away where it is no body or too much of one,
to keep the connection; then that is cut."""
_GZIP_WINDOW = 31
_ENCODING_CHARS, _EXPECT_CHARS = len(b"content-encoding"), len(b"expect")

_JSON = b"content-type: application/json\r\nx-openrtb-version: 2.6\r\n"
_EMPTY = b"content-length: 0\r\nx-openrtb-version: 2.6\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\nx-openrtb-version: 2.6\r\n\r\n"
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\n" + _EMPTY + b"\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\n" + _EMPTY + b"\r\n"
METHOD_NOT_ALLOWED = b"HTTP/1.1 405 Method Not Allowed\r\nallow: POST\r\n" + _EMPTY + b"\r\n"
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\n" + _EMPTY + b"\r\n"
_HEADERS_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n" + _EMPTY + b"\r\n"
)
_UNREADABLE = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n" + _EMPTY + b"\r\n"
_CLOSE = b"\r\nconnection: close\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_READY = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 7\r\n\r\n1 ready"
# Xandr looks for the character 1 in the body, and must not find one in this.
_NOT_READY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\nnot ready"
)


def ok(body: bytes) -> bytes:
    """Return the whole HTTP answer that carries a bid response."""
    return b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n%b" % (_JSON, len(body), body)


@lru_cache(PATHS_CACHED_MAX)
def _exchange_of(url: bytes) -> str | None:
    """Return the exchange that a path names, or None when it is not the bid path."""
    path = url.partition(b"?")[0]
    return path[len(BID_PATH) :].decode("ascii", "replace") if path.startswith(BID_PATH) else None


class BidCall:
    """One POST to the bid path, waiting for its answer."""

    __slots__ = ("_connection", "arrived_ns", "body", "exchange_id", "keep_alive", "response")

    def __init__(
        self, connection: "BidConnection", exchange_id: str, body: bytes, arrived_ns: int, keep_alive: bool
    ) -> None:
        self._connection = connection
        self.exchange_id = exchange_id
        self.body = body
        self.arrived_ns = arrived_ns
        """`time.monotonic_ns` at the last byte of the body."""
        self.keep_alive = keep_alive
        self.response: bytes | None = None

    @property
    def answered(self) -> bool:
        return self.response is not None

    def answer(self, response: bytes) -> None:
        """Send a whole HTTP answer, as soon as those before it on the connection are out."""
        self.response = response
        self._connection.send_answered()


class Connections:
    """The open connections of a worker, for closing them: idle ones by and by, all of them at the end."""

    def __init__(self) -> None:
        self._open: set[BidConnection] = set()
        self._all_closed = asyncio.Event()
        self._all_closed.set()
        self.draining = False

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: "BidConnection") -> None:
        self._open.add(connection)
        self._all_closed.clear()

    def discard(self, connection: "BidConnection") -> None:
        self._open.discard(connection)
        if not self._open:
            self._all_closed.set()

    def close_idle(self, before_ns: int) -> None:
        """Close connections whose latest request began before a `time.monotonic_ns`."""
        for connection in list(self._open):
            connection.close_if_idle(before_ns)

    async def drain(self, idle_s: float) -> None:
        """Take leave of every connection with the next answer on it; return when none is idle any more.

        An exchange may be sending on an idle connection at this moment, and a request that meets a closed
        socket is lost. So idle ones are kept for `idle_s`, and what comes on them is answered.
        """
        self.draining = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_closed.wait(), idle_s)
        self.close_idle(time.monotonic_ns() + 1)


class BidConnection(asyncio.Protocol):
    """One connection of an exchange."""

    def __init__(
        self, submit: Callable[[BidCall], None], is_ready: Callable[[], bool], connections: Connections
    ) -> None:
        self._submit = submit
        self._is_ready = is_ready
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._calls: deque[BidCall] = deque()
        self._last_byte_ns = 0
        self._reads_paused = False
        self._writes_paused = False
        self._ended = False
        self._part_bytes = 0
        self._start_message()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's in all but the class.
        self._transport = cast(asyncio.Transport, transport)
        self._began_ns = time.monotonic_ns()
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._calls.clear()
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._last_byte_ns = time.monotonic_ns()
        # Of the headers, or of what follows them; not the piece in which one gave way to the other.
        self._part_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end_after_answers()
        except httptools.HttpParserError:
            self._end_with(_UNREADABLE)
        if self._part_bytes > HEADER_BYTES_MAX:
            if self._in_headers:
                self._end_with(_HEADERS_TOO_LARGE)
            elif self._part_bytes > _DISCARDED_BYTES_MAX:
                self._end_with(TOO_LARGE)

    def pause_writing(self) -> None:
        # Who does not read their answers is not read from: what waits for them has a limit.
        self._writes_paused = True
        self._pause_or_resume_reading()

    def resume_writing(self) -> None:
        self._writes_paused = False
        self._pause_or_resume_reading()

    # httptools calls these by name.

    def on_message_begin(self) -> None:
        self._start_message()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # By length first: this runs for each of some ten headers of every request.
        length = len(name)
        if length == _ENCODING_CHARS and name.lower() == b"content-encoding":
            # Behind a chunked body it is a trailer, and says nothing of how to read it (RFC 9110, 6.5.1).
            if self._in_headers:
                self._encoding = value.strip().lower()
        elif length == _EXPECT_CHARS and name.lower() == b"expect":
            self._expects_continue = value.strip().lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._part_bytes = 0
        if self._expects_continue and self._transport is not None:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes <= BODY_BYTES_MAX:
            self._body.append(body)
        else:
            self._body.clear()

    def on_message_complete(self) -> None:
        self._in_headers = True
        self._part_bytes = 0
        if self._transport is None:
            return
        parser, calls = self._parser, self._calls
        exchange_id = _exchange_of(self._url)
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        call = BidCall(self, exchange_id or "", body, self._last_byte_ns, parser.should_keep_alive())
        calls.append(call)
        if len(calls) >= PIPELINED_REQUESTS_MAX:
            self._pause_or_resume_reading()
        refusal = None
        if exchange_id is None or self._encoding or parser.get_method() != b"POST" or not body:
            refusal = self._refusal(exchange_id, call)
        if refusal is None:
            self._submit(call)
        else:
            call.answer(refusal)

    def _start_message(self) -> None:
        self._url = b""
        self._encoding = b""
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._expects_continue = False
        self._in_headers = True
        self._began_ns = self._last_byte_ns

    def _refusal(self, exchange_id: str | None, call: BidCall) -> bytes | None:
        """Return the answer to a call that is no bid request, or None; inflates a gzip body."""
        method = self._parser.get_method()
        if exchange_id is None:
            if self._url.partition(b"?")[0] != READY_PATH or method != b"GET":
                return NOT_FOUND
            return _READY if self._is_ready() and not self._connections.draining else _NOT_READY
        if method != b"POST":
            return METHOD_NOT_ALLOWED
        if self._body_bytes > BODY_BYTES_MAX:
            return TOO_LARGE
        if self._encoding and self._encoding != b"identity":
            if self._encoding not in (b"gzip", b"x-gzip"):
                return BAD_REQUEST
            inflater = zlib.decompressobj(_GZIP_WINDOW)
            try:
                call.body = inflater.decompress(call.body, BODY_DEFLATED_BYTES_MAX)
            except zlib.error:
                return BAD_REQUEST
            if inflater.unconsumed_tail:
                return TOO_LARGE
            if not inflater.eof:
                return BAD_REQUEST
        return None

    def send_answered(self) -> None:
        """Write the answers that are ready and whose turn it is."""
        transport = self._transport
        if transport is None:
            return
        calls = self._calls
        while calls:
            call = calls[0]
            if call.response is None:
                break
            calls.popleft()
            if not calls and self._connections.draining:
                # Who pipelined gets the other answers first.
                transport.write(call.response.replace(b"\r\n", _CLOSE, 1))
                transport.close()
                return
            transport.write(call.response)
            if not call.keep_alive:
                transport.close()
                return
        if self._reads_paused:
            self._pause_or_resume_reading()

    def close_if_idle(self, before_ns: int) -> None:
        """Close the connection if its latest request began before a `time.monotonic_ns`."""
        transport = self._transport
        if transport is None or self._began_ns >= before_ns:
            return
        if transport.is_closing():
            # Its last answers wait for somebody who does not read them.
            transport.abort()
        elif not self._calls:
            transport.close()

    def _pause_or_resume_reading(self) -> None:
        pause = self._ended or self._writes_paused or len(self._calls) >= PIPELINED_REQUESTS_MAX
        if pause == self._reads_paused or self._transport is None or self._transport.is_closing():
            return
        self._reads_paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _end_after_answers(self) -> None:
        """Answer what came, and close: what follows would be in a protocol that nobody agreed to."""
        if self._transport is None:
            return
        self._ended = True
        self._pause_or_resume_reading()
        if self._calls:
            self._calls[-1].keep_alive = False
        else:
            self._transport.close()

    def _end_with(self, response: bytes) -> None:
        """Answer what came before, then this, and close; nothing more is read."""
        if self._ended or self._transport is None:
            return
        self._ended = True
        self._pause_or_resume_reading()
        call = BidCall(self, "", b"", self._last_byte_ns, keep_alive=False)
        self._calls.append(call)
        call.answer(response)
