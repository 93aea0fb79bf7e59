"""`hustings segments count` and `overlap`: how large audiences are, and what segments share.

hustings segments count "polk-county and (gardeners or not renters)"
hustings segments count --estimate gardeners --json
hustings segments overlap polk-county gardeners renters --measure share
"""

import csv
import io
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import numpy as np
import typer
from redis.asyncio import Redis
from rich.console import Console
from rich.progress import TaskProgressColumn
from rich.table import Table

from bidder.cli.audience_access import JsonOption, now_s, print_json, progress_bar, run, today
from bidder.cli.redis_option import DATA_DIR_DEFAULT, DataOption, RedisOption, redis_url, say_and_exit
from config.audience import AudienceError, Clause, Node, parse_audience, segment_names, to_clauses
from config.limits import SEGMENTS_COMPARED_MAX
from segments.count import Counted, count_audience, estimate_audience
from segments.counts_history import counts_history, remember_counts
from segments.expressions import UnknownSegmentError, compile_clauses, undefined
from segments.overlap import Overlaps, count_overlaps
from segments.registry import RegistryError, SegmentRegistry, words_of
from segments.sizes import count_segments
from segments.store import SCAN_CHUNKS, SegmentStore


class Measure(StrEnum):
    """What the table of `overlap` shows."""

    COOKIES = "cookies"
    SHARE = "share"
    JACCARD = "jaccard"


_MEASURES = {
    Measure.COOKIES: "cookies in both the row's segment and the column's",
    Measure.SHARE: "of the row's cookies, so many in a hundred are in the column's segment too",
    Measure.JACCARD: "of the cookies in either segment, so many in a hundred are in both",
}


def count_command(
    expression: Annotated[
        str | None,
        typer.Argument(metavar="EXPR", help='Like "homeowners and not (a or b)"; without: every segment.'),
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Look at a random sample, and say how far off that may be.")
    ] = False,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Count the cookies of an audience exactly, or those of every segment, which `list` then shows."""
    if expression is None:
        if estimate:
            say_and_exit("--estimate needs an expression")
        _count_segments(redis_url(redis, data), as_json)
        return
    try:
        node = parse_audience(expression)
        assert node is not None
        clauses = to_clauses(node)
    except AudienceError as error:
        say_and_exit(str(error))

    async def count(client: Redis) -> Counted:
        indices = await SegmentRegistry(client).indices()
        _check_names(node, indices)
        store = SegmentStore(client)
        if estimate:
            return await estimate_audience(store, clauses, indices, today(), np.random.default_rng())
        return await count_audience(store, clauses, indices, today(), lambda: bar.advance(task))

    with progress_bar(TaskProgressColumn()) as bar:
        task = bar.add_task("Counting", total=SCAN_CHUNKS, visible=not estimate)
        counted = run(redis_url(redis, data), count)
    if as_json:
        print_json(counted)
    else:
        typer.echo(_sentence(counted))


def _check_names(node: Node, indices: dict[str, int]) -> None:
    """Raise RegistryError for a name that is not defined, also when it makes no difference."""
    try:
        compile_clauses([Clause(any=segment_names(node), none=frozenset())], indices, words_of(indices))
    except UnknownSegmentError as error:
        raise RegistryError(str(error)) from None


def _sentence(counted: Counted) -> str:
    share = 100 * counted.cookies / counted.of if counted.of else 0.0
    if counted.exact:
        return f"{counted.cookies:,} of {counted.of:,} cookies ({share:.1f} %)"
    return (
        f"about {counted.cookies:,} of {counted.of:,} cookies ({share:.1f} %); "
        f"with 95 % confidence, {counted.low:,} to {counted.high:,}"
    )


def _count_segments(url: str, as_json: bool) -> None:
    async def work(client: Redis) -> dict[str, int]:
        definitions = await SegmentRegistry(client).describe()
        store = SegmentStore(client)
        counts = await count_segments(store, definitions, today(), now_s(), lambda: bar.advance(task))
        await remember_counts(client, counts)
        return counts.sizes

    with progress_bar(TaskProgressColumn()) as bar:
        task = bar.add_task("Counting", total=SCAN_CHUNKS)
        sizes = run(url, work)
    if as_json:
        print_json(sizes)
        return
    for name, size in sizes.items():
        typer.echo(f"{size:>14,}  {name}")


def overlap_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Two or more; without: the largest when last counted."),
    ] = None,
    measure: Annotated[Measure, typer.Option(help="What the table shows.")] = Measure.COOKIES,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a line for each pair instead, with every measure.")
    ] = False,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Show how many cookies each two segments share, exactly."""
    if as_csv and as_json:
        say_and_exit("either --csv or --json, not both")

    async def work(client: Redis) -> Overlaps:
        chosen, words = await _chosen(client, names or [])
        return await count_overlaps(SegmentStore(client), chosen, words, today(), lambda: bar.advance(task))

    with progress_bar(TaskProgressColumn()) as bar:
        task = bar.add_task("Counting", total=SCAN_CHUNKS)
        overlaps = run(redis_url(redis, data), work)
    if as_json:
        print_json(
            {
                "segments": overlaps.names,
                "cookies": overlaps.cookies.tolist(),
                "shares": overlaps.shares().round(6).tolist(),
                "jaccard": overlaps.jaccard().round(6).tolist(),
            }
        )
    elif as_csv:
        typer.echo(_csv(overlaps), nl=False)
    else:
        Console().print(_table(overlaps, measure))


async def _chosen(client: Redis, names: Sequence[str]) -> tuple[dict[str, int], int]:
    """Return the bits of the segments to compare, by present name, and the words of all."""
    registry = SegmentRegistry(client)
    indices = await registry.indices()
    present = {definition.index: definition.name for definition in await registry.describe()}
    if not names:
        history = await counts_history(client, most=1)
        if not history:
            raise RegistryError(
                "nothing was counted yet: name the segments, or run `hustings segments count`"
            )
        sizes = history[0].sizes
        known = sorted((name for name in sizes if name in indices), key=lambda name: (-sizes[name], name))
        names = known[:SEGMENTS_COMPARED_MAX]
    for name in names:
        if name not in indices:
            raise RegistryError(undefined(name, indices))
    # Two names may mean one segment.
    chosen = {present[indices[name]]: indices[name] for name in names}
    if not 2 <= len(chosen) <= SEGMENTS_COMPARED_MAX:
        raise RegistryError(
            f"2 to {SEGMENTS_COMPARED_MAX} segments can be compared at once, not {len(chosen)}"
        )
    return chosen, words_of(indices)


def _table(overlaps: Overlaps, measure: Measure) -> Table:
    """Columns have the numbers of the rows: forty names side by side fit no terminal."""
    table = Table(caption=_MEASURES[measure])
    table.add_column("segment", no_wrap=True)
    for number in range(1, len(overlaps.names) + 1):
        table.add_column(str(number), justify="right", no_wrap=True)
    cells: list[list[float]]
    if measure is Measure.COOKIES:
        cells, form = overlaps.cookies.tolist(), "{:,}"
    else:
        parts = overlaps.shares() if measure is Measure.SHARE else overlaps.jaccard()
        cells, form = (100 * parts).tolist(), "{:.1f}"
    for number, (name, row) in enumerate(zip(overlaps.names, cells, strict=True), 1):
        table.add_row(f"{number} {name}", *map(form.format, row))
    return table


def _csv(overlaps: Overlaps) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["segment", "other", "cookies", "share", "jaccard"])
    shares, jaccard = overlaps.shares().round(6), overlaps.jaccard().round(6)
    for row, name in enumerate(overlaps.names):
        for column, other in enumerate(overlaps.names):
            writer.writerow(
                [name, other, overlaps.cookies[row, column], shares[row, column], jaccard[row, column]]
            )
    return text.getvalue()
