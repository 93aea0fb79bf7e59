"""Callers who notice every request that is lost: kept-alive connections, and nothing is ever sent again.

A request counts as lost when its connection ends, in whatever way, before its whole answer is there. A
connection that nobody takes any more is no lost request: nothing was sent on it.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec


class Connection:
    """One connection, made anew where the server said that it ends."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._host, self._port = parts.hostname, parts.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Return status and body. Raises ConnectionRefusedError when nobody listens, EOFError for a loss."""
        if self._streams is None:
            try:
                self._streams = await asyncio.open_connection(self._host, self._port)
            except ConnectionResetError as error:
                # Its handshake was under way when the socket that listened was closed.
                raise ConnectionRefusedError(str(error)) from None
        reader, writer = self._streams
        head = f"{method} {path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-length: {len(body)}\r\n\r\n"
        try:
            writer.write(head.encode() + body)
            await writer.drain()
            status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines if line)
            answer = await reader.readexactly(int(headers.get("content-length", 0)))
        except OSError as error:
            raise EOFError(str(error)) from None
        if headers.get("connection") == "close":
            self.close()
        return int(status_line.split()[1]), answer

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@dataclass
class Callers:
    """An exchange's callers: each asks for bids on one connection and bills them on another, steadily."""

    bid_url: str
    requests: list[bytes]
    pause_s: float = 0.01
    answers: int = 0
    bills: int = 0
    refused: int = 0
    """Connections nobody took."""
    lost: list[str] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=dict)

    async def run(self, callers: int, stop: asyncio.Event) -> None:
        """Call until told to stop, or until nobody listens."""
        await asyncio.gather(*(self._call(number, stop) for number in range(callers)))

    async def _call(self, number: int, stop: asyncio.Event) -> None:
        bids = Connection(self.bid_url)
        notices: dict[str, Connection] = {}
        turn = number
        while not stop.is_set():
            turn += 1
            try:
                answer = await self._ask(bids, self.requests[turn % len(self.requests)])
                for bid in answer:
                    await self._bill(notices, bid)
            except ConnectionRefusedError:
                self.refused += 1
                break
            except EOFError as error:
                self.lost.append(str(error))
                bids.close()
                notices.clear()
            await asyncio.sleep(self.pause_s)
        for connection in (bids, *notices.values()):
            connection.close()

    async def _ask(self, connection: Connection, request: bytes) -> list[dict[str, Any]]:
        status, body = await connection.call("POST", urlsplit(self.bid_url).path, request)
        self.answers += 1
        if status == 204:
            return []
        assert status == 200, (status, body)
        return [bid for seat in msgspec.json.decode(body)["seatbid"] for bid in seat["bid"]]

    async def _bill(self, connections: dict[str, Connection], bid: dict[str, Any]) -> None:
        url = urlsplit(bid["burl"].replace("${AUCTION_PRICE}", str(bid["price"])))
        connection = connections.setdefault(url.netloc, Connection(url.geturl()))
        status, _ = await connection.call("GET", f"{url.path}?{url.query}")
        assert status == 204
        self.bills += 1
        self.spent[bid["cid"]] = self.spent.get(bid["cid"], 0.0) + bid["price"] / 1_000


@contextlib.asynccontextmanager
async def calling(callers: Callers, number: int) -> Any:
    """Call beside the block; at its end the callers stop."""
    stop = asyncio.Event()
    task = asyncio.create_task(callers.run(number, stop))
    try:
        yield
    finally:
        stop.set()
        await task
