"""Load that arrives whether or not the server keeps up: every request has a moment planned beforehand.

    arrivals = await arrive(port, bodies, [Phase(5_000, seconds=10)], folder, connections=256)
    latency_ns = arrivals["done_ns"] - arrivals["planned_ns"]

Latency counts from the planned moment (`loadtest.schedule` tells why), so a client that is late would
be measured as well. Hence the shape of this one:

* It is a process of its own (`python -m benchmarks.open_loop`), without an event loop and with the
  garbage collector off: it sleeps until a socket or a moment is due, and does nothing else.
* An event loop's timers are good to a millisecond; `select` sleeps to a tenth of one, and sees one
  descriptor, the poller that watches the connections.
* A connection carries one request at a time, as exchanges use them. A request whose moment comes
  while none is idle goes out when one is. How late each went out is part of the result, and so is
  whether it waited for a connection; the first is the client's doing, the second the server's.
* A request that found no connection within `give_up_ms` is not sent: its exchange has closed the auction.

The gaps between moments are exponential, from a seed, as between visitors who know nothing of one another.
"""

import asyncio
import gc
import select
import selectors
import socket
import subprocess
import sys
import time
from array import array
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.command import BenchmarkError
from benchmarks.load import request_bytes

ARRIVAL = np.dtype(
    [
        ("planned_ns", np.int64),
        ("sent_ns", np.int64),
        ("done_ns", np.int64),
        ("status", np.int16),
        ("waited", np.bool_),
    ]
)
"""One request. The nanoseconds count from the first phase's begin; `sent_ns` and `done_ns` are NEVER
where nothing was sent or no answer came, and the status is then 0. `waited`: for a connection."""
NEVER = np.iinfo(np.int64).max
RESET = -1
"""The status of a request whose connection was closed before its answer was complete."""

SEED = 7
LEAD_SECONDS = 0.2
"""Between the last preparation and the first moment."""
ANSWER_SECONDS_MAX = 5.0
_GRACE_SECONDS = 60.0
_RECEIVE_BYTES = 256 * 1024
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Phase(msgspec.Struct, frozen=True):
    """A stretch of load at one rate."""

    rate_per_s: float
    seconds: float


class _Order(msgspec.Struct, frozen=True):
    """What the client process is told."""

    port: int
    bodies_file: str
    phases: list[Phase]
    connections: int
    give_up_ms: float
    answer_seconds_max: float
    result_file: str


async def arrive(
    port: int,
    bodies: Sequence[bytes],
    phases: Sequence[Phase],
    folder: Path,
    connections: int,
    give_up_ms: float = ANSWER_SECONDS_MAX * 1e3,
    answer_seconds_max: float = ANSWER_SECONDS_MAX,
) -> npt.NDArray[np.void]:
    """Send the bodies in turn, phase after phase; return ARRIVAL[n] in the order of the planned moments.

    After the last phase the answers are awaited for no longer than `answer_seconds_max`. The files go
    into an existing folder. Raises BenchmarkError when the client fails.
    """
    bodies_file, result_file = folder / "open-loop.jsonl", folder / "open-loop.npy"
    bodies_file.write_bytes(b"\n".join(bodies))
    order = _Order(
        port,
        str(bodies_file),
        list(phases),
        connections,
        give_up_ms,
        answer_seconds_max,
        str(result_file),
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.open_loop"), stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(sum(phase.seconds for phase in phases) + _GRACE_SECONDS):
            _, said = await process.communicate(msgspec.json.encode(order))
    except TimeoutError:
        raise BenchmarkError("the open-loop client did not end in time") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise BenchmarkError(f"the open-loop client failed: {said.decode(errors='replace').strip()}")
    arrivals: npt.NDArray[np.void] = np.load(result_file)
    return arrivals


def moments_ns(phases: Sequence[Phase], seed: int) -> npt.NDArray[np.int64]:
    """Return when each request is due, ascending, in ns after the first phase's begin."""
    rng = np.random.default_rng(seed)
    parts, begin_s = [], 0.0
    for phase in phases:
        # Given how many come, the moments of a Poisson process are spread evenly at random.
        count = rng.poisson(phase.rate_per_s * phase.seconds)
        parts.append(begin_s + np.sort(rng.random(count)) * phase.seconds)
        begin_s += phase.seconds
    return (np.concatenate(parts) * 1e9).astype(np.int64)


class _Connection:
    """One connection and the request it carries."""

    __slots__ = ("part", "request", "sock")

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.request = -1
        self.part = b""
        """What has come of the answer."""


class _Client:
    """Sends what is due and notes what comes back."""

    def __init__(self, order: _Order, wires: Sequence[bytes]) -> None:
        planned = moments_ns(order.phases, SEED)
        self._order = order
        self._wires = wires
        self._planned = array("q", planned.tobytes())
        count = len(self._planned)
        self._sent = array("q", [NEVER]) * count
        self._done = array("q", [NEVER]) * count
        self._status = array("h", [0]) * count
        self._waited = bytearray(count)
        self._backlog: deque[int] = deque()
        self._idle: list[_Connection] = []
        self._under_way = 0
        self._selector = selectors.DefaultSelector()
        for _ in range(order.connections):
            self._connect()

    def run(self) -> npt.NDArray[np.void]:
        """Let every moment come, and then wait for the answers that are still due."""
        now_ns = time.perf_counter_ns
        poller = [self._selector.fileno()]
        planned, backlog = self._planned, self._backlog
        give_up_ns = int(self._order.give_up_ms * 1e6)
        start_ns = now_ns() + int(LEAD_SECONDS * 1e9)
        load_seconds = sum(phase.seconds for phase in self._order.phases)
        end_ns = int((load_seconds + self._order.answer_seconds_max) * 1e9)
        due, count = 0, len(planned)
        while (due < count or backlog or self._under_way) and (at_ns := now_ns() - start_ns) < end_ns:
            while due < count and planned[due] <= at_ns:
                backlog.append(due)
                self._waited[due] = len(backlog) > len(self._idle)
                due += 1
            while backlog and self._idle:
                request = backlog.popleft()
                if at_ns - planned[request] <= give_up_ns:
                    self._send(request, now_ns() - start_ns)
            while backlog and at_ns - planned[backlog[0]] > give_up_ns:
                backlog.popleft()
            sleep_ns = (planned[due] if due < count else end_ns) - (now_ns() - start_ns)
            if sleep_ns <= 0 or select.select(poller, (), (), sleep_ns / 1e9)[0]:
                for key, _ in self._selector.select(0):
                    self._receive(key.data, now_ns() - start_ns)
        found = np.zeros(count, ARRIVAL)
        for name, values in (("planned", planned), ("sent", self._sent), ("done", self._done)):
            found[f"{name}_ns"] = values
        found["status"], found["waited"] = self._status, np.frombuffer(self._waited, np.bool_)
        return found

    def _connect(self) -> None:
        connection = _Connection(self._order.port)
        self._selector.register(connection.sock, selectors.EVENT_READ, connection)
        self._idle.append(connection)

    def _send(self, request: int, at_ns: int) -> None:
        connection = self._idle.pop()
        connection.request = request
        self._sent[request] = at_ns
        self._under_way += 1
        wire = self._wires[request % len(self._wires)]
        try:
            # The one request on a connection fits the socket's buffer.
            whole = connection.sock.send(wire) == len(wire)
        except OSError:
            whole = False
        if not whole:
            self._replace(connection, at_ns)

    def _receive(self, connection: _Connection, at_ns: int) -> None:
        try:
            data = connection.sock.recv(_RECEIVE_BYTES)
        except OSError:
            data = b""
        if not data:
            self._replace(connection, at_ns)
            return
        data = connection.part + data if connection.part else data
        if is_complete(data):
            request = connection.request
            self._done[request] = at_ns
            self._status[request] = int(data[9:12])
            self._under_way -= 1
            connection.part = b""
            connection.request = -1
            self._idle.append(connection)
        else:
            connection.part = data

    def _replace(self, connection: _Connection, at_ns: int) -> None:
        """Take a connection that is broken or closed out of use, and open another."""
        if connection.request >= 0:
            self._done[connection.request] = at_ns
            self._status[connection.request] = RESET
            self._under_way -= 1
        else:
            self._idle.remove(connection)
        self._selector.unregister(connection.sock)
        connection.sock.close()
        self._connect()


def is_complete(answer: bytes) -> bool:
    """Tell whether this is a whole HTTP answer; only the bid port's kinds of answer are known."""
    head_end = answer.find(_HEAD_END)
    if head_end < 0:
        return False
    head = answer[:head_end].lower()
    at = head.find(_LENGTH)
    if at < 0:
        return True
    length = int(head[at + len(_LENGTH) :].partition(b"\r\n")[0])
    return len(answer) >= head_end + len(_HEAD_END) + length


def main() -> None:
    """Do what standard input says, and write the result file."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=_Order)
    wires = [request_bytes(body) for body in Path(order.bodies_file).read_bytes().splitlines()]
    client = _Client(order, wires)
    gc.collect()
    gc.disable()
    np.save(order.result_file, client.run())


if __name__ == "__main__":
    main()
