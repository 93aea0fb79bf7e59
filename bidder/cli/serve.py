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

from bidder.child import EXIT_UNUSABLE
from bidder.cli.redis_option import DATA_DIR_DEFAULT, RedisOption, checked_url
from bidder.supervisor import Supervisor
from config import bundle_store
from config.embedded_server import EmbeddedServer, EmbeddedServerError
from config.faults import ConfigFaults
from config.load import load_folder
from config.schema import Bundle
from config.settings import Settings, SettingsError, ensure_secret_file

_METRICS_PREFIX = "metrics-"
SERVER_CHECK_SECONDS = 0.5
Host = Annotated[str, typer.Option(help="Address to listen on.")]


def serve(
    config: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Campaign folder to publish at start; else what is in Redis runs."),
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
) -> None:
    """Run the engine until SIGTERM or Ctrl-C, then drain it."""

    async def run() -> None:
        bundle = load_folder(config) if config is not None else None
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
            ),
            bundle,
        ) as supervisor:
            settings = supervisor.settings
            typer.echo(
                f"bids   http://{settings.bid_host}:{settings.bid_port}/bid/{{exchange}}\n"
                f"events {settings.events_url}\n"
                f"admin  http://{settings.admin_host}:{settings.admin_port}/"
            )
            await until_signalled()

    run_or_exit(run())


def run_or_exit(work: Coroutine[object, object, None]) -> None:
    """Run to the end; what a person can mend becomes its sentence on stderr and exit status 2."""
    try:
        asyncio.run(work)
    except ConfigFaults as error:
        for fault in error.faults:
            typer.echo(str(fault), err=True)
        raise typer.Exit(EXIT_UNUSABLE) from None
    except (SettingsError, EmbeddedServerError) as error:
        typer.echo(f"hustings: {error}", err=True)
        raise typer.Exit(EXIT_UNUSABLE) from None
    except redis.RedisError as error:
        typer.echo(f"hustings: Redis can't be used: {error}", err=True)
        raise typer.Exit(EXIT_UNUSABLE) from None


@contextlib.asynccontextmanager
async def running_engine(
    settings: Settings,
    bundle: Bundle | None,
    before_start: Callable[[Settings], Awaitable[None]] | None = None,
) -> AsyncIterator[Supervisor]:
    """Run an engine, with its private server when the settings name none, publishing a bundle first.

    Fills in what the settings leave empty: the Redis URL, the secret file, the metrics folder.
    `before_start` is called when Redis answers and no process runs yet.
    """
    data_dir = _made(Path(settings.data_dir))
    with contextlib.ExitStack() as closing:
        changes: dict[str, str] = {"secret_file": str(ensure_secret_file(data_dir))}
        server = None
        if not settings.redis_url:
            server = closing.enter_context(EmbeddedServer.start(data_dir))
            changes["redis_url"] = server.url
        changes["metrics_dir"] = str(closing.enter_context(_metrics_folder(data_dir)))
        settings = msgspec.structs.replace(settings, **changes)
        async with redis.asyncio.Redis.from_url(settings.redis_url) as client:
            await client.ping()
            if bundle is not None:
                await bundle_store.publish(client, bundle)
        if before_start is not None:
            await before_start(settings)
        async with Supervisor(settings, _say) as supervisor:
            keeper = asyncio.create_task(_keep_alive(server))
            try:
                yield supervisor
            finally:
                keeper.cancel()


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


def _say(news: str) -> None:
    typer.echo(f"hustings: {news}", err=True)


async def _keep_alive(server: EmbeddedServer | None) -> None:
    """Start the private server again whenever it dies; its ledger is on disk."""
    while server is not None:
        await asyncio.sleep(SERVER_CHECK_SECONDS)
        if server.has_died():
            _say("the private server ended; starting it again")
            try:
                await asyncio.to_thread(server.revive)
            except EmbeddedServerError as error:
                _say(str(error))


async def until_signalled() -> None:
    """Wait for SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
