"""May this engine be sent traffic? What Redis says about the workers and the config.

Exchanges ask before they send: some look for a character 1 in the answer (Xandr's ready request), so
READY_TEXT has one and no reason for a refusal does; reasons are fixed sentences, without figures.
"""

import asyncio
from typing import Final

import msgspec
import redis.asyncio

from config import redis_keys
from config.limits import WORKER_HEARTBEAT_SECONDS_MAX
from pacing.ledger import Ledger

READY_TEXT: Final = "1 ready"
REDIS_SILENT: Final = "Redis does not answer"
NO_CONFIG: Final = "no config is published: run `hustings config apply`"
NO_WORKER: Final = "no worker has been heard of lately"

assert not any("1" in reason for reason in (REDIS_SILENT, NO_CONFIG, NO_WORKER))


class WorkerBeat(msgspec.Struct, frozen=True):
    """A live worker: its owner number, and the seconds since its last sync with the ledger."""

    owner: int
    silent_s: float


class Readiness(msgspec.Struct, frozen=True):
    """`reason` says what is missing; it is empty when the engine is ready."""

    reason: str
    workers: tuple[WorkerBeat, ...] = ()

    @property
    def ready(self) -> bool:
        return not self.reason


async def ask(client: redis.asyncio.Redis) -> Readiness:
    """Ask Redis, both at once, for the config and the workers' heartbeats. Never raises RedisError."""
    try:
        published, beats = await asyncio.gather(client.exists(redis_keys.BUNDLE), Ledger(client).beats())
    except redis.RedisError:
        return Readiness(REDIS_SILENT)
    workers = tuple(
        WorkerBeat(owner, silent_s)
        for owner, silent_s in beats.items()
        if silent_s <= WORKER_HEARTBEAT_SECONDS_MAX
    )
    if not published:
        return Readiness(NO_CONFIG, workers)
    return Readiness("" if workers else NO_WORKER, workers)
