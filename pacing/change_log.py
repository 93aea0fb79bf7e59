"""The log of changes: who changed what may be spent, when, and from what to what.

    await record(client, [LoggedChange(by="ops@host", action="pause", campaign="spring")])
    for at_ms, change in await latest(client, 50): ...

One stream for the installation, CHANGES, trimmed to about CHANGES_MAX entries; an entry's id is when the
server wrote it. A change is made first and recorded then, so that the log never tells of one that was
not made.
"""

from collections.abc import Sequence
from typing import Any, Literal, cast

import msgspec
import redis.asyncio

from config.limits import CHANGE_TEXT_CHARS_MAX, CHANGES_MAX
from config.redis_keys import CHANGES

Action = Literal["config", "pause", "resume", "adjust", "accept", "stop", "start"]


class LoggedChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change. `before` and `after` are as the config writes them."""

    by: str
    action: Action
    campaign: str = ""
    """A campaign, or a line item of a config; empty where all are meant."""
    what: str = ""
    """The field that changed, like `budget.daily`."""
    before: str = ""
    after: str = ""
    reason: str = ""


async def record(client: redis.asyncio.Redis, changes: Sequence[LoggedChange]) -> None:
    """Append changes. Raises redis.RedisError."""
    if not changes:
        return
    async with client.pipeline(transaction=False) as pipe:
        for change in changes:
            fields: dict[Any, Any] = {
                name: value[:CHANGE_TEXT_CHARS_MAX]
                for name, value in msgspec.structs.asdict(change).items()
                if value
            }
            pipe.xadd(CHANGES, fields, maxlen=CHANGES_MAX, approximate=True)
        await pipe.execute()


async def latest(client: redis.asyncio.Redis, entries_max: int) -> list[tuple[int, LoggedChange]]:
    """Return the latest changes, oldest first, each with its time in ms since 1970.

    Raises redis.RedisError.
    """
    found = await client.xrevrange(CHANGES, count=entries_max)
    entries = cast(list[tuple[bytes, dict[bytes, bytes]]], found)
    return [
        (
            int(entry_id.split(b"-")[0]),
            msgspec.convert({name.decode(): value.decode() for name, value in fields.items()}, LoggedChange),
        )
        for entry_id, fields in reversed(entries)
    ]
