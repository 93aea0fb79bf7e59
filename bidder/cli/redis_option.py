"""Which Redis a command talks to: the one of `--redis`, or the private server of `--data`.

Also how a command gives up: one sentence on stderr, exit status 2.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn
from urllib.parse import urlsplit

import typer
from redis import ConnectionPool
from redis.exceptions import RedisError

from config.embedded_server import running_url

DATA_DIR_DEFAULT = Path("hustings-data")
REDIS_ENV = "HUSTINGS_REDIS"

RedisOption = Annotated[
    str | None,
    typer.Option(
        "--redis",
        metavar="URL",
        envvar=REDIS_ENV,
        show_envvar=False,
        help=f"Redis or Valkey, like redis://host:6379/0; or in {REDIS_ENV}, where no other user reads it.",
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
    if urlsplit(url).scheme not in ("redis", "rediss", "unix"):
        say_and_exit("--redis takes a URL that starts with redis://, rediss:// or unix://")
    try:
        ConnectionPool.from_url(url)
    except ValueError as error:
        say_and_exit(f"--redis {_without_password(url)} can't be read: {error}")
    return url


@contextmanager
def redis_or_exit(url: str) -> Iterator[None]:
    """Turn a failing Redis inside the block into one sentence and exit status 2."""
    try:
        yield
    except (RedisError, OSError, ValueError) as error:
        say_and_exit(f"can't use the Redis at {_without_password(url)}: {error}")


def say_and_exit(sentence: str) -> NoReturn:
    """Print one sentence to stderr and exit with status 2."""
    typer.echo(sentence, err=True)
    raise typer.Exit(2)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
