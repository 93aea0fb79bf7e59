"""`hustings segments report`: one page about all audiences, to open in a browser or to send to somebody."""

from pathlib import Path
from typing import Annotated

import typer
from redis.asyncio import Redis
from rich.progress import TaskProgressColumn

from bidder.cli.audience_access import now_s, progress_bar, run, today
from bidder.cli.redis_option import DATA_DIR_DEFAULT, DataOption, RedisOption, redis_url, say_and_exit
from segments.counts_history import SegmentCounts, counts_history, remember_counts
from segments.registry import SegmentRegistry
from segments.report import report_page
from segments.store import SCAN_CHUNKS, SegmentStore
from segments.survey import Survey, take_survey


def report_command(
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="Where to write the page.")] = Path(
        "audiences.html"
    ),
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
) -> None:
    """Write one page about all segments: sizes, growth, freshness, overlaps. It needs no network."""
    # Counting may take minutes: it is no use finding out afterwards.
    if not out.parent.is_dir():
        say_and_exit(f"can't write {out}: there is no folder {out.parent}")
    if out.is_dir():
        say_and_exit(f"can't write {out}: it is a folder; name a file")

    async def work(client: Redis) -> tuple[Survey, list[SegmentCounts]]:
        earlier = await counts_history(client)
        definitions = await SegmentRegistry(client).describe()
        survey = await take_survey(
            SegmentStore(client), definitions, today(), now_s(), lambda: bar.advance(task)
        )
        await remember_counts(client, survey.counts)
        return survey, earlier

    with progress_bar(TaskProgressColumn()) as bar:
        task = bar.add_task("Counting", total=SCAN_CHUNKS)
        survey, earlier = run(redis_url(redis, data), work)
    try:
        out.write_text(report_page(survey, earlier), encoding="utf-8")
    except OSError as error:
        say_and_exit(f"can't write {out}: {error.strerror}")
    typer.echo(f"{out} is written")
