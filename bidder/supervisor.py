"""Starts the engine's processes, restarts what dies, and drains them in order.

    async with Supervisor(metrics_dir, workers, say) as supervisor:    # they import meanwhile
        ...                                                 # the server is started, the config read
        await supervisor.serve(settings)                    # workers, events and admin are serving
        await supervisor.roll()                             # each one replaced, on the same ports
        await stop.wait()

Each process is a child (`bidder.child`) that gets the settings on its standard input and says
`ready <port>`. Half a start is imports and loading compiled kernels, which need no settings. So the
children run from the beginning, but no more of them at a time than there are cores: the first worker
and the admin process, who between them can bid, before the others.

A child that dies is started again after a pause that doubles up to a limit; one that exits with
EXIT_UNUSABLE while the engine starts ends the start with its own words. On the way out the workers drain
first, so that the events process still takes their last notices.

An upgrade without a pause replaces the children one at a time: the successor binds the same port
(`bidder.listener`), and when it is ready the old one drains. The supervisor itself stays; what it says to
children of another release is JSON whose unknown fields they pass over. Rejected: a second supervisor on
the same ports, which has nobody to fall back on when the new release does not start.
"""

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import msgspec
from prometheus_client import multiprocess

from bidder.child import EXIT_UNUSABLE, PROCESS_ENV
from config.settings import ADMIN_TOKEN_ENV, ROLES, Role, Settings, SettingsError, load_admin_token

START_SECONDS_MAX = 120.0
"""A first start compiles the kernels, which takes tens of seconds on a slow machine."""
STOP_SECONDS_MAX = 25.0
"""More than a process needs at most: both its drains, and giving its money back."""
RESTART_SECONDS_MIN = 0.5
RESTART_SECONDS_MAX = 30.0
STEADY_SECONDS = 60.0
"""A child that lived this long starts its next life without the pauses of the last."""


class Life:
    """One process, from its spawn to its end."""

    def __init__(self, process: asyncio.subprocess.Process, metrics_dir: str) -> None:
        self.port = 0
        self.ready = asyncio.Event()
        self._process = process
        self._metrics_dir = metrics_dir
        self.ended: asyncio.Task[int] = asyncio.create_task(self._read_to_end())
        """Its exit status, in time."""

    @classmethod
    async def spawn(cls, name: str, module: str, metrics_dir: str) -> "Life":
        """Start a process, which waits for its settings."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": metrics_dir, PROCESS_ENV: name},
        )
        return cls(process, metrics_dir)

    def give(self, settings: Settings) -> None:
        """Give the process its settings, so that it begins."""
        assert self._process.stdin is not None
        # The pipe stays open for as long as this process lives: its end tells the child to stop.
        self._process.stdin.write(settings.to_json() + b"\n")

    async def until_ready_or_ended(self) -> None:
        """Wait until it serves, or is no more."""
        ready = asyncio.create_task(self.ready.wait())
        await asyncio.wait((ready, self.ended), return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()

    async def stop(self) -> None:
        """Ask the process to end, wait, and make it end if it will not."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        await asyncio.wait((self.ended,), timeout=STOP_SECONDS_MAX)
        if not self.ended.done():
            self._process.kill()
            await asyncio.wait((self.ended,))

    async def _read_to_end(self) -> int:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            word, _, port = line.decode(errors="replace").partition(" ")
            if word == "ready":
                self.port = int(port)
                self.ready.set()
        status = await self._process.wait()
        multiprocess.mark_process_dead(self._process.pid, self._metrics_dir)  # type: ignore[no-untyped-call]
        return status


class Child:
    """One place among the processes, and the lives in it: restarts, and successors while it serves."""

    def __init__(
        self,
        name: str,
        module: str,
        metrics_dir: str,
        settings: asyncio.Future[Settings],
        starting: asyncio.Semaphore,
        say: Callable[[str], None],
    ) -> None:
        """`starting` is held from the spawn of a process until it is ready, or dead."""
        self.name = name
        self._module = module
        self._metrics_dir = metrics_dir
        self._settings = settings
        self._starting = starting
        self._say = say
        self._life: Life | None = None
        self._changing = asyncio.Lock()
        self._stopping = False
        self._keeping: asyncio.Task[None] | None = None
        self.first_start: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        """None when the first process serves, or the status it ended with."""

    def start(self) -> None:
        self._keeping = asyncio.create_task(self._keep(), name=self.name)

    async def stop(self) -> None:
        """End the process for good."""
        self._stopping = True
        if self._life is not None:
            await self._life.stop()
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping

    async def replace(self) -> bool:
        """Start a successor beside the process, and end the process when the successor serves.

        A successor that does not serve ends, and everything is as it was; returns False.
        """
        async with self._changing:
            if self._stopping:
                return False
            before = self._life
            try:
                async with asyncio.timeout(START_SECONDS_MAX):
                    successor = await self._started()
            except TimeoutError:
                self._say(
                    f"the new {self.name} was not ready after {START_SECONDS_MAX:g} s; the old one stays"
                )
                return False
            except OSError as error:
                self._say(f"the new {self.name} can't be started ({error.strerror}); the old one stays")
                return False
            if not successor.ready.is_set():
                status = await successor.ended
                self._say(f"the new {self.name} ended with status {status}; the old one stays")
                return False
            self._life = successor
            if before is not None:
                await before.stop()
            return True

    async def _keep(self) -> None:
        pause_s = RESTART_SECONDS_MIN
        while True:
            started_s = time.monotonic()
            try:
                async with self._changing:
                    if self._life is None or self._life.ended.done():
                        self._life = await self._started()
                    life = self._life
            except OSError as error:
                # No memory or process to spare, or the program is just being replaced on the disk.
                what = f"can't be started ({error.strerror})"
                if not self.first_start.done():
                    self._say(f"{self.name} {what}")
                    self.first_start.set_result(EXIT_UNUSABLE)
                    return
            else:
                if not self.first_start.done():
                    self.first_start.set_result(None if life.ready.is_set() else await life.ended)
                    if not life.ready.is_set():
                        return
                status = await asyncio.shield(life.ended)
                if self._stopping:
                    return
                if life is not self._life:
                    continue
                if time.monotonic() - started_s > STEADY_SECONDS:
                    pause_s = RESTART_SECONDS_MIN
                what = f"ended with status {status}"
            self._say(f"{self.name} {what}; starting it again in {pause_s:g} s")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RESTART_SECONDS_MAX)

    async def _started(self) -> Life:
        """Return a process that serves, or has ended; raises OSError when the system starts none."""
        async with self._starting:
            life = await Life.spawn(self.name, self._module, self._metrics_dir)
            if self._life is None:
                # The first is to be stopped even while it waits for its settings.
                self._life = life
            try:
                life.give(await asyncio.shield(self._settings))
                await life.until_ready_or_ended()
            except asyncio.CancelledError:
                await life.stop()
                raise
        return life


class Supervisor:
    """The processes of one host, whose metrics folder exists.

    `settings` are those given to `serve`, the ports that were 0 in them now real ones.
    """

    settings: Settings

    def __init__(
        self, metrics_dir: str, workers: int, say: Callable[[str], None], roles: Sequence[Role] = ROLES
    ) -> None:
        """`say` is told what happens to processes."""
        self._metrics_dir = metrics_dir
        self._workers = workers if Role.BID in roles else 0
        self._services = [role for role in (Role.ADMIN, Role.EVENTS) if role in roles]
        self._say = say
        self._given: asyncio.Future[Settings] = asyncio.get_running_loop().create_future()
        self._children: list[Child] = []
        self._rolling = asyncio.Lock()

    async def __aenter__(self) -> "Supervisor":
        """Begin to start everything."""
        workers = [(f"worker {n}", "bidder.port.main") for n in range(1, self._workers + 1)]
        services = [(str(name), f"bidder.{name}.main") for name in self._services]
        # Where campaigns are paced, their predictions are learned.
        training = [("training", "bidder.training.main")] if Role.ADMIN in self._services else []
        starting = asyncio.Semaphore(os.cpu_count() or 1)
        for name, module in (*workers[:1], *services, *workers[1:], *training):
            child = Child(name, module, self._metrics_dir, self._given, starting, self._say)
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

    async def roll(self) -> bool:
        """Replace every process, one at a time, by one of the program that is on disk now.

        No request or notice is lost: a process stops when its successor serves the same port. The first
        successor that does not come up ends it, and what runs goes on; returns False.
        """
        async with self._rolling:
            self._say("replacing every process by its successor")
            for child in self._children:
                if not await child.replace():
                    return False
            self._say("every process was replaced")
            return True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_all()

    async def _stop_all(self) -> None:
        workers = [child for child in self._children if child.name.startswith("worker")]
        await asyncio.gather(*(child.stop() for child in workers))
        await asyncio.gather(*(child.stop() for child in self._children if child not in workers))


async def _ready_or_failed(child: Child) -> None:
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            status = await asyncio.shield(child.first_start)
    except TimeoutError:
        raise SettingsError(f"the {child.name} process was not ready after {START_SECONDS_MAX:g} s") from None
    if status is not None:
        raise SettingsError(f"the {child.name} process could not start (its reason is above)")


def _with_ports(settings: Settings) -> Settings:
    """Fill in the ports given as 0, and refuse those that are taken."""
    _refuse_open_admin(settings)
    ports = {}
    for part in settings.roles:
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
    events_port = ports.get("events_port", settings.events_port)
    if Role.BID in settings.roles and Role.EVENTS not in settings.roles and not settings.events_url:
        raise SettingsError("no events process runs here: say with --events-url where notices go")
    events_url = settings.events_url or f"http://{settings.events_host}:{events_port}"
    _refuse_unreachable(events_url)
    return msgspec.structs.replace(settings, **ports, events_url=events_url)


def _refuse_open_admin(settings: Settings) -> None:
    """Refuse to show the admin port to a network without asking who it is."""
    if settings.admin_token_file:
        load_admin_token(Path(settings.admin_token_file))
    elif Role.ADMIN in settings.roles and not is_loopback(settings.admin_host):
        raise SettingsError(
            f"the admin port on {settings.admin_host} would be open to whoever reaches it: put a token in a "
            f"file (`head -c 48 /dev/urandom | base64`), `chmod 600` it, and name it with --admin-token or "
            f"{ADMIN_TOKEN_ENV}"
        )


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine for itself alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_unreachable(events_url: str) -> None:
    """Refuse an events URL that an exchange or a browser elsewhere could not use."""
    parts = urlsplit(events_url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or host in ("", "0.0.0.0", "::"):
        raise SettingsError(
            f"exchanges can't reach {events_url}: say how they do with --events-url https://your-events-host"
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise SettingsError(
            f"exchanges drop bids whose URLs are not https, and {events_url} begins every notice and pixel: "
            "put TLS in front of the events port and give its https URL with --events-url"
        )
