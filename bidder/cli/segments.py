"""`hustings segments`: load, define, look at, count and forget audiences.

hustings segments define polk-county gardeners
hustings segments load audience.csv --ttl-days 30
hustings segments count "polk-county and not gardeners"
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import redis.asyncio
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from bidder.cli.redis_option import (
    DATA_DIR_DEFAULT,
    DataOption,
    RedisOption,
    redis_or_exit,
    redis_url,
    say_and_exit,
)
from config.audience import AudienceError, Clause, parse_audience, segment_names, to_clauses
from config.calendar import SECONDS_PER_DAY
from config.limits import SEGMENT_TTL_DAYS_MAX
from config.settings import SettingsError, ensure_secret_file, load_secrets
from segments.bitsets import indices_from_bits
from segments.expressions import UnknownSegmentError, compile_clauses, words_for
from segments.identity import COOKIE, Identity
from segments.kernels import count_matching
from segments.loader import load_file
from segments.registry import RegistryError, SegmentRegistry
from segments.segment_file import LoadError
from segments.store import SCAN_CHUNKS, SegmentStore

app = typer.Typer(no_args_is_help=True, help="Audiences: load, define, look at, count and forget them.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value instead.")]
SourceOption = Annotated[
    str, typer.Option(metavar="SOURCE", help="Who gave the id: cookie is us, else a domain.")
]

_EXIT_UNKNOWN = 1
_Result = TypeVar("_Result")


@app.command()
def load(
    file: Annotated[
        Path, typer.Argument(help="A .csv, .csv.gz or .parquet with the columns id and segments.")
    ],
    define: Annotated[bool, typer.Option("--define", help="Define segments that are not yet.")] = False,
    ttl_days: Annotated[
        int, typer.Option(min=1, max=SEGMENT_TTL_DAYS_MAX, help="How long a cookie stays in its segments.")
    ] = 30,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Load a file: each row replaces the segments of its cookie.

    Rows that can't be loaded go to FILE.rejects.csv with their line and the reason.
    """
    size_bytes = file.stat().st_size if file.is_file() else None
    url = redis_url(redis, data)
    identity = _identity(data)
    with _progress(DownloadColumn()) as bar:
        task = bar.add_task("Loading", total=size_bytes)
        try:
            report = _run(
                url,
                lambda store, registry: load_file(
                    file,
                    store,
                    registry,
                    identity,
                    ttl_days,
                    lambda _, bytes_done: bar.update(task, completed=bytes_done),
                    today=_today(),
                    define=define,
                ),
            )
        except (LoadError, RegistryError) as error:
            say_and_exit(str(error))
    if as_json:
        _print_json(report)
    else:
        rate = report.rows / max(report.seconds, 1e-9)
        typer.echo(f"{report.cookies:,} cookies loaded in {report.seconds:.1f} s ({rate:,.0f} a second)")
    if report.rejected:
        rows = "row" if report.rejected == 1 else "rows"
        typer.echo(f"{report.rejected:,} {rows} rejected; the reasons are in {report.rejects_file}", err=True)
    if not report.cookies:
        say_and_exit(f"no row of {file} could be loaded")


@app.command()
def define(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Letters, digits, dots, dashes, underscores.")
    ],
    description: Annotated[str, typer.Option(help="What these people have in common.")] = "",
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
) -> None:
    """Define segments; one that is defined stays as it is, or takes the new description."""
    url = redis_url(redis, data)
    try:
        indices = _run(url, lambda _, registry: registry.define(dict.fromkeys(names, description)))
    except RegistryError as error:
        say_and_exit(str(error))
    typer.echo(f"{len(indices):,} segments are defined")


@app.command("list")
def list_(
    redis: RedisOption = None, data: DataOption = DATA_DIR_DEFAULT, as_json: JsonOption = False
) -> None:
    """Show every defined segment."""
    segments = _run(redis_url(redis, data), lambda _, registry: registry.describe())
    if as_json:
        _print_json(segments)
        return
    table = Table("segment", "description")
    for segment in segments:
        table.add_row(segment.name, segment.description)
    Console().print(table)


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    source: SourceOption = COOKIE,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Show which segments a cookie is in, and until when. Exit status 1 when it is unknown."""
    user_hash = _identity(data).hash(source, id_)

    async def read(store: SegmentStore, registry: SegmentRegistry) -> tuple[list[str], str] | None:
        defined = await registry.describe()
        found = await store.read(user_hash, words_for(len(defined)), _today())
        if found is None:
            return None
        bits, expiry_day = found
        names = {segment.index: segment.name for segment in defined}
        members = [names[index] for index in indices_from_bits(bits) if index in names]
        return members, (date(1970, 1, 1) + timedelta(days=expiry_day)).isoformat()

    found = _run(redis_url(redis, data), read)
    if found is None:
        typer.echo("this id is in no segment: it was never loaded, or has expired", err=True)
        raise typer.Exit(_EXIT_UNKNOWN)
    members, expires = found
    if as_json:
        _print_json({"segments": members, "expires": expires})
        return
    for name in members:
        typer.echo(name)
    typer.echo(f"{len(members)} segments, to the end of {expires}", err=True)


@app.command()
def count(
    expression: Annotated[str, typer.Argument(metavar="EXPR", help='Like "homeowners and not (a or b)".')],
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Count the cookies of an audience, exactly: every cookie is looked at."""
    try:
        node = parse_audience(expression)
        assert node is not None
        clauses = to_clauses(node)
    except AudienceError as error:
        say_and_exit(str(error))
    url = redis_url(redis, data)

    async def count_all(store: SegmentStore, registry: SegmentRegistry) -> tuple[int, int]:
        indices = await registry.indices()
        words = words_for(len(indices))
        # A name that makes no difference is not in the clauses, and must exist all the same.
        compile_clauses([*clauses, Clause(any=segment_names(node), none=frozenset())], indices, words)
        masks = compile_clauses(clauses, indices, words)
        matching = cookies = 0
        async for users in store.scan(words, _today()):
            matching += int(count_matching(users, masks))
            cookies += len(users)
            bar.advance(task)
        return matching, cookies

    with _progress(TaskProgressColumn()) as bar:
        task = bar.add_task("Counting", total=SCAN_CHUNKS)
        try:
            matching, cookies = _run(url, count_all)
        except UnknownSegmentError as error:
            say_and_exit(str(error))
    if as_json:
        _print_json({"cookies": matching, "of": cookies})
    else:
        share = 100 * matching / cookies if cookies else 0.0
        typer.echo(f"{matching:,} of {cookies:,} cookies ({share:.1f} %)")


@app.command()
def forget(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    source: SourceOption = COOKIE,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
) -> None:
    """Delete everything held under an id: its segments and its frequency caps."""
    user_hash = _identity(data).hash(source, id_)
    forgotten = _run(redis_url(redis, data), lambda store, _: store.forget(user_hash))
    typer.echo("forgotten" if forgotten else "nothing was held under this id")


@app.command()
def sweep(redis: RedisOption = None, data: DataOption = DATA_DIR_DEFAULT) -> None:
    """Delete the cookies whose segments have expired, which nothing reads any more."""
    swept = _run(redis_url(redis, data), lambda store, _: store.sweep(_today()))
    typer.echo(f"{swept:,} expired cookies deleted")


def _run(url: str, work: Callable[[SegmentStore, SegmentRegistry], Awaitable[_Result]]) -> _Result:
    async def connected() -> _Result:
        async with redis.asyncio.Redis.from_url(url) as client:
            return await work(SegmentStore(client), SegmentRegistry(client))

    with redis_or_exit(url):
        return asyncio.run(connected())


def _identity(data: Path) -> Identity:
    try:
        return Identity(load_secrets(ensure_secret_file(data)).identity_key)
    except SettingsError as error:
        say_and_exit(str(error))


def _progress(how_far: DownloadColumn | TaskProgressColumn) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        how_far,
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.encode(value))


def _today() -> int:
    return int(time.time()) // SECONDS_PER_DAY
