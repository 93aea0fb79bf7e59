"""What the commands of `hustings segments` share: the Redis, the key of ids, a progress bar."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import redis.asyncio
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from bidder.cli.redis_option import redis_or_exit, say_and_exit
from bidder.redis_client import redis_client
from config.calendar import SECONDS_PER_DAY
from config.settings import SettingsError, shared_secrets
from segments.identity import Identity
from segments.registry import RegistryError

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value instead.")]
SourceOption = Annotated[
    str, typer.Option(metavar="SOURCE", help="Who gave the id: cookie is us, else a domain.")
]

_Result = TypeVar("_Result")


def run(url: str, work: Callable[["redis.asyncio.Redis"], Awaitable[_Result]]) -> _Result:
    """Do some work with a client; what goes wrong with Redis or the registry is one sentence, status 2."""

    async def connected() -> _Result:
        async with redis_client(url) as client:
            return await work(client)

    with redis_or_exit(url):
        try:
            return asyncio.run(connected())
        except RegistryError as error:
            say_and_exit(str(error))


def identity_of(data: Path) -> Identity:
    """Return the installation's hashing of ids; exits with status 2 when its secret is not at hand."""
    try:
        return Identity(shared_secrets(data, "ids are hashed").identity_key)
    except SettingsError as error:
        say_and_exit(str(error))


def progress_bar(how_far: ProgressColumn) -> Progress:
    """Return a bar on stderr, shown to a terminal alone."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        how_far,
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def print_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    typer.echo(msgspec.json.encode(value))


def now_s() -> int:
    """Return the time in unix seconds."""
    return int(time.time())


def today() -> int:
    """Return the day, counted from 1970-01-01 (UTC)."""
    return now_s() // SECONDS_PER_DAY
