"""Load as fast as answers come, over connections that stay open, from a list of bodies in turn.

wrk sends it where it is installed, else a small client of our own in this process. Both write whole
requests prepared beforehand and look at no more of an answer than where it ends.
"""

import asyncio
import shutil
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import cast

import httptools
import msgspec

from benchmarks.command import BenchmarkError

CONNECTIONS = 64
PATH = "/bid/plain"
_GRACE_SECONDS = 30.0
_SCRIPT = """
local requests, turn = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("POST", "PATH", {["Content-Type"] = "application/json"}, line)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, requests)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  print(string.format('{"requests":%d,"seconds":%.6f,"failed":%d}',
    summary.requests, summary.duration / 1e6, failed))
end
""".replace("PATH", PATH)


class Sent(msgspec.Struct, frozen=True):
    """What one stretch of load came to. `failed`: no answer, or none of status 2xx."""

    requests: int
    seconds: float
    failed: int


def request_bytes(body: bytes) -> bytes:
    """Return a whole HTTP request, as an exchange would send it."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class LoadClient:
    """Sends the bodies to one port after another; `name` says which client does."""

    def __init__(self, bodies: Sequence[bytes], folder: Path) -> None:
        """Writes what wrk reads into an existing folder."""
        self._bodies = bodies
        self._wrk = shutil.which("wrk")
        self.name = "wrk" if self._wrk else "own client"
        self._body_file, self._script = folder / "bodies.jsonl", folder / "load.lua"
        self._body_file.write_bytes(b"\n".join(bodies) + b"\n")
        self._script.write_text(_SCRIPT)

    async def press(self, port: int, seconds: float, connections: int = CONNECTIONS) -> Sent:
        """Send for about this long; raises BenchmarkError when a request failed or none was answered."""
        press = self._press_with_wrk if self._wrk else self._press
        sent = await press(port, seconds, connections)
        if sent.failed or not sent.requests:
            raise BenchmarkError(f"of {sent.requests} requests {sent.failed} failed")
        return sent

    async def _press_with_wrk(self, port: int, seconds: float, connections: int) -> Sent:
        # wrk counts whole seconds.
        whole_seconds = max(1, round(seconds))
        command = [str(self._wrk), "-t1", f"-c{connections}", f"-d{whole_seconds}s", "-s", str(self._script)]
        process = await asyncio.create_subprocess_exec(
            *(*command, f"http://127.0.0.1:{port}", str(self._body_file)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(whole_seconds + _GRACE_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError:
            raise BenchmarkError("wrk did not end in time") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        last_line = output.strip().rpartition(b"\n")[2]
        try:
            return msgspec.json.decode(last_line, type=Sent)
        except msgspec.DecodeError:
            raise BenchmarkError(f"wrk failed: {output.decode(errors='replace').strip()}") from None

    async def _press(self, port: int, seconds: float, connections: int) -> Sent:
        turns = cycle([request_bytes(body) for body in self._bodies])
        loop = asyncio.get_running_loop()
        opened = []
        for _ in range(connections):
            _, connection = await loop.create_connection(lambda: _Connection(turns), "127.0.0.1", port)
            opened.append(connection)
        started_s = time.perf_counter()
        for connection in opened:
            connection.send()
        await asyncio.sleep(seconds)
        answered = sum(connection.answered for connection in opened)
        elapsed_s = time.perf_counter() - started_s
        failed = sum(connection.failed for connection in opened)
        for connection in opened:
            connection.close()
        return Sent(answered, elapsed_s, failed)


class _Connection(asyncio.Protocol):
    """One request at a time, the next as soon as the last is answered."""

    def __init__(self, turns: "cycle[bytes]") -> None:
        self.answered = 0
        self.failed = 0
        self._turns = turns
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self.failed += 1
            self._transport = None

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.answered += 1
        self.failed += not 200 <= self._parser.get_status_code() < 300
        self.send()

    def send(self) -> None:
        if self._transport is not None:
            self._transport.write(next(self._turns))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
