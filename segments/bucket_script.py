"""The Lua scripts that change users, called for many buckets at once.

A user's value and day record lie in two keys of one cluster slot, so a script may read and write both: what
two writers do to one person happens one after the other, whole. Each script is `lua/user_record.lua`
and its own file, called by its digest.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis.asyncio
from redis.exceptions import NoScriptError

from config import redis_keys
from segments.bulk import BulkConnections

_LUA = Path(__file__).parent / "lua"

Argument = bytes | str | int
Call = tuple[int, Sequence[Argument]]
"""A bucket, and the arguments after its key."""


class BucketScript:
    """One script over a `redis_keys.segment_bucket` and the `segment_days` beside it."""

    def __init__(self, name: str) -> None:
        texts = [(_LUA / f"{part}.lua").read_text("utf-8") for part in ("user_record", name)]
        self._text = "\n".join(texts)
        # SHA-1 is the protocol's name for a script, not a safeguard.
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, client: "redis.asyncio.Redis", bucket: int, *arguments: Argument) -> Any:
        """Call the script for one bucket. Raises redis.RedisError."""
        command = self._command(bucket, arguments)
        try:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call] # as in redis-py
        except NoScriptError:
            await client.script_load(self._text)
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]

    async def load(self, client: "redis.asyncio.Redis") -> None:
        """Make the script known to every server, for `run_each`. Raises redis.RedisError."""
        await client.script_load(self._text)

    async def run_each(self, bulk: BulkConnections, calls: Sequence[Call]) -> list[Any]:
        """Call the script for each bucket; return the replies. Raises redis.RedisError: some may have run."""
        commands = [self._command(bucket, arguments) for bucket, arguments in calls]
        return await bulk.call([bucket for bucket, _ in calls], commands)

    def _command(self, bucket: int, arguments: Sequence[Argument]) -> tuple[Argument, ...]:
        return ("EVALSHA", self._sha, 1, redis_keys.segment_bucket(bucket), *arguments)
