"""Where a request's time goes: microseconds for each stage of the bid path.

    python -m benchmarks.stages [--small] [--json]

The engine's own `BidConnection` and `Bidder` answer batches of 64 requests in this process, with 1,000
line items, 256 segments and look-ups on a real server. The functions of each stage are wrapped in a
clock for the purpose; a stage's time is its own, without what it calls of another stage:

    parse      HTTP, as far as a call in the batch
    decode     the body to typed structs
    translate  the structs to an Opportunity, the user's id hashed
    look_up    the commands, reading the replies, and what came back as arrays
    columns    candidates as rows of integers, and these as one array
    kernel     the decision
    render     the answers, tokens signed, for requests that get a bid
    write      an answer down to the transport
    rest       everything else that a batch does: sorting bids to requests, counting

The sockets and the event loop are not in it: a transport that forgets what it is given stands in for
the exchange's. They, and what a worker does once a second, are the difference to the CPU time that
`benchmarks.throughput` measures. The clock adds 0.2 microseconds to a stage for each call and as much
to its caller: some 2 in all for a request, half of them in `rest`.
"""

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from benchmarks.command import Arguments, run_command
from benchmarks.cores import Cores
from benchmarks.decision_inputs import DecisionInputs, decision_inputs
from benchmarks.figures import Spread, machine, result_hash, spread
from benchmarks.installation import EVENTS_URL, Installation, installation
from benchmarks.load import request_bytes
from benchmarks.sample_config import sample_bundle
from benchmarks.sample_traffic import BATCH_REQUESTS, SEED, sample_bodies
from bidder.decision.columns import CandidateColumns
from bidder.openrtb.notice_token import TokenSigner
from bidder.openrtb.render import BidSequence, ResponseRenderer
from bidder.port import bidder as bidder_module
from bidder.port.admission import Admission
from bidder.port.bid_state import BidState
from bidder.port.bidder import Bidder
from bidder.port.protocol import BidCall, BidConnection, Connections
from bidder.port.tally import Tally
from pacing.prediction import unscored
from segments.lookup import UserLookup
from segments.wire import Wire

LINE_ITEMS, SEGMENTS = 1_000, 256
LOOKUP_TIMEOUT_MS = 5_000
"""Not the engine's: a busy machine must not change what is decided."""
_TIMED: tuple[tuple[str, Any, str], ...] = (
    ("parse", BidConnection, "data_received"),
    ("decode", bidder_module, "decode_request"),
    ("translate", bidder_module, "translate"),
    ("look_up", UserLookup, "fetch"),
    ("look_up", Wire, "data_received"),
    ("look_up", bidder_module, "unpack_users"),
    ("look_up", bidder_module, "unpack_caps"),
    ("columns", CandidateColumns, "add"),
    ("columns", CandidateColumns, "arrays"),
    ("kernel", bidder_module, "decide"),
    ("render", ResponseRenderer, "render"),
    ("write", BidCall, "answer"),
    ("rest", Bidder, "_flush"),
    ("rest", Bidder, "_decide"),
)
STAGES = tuple(dict.fromkeys(stage for stage, _, _ in _TIMED))


class Size(msgspec.Struct, frozen=True):
    """How much to measure."""

    bodies: int = 2_048
    people: int = 50_000
    rounds: int = 7
    line_items: int = LINE_ITEMS
    segments: int = SEGMENTS


SMALL = Size(bodies=512, people=5_000, rounds=3)


class Report(msgspec.Struct, frozen=True):
    """Microseconds a request: a round's figure is the median of its batches."""

    machine: str
    hash: str
    bid_rate: float
    us_per_request: dict[str, Spread]
    total: Spread


class _StageClock:
    """Adds up the time of each stage. What a stage calls of another is counted there alone."""

    def __init__(self) -> None:
        self.ns: defaultdict[str, int] = defaultdict(int)
        self._running: list[str] = []
        self._since_ns = 0

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a clock around it."""
        ns, running, now_ns = self.ns, self._running, time.perf_counter_ns

        def run(*args: Any) -> Any:
            started_ns = now_ns()
            if running:
                ns[running[-1]] += started_ns - self._since_ns
            running.append(stage)
            self._since_ns = started_ns
            try:
                return function(*args)
            finally:
                ended_ns = now_ns()
                ns[stage] += ended_ns - self._since_ns
                running.pop()
                self._since_ns = ended_ns

        return run

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Wrap the functions of the bid path until the block ends."""
        plain = [getattr(owner, name) for _, owner, name in _TIMED]
        for (stage, owner, name), function in zip(_TIMED, plain, strict=True):
            setattr(owner, name, self.timed(stage, function))
        try:
            yield
        finally:
            for (_, owner, name), function in zip(_TIMED, plain, strict=True):
                setattr(owner, name, function)


class _Sink(asyncio.Transport):
    """Takes answers and keeps only their first line."""

    def __init__(self) -> None:
        super().__init__()
        self.statuses: list[bytes] = []

    def write(self, data: Any) -> None:
        self.statuses.append(data[9:12])


async def measure(size: Size, redis_url: str | None = None) -> Report:
    """Time every stage; on a private server, unless an empty Redis is given."""
    config = sample_bundle(size.line_items, size.segments, SEED)
    wires = [request_bytes(body) for body in sample_bodies(size.bodies, size.people)]
    clock = _StageClock()
    async with contextlib.AsyncExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="hustings-bench-")))
        cores = closing.enter_context(Cores.divided())
        installed = await closing.enter_async_context(installation(config, size.people, folder, redis_url))
        closing.enter_context(clock.installed())
        closing.enter_context(cores.measured())
        lookup = await UserLookup.connect(installed.settings.redis_url, LOOKUP_TIMEOUT_MS)
        closing.push_async_callback(lookup.close)
        inputs = decision_inputs(config, installed.plan, int(time.time()))
        bidder = _bidder(inputs, installed, lookup)
        # Unmeasured: caches fill, the kernel is loaded.
        statuses, _ = await _answer_all(bidder, wires, clock)
        rounds = []
        for _ in range(size.rounds):
            inputs.fund()
            rounds.append((await _answer_all(bidder, wires, clock))[1])
    return Report(
        machine=machine(),
        hash=result_hash(statuses),
        bid_rate=round(statuses.count(b"200") / len(statuses), 3),
        us_per_request={stage: spread([round_[stage] for round_ in rounds], 2) for stage in STAGES},
        total=spread([sum(round_.values()) for round_ in rounds], 2),
    )


def _bidder(inputs: DecisionInputs, installed: Installation, lookup: UserLookup) -> Bidder:
    renderer = ResponseRenderer(inputs.snapshot, EVENTS_URL, TokenSigner(bytes(32)), 1, BidSequence())
    state = BidState(
        snapshot=inputs.snapshot,
        renderer=renderer,
        active=inputs.active,
        shading=inputs.shading,
        book=inputs.book,
        scoring=unscored(),
    )
    return Bidder(
        state, lookup, installed.identity.hash, Tally(), Admission(), lambda: inputs.now_s, lambda: SEED
    )


async def _answer_all(
    bidder: Bidder, wires: Sequence[bytes], clock: _StageClock
) -> tuple[list[bytes], dict[str, float]]:
    """Put every request through, whole batches of them; return each status, and the time of each stage."""
    sinks = [_Sink() for _ in range(BATCH_REQUESTS)]
    connections = [BidConnection(bidder.submit, bidder.is_ready, Connections()) for _ in sinks]
    for connection, sink in zip(connections, sinks, strict=True):
        connection.connection_made(sink)
    times: defaultdict[str, list[float]] = defaultdict(list)
    for start in range(0, len(wires), BATCH_REQUESTS):
        batch = wires[start : start + BATCH_REQUESTS]
        clock.ns.clear()
        for connection, wire in zip(connections, batch, strict=False):
            connection.data_received(wire)
        await bidder.finish()
        for stage in STAGES:
            times[stage].append(clock.ns[stage] / 1e3 / len(batch))
    statuses = [sink.statuses[turn] for turn in range(len(wires) // BATCH_REQUESTS) for sink in sinks]
    return statuses, {stage: statistics.median(values) for stage, values in times.items()}


def run(options: Arguments) -> Report:
    """Measure as much as the command line asks for."""
    return uvloop.run(measure(SMALL if options.small else Size()))


def show(report: Report) -> None:
    """Print a report for a person."""
    print(f"stages, µs a request in a batch of {BATCH_REQUESTS}   ({report.machine}; results {report.hash})")
    print("              median      min      max")
    for stage, figure in (*report.us_per_request.items(), ("total", report.total)):
        print(f"  {stage:10} {figure.median:8.2f} {figure.min:8.2f} {figure.max:8.2f}")
    print(f"  {report.bid_rate:.0%} of the requests get a bid")


if __name__ == "__main__":
    run_command(__doc__, run, show)
