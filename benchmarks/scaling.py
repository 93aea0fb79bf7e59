"""How throughput holds when the config grows tenfold, and when a second worker helps.

    python -m benchmarks.scaling [--small] [--json]

Three loads in turn, over several rounds: a worker with everything on (`benchmarks.rig`), one with more
line items, and two workers.

Line items: a worker with 1,000 and one with 10,000, on the same core. `rps_ratio` is the second's
requests/s over the first's, `cpu_ratio` the processor time of a request the other way up.

Workers: one, and two that share a port, with the same number of connections for each. With four cores
or more each worker has its own, and `rps_ratio` is requests/s of two over one. With fewer there is no
core left for a second worker: `on` is then "one core", the two share the measured core, and `rps_ratio`
is twice what they do together over what one does there alone. That is what two cores would give if
nothing but the workers were in the way: it shows what sharing a port, Redis and the ledger costs, and
not how far one Redis reaches.
"""

import contextlib
from typing import Literal

import msgspec
import uvloop

from benchmarks.command import Arguments, run_command
from benchmarks.cores import Cores, usable_cores
from benchmarks.figures import Spread, machine, result_hash, spread
from benchmarks.load import CONNECTIONS
from benchmarks.rig import RIG_SMALL, Pressed, PressSize, rig

LINE_ITEMS_FACTOR = 10
CORES_FOR_TWO = 4
"""A core for each worker, one for Redis and one for the load client."""


SMALL = PressSize(RIG_SMALL, rounds=2, seconds=1.0)


class _Round(msgspec.Struct, frozen=True):
    """One worker, one with many line items, and two workers, in turn."""

    one: Pressed
    many: Pressed
    two: Pressed


class LineItems(msgspec.Struct, frozen=True):
    """Few line items and many; a ratio above one is in favour of many."""

    few: int
    many: int
    rps_few: Spread
    rps_many: Spread
    rps_ratio: Spread
    cpu_ratio: Spread


class Workers(msgspec.Struct, frozen=True):
    """One worker and two; a ratio above one is in favour of two."""

    on: Literal["own cores", "one core"]
    rps_one: Spread
    rps_two: Spread
    rps_ratio: Spread
    cpu_ratio: Spread


class Report(msgspec.Struct, frozen=True):
    machine: str
    client: str
    hash: str
    line_items: LineItems
    workers: Workers


async def measure(size: PressSize) -> Report:
    """Run both comparisons, on private servers; raises BenchmarkError."""
    few = size.rig
    many = msgspec.structs.replace(few, line_items=LINE_ITEMS_FACTOR * few.line_items)
    on_own_cores = usable_cores() >= CORES_FOR_TWO
    async with contextlib.AsyncExitStack() as closing:
        cores = closing.enter_context(Cores.divided(2 if on_own_cores else 1))
        small = await closing.enter_async_context(rig(few, cores))
        large = await closing.enter_async_context(rig(many, cores))
        lone = await closing.enter_async_context(small.worker())
        with_many = await closing.enter_async_context(large.worker())
        first = await closing.enter_async_context(small.worker())
        pair = (first, await closing.enter_async_context(small.worker(first.port)))

        async def press_each() -> _Round:
            return _Round(
                await small.press([lone], size.seconds),
                await large.press([with_many], size.seconds),
                await small.press(pair, size.seconds, 2 * CONNECTIONS),
            )

        await press_each()
        rounds = [await press_each() for _ in range(size.rounds)]
    times = 1 if on_own_cores else 2
    one_rps = spread([r.one.rps for r in rounds], 0)
    return Report(
        machine(),
        small.client.name,
        result_hash([bytes(small.expected), bytes(large.expected)]),
        LineItems(
            few.line_items,
            many.line_items,
            rps_few=one_rps,
            rps_many=spread([r.many.rps for r in rounds], 0),
            rps_ratio=spread([r.many.rps / r.one.rps for r in rounds]),
            cpu_ratio=spread([r.one.cpu_us / r.many.cpu_us for r in rounds]),
        ),
        Workers(
            "own cores" if on_own_cores else "one core",
            rps_one=one_rps,
            rps_two=spread([r.two.rps for r in rounds], 0),
            rps_ratio=spread([times * r.two.rps / r.one.rps for r in rounds]),
            cpu_ratio=spread([r.one.cpu_us / r.two.cpu_us for r in rounds]),
        ),
    )


def run(options: Arguments) -> Report:
    """Measure as much as the command line asks for."""
    return uvloop.run(measure(SMALL if options.small else PressSize()))


def show(report: Report) -> None:
    """Print a report for a person."""
    print(f"scaling   ({report.machine}; load by {report.client}; results {report.hash})")
    print("                                   median        min        max")
    items, workers = report.line_items, report.workers
    for title, figure in (
        (f"{items.few:,} line items, requests/s", items.rps_few),
        (f"{items.many:,} line items, requests/s", items.rps_many),
        ("many ÷ few", items.rps_ratio),
        ("CPU of a request, few ÷ many", items.cpu_ratio),
        ("one worker, requests/s", workers.rps_one),
        (f"two on {workers.on}, requests/s", workers.rps_two),
        ("two ÷ one" if workers.on == "own cores" else "2 × two ÷ one", workers.rps_ratio),
        ("CPU of a request, one ÷ two", workers.cpu_ratio),
    ):
        print(f"  {title:28} {figure.median:10,.10g} {figure.min:10,.10g} {figure.max:10,.10g}")


if __name__ == "__main__":
    run_command(__doc__, run, show)
