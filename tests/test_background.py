"""`bidder.background`: tasks that lose a cancellation, and tasks that fail."""

import asyncio

import pytest

from bidder.background import end_task, stopped_or_failed
from tests.waiting import SECONDS_MAX


async def loses_cancellations(times: int, started: asyncio.Event) -> None:
    started.set()
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not times:
                raise
            times -= 1


async def test_a_task_that_loses_a_cancellation_is_ended_all_the_same() -> None:
    started = asyncio.Event()
    task = asyncio.create_task(loses_cancellations(1, started))
    await started.wait()
    async with asyncio.timeout(SECONDS_MAX):
        await end_task(task)
    assert task.cancelled()


async def test_a_failure_is_noticed_at_once_and_raised_at_the_end() -> None:
    async def fails() -> None:
        raise ConnectionResetError("gone")

    task = asyncio.create_task(fails())
    await stopped_or_failed(asyncio.Event(), task)
    with pytest.raises(ConnectionResetError):
        await end_task(task)


async def test_a_stop_leaves_the_tasks_to_their_owner() -> None:
    stop = asyncio.Event()
    stop.set()
    task = asyncio.create_task(asyncio.Event().wait())
    await stopped_or_failed(stop, task)
    assert not task.done()
    await end_task(task)
