"""The faults. Each begins, lasts and ends inside its function, with traffic all along."""

import asyncio
import random
import resource
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import redis.asyncio
from typer.testing import CliRunner

from bidder.cli.main import command_line
from bidder.redis_client import redis_client
from config import bundle_store
from config.redis_keys import BUNDLE, BUNDLE_CHANNEL, BUNDLE_VERSION
from config.schema import Bundle, encode_bundle
from pacing.ledger import Ledger
from tests.fault_drill.clock import SetClock
from tests.fault_drill.engine import EVENTS, WORKER, DrilledEngine

RESTART_SECONDS_MAX = 120
FULL_DISK_SECONDS_MAX = 2.0
"""The market repeats a bill for RETRIES_MAX x RETRY_S, 4.5 seconds; exchanges do for minutes to hours."""
CLOCK_STEPS_S = (30.0, -30.0, 240.0, -240.0, 0.0)
"""Within what `config.limits.NOTICE_CLOCK_SECONDS_MAX` says clocks may disagree."""


class Scene(msgspec.Struct, frozen=True):
    """What a fault can get at."""

    engine: DrilledEngine
    config: Bundle
    bundle_key: bytes
    chance: random.Random
    seconds: float
    """How long the fault lasts."""
    worker_kills: int


Fault = Callable[[Scene], Awaitable[None]]


async def kill_workers(scene: Scene) -> None:
    """kill -9 of a worker, and of another when its successor is at work."""
    async with redis_client(scene.engine.server.url) as client:
        for _ in range(scene.worker_kills):
            known = await _workers(client)
            scene.engine.kill(scene.chance.choice(scene.engine.children(WORKER)))
            await asyncio.sleep(scene.seconds / scene.worker_kills)
            async with asyncio.timeout(RESTART_SECONDS_MAX):
                while await _workers(client) <= known:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.1)


async def _workers(client: redis.asyncio.Redis) -> set[int]:
    """Return the numbers of the workers that sync with the ledger; each life of one has its own."""
    return set(await Ledger(client).beats())


async def kill_redis(scene: Scene) -> None:
    """kill -9 of Redis, and some seconds without one."""
    await asyncio.to_thread(scene.engine.server.kill)
    await asyncio.sleep(scene.seconds)
    await asyncio.to_thread(scene.engine.revive_server)


async def fill_disk(scene: Scene) -> None:
    """Redis is gone, and the disk takes nothing: neither way of keeping a notice is left.

    The events process is forbidden to write into any file (RLIMIT_FSIZE of 0), which meets its appends with
    an error as a full disk does. Then there is room again, and last of all Redis. The disk is full for less
    time than an exchange goes on sending; and only while Redis is away, for a full disk would let the replay
    mark what is done in place, and the limit does not.
    """
    (events,) = scene.engine.children(EVENTS)
    await asyncio.to_thread(scene.engine.server.kill)
    before = _limit_files(events, (0, resource.RLIM_INFINITY))
    await asyncio.sleep(min(scene.seconds / 2, FULL_DISK_SECONDS_MAX))
    _limit_files(events, before)
    await asyncio.sleep(scene.seconds / 2)
    await asyncio.to_thread(scene.engine.revive_server)


def _limit_files(pid: int, limits: tuple[int, int]) -> tuple[int, int]:
    assert sys.platform == "linux", "only there can a limit be set from outside"
    return resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


async def corrupt_config(scene: Scene) -> None:
    """A faulty folder is applied; then the config in Redis itself is garbage, cut short, and another's."""
    async with redis_client(scene.engine.server.url) as client:
        await _corrupt_config(scene, client)


async def _corrupt_config(scene: Scene, client: redis.asyncio.Redis) -> None:
    version = await bundle_store.published_version(client)
    folder = scene.engine.data / "faulty"
    await asyncio.to_thread(_write_faulty, folder)
    words = ["config", "apply", str(folder), "--redis", scene.engine.server.url]
    applied = await asyncio.to_thread(CliRunner().invoke, command_line(words), words)
    assert applied.exit_code != 0, "a faulty folder was applied"
    assert await bundle_store.published_version(client) == version
    data: Any = await client.get(BUNDLE)
    forged = msgspec.structs.replace(scene.config, version="forged")
    for number, bad in enumerate((b"\xc1\xc1\xc1", data[: len(data) // 2], encode_bundle(forged))):
        await client.set(BUNDLE, bad)
        await client.set(BUNDLE_VERSION, f"bad-{number}")
        await client.publish(BUNDLE_CHANNEL, f"bad-{number}")
        await asyncio.sleep(scene.seconds / 3)
    await bundle_store.publish(client, scene.config, scene.bundle_key)


def _write_faulty(folder: Path) -> None:
    (folder / "advertisers").mkdir(parents=True, exist_ok=True)
    (folder / "engine.yaml").write_text("currency: [\n")


async def set_clocks(scene: Scene) -> None:
    """The clock of all the engine's processes is put forward and back by steps; Redis's is not."""
    assert scene.engine.clock is not None
    await _by_steps(scene.engine.clock, scene)


async def set_redis_clock(scene: Scene) -> None:
    """Redis's clock is, and the engine's is not."""
    assert scene.engine.server_clock is not None
    await _by_steps(scene.engine.server_clock, scene)


async def _by_steps(clock: SetClock, scene: Scene) -> None:
    for ahead_s in CLOCK_STEPS_S:
        clock.put(ahead_s)
        await asyncio.sleep(scene.seconds / len(CLOCK_STEPS_S))


FAULTS: dict[str, Fault] = {
    "workers": kill_workers,
    "redis": kill_redis,
    "disk": fill_disk,
    "config": corrupt_config,
    "clock": set_clocks,
    "redis_clock": set_redis_clock,
}


def why_not(fault: str, engine: DrilledEngine) -> str:
    """Say why a fault can't be made on this machine; empty when it can."""
    if fault == "disk" and sys.platform != "linux":
        return "a file limit can be set from outside on Linux alone"
    if fault in ("clock", "redis_clock") and engine.clock is None:
        return "libfaketime is not installed (Debian: apt-get install faketime)"
    return ""
