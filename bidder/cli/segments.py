"""`hustings segments`: load, define, look at, count and forget audiences.

hustings segments define polk-county gardeners
hustings segments load audience.csv --ttl-days 30
hustings segments count "polk-county and not gardeners"
"""

import secrets
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
import typer
from redis.asyncio import Redis, RedisCluster
from rich.console import Console
from rich.progress import TaskProgressColumn
from rich.table import Table

from bidder.cli.audience_access import (
    JsonOption,
    SourceOption,
    identity_of,
    now_s,
    print_json,
    progress_bar,
    run,
    today,
)
from bidder.cli.redis_option import DATA_DIR_DEFAULT, DataOption, RedisOption, redis_url, say_and_exit
from bidder.cli.segment_counts import count_command, overlap_command
from bidder.cli.segment_load import load_command
from bidder.cli.segment_report import report_command
from bidder.forget import Forgotten
from bidder.forget import forget as forget_person
from bidder.redis_client import live_bundle
from config.schema import Id
from config.settings import SettingsError, shared_secrets
from segments.bit_days import SWEEP_STEPS
from segments.bitsets import indices_from_bits
from segments.counts_history import SegmentCounts, counts_history
from segments.identity import COOKIE, IdentityKeyError, write_key_file
from segments.inbox import inbox_acl, inbox_user
from segments.links import LinkStore
from segments.registry import Definition, RegistryError, SegmentRegistry, words_of
from segments.retention import sweep as sweep_cookies
from segments.store import SegmentStore

app = typer.Typer(no_args_is_help=True, help="Audiences: load, define, look at, count and forget them.")
app.command("load")(load_command)
app.command("count")(count_command)
app.command("overlap")(overlap_command)
app.command("report")(report_command)

NameArgument = Annotated[str, typer.Argument(metavar="NAME")]

_EXIT_UNKNOWN = 1
_PASSWORD_BYTES = 24


@app.command()
def define(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Letters, digits, dots, dashes, underscores.")
    ],
    description: Annotated[str, typer.Option(help="What these people have in common.")] = "",
    owner: Annotated[
        str | None, typer.Option(metavar="ADVERTISER", help="Who alone may use them; else everybody.")
    ] = None,
    source: Annotated[str, typer.Option(help="Where their cookies come from, in words.")] = "",
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
) -> None:
    """Define segments; one that is defined stays as it is, or takes what is said anew."""
    descriptions = dict.fromkeys(names, description)
    indices = run(
        redis_url(redis, data),
        lambda client: SegmentRegistry(client).define(descriptions, owner=_owner(owner), source=source),
    )
    typer.echo(f"{len(indices):,} segments are defined")


@app.command("list")
def list_(
    redis: RedisOption = None, data: DataOption = DATA_DIR_DEFAULT, as_json: JsonOption = False
) -> None:
    """Show every defined segment: whose it is, how many were in it when last counted, how fresh it is."""

    async def read(client: Redis) -> tuple[list[Definition], SegmentCounts | None]:
        history = await counts_history(client, most=1)
        return await SegmentRegistry(client).describe(), history[0] if history else None

    segments, counts = run(redis_url(redis, data), read)
    sizes = counts.sizes if counts else {}
    if as_json:
        print_json(
            [msgspec.structs.asdict(segment) | {"size": sizes.get(segment.name)} for segment in segments]
        )
        return
    table = Table("segment", "owner", "size", "loaded", "created", "source", "description")
    for segment in segments:
        size = f"{sizes[segment.name]:,}" if segment.name in sizes else ""
        loaded = f"{_day(segment.load.at_s)}, {segment.load.source}" if segment.load else ""
        source = "events" if segment.ruled else segment.source
        names = " ".join((segment.name, *(f"({name})" for name in segment.former_names)))
        table.add_row(
            names, segment.owner, size, loaded, _day(segment.created_s), source, segment.description
        )
    Console().print(table)
    if counts:
        typer.echo(f"sizes as of {datetime.fromtimestamp(counts.at_s, UTC):%Y-%m-%d %H:%M} UTC", err=True)


@app.command()
def rename(
    name: NameArgument,
    new_name: Annotated[str, typer.Argument(metavar="NEW")],
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
) -> None:
    """Give a segment another name. The old one goes on meaning it, until it is retired."""
    run(redis_url(redis, data), lambda client: SegmentRegistry(client).rename(name, new_name))
    typer.echo(f"{new_name}; configs and files may go on saying {name}")


@app.command()
def give(
    name: NameArgument,
    owner: Annotated[str, typer.Argument(metavar="ADVERTISER", help="An advertiser's id, or `shared`.")],
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
) -> None:
    """Make a segment, with everybody in it, another advertiser's, or everybody's."""
    new_owner = "" if owner == "shared" else _owner(owner) or ""
    run(redis_url(redis, data), lambda client: SegmentRegistry(client).give(name, new_owner))
    typer.echo(f"{name} is {f'{new_owner}’s' if new_owner else 'everybody’s'}")


@app.command()
def retire(name: NameArgument, redis: RedisOption = None, data: DataOption = DATA_DIR_DEFAULT) -> None:
    """Take a segment away, or a name it had before. Its place is free after tomorrow's sweep."""

    async def unless_live(client: Redis) -> str:
        try:
            bundle = await live_bundle(client)
        except SettingsError as error:
            raise RegistryError(str(error)) from None
        if bundle is not None and any(segment.name == name for segment in bundle.segments):
            raise RegistryError(
                f"the live config has the segment {name}: take it out of segments.yaml and apply that first"
            )
        return await SegmentRegistry(client).retire(name)

    what = run(redis_url(redis, data), unless_live)
    typer.echo(f"{name} is gone" if what == "segment" else f"{name} means nothing any more")


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    source: SourceOption = COOKIE,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Show which segments a cookie is in, and until when. Exit status 1 when it is unknown."""
    user_hash = identity_of(data).hash(source, id_)

    async def read(client: Redis) -> tuple[list[str], str] | None:
        defined = await SegmentRegistry(client).describe()
        names = {segment.index: segment.name for segment in defined}
        words = words_of({name: index for index, name in names.items()})
        (person,) = await LinkStore(client).resolve([user_hash])
        found = await SegmentStore(client).read(person, words, today())
        if found is None:
            return None
        bits, expiry_day = found
        members = [names[index] for index in indices_from_bits(bits) if index in names]
        return members, (date(1970, 1, 1) + timedelta(days=expiry_day)).isoformat()

    found = run(redis_url(redis, data), read)
    if found is None:
        typer.echo("this id is in no segment: it was never loaded, or has expired", err=True)
        raise typer.Exit(_EXIT_UNKNOWN)
    members, expires = found
    if as_json:
        print_json({"segments": members, "expires": expires})
        return
    for name in members:
        typer.echo(name)
    typer.echo(f"{len(members)} segments, to the end of {expires}", err=True)


@app.command()
def forget(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    source: SourceOption = COOKIE,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Forget a person under every id we know: segments, frequency caps, links; and look again.

    Exit status 1 when something is left, because somebody writes the person at this moment.
    """
    user_hash = identity_of(data).hash(source, id_)
    forgotten = run(redis_url(redis, data), lambda client: forget_person(client, user_hash, now_s()))
    if as_json:
        print_json(forgotten)
    else:
        typer.echo(_forgotten_sentence(forgotten))
    if forgotten.left:
        typer.echo(f"held again already: {', '.join(forgotten.left)}; stop what loads this id", err=True)
        raise typer.Exit(_EXIT_UNKNOWN)


def _forgotten_sentence(forgotten: Forgotten) -> str:
    if not forgotten.anything:
        return "nothing was held under this id"
    held = {
        "segments": forgotten.segments,
        "frequency caps": forgotten.caps,
        f"the links of {forgotten.ids} ids": forgotten.links,
        "frequencies": forgotten.frequencies,
    }
    there = ", ".join(what for what, was_held in held.items() if was_held)
    return f"forgotten: {there}; a second look found nothing"


@app.command()
def sweep(
    redis: RedisOption = None, data: DataOption = DATA_DIR_DEFAULT, as_json: JsonOption = False
) -> None:
    """Delete what is over: expired cookies, segments that events filled long ago, retired segments."""
    with progress_bar(TaskProgressColumn()) as bar:
        task = bar.add_task("Sweeping", total=SWEEP_STEPS)
        swept = run(
            redis_url(redis, data),
            lambda client: sweep_cookies(client, now_s(), lambda: bar.advance(task)),
        )
    if as_json:
        print_json(swept)
        return
    typer.echo(f"{swept.deleted:,} expired cookies deleted")
    if swept.changed:
        typer.echo(f"{swept.changed:,} cookies lost a segment")
    if swept.freed:
        typer.echo(f"{swept.freed:,} places of retired segments are free again")


@app.command()
def acl(
    advertiser: Annotated[str, typer.Argument(metavar="ADVERTISER")],
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the key of ids here, for the loader.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Make the user in Redis, too.")] = False,
    redis: RedisOption = None,
    data: DataOption = DATA_DIR_DEFAULT,
) -> None:
    """Make a Redis user who may write to one advertiser's inbox, and to nothing else.

    Prints the command that makes it, for the ACL file of every node, and then its URL. The password is in the
    URL alone: it is shown once.
    """
    owner = _owner(advertiser)
    assert owner is not None
    url = redis_url(redis, data)
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    command = inbox_acl(owner, password)
    if key_file is not None:
        try:
            write_key_file(key_file, shared_secrets(data, "ids are hashed").identity_key)
        except (IdentityKeyError, SettingsError) as error:
            say_and_exit(str(error))
    if apply:
        run(url, lambda client: _apply_acl(client, command))
    typer.echo(command)
    typer.echo(_url_of(url, inbox_user(owner), password))
    if apply:
        typer.echo("made; to outlive a restart it must also be in the server's ACL file", err=True)


async def _apply_acl(client: Redis, command: str) -> None:
    words = _acl_words(command)
    # A Cluster is used as one server (`bidder.redis_client`), but each node keeps its own users.
    cluster: Any = client
    if isinstance(cluster, RedisCluster):
        await cluster.execute_command(*words, target_nodes=RedisCluster.ALL_NODES)
    else:
        await client.execute_command(*words)  # type: ignore[no-untyped-call] # as in redis-py


def _acl_words(command: str) -> list[str]:
    """Split a command at its blanks, but for those inside a selector."""
    words: list[str] = []
    for word in command.split(" "):
        if words and words[-1].startswith("(") and not words[-1].endswith(")"):
            words[-1] += f" {word}"
        else:
            words.append(word)
    return words


def _url_of(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{hosts}"))


def _owner(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return msgspec.convert(text, Id)
    except msgspec.ValidationError:
        say_and_exit(f"`{text}` is no advertiser's id")


def _day(epoch_s: int) -> str:
    return f"{datetime.fromtimestamp(epoch_s, UTC):%Y-%m-%d}"
