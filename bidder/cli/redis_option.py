"""Which Redis a command talks to: the one of `--redis`, or the private server of `--data`.

Also how a command gives up: one sentence on stderr, exit status 2.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from redis import ConnectionPool
from redis.exceptions import RedisError

from bidder.redis_client import why_unusable
from config.embedded_server import running_url
from config.redis_address import RedisAddress, RedisAddressError, without_password
from config.settings import SettingsError, read_private

DATA_DIR_DEFAULT = Path("hustings-data")
REDIS_ENV = "HUSTINGS_REDIS"
REDIS_FILE_ENV = "HUSTINGS_REDIS_FILE"


def _or_from_file(url: str | None) -> str | None:
    """Return the URL, else what the file holds that HUSTINGS_REDIS_FILE names; exits with status 2."""
    named = os.environ.get(REDIS_FILE_ENV)
    if url is not None or not named:
        return url
    try:
        return read_private(Path(named), "the file with the Redis URL").decode().strip()
    except SettingsError as error:
        say_and_exit(str(error))
    except UnicodeDecodeError:
        say_and_exit(f"the file with the Redis URL {named} is no text")


RedisOption = Annotated[
    str | None,
    typer.Option(
        "--redis",
        metavar="URL",
        envvar=REDIS_ENV,
        show_envvar=False,
        callback=_or_from_file,
        help="Redis or Valkey, like redis://host:6379/0, or a Cluster, like redis+cluster://host-a,host-b; "
        f"or in {REDIS_ENV}, or in a file that {REDIS_FILE_ENV} names, where no other user reads it.",
    ),
]
DataOption = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="Data folder of an engine with its own server.")
]


def redis_url(redis: str | None, data: Path) -> str:
    """Return the URL to use; exits with status 2 when there is no server to use."""
    if redis is not None:
        return checked_url(redis)
    url = running_url(data)
    if url is None:
        say_and_exit(
            f"no engine is running with its data in {data}; start one with `hustings serve`, "
            "or name its folder with --data or its server with --redis"
        )
    return url


def checked_url(url: str) -> str:
    """Return the URL of `--redis` as it is; exits with status 2 when it is none."""
    try:
        for node_url in RedisAddress.read(url).urls:
            ConnectionPool.from_url(node_url)
    except RedisAddressError as error:
        say_and_exit(f"--redis can't be used: {error}")
    except ValueError as error:
        say_and_exit(f"--redis {without_password(url)} can't be read: {error}")
    return url


@contextmanager
def redis_or_exit(url: str) -> Iterator[None]:
    """Turn a failing Redis inside the block into one sentence and exit status 2."""
    try:
        yield
    except (RedisError, OSError, ValueError) as error:
        say_and_exit(f"can't use the Redis at {without_password(url)}: {why_unusable(error)}")


def say_and_exit(sentence: str) -> NoReturn:
    """Print one sentence to stderr and exit with status 2."""
    typer.echo(sentence, err=True)
    raise typer.Exit(2)
