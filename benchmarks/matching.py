"""How long the decision itself takes: microseconds of processor time for each candidate.

    python -m benchmarks.matching [--small] [--json]

`bidder.decision.decide` is called with batches of 64 requests, prepared beforehand, for every number
of line items and of segments. A candidate is an imp in the open auction. The time is the thread's own
processor time, so that a busy neighbour shows less; the figure is the median of several rounds.
"""

import time
from collections.abc import Sequence

import msgspec
import numpy as np

from benchmarks.command import Arguments, run_command
from benchmarks.decision_inputs import decision_inputs
from benchmarks.figures import machine, result_hash, spread
from benchmarks.sample_config import sample_bundle, sample_plan
from benchmarks.sample_traffic import SEED, batches, decode, sample_bodies, sample_people
from bidder.decision.columns import CandidateColumns, Columns
from bidder.decision.decide import Decisions
from bidder.decision.reasons import Reason
from bidder.decision.snapshot import Snapshot
from segments.identity import Identity

LINE_ITEMS = (100, 1_000, 10_000, 50_000)
LINE_ITEMS_SMALL = LINE_ITEMS[:-1]
SEGMENTS = (256, 1_024, 4_096)
REQUESTS = 1_024
PEOPLE = 4_096
ROUNDS = 7
ROUND_SECONDS_MIN = 0.05
NOW_S = 1_795_000_000
"""A Wednesday noon, UTC: the decisions of a benchmark don't depend on when it runs."""


class Result(msgspec.Struct, frozen=True):
    """One size. `bid_share` is of candidates; `us_min` and `us_max` are the spread of the rounds."""

    line_items: int
    segments: int
    us_per_candidate: float
    us_min: float
    us_max: float
    candidates: int
    bid_share: float


class Report(msgspec.Struct, frozen=True):
    machine: str
    hash: str
    results: list[Result]


class _PreparedColumns(CandidateColumns):
    """Columns whose arrays are made once: what is timed is the decision, not the collecting."""

    def __init__(self, snapshot: Snapshot, columns: CandidateColumns) -> None:
        super().__init__(snapshot)
        self.candidates = columns.candidates
        self._arrays = columns.arrays()

    def arrays(self) -> Columns:
        return self._arrays


class Matching:
    """One config and its batches, ready to be decided on again and again."""

    def __init__(
        self, line_items: int, segments: int, requests: int = REQUESTS, people: int = PEOPLE
    ) -> None:
        config = sample_bundle(line_items, segments, SEED)
        self._inputs = decision_inputs(config, sample_plan(config, NOW_S), NOW_S)
        snapshot = self._inputs.snapshot
        identity = Identity(bytes(32))
        indices = {segment.name: index for index, segment in enumerate(config.segments)}
        crowd = sample_people(people, indices, identity, snapshot.account_codes, NOW_S)
        bodies = sample_bodies(requests, people)
        opportunities = decode(bodies, config.exchanges[0], identity)
        self._batches = [
            msgspec.structs.replace(batch, columns=_PreparedColumns(snapshot, batch.columns))
            for batch in batches(snapshot, opportunities, crowd, NOW_S)
        ]
        self.candidates = sum(len(batch.columns.candidates) for batch in self._batches)

    def decide_all(self) -> list[Decisions]:
        """Decide every batch once, with money for all."""
        self._inputs.fund()
        return [self._inputs.decide(batch, draw) for draw, batch in enumerate(self._batches)]

    def microseconds(self) -> float:
        """Return the processor time of one candidate, over at least ROUND_SECONDS_MIN of deciding."""
        passes = elapsed_ns = 0
        while elapsed_ns < ROUND_SECONDS_MIN * 1e9:
            self._inputs.fund()
            started_ns = time.thread_time_ns()
            for draw, batch in enumerate(self._batches):
                self._inputs.decide(batch, draw)
            elapsed_ns += time.thread_time_ns() - started_ns
            passes += 1
        return elapsed_ns / 1e3 / (passes * self.candidates)


def measure(
    line_items: Sequence[int],
    segments: Sequence[int],
    requests: int = REQUESTS,
    people: int = PEOPLE,
    rounds: int = ROUNDS,
) -> Report:
    """Time every combination of sizes; the hash is of all choices, prices and reasons."""
    results, decided = [], []
    for items in line_items:
        for segment_count in segments:
            matching = Matching(items, segment_count, requests, people)
            decisions = matching.decide_all()
            decided += [column.tobytes() for batch in decisions for column in batch]
            reasons = np.concatenate([batch.reason for batch in decisions])
            microseconds = spread([matching.microseconds() for _ in range(rounds)])
            results.append(
                Result(
                    items,
                    segment_count,
                    microseconds.median,
                    microseconds.min,
                    microseconds.max,
                    matching.candidates,
                    round(float(np.mean(reasons == Reason.BID)), 3),
                )
            )
    return Report(machine(), result_hash(decided), results)


def run(options: Arguments) -> Report:
    """Measure the sizes that the command line asks for."""
    return measure(LINE_ITEMS_SMALL if options.small else LINE_ITEMS, SEGMENTS)


def show(report: Report) -> None:
    """Print a report for a person."""
    print(f"matching, µs of processor time a candidate   ({report.machine}; results {report.hash})")
    print("line items  segments   median      min      max   bids")
    for result in report.results:
        times = f"{result.us_per_candidate:8.2f} {result.us_min:8.2f} {result.us_max:8.2f}"
        print(f"{result.line_items:10,} {result.segments:9,} {times}  {result.bid_share:4.0%}")


if __name__ == "__main__":
    run_command(__doc__, run, show)
