"""Edits of watched config folders that were refused, as all hosts may see them.

    await note(client, of("host-a", "campaigns", faults, now_s), now_s)      # again every few seconds
    for edit in await current(client, now_s): ...

One field of a hash for each host and folder. Whoever refused an edit renews its record until it is mended, so
that the record of a host that died is soon out of date, and no longer shown.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import redis.asyncio

from config.limits import REFUSED_EDIT_SECONDS_MAX
from config.redis_keys import REFUSED_EDITS

FAULTS_SHOWN_MAX = 20


class RefusedEdit(msgspec.Struct, frozen=True, kw_only=True):
    """A folder as it stands on one host, and what is wrong with it."""

    host: str
    folder: str
    refused_s: int
    seen_s: int
    """When it was last known to be wrong still."""
    fault_count: int
    faults: tuple[str, ...]
    """The first FAULTS_SHOWN_MAX."""


def of(host: str, folder: str, faults: Sequence[str], now_s: int) -> RefusedEdit:
    """Return the record of an edit that is refused now."""
    return RefusedEdit(
        host=host,
        folder=folder,
        refused_s=now_s,
        seen_s=now_s,
        fault_count=len(faults),
        faults=tuple(faults[:FAULTS_SHOWN_MAX]),
    )


async def note(client: redis.asyncio.Redis, edit: RefusedEdit, now_s: int) -> None:
    """Write or renew a record. Raises RedisError."""
    renewed = msgspec.structs.replace(edit, seen_s=now_s)
    await client.hset(REFUSED_EDITS, _field(edit.host, edit.folder), msgspec.json.encode(renewed))


async def clear(client: redis.asyncio.Redis, host: str, folder: str) -> None:
    """Take a record away. Raises RedisError."""
    await client.hdel(REFUSED_EDITS, _field(host, folder))


async def current(client: redis.asyncio.Redis, now_s: float) -> tuple[RefusedEdit, ...]:
    """Return the edits that are refused now, on any host. Raises RedisError."""
    reply: Any = await client.hvals(REFUSED_EDITS)
    edits = (msgspec.json.decode(value, type=RefusedEdit) for value in reply)
    live = (edit for edit in edits if edit.seen_s > now_s - REFUSED_EDIT_SECONDS_MAX)
    return tuple(sorted(live, key=lambda edit: (edit.host, edit.folder)))


def _field(host: str, folder: str) -> str:
    return f"{host}:{folder}"
