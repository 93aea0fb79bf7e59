"""`hustings loadtest`: point the simulated exchange at one or several bid URLs and see what they can take.

Exit status 0 when nothing went wrong, 1 when errors were counted (timeouts are not errors, they
are the measurement), 2 when the run could not start or a file not be written.
`docs/load-testing.md` is its guide.
"""

import gc
import random
import re
import resource
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer

from bidder.cli.loadtest_view import run_watched, show
from config.money import cpm_micros_from_text
from loadtest.addresses import origin_of
from loadtest.exchange import Exchange, ExchangeSettings
from loadtest.landscape import LandscapeError, Landscapes, read_landscape
from loadtest.lane import Target
from loadtest.limits import (
    CONNECTIONS_MAX,
    FILES_BESIDE_CONNECTIONS,
    NOTICE_CONNECTIONS,
    NOTICE_DELAY_SECONDS_MAX,
    RATE_MAX,
    SECONDS_MAX,
    TARGETS_MAX,
    USERS_MAX,
    WARM_UP_SECONDS_MAX,
)
from loadtest.notices import NoticeHabits
from loadtest.pool import TargetError
from loadtest.replay import ReplayError, read_requests, replayed
from loadtest.report import page
from loadtest.result import Asked, result_of
from loadtest.schedule import arrivals_after_warm_up, peak_per_s
from loadtest.shape import HOURS, WEEK, ShapeError, hours_of, read_week
from loadtest.traffic import FORMATS, MixError, TrafficMix, requests, with_formats

_NAMED = re.compile(r"([\w.-]{1,40})=(.+)")
_FLAT, _WEEK = "flat", "week"
_TRAFFIC, _SHAPE, _NOTICES, _OUTPUT = "Traffic", "Rate", "Auctions and notices", "Output"

Share = Annotated[float, typer.Option(min=0, max=1, rich_help_panel=_NOTICES)]


def loadtest(
    target: Annotated[
        list[str],
        typer.Option(
            help="A bid URL like http://127.0.0.1:8080/bid/plain, or NAME=URL. Several get the same.",
            show_default=False,
        ),
    ],
    rate: Annotated[
        float, typer.Option(min=0.1, max=RATE_MAX, help="Requests a second, to each target.")
    ] = 500,
    seconds: Annotated[float, typer.Option(min=0.1, max=SECONDS_MAX, help="How long to measure.")] = 10,
    warm_up: Annotated[
        float, typer.Option(min=0, max=WARM_UP_SECONDS_MAX, help="Seconds of load before, not measured.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="The same seed sends the same traffic.")] = 1,
    connections: Annotated[
        int, typer.Option(min=1, max=CONNECTIONS_MAX, help="Connections to each target, kept open.")
    ] = 64,
    i_own_this_target: Annotated[
        bool, typer.Option("--i-own-this-target", help="Allow targets that are not this machine.")
    ] = False,
    mix: Annotated[
        str,
        typer.Option(
            help=f"Only these formats, by weight: web-banner=3,television=1. They are {', '.join(FORMATS)}.",
            rich_help_panel=_TRAFFIC,
            show_default=False,
        ),
    ] = "",
    users: Annotated[
        int, typer.Option(min=1, max=USERS_MAX, help="How many people visit.", rich_help_panel=_TRAFFIC)
    ] = 200_000,
    zipf: Annotated[
        float,
        typer.Option(
            min=0,
            max=5,
            help="How unevenly they visit: the exponent of Zipf's law.",
            rich_help_panel=_TRAFFIC,
        ),
    ] = 0.8,
    known_users: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of requests with a cookie of ours.", rich_help_panel=_TRAFFIC),
    ] = 0.8,
    user_ids: Annotated[
        str, typer.Option(help="The cookie of person number %d.", rich_help_panel=_TRAFFIC)
    ] = "demo-%09d",
    second_price: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of second-price auctions.", rich_help_panel=_TRAFFIC),
    ] = 0.08,
    tmax: Annotated[
        int, typer.Option(min=1, max=60_000, help="Milliseconds to answer in.", rich_help_panel=_TRAFFIC)
    ] = 100,
    replay: Annotated[
        Path | None,
        typer.Option(
            help="Send the requests of this JSON Lines file instead (.gz too).",
            dir_okay=False,
            rich_help_panel=_TRAFFIC,
        ),
    ] = None,
    once: Annotated[
        bool,
        typer.Option("--once", help="End with the last request of the file.", rich_help_panel=_TRAFFIC),
    ] = False,
    captured_ids: Annotated[
        bool,
        typer.Option(
            "--captured-ids",
            help="Keep the file's request ids; else each gets a new one.",
            rich_help_panel=_TRAFFIC,
        ),
    ] = False,
    shape: Annotated[
        str,
        typer.Option(
            help="flat; week, for a typical week; or a CSV file with dow, hour and traffic_share.",
            rich_help_panel=_SHAPE,
        ),
    ] = _FLAT,
    shape_region: Annotated[
        str,
        typer.Option(help="Only this region_id of the file.", rich_help_panel=_SHAPE, show_default=False),
    ] = "",
    shape_from: Annotated[
        int,
        typer.Option(
            min=0,
            max=HOURS - 1,
            help="The hour of the week to begin with; Monday 0:00 is 0.",
            rich_help_panel=_SHAPE,
        ),
    ] = 0,
    shape_hours: Annotated[
        int,
        typer.Option(
            min=1,
            max=HOURS,
            help="How many hours the run stands for, squeezed into it.",
            rich_help_panel=_SHAPE,
        ),
    ] = HOURS,
    landscape: Annotated[
        Path | None,
        typer.Option(
            help="A JSON histogram of the prices to beat, instead of log-normal rivals.",
            dir_okay=False,
            rich_help_panel=_NOTICES,
        ),
    ] = None,
    landscape_step: Annotated[
        str, typer.Option(help="CPM of one step of the histogram.", rich_help_panel=_NOTICES)
    ] = "0.01",
    clicks: Share = 0.02,
    lost: Share = 0.0,
    duplicates: Share = 0.0,
    delayed: Share = 0.0,
    delay_seconds: Annotated[
        float,
        typer.Option(
            min=0,
            max=NOTICE_DELAY_SECONDS_MAX,
            help="How late a delayed notice is.",
            rich_help_panel=_NOTICES,
        ),
    ] = 2.0,
    reordered: Share = 0.0,
    report: Annotated[
        Path | None,
        typer.Option(help="Write an HTML page here.", dir_okay=False, rich_help_panel=_OUTPUT),
    ] = None,
    result: Annotated[
        Path | None,
        typer.Option(help="Write the result as JSON here.", dir_okay=False, rich_help_panel=_OUTPUT),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """Send seeded OpenRTB traffic on a fixed schedule, auction the bids, fire the notices."""
    targets = _targets(target, connections)
    for path in (report, result):
        if path and not path.parent.is_dir():
            _refuse(f"can't write {path}: there is no folder {path.parent}")
    habits = NoticeHabits(
        click_share=clicks,
        lost_share=lost,
        repeated_share=duplicates,
        delayed_share=delayed,
        delay_s=delay_seconds,
        reordered_share=reordered,
        target_is_owned=i_own_this_target,
    )
    try:
        source = (
            replayed(read_requests(replay), random.Random(seed), loop=not once, fresh_ids=not captured_ids)
            if replay
            else _generated(mix, users, zipf, known_users, user_ids, second_price, tmax, seed)
        )
        weights = _weights(shape, shape_region, shape_from, shape_hours)
        landscapes = _landscapes(landscape, landscape_step)
    except (ReplayError, MixError, ShapeError, LandscapeError) as error:
        _refuse(str(error))
    if peak_per_s(rate, weights) > RATE_MAX:
        _refuse(f"the shape's busiest hour has more than {RATE_MAX} requests a second; lower --rate")
    exchange = Exchange(
        ExchangeSettings(
            seed=seed, connections=connections, warm_up_s=warm_up, landscapes=landscapes, habits=habits
        ),
        targets,
    )
    schedule = arrivals_after_warm_up(rate, warm_up, seconds, random.Random(seed), weights)
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    _make_room(len(targets) * (connections + NOTICE_CONNECTIONS) + FILES_BESIDE_CONNECTIONS)
    # A full collection would stop the clock for 16 ms; what exists by now stays until the end anyway.
    gc.collect()
    gc.freeze()
    try:
        run_watched(exchange, targets, source, schedule, seconds)
    except TargetError as error:
        _refuse(str(error))
    asked = Asked(
        rate=rate,
        seconds=seconds,
        warm_up_seconds=warm_up,
        seed=seed,
        connections=connections,
        source=replay.name if replay else f"generated, {mix or 'every format'}, {users:,} people",
        shape=shape if shape == _FLAT else f"{shape}, {shape_hours} hours from hour {shape_from}",
        landscape=landscape.name if landscape else "log-normal, by format",
        notices=habits.described(),
    )
    found = result_of(asked, targets, exchange, started_at)
    encoded = msgspec.json.encode(found)
    # What can't be written is told at the end: the run may have taken hours, and its figures stand.
    unwritten = _unwritten(result, encoded + b"\n") if result else ""
    unreported = _unwritten(report, page(found).encode()) if report else ""
    if as_json:
        typer.echo(encoded.decode())
    show(found, is_quiet=as_json, report=None if unreported else report)
    if unwritten or unreported:
        _refuse("\n".join(filter(None, (unwritten, unreported))))
    if found.errors:
        raise typer.Exit(1)


def _refuse(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(2)


def _make_room(files: int) -> None:
    """Let this process open so many files; what it may not open would look like the target's fault."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < files:
        if hard != resource.RLIM_INFINITY and hard < files:
            _refuse(
                f"this needs {files} open files and may have {hard}; lower --connections or raise ulimit -n"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def _targets(texts: list[str], connections: int) -> list[Target]:
    found: dict[str, Target] = {}
    for text in texts:
        named = _NAMED.fullmatch(text)
        name, url = (named[1], named[2]) if named and "://" not in named[1] else ("", text)
        origin = origin_of(url)
        if origin is None:
            _refuse(
                f"--target {url!r} is not an http or https URL; it looks like http://127.0.0.1:8080/bid/plain"
            )
        target = Target(name or str(origin), url)
        if target.name in found:
            _refuse(f"two targets are called {target.name}; name them: --target new={url}")
        found[target.name] = target
    if len(found) > TARGETS_MAX:
        _refuse(f"{len(found)} targets; {TARGETS_MAX} is the most")
    if len(found) * connections > CONNECTIONS_MAX:
        _refuse(f"{len(found)} targets of {connections} connections; {CONNECTIONS_MAX} in all is the most")
    return list(found.values())


def _generated(
    mix: str,
    users: int,
    zipf: float,
    known_users: float,
    user_ids: str,
    second_price: float,
    tmax: int,
    seed: int,
) -> Iterator[dict[str, Any]]:
    try:
        user_ids % 1
    except (TypeError, ValueError):
        _refuse(f"--user-ids {user_ids!r} has no one place for a number; it looks like demo-%09d")
    traffic = TrafficMix(
        users=users,
        user_id_format=user_ids,
        known_user_share=known_users,
        zipf_exponent=zipf,
        second_price_share=second_price,
        tmax_ms=tmax,
    )
    return requests(with_formats(traffic, mix) if mix else traffic, random.Random(seed))


def _weights(shape: str, region: str, first_hour: int, hours: int) -> list[float]:
    if shape == _FLAT:
        return [1.0]
    week = WEEK if shape == _WEEK else read_week(Path(shape), region)
    weights = hours_of(week, first_hour, hours)
    if not any(weights):
        raise ShapeError(f"no traffic at all in the {hours} hours from hour {first_hour}; choose others")
    return weights


def _landscapes(path: Path | None, step: str) -> Landscapes:
    if path is None:
        return Landscapes()
    try:
        step_cpm_micros = cpm_micros_from_text(step)
    except ValueError:
        step_cpm_micros = 0
    if step_cpm_micros <= 0:
        _refuse(f"--landscape-step {step!r} is no price; write a CPM such as 0.01")
    return Landscapes.alike(read_landscape(path, step_cpm_micros))


def _unwritten(path: Path, data: bytes) -> str:
    """Write a file, and return why that was not possible; empty when it was."""
    try:
        path.write_bytes(data)
    except OSError as error:
        return f"can't write {path}: {error.strerror}"
    return ""
