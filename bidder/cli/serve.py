"""`hustings serve`: the engine."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import redis
import redis.asyncio
import typer

from bidder import logs
from bidder.background import end_task
from bidder.child import EXIT_UNUSABLE
from bidder.cli.live_config import follow_folder, publish_config
from bidder.cli.redis_option import DATA_DIR_DEFAULT, RedisOption, checked_url, say_and_exit
from bidder.redis_client import redis_client, why_unusable
from bidder.supervisor import Supervisor
from config.embedded_server import EmbeddedServer, EmbeddedServerError
from config.faults import ConfigFaults
from config.limits import DRAIN_SECONDS_DEFAULT, DRAIN_SECONDS_MAX
from config.schema import Bundle
from config.settings import (
    ADMIN_TOKEN_ENV,
    PRICE_KEYS_ENV,
    ROLES,
    LogFormat,
    Role,
    Settings,
    SettingsError,
    ensure_secret_file,
)

_METRICS_PREFIX = "metrics-"
SERVER_CHECK_SECONDS = 0.5
ROLL_SIGNAL = signal.SIGUSR2
"""Not SIGHUP, which comes when a terminal is closed."""
LOG_FORMAT_ENV = "HUSTINGS_LOG_FORMAT"
Host = Annotated[str, typer.Option(help="Address to listen on.")]


def serve(
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Campaign folder to run, watched for edits; else what is in Redis runs.",
        ),
    ] = None,
    redis_url: RedisOption = None,
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the secret and, without --redis, of the server.")
    ] = DATA_DIR_DEFAULT,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Bid workers; one for each core.")] = 2,
    bid_host: Host = "127.0.0.1",
    bid_port: Annotated[int, typer.Option(min=0, max=65_535)] = 8080,
    events_host: Host = "127.0.0.1",
    events_port: Annotated[int, typer.Option(min=0, max=65_535)] = 8081,
    events_url: Annotated[
        str, typer.Option(help="How exchanges and browsers reach the events port, like https://ev.example.")
    ] = "",
    admin_host: Host = "127.0.0.1",
    admin_port: Annotated[int, typer.Option(min=0, max=65_535)] = 8082,
    admin_token: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            envvar=ADMIN_TOKEN_ENV,
            help="What opens the admin port; needed where it listens elsewhere than on loopback.",
        ),
    ] = "",
    price_keys: Annotated[
        str,
        typer.Option(metavar="FILE", envvar=PRICE_KEYS_ENV, help="Keys of exchanges that encrypt prices."),
    ] = "",
    only: Annotated[
        list[Role] | None,
        typer.Option(help="Run this part alone; repeat it for several. Needs --redis."),
    ] = None,
    drain_seconds: Annotated[
        float,
        typer.Option(
            min=0, max=DRAIN_SECONDS_MAX, help="How long a process that stops keeps idle connections open."
        ),
    ] = DRAIN_SECONDS_DEFAULT,
    log_format: Annotated[
        LogFormat, typer.Option(envvar=LOG_FORMAT_ENV, help="Of the log on stderr.")
    ] = "text",
) -> None:
    """Run the engine until SIGTERM or Ctrl-C, then drain it. SIGUSR2 replaces its processes one by one."""
    roles = tuple(only) if only else ROLES
    if redis_url is None and set(roles) != set(ROLES):
        say_and_exit("--only is for hosts that share a Redis: name it with --redis")
    logs.configure(log_format, "supervisor")

    async def run() -> None:
        end_on_signal()
        wanted = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(ROLL_SIGNAL, wanted.set)
        async with running_engine(
            Settings(
                redis_url=checked_url(redis_url) if redis_url else "",
                secret_file="",
                data_dir=str(data),
                metrics_dir="",
                workers=workers,
                bid_host=bid_host,
                bid_port=bid_port,
                events_host=events_host,
                events_port=events_port,
                events_url=events_url,
                admin_host=admin_host,
                admin_port=admin_port,
                admin_token_file=admin_token,
                price_keys_file=price_keys,
                roles=roles,
                drain_seconds=drain_seconds,
                log_format=log_format,
            ),
            config,
        ) as supervisor:
            settings = supervisor.settings
            addresses = {
                Role.BID: f"bids   http://{settings.bid_host}:{settings.bid_port}/bid/{{exchange}}",
                Role.EVENTS: f"events {settings.events_url}",
                Role.ADMIN: f"admin  http://{settings.admin_host}:{settings.admin_port}/",
            }
            typer.echo("\n".join(addresses[role] for role in ROLES if role in roles))
            while await wanted.wait():
                wanted.clear()
                await supervisor.roll()

    run_or_exit(run())


def run_or_exit(work: Coroutine[object, object, None]) -> None:
    """Run to the end; what a person can mend becomes its sentence on stderr and exit status 2."""
    try:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(work)
    except ConfigFaults as error:
        for fault in error.faults:
            typer.echo(str(fault), err=True)
        raise typer.Exit(EXIT_UNUSABLE) from None
    except (SettingsError, EmbeddedServerError) as error:
        logs.say(str(error))
        raise typer.Exit(EXIT_UNUSABLE) from None
    except redis.RedisError as error:
        logs.say(f"Redis can't be used: {why_unusable(error)}")
        raise typer.Exit(EXIT_UNUSABLE) from None


@contextlib.asynccontextmanager
async def running_engine(
    settings: Settings,
    config: Path | Bundle | None,
    before_start: Callable[[Settings], Awaitable[None]] | None = None,
) -> AsyncIterator[Supervisor]:
    """Run an engine, with its private server when the settings name none, publishing a config first.

    Fills in what the settings leave empty: the Redis URL, the secret file, the metrics folder. The
    config is a folder or a bundle; a folder that the live bundle was read from is not read again, and it is
    watched: an edit goes live, or is refused loudly.
    `before_start` is called when Redis answers and no process serves yet.
    """
    data_dir = _made(Path(settings.data_dir))
    with contextlib.ExitStack() as closing:
        metrics_dir = str(closing.enter_context(_metrics_folder(data_dir)))
        async with Supervisor(metrics_dir, settings.workers, logs.say, settings.roles) as supervisor:
            secret_file = str(ensure_secret_file(data_dir))
            settings = msgspec.structs.replace(settings, metrics_dir=metrics_dir, secret_file=secret_file)
            server = None
            if not settings.redis_url:
                # Closed after the supervisor: the server ends last.
                server = closing.enter_context(EmbeddedServer.start(data_dir))
                settings = msgspec.structs.replace(settings, redis_url=server.url)
            async with redis_client(settings.redis_url) as client:
                await client.ping()
                await publish_config(client, config, settings)
            _end_if_told()
            if before_start is not None:
                await before_start(settings)
            await supervisor.serve(settings)
            _end_if_told()
            tasks = [asyncio.create_task(_keep_alive(server))]
            if isinstance(config, Path):
                tasks.append(asyncio.create_task(follow_folder(config, settings)))
            try:
                yield supervisor
            finally:
                for task in tasks:
                    await end_task(task)


def _made(data_dir: Path) -> Path:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"the data folder {data_dir} can't be used ({error.strerror}); name another with --data"
        ) from None
    return data_dir


@contextlib.contextmanager
def _metrics_folder(data_dir: Path) -> Iterator[Path]:
    """Make this engine's folder of metric files, and remove those of engines that were killed."""
    for left in data_dir.glob(f"{_METRICS_PREFIX}*"):
        if not _runs(left.name.removeprefix(_METRICS_PREFIX)):
            shutil.rmtree(left, ignore_errors=True)
    folder = data_dir / f"{_METRICS_PREFIX}{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _runs(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, PermissionError):
        return True
    return True


async def _keep_alive(server: EmbeddedServer | None) -> None:
    """Start the private server again whenever it dies; its ledger is on disk."""
    while server is not None:
        await asyncio.sleep(SERVER_CHECK_SECONDS)
        if server.has_died():
            logs.say("the private server ended; starting it again")
            try:
                await asyncio.to_thread(server.revive)
            except EmbeddedServerError as error:
                logs.say(str(error))


def _end_if_told() -> None:
    """Raise a cancellation that was swallowed, as `asyncio.wait_for` may do before Python 3.12."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def end_on_signal() -> None:
    """Let SIGTERM and SIGINT end the running task, at whatever it is, and further ones change nothing."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def end() -> None:
        # A second cancellation would cut the draining short.
        if not task.cancelling():
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
