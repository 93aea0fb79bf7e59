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

In every other round all line items pay for clicks, at a model with a weight in every slot, in place of flat
prices: the difference is what prediction adds to a request, marks in tokens included.

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
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
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
from bidder.decision.scoring import compile_scoring
from bidder.openrtb.notice_token import TokenSigner
from bidder.openrtb.render import BidSequence, ResponseRenderer
from bidder.port import bidder as bidder_module
from bidder.port.admission import Admission
from bidder.port.bid_state import BidState
from bidder.port.bidder import Bidder
from bidder.port.protocol import BidCall, BidConnection, Connections
from bidder.port.tally import Tally
from config.money import Money
from config.schema import Bundle
from pacing.features import TABLE_SLOTS
from pacing.prediction import SCORE_ONE, EventModel, Model, Scoring, exponential_link
from segments.lookup import UserLookup
from segments.wire import Wire

LINE_ITEMS, SEGMENTS = 1_000, 256
LOOKUP_TIMEOUT_MS = 5_000
"""Not the engine's: a busy machine must not change what is decided."""
CLICK_RATE = 0.001
WEIGHT_MOST = 300
"""In 1/2048 of a neper: the weights of an impression together move its rate by a half, or by two."""
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
    rounds: int = 41
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
    us_per_request_predicting: dict[str, Spread]
    total_predicting: Spread
    us_added_by_prediction: Spread
    """The difference of two rounds that follow each other."""


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
        now_s = int(time.time())
        flat = decision_inputs(config, installed.plan, now_s)
        predicting = decision_inputs(paying_for_clicks(config), installed.plan, now_s)
        paths = [
            (inputs, _bidder(inputs, compile_scoring(model, inputs.snapshot), installed, lookup))
            for inputs, model in ((flat, None), (predicting, dense_model(SEED)))
        ]
        # Unmeasured: caches fill, the kernel is loaded.
        statuses = [(await _answer_all(bidder, wires, clock))[0] for _, bidder in paths]
        rounds: list[list[dict[str, float]]] = [[], []]
        for _ in range(size.rounds):
            for (inputs, bidder), times in zip(paths, rounds, strict=True):
                inputs.fund()
                times.append((await _answer_all(bidder, wires, clock))[1])
    totals = [[sum(round_.values()) for round_ in times] for times in rounds]
    by_stage = [
        {stage: spread([round_[stage] for round_ in times], 2) for stage in STAGES} for times in rounds
    ]
    return Report(
        machine=machine(),
        hash=result_hash(statuses[0] + statuses[1]),
        bid_rate=round(statuses[0].count(b"200") / len(statuses[0]), 3),
        us_per_request=by_stage[0],
        total=spread(totals[0], 2),
        us_per_request_predicting=by_stage[1],
        total_predicting=spread(totals[1], 2),
        us_added_by_prediction=spread([after - before for before, after in zip(*totals, strict=True)], 2),
    )


def paying_for_clicks(config: Bundle) -> Bundle:
    """Return the config with a price per click in place of each flat one, which stays the highest bid."""
    replace = msgspec.structs.replace
    return replace(
        config,
        advertisers=tuple(
            replace(
                advertiser,
                campaigns=tuple(
                    replace(
                        campaign,
                        line_items=tuple(
                            replace(
                                item,
                                bid_cpm=None,
                                bid_cpm_max=item.bid_cpm,
                                bid_cpc=Money(round(int(item.bid_cpm or 0) / CLICK_RATE)),
                            )
                            for item in campaign.line_items
                        ),
                    )
                    for campaign in advertiser.campaigns
                ),
            )
            for advertiser in config.advertisers
        ),
    )


def dense_model(seed: int) -> Model:
    """Return a model of clicks with a random weight in every slot, and CLICK_RATE in the middle."""
    weights = np.random.default_rng(seed).integers(-WEIGHT_MOST, WEIGHT_MOST, TABLE_SLOTS).astype("<i2")
    click = EventModel(
        round(float(np.log(CLICK_RATE)) * SCORE_ONE),
        zlib.compress(weights.tobytes(), 1),
        tuple(exponential_link().tolist()),
    )
    return Model(version=1, made_at_s=0, events={"click": click})


def _bidder(inputs: DecisionInputs, scoring: Scoring, installed: Installation, lookup: UserLookup) -> Bidder:
    renderer = ResponseRenderer(inputs.snapshot, EVENTS_URL, TokenSigner(bytes(32)), 1, BidSequence())
    state = BidState(
        snapshot=inputs.snapshot,
        renderer=renderer,
        active=inputs.active,
        shading=inputs.shading,
        book=inputs.book,
        scoring=scoring,
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
    print("              median      min      max     with predictions: median      min      max")
    flat = (*report.us_per_request.items(), ("total", report.total))
    predicting = (*report.us_per_request_predicting.items(), ("total", report.total_predicting))
    for (stage, figure), (_, other) in zip(flat, predicting, strict=True):
        figures = f"{figure.median:8.2f} {figure.min:8.2f} {figure.max:8.2f}"
        print(f"  {stage:10} {figures} {other.median:28.2f} {other.min:8.2f} {other.max:8.2f}")
    added = report.us_added_by_prediction
    print(f"  added by prediction: median {added.median}, least {added.min}, most {added.max}")
    print(f"  {report.bid_rate:.0%} of the requests get a bid")


if __name__ == "__main__":
    run_command(__doc__, run, show)
