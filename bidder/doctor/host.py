"""The host: open files, processors, the accept queue, the clock, the disk, the ports.

`facts` reads them; what is made of them is a function of their values alone.
"""

import ctypes
import os
import resource
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bidder.doctor.finding import Finding, fail, ok, unknown, warn
from bidder.listener import BACKLOG
from config.limits import SPOOL_BYTES_MAX

OPEN_FILES_WANTED = 65_536
OPEN_FILES_MIN = 4_096
DISK_BYTES_WANTED = 8 * SPOOL_BYTES_MAX
_TIME_ERROR = 5
"""What adjtimex(2) returns when the clock is not synchronised."""
_TIMEX_BYTES = 512
"""More than any struct timex; all zeros asks and sets nothing."""
_LOST_AT_RESTART = ("tmpfs", "ramfs", "overlay")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """None where this system does not say."""

    open_files_max: int
    processors: int
    accept_queue_max: int | None
    clock_is_synchronised: bool | None
    disk_bytes_free: int
    disk_kind: str | None
    data_is_writable: bool


def facts(data_dir: Path) -> Facts:
    """Read the facts; of the data folder, or the folder it will be made in."""
    folder = next(path for path in (data_dir.absolute(), *data_dir.absolute().parents) if path.exists())
    return Facts(
        open_files_max=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        processors=_processors(),
        accept_queue_max=_number(Path("/proc/sys/net/core/somaxconn")),
        clock_is_synchronised=_clock_is_synchronised(),
        disk_bytes_free=shutil.disk_usage(folder).free,
        disk_kind=_kind_of_disk(folder),
        data_is_writable=os.access(folder, os.W_OK | os.X_OK),
    )


def host_findings(facts: Facts, workers: int, data_dir: Path) -> Iterator[Finding]:
    """Yield what the facts mean for an engine of so many workers with its data in a folder."""
    raise_limit = "raise it: `LimitNOFILE=65536` in a systemd unit, `ulimit -n 65536` in a shell"
    if facts.open_files_max < OPEN_FILES_MIN:
        yield fail("open files", f"a process may open {facts.open_files_max:,}", raise_limit)
    elif facts.open_files_max < OPEN_FILES_WANTED:
        says = f"a process may open {facts.open_files_max:,}, one for each connection of an exchange"
        yield warn("open files", says, raise_limit)
    else:
        yield ok("open files", f"a process may open {facts.open_files_max:,}")
    if workers > facts.processors:
        says = f"{workers} workers share {facts.processors} processors, and keep each other waiting"
        yield warn("processors", says, f"start no more than {facts.processors} with --workers")
    else:
        yield ok("processors", f"{facts.processors} for {workers} workers")
    if facts.accept_queue_max is None:
        yield unknown("accept queue", "this system does not say how long it is")
    elif facts.accept_queue_max < BACKLOG:
        says = f"{facts.accept_queue_max} new connections may wait, and a burst of more is turned away"
        yield warn("accept queue", says, f"`sysctl -w net.core.somaxconn={BACKLOG}`")
    else:
        yield ok("accept queue", f"{facts.accept_queue_max:,} new connections may wait")
    if facts.clock_is_synchronised is None:
        yield unknown("clock", "this system does not say whether it is kept by NTP")
    elif facts.clock_is_synchronised:
        yield ok("clock", "kept by NTP")
    else:
        mend = "run an NTP client: chrony, or `timedatectl set-ntp true`; in a container, on its host"
        yield warn("clock", "nothing keeps it right", mend)
    yield _disk(facts, data_dir)


def _disk(facts: Facts, data_dir: Path) -> Finding:
    free = f"{facts.disk_bytes_free / 1e9:.1f} GB free for {data_dir}"
    if not facts.data_is_writable:
        return fail("disk", f"{data_dir} can't be written", "give it to the user that runs the engine")
    if facts.disk_bytes_free < SPOOL_BYTES_MAX:
        mend = f"free {SPOOL_BYTES_MAX // 10**6} MB: notices wait there while Redis is away"
        return fail("disk", free, mend)
    if facts.disk_kind in _LOST_AT_RESTART:
        says = f"{data_dir} is on {facts.disk_kind}, and notices that wait there may not survive a restart"
        return warn("disk", says, "put --data on a disk, or a volume, that does")
    if facts.disk_bytes_free < DISK_BYTES_WANTED:
        return warn("disk", free, f"keep {DISK_BYTES_WANTED / 1e9:.0f} GB free")
    return ok("disk", free)


def port_finding(part: str, host: str, port: int) -> Finding:
    """Tell whether a port can be listened on."""
    check = f"{part} port"
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            says = f"{host}:{port} can't be listened on ({error.strerror})"
            mend = f"if it is not the engine that runs there: free it, or take another with --{part}-port"
            return warn(check, says, mend)
    return ok(check, f"{host}:{port} is free")


def _processors() -> int:
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _clock_is_synchronised() -> bool | None:
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return None
    state = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else state != _TIME_ERROR


def _kind_of_disk(folder: Path) -> str | None:
    """Return the file system's kind, from the longest mount point above the folder."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return None
    above = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(above, key=lambda mount: len(mount[0]))[1] if above else None
