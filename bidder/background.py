"""Background tasks of a process: waiting beside them, and ending them for certain.

    follower = asyncio.create_task(directory.follow(bundles))
    closing.push_async_callback(end_task, follower)
    await stopped_or_failed(stop, follower)

`Task.cancel` once is not enough here. Before Python 3.12 `asyncio.wait_for` loses a cancellation
that arrives in the moment its future completes, and redis-py sends every command through it, so a
task that talks to Redis may go on after being cancelled, and a TaskGroup would wait for it for ever.
"""

import asyncio
from typing import Any

CANCEL_AGAIN_SECONDS = 0.05


async def stopped_or_failed(stop: asyncio.Event, *tasks: asyncio.Task[Any]) -> None:
    """Return when `stop` is set, or as soon as one of the tasks has ended, which none should."""
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()


async def end_task(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended; raise what it failed with, if it failed."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_SECONDS)
    if not task.cancelled():
        task.result()
