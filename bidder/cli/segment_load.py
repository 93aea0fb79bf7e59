"""`hustings segments load`: a file or a folder of them into an audience."""

from pathlib import Path
from typing import Annotated, cast

import msgspec
import typer
from redis.asyncio import Redis
from rich.progress import DownloadColumn

from bidder.cli.audience_access import JsonOption, identity_of, print_json, progress_bar, run, today
from bidder.cli.redis_option import DATA_DIR_DEFAULT, DataOption, RedisOption, redis_url, say_and_exit
from config.limits import SEGMENT_TTL_DAYS_MAX
from segments.identity import Identity, IdentityKeyError, read_key_file
from segments.inbox_sink import InboxSink
from segments.loader import LoadOptions, LoadReport, Mode, Sink, load
from segments.segment_file import Columns, LoadError, segment_files
from segments.store_sink import DryRunSink, StoreSink

_COLUMNS = tuple(Columns.__struct_fields__)


def load_command(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A .csv, .tsv, .jsonl or .ndjson (also .gz or .zst), a .parquet, or a folder of them.",
        ),
    ],
    mode: Annotated[
        str, typer.Option(help="What a row does to its cookie: replace, add (also -name: remove), or remove.")
    ] = "replace",
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=THEIRS", help="What the file calls id, segments or source; repeatable."),
    ] = None,
    advertiser: Annotated[
        str | None, typer.Option(metavar="ID", help="Touch the segments of this advertiser alone.")
    ] = None,
    inbox: Annotated[
        bool, typer.Option("--inbox", help="With --advertiser: send to its inbox, as its Redis user may.")
    ] = False,
    identity_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The key of ids, where the secret is not at hand.")
    ] = None,
    define: Annotated[bool, typer.Option("--define", help="Define segments that are not yet.")] = False,
    ttl_days: Annotated[
        int, typer.Option(min=1, max=SEGMENT_TTL_DAYS_MAX, help="How long a cookie stays in its segments.")
    ] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew where an earlier load was interrupted.")
    ] = False,
    scratch: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where rejects and checkpoint go; beside FILE.")
    ] = None,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Load segment files. A load that was interrupted goes on where it was.

    Rows that can't be loaded go to FILE.rejects.csv with their line and the reason.
    """
    if inbox and (advertiser is None or define or dry_run):
        say_and_exit("--inbox goes with --advertiser, and without --define and --dry-run")
    options = LoadOptions(
        mode=_mode(mode), owner=advertiser, ttl_days=ttl_days, columns=_columns(column or []), define=define
    )
    url = redis_url(redis, data)
    identity = _identity(identity_key, data)
    try:
        total_bytes = sum(file.stat().st_size for file in segment_files(path) if file.exists())

        async def work(client: Redis) -> tuple[Sink, LoadReport]:
            sink = _sink(client, options, inbox, dry_run)
            report = await load(
                path, sink, identity, options, show, scratch=scratch, resumable=not dry_run, restart=restart
            )
            return sink, report

        with progress_bar(DownloadColumn()) as bar:
            task = bar.add_task("Reading" if dry_run else "Loading", total=total_bytes)

            def show(_: int, bytes_done: int) -> None:
                bar.update(task, completed=bytes_done)

            sink, report = run(url, work)
    except LoadError as error:
        say_and_exit(str(error))
    _tell(path, sink, report, as_json)


def _sink(client: Redis, options: LoadOptions, inbox: bool, dry_run: bool) -> Sink:
    if inbox:
        assert options.owner is not None
        return InboxSink(client, options.owner, options)
    return (DryRunSink if dry_run else StoreSink)(client, options, today())


def _tell(path: Path, sink: Sink, report: LoadReport, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.structs.asdict(report) | _details(sink))
    elif isinstance(sink, DryRunSink):
        _tell_dry_run(sink)
    else:
        rate = (report.rows - report.resumed_after) / max(report.seconds, 1e-9)
        what = "sent and applied" if isinstance(sink, InboxSink) else "loaded"
        after = f", after {report.resumed_after:,} of an earlier run" if report.resumed_after else ""
        typer.echo(
            f"{report.cookies:,} cookies {what} in {report.seconds:.1f} s ({rate:,.0f} a second){after}"
        )
    if report.repeated:
        typer.echo(f"{report.repeated:,} of them came again in the same batch: the last row counts", err=True)
    if report.rejected:
        rows = "row" if report.rejected == 1 else "rows"
        typer.echo(f"{report.rejected:,} {rows} rejected; the reasons are in {report.rejects_file}", err=True)
    if isinstance(sink, InboxSink) and sink.refused:
        typer.echo(f"{sink.refused:,} changes were refused; the stream of faults says why", err=True)
    if not report.cookies:
        say_and_exit(f"no row of {path} could be loaded")


def _details(sink: Sink) -> dict[str, object]:
    if isinstance(sink, DryRunSink):
        return {
            "new": sink.new,
            "changed": sink.changed,
            "unchanged": sink.unchanged,
            "would_define": list(sink.would_define),
            "segments": {
                name: {"added": added, "removed": removed}
                for name, (added, removed) in sink.by_segment().items()
            },
        }
    return {"refused": sink.refused} if isinstance(sink, InboxSink) else {}


def _tell_dry_run(sink: DryRunSink) -> None:
    typer.echo(
        f"nothing is changed; a load would add {sink.new:,} cookies, change {sink.changed:,} "
        f"and leave {sink.unchanged:,} as they are"
    )
    if sink.would_define:
        typer.echo(f"it would define {', '.join(sink.would_define)}")
    for name, (added, removed) in sorted(sink.by_segment().items()):
        typer.echo(f"  {name}: +{added:,} -{removed:,}")


def _mode(text: str) -> Mode:
    if text not in ("replace", "add", "remove"):
        say_and_exit("--mode is one of replace, add, remove")
    return cast(Mode, text)


def _columns(pairs: list[str]) -> Columns:
    names = {}
    for pair in pairs:
        ours, _, theirs = pair.partition("=")
        if ours not in _COLUMNS or not theirs:
            say_and_exit(f"--column takes {', '.join(f'{name}=NAME' for name in _COLUMNS)}, and not `{pair}`")
        names[ours] = theirs
    return Columns(**names)


def _identity(key_file: Path | None, data: Path) -> Identity:
    if key_file is None:
        return identity_of(data)
    try:
        return Identity(read_key_file(key_file))
    except IdentityKeyError as error:
        say_and_exit(str(error))
