"""One place among the processes: what becomes of it when the system can't start a process."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bidder.child import EXIT_UNUSABLE
from bidder.supervisor import Child
from config.settings import Settings

MODULE = "ready_until_told"
PROGRAM = """
import os, pathlib, sys
sys.stdin.readline()
print("ready 0", flush=True)
pathlib.Path(os.environ["PID_FOLDER"], str(os.getpid())).touch()
sys.stdin.read()
"""
SECONDS_MAX = 30.0


@asynccontextmanager
async def place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, said: asyncio.Queue[str]
) -> AsyncIterator[tuple[Child, Path]]:
    """A place that starts PROGRAM, and the folder in which each process of it leaves its id."""
    pids = folder / "pids"
    pids.mkdir()
    (folder / f"{MODULE}.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("PID_FOLDER", str(pids))
    given: asyncio.Future[Settings] = asyncio.get_running_loop().create_future()
    given.set_result(Settings(redis_url="", secret_file="", data_dir=str(folder), metrics_dir=str(folder)))
    child = Child("worker 1", MODULE, str(folder), given, asyncio.Semaphore(1), said.put_nowait)
    child.start()
    try:
        yield child, pids
    finally:
        await child.stop()


def pids_in(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir()]


async def until_pids(folder: Path, count: int) -> list[int]:
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            if len(found := pids_in(folder)) == count:
                return found
            await asyncio.sleep(0.01)


async def test_a_process_that_the_system_can_not_start_again_is_tried_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    async with place(tmp_path, monkeypatch, said) as (child, pids):
        assert await child.first_start is None
        (first,) = await until_pids(pids, 1)
        with monkeypatch.context() as missing:
            missing.setattr(sys, "executable", str(tmp_path / "no-such-program"))
            os.kill(first, signal.SIGKILL)
            async with asyncio.timeout(SECONDS_MAX):
                while "can't be started (No such file or directory)" not in await said.get():
                    pass
            assert not await child.replace()
        await until_pids(pids, 2)


async def test_a_successor_that_the_system_can_not_start_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    async with place(tmp_path, monkeypatch, said) as (child, pids):
        assert await child.first_start is None
        (first,) = await until_pids(pids, 1)
        with monkeypatch.context() as missing:
            missing.setattr(sys, "executable", str(tmp_path / "no-such-program"))
            assert not await child.replace()
        os.kill(first, 0)
        assert await child.replace()
        assert first in await until_pids(pids, 2)


async def test_a_first_start_that_the_system_can_not_make_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-such-program"))
    async with place(tmp_path, monkeypatch, said) as (child, _):
        async with asyncio.timeout(SECONDS_MAX):
            assert await child.first_start == EXIT_UNUSABLE
