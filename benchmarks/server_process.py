"""A server started for a benchmark, and the processor time and memory it has used.

async with ServerProcess.started("bidder.port.main", settings, environment) as server:
    before = server.cpu_seconds()
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec

from benchmarks.command import BenchmarkError
from config.settings import Settings

START_SECONDS_MAX = 180.0
"""A first start compiles the kernels."""
STOP_SECONDS_MAX = 15.0
_FIELDS_BEFORE_UTIME = 11
"""Of /proc/<pid>/stat after the name in brackets: state to cmajflt (proc_pid_stat(5))."""

_KIB = 1_024
"""The unit of memory in smaps_rollup (proc_pid_smaps(5)) and of ps."""
_PS_UNITS_S = (1, 60, 3_600, 86_400)


class Memory(msgspec.Struct, frozen=True):
    """Of one process. `pss_mb`: a page that n processes share counts as 1/n of it, where the system tells."""

    rss_mb: float
    pss_mb: float | None


class ServerProcess:
    """A child that speaks the language of `bidder.child`; `port` is where it serves."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def started(
        cls, module: str, settings: Settings, environment: Mapping[str, str]
    ) -> "AsyncIterator[ServerProcess]":
        """Run `python -m module` until the block ends; raises BenchmarkError when it does not serve."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | environment,
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(settings.to_json() + b"\n")
            try:
                async with asyncio.timeout(START_SECONDS_MAX):
                    line = await process.stdout.readline()
            except TimeoutError:
                raise BenchmarkError(f"{module} did not start within {START_SECONDS_MAX:g} s") from None
            word, _, port = line.decode().partition(" ")
            if word != "ready":
                raise BenchmarkError(f"{module} did not start; its reason is above")
            yield cls(process, int(port))
        finally:
            await _end(process)

    def cpu_seconds(self) -> float:
        """Return the user and system time of all its threads so far, as the kernel counts them."""
        stat = Path(f"/proc/{self._process.pid}/stat")
        if stat.exists():
            fields = stat.read_text().rpartition(")")[2].split()
            utime, stime = fields[_FIELDS_BEFORE_UTIME : _FIELDS_BEFORE_UTIME + 2]
            return (int(utime) + int(stime)) / os.sysconf("SC_CLK_TCK")
        shown = subprocess.run(
            ["ps", "-o", "time=", "-p", str(self._process.pid)], capture_output=True, text=True, check=True
        )
        # [[days-]hours:]minutes:seconds
        parts = shown.stdout.strip().replace("-", ":").split(":")
        return sum(float(part) * unit for part, unit in zip(reversed(parts), _PS_UNITS_S, strict=False))

    def memory(self) -> Memory:
        """Return what the process holds at this moment."""
        return memory_of(self._process.pid)


def memory_of(pid: int) -> Memory:
    """Return what a process holds at this moment, in units of 10**6 bytes."""
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    if rollup.exists():
        fields = dict(line.split()[:2] for line in rollup.read_text().splitlines()[1:])
        return Memory(*(round(int(fields[name]) * _KIB / 1e6, 1) for name in ("Rss:", "Pss:")))
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return Memory(round(int(shown.stdout) * _KIB / 1e6, 1), None)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS_MAX)
    except TimeoutError:
        process.kill()
        await process.wait()
