"""Starts the engine's processes, restarts what dies, and drains them in order.

    async with Supervisor(metrics_dir, workers, on_restart) as supervisor:    # they import meanwhile
        ...                                                 # the server is started, the config read
        await supervisor.serve(settings)                    # workers, events and admin are serving
        await stop.wait()

Each process is a child (`bidder.child`) that gets the settings on its standard input and says
`ready <port>`. Half a start is imports and loading compiled kernels, which need no settings. So the
children run from the beginning, but no more of them at a time than there are cores: the first worker
and the admin process, who between them can bid, before the others.

A child that dies is started again after a pause that doubles up to a limit; one that exits with
EXIT_UNUSABLE while the engine starts ends the start with its own words. On the way out the workers drain
first, so that the events process still takes their last notices.
"""

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable
from types import TracebackType
from urllib.parse import urlsplit

import msgspec
from prometheus_client import multiprocess

from config.settings import Settings, SettingsError

START_SECONDS_MAX = 120.0
"""A first start compiles the kernels, which takes tens of seconds on a slow machine."""
STOP_SECONDS_MAX = 15.0
RESTART_SECONDS_MIN = 0.5
RESTART_SECONDS_MAX = 30.0
STEADY_SECONDS = 60.0
"""A child that lived this long starts its next life without the pauses of the last."""


class Child:
    """One process and its restarts."""

    def __init__(
        self,
        name: str,
        module: str,
        metrics_dir: str,
        settings: asyncio.Future[Settings],
        starting: asyncio.Semaphore,
        on_restart: Callable[[str], None],
    ) -> None:
        """`starting` is held from the spawn of a process until it is ready, or dead."""
        self.name = name
        self.port = 0
        self.ready = asyncio.Event()
        self._module = module
        self._metrics_dir = metrics_dir
        self._settings = settings
        self._starting = starting
        self._on_restart = on_restart
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._life: asyncio.Task[None] | None = None
        self.failed_start: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        self._life = asyncio.create_task(self._live(), name=self.name)

    async def stop(self) -> None:
        """Ask the process to end, wait, and make it end if it will not."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS_MAX)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._life is not None:
            self._life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._life

    async def _live(self) -> None:
        pause_s = RESTART_SECONDS_MIN
        while True:
            started_s = time.monotonic()
            status = await self._run_once()
            if self._stopping:
                return
            if not self.ready.is_set() and not self.failed_start.done():
                self.failed_start.set_result(status)
                return
            if time.monotonic() - started_s > STEADY_SECONDS:
                pause_s = RESTART_SECONDS_MIN
            self._on_restart(f"{self.name} ended with status {status}; starting it again in {pause_s:g} s")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RESTART_SECONDS_MAX)

    async def _run_once(self) -> int:
        async with contextlib.AsyncExitStack() as turn:
            await turn.enter_async_context(self._starting)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self._module),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": self._metrics_dir},
            )
            self._process = process
            assert process.stdin is not None
            assert process.stdout is not None
            # The pipe stays open for as long as this process lives: its end tells the child to stop.
            process.stdin.write((await asyncio.shield(self._settings)).to_json() + b"\n")
            async for line in process.stdout:
                word, _, port = line.decode(errors="replace").partition(" ")
                if word == "ready":
                    self.port = int(port)
                    self.ready.set()
                    await turn.aclose()
            status = await process.wait()
        multiprocess.mark_process_dead(process.pid, self._metrics_dir)  # type: ignore[no-untyped-call]
        return status


class Supervisor:
    """All processes of one installation, whose metrics folder exists.

    `settings` are those given to `serve`, the ports that were 0 in them now real ones.
    """

    settings: Settings

    def __init__(self, metrics_dir: str, workers: int, on_restart: Callable[[str], None]) -> None:
        self._metrics_dir = metrics_dir
        self._workers = workers
        self._on_restart = on_restart
        self._given: asyncio.Future[Settings] = asyncio.get_running_loop().create_future()
        self._children: list[Child] = []

    async def __aenter__(self) -> "Supervisor":
        """Begin to start everything."""
        workers = [(f"worker {n}", "bidder.port.main") for n in range(1, self._workers + 1)]
        services = [("admin", "bidder.admin.main"), ("events", "bidder.events.main")]
        starting = asyncio.Semaphore(os.cpu_count() or 1)
        for name, module in (*workers[:1], *services, *workers[1:]):
            child = Child(name, module, self._metrics_dir, self._given, starting, self._on_restart)
            self._children.append(child)
            child.start()
        # Tasks begin when this one waits, and what comes now may not do so for a long while.
        await asyncio.sleep(0)
        return self

    async def serve(self, settings: Settings) -> None:
        """Give out the settings and wait until all serve; raises SettingsError when a process can't."""
        self.settings = _with_ports(settings)
        self._given.set_result(self.settings)
        for child in self._children:
            await _ready_or_failed(child)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_all()

    async def _stop_all(self) -> None:
        workers = [child for child in self._children if child.name.startswith("worker")]
        await asyncio.gather(*(child.stop() for child in workers))
        await asyncio.gather(*(child.stop() for child in self._children if child not in workers))


async def _ready_or_failed(child: Child) -> None:
    ready = asyncio.create_task(child.ready.wait())
    done, _ = await asyncio.wait(
        (ready, child.failed_start), timeout=START_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED
    )
    ready.cancel()
    if child.failed_start in done:
        raise SettingsError(f"the {child.name} process could not start (its reason is above)")
    if not done:
        raise SettingsError(f"the {child.name} process was not ready after {START_SECONDS_MAX:g} s")


def _with_ports(settings: Settings) -> Settings:
    """Fill in the ports given as 0, and refuse those that are taken."""
    ports = {}
    for part in ("bid", "events", "admin"):
        host, port = getattr(settings, f"{part}_host"), getattr(settings, f"{part}_port")
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise SettingsError(
                    f"the {part} port {host}:{port} can't be used ({error.strerror}): "
                    f"free it, or choose another with --{part}-port"
                ) from None
            ports[f"{part}_port"] = probe.getsockname()[1]
    events_url = settings.events_url or f"http://{settings.events_host}:{ports['events_port']}"
    _refuse_unreachable(events_url)
    return msgspec.structs.replace(settings, **ports, events_url=events_url)


def _refuse_unreachable(events_url: str) -> None:
    """Refuse an events URL that an exchange or a browser elsewhere could not use."""
    parts = urlsplit(events_url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or host in ("", "0.0.0.0", "::"):
        raise SettingsError(
            f"exchanges can't reach {events_url}: say how they do with --events-url https://your-events-host"
        )
    loopback = host == "localhost" or host.startswith("127.") or host == "::1"
    if parts.scheme == "http" and not loopback:
        raise SettingsError(
            f"exchanges drop bids whose URLs are not https, and {events_url} begins every notice and pixel: "
            "put TLS in front of the events port and give its https URL with --events-url"
        )
