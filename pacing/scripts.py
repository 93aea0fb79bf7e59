"""The Lua scripts of `pacing/lua`, called by their digest.

A Redis-protocol server keeps scripts it has seen and runs them by SHA-1 (EVALSHA); one that has
restarted or failed over answers NOSCRIPT. Then nothing has run: the script is loaded and called again.

    GRANT = Script("grant", "limbs", "day")
    reply = await GRANT.run(client, keys, arguments)
    replies = await run_all(client, [Call(GRANT, keys, arguments), ...])
"""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import redis.asyncio
from redis.exceptions import NoScriptError

Argument = bytes | str | int


class Script:
    """One script: the files of its preludes and its own, in this order."""

    def __init__(self, name: str, *preludes: str) -> None:
        folder = files("pacing") / "lua"
        texts = [(folder / f"{part}.lua").read_text("utf-8") for part in (*preludes, name)]
        self.name = name
        self.text = "\n".join(texts)
        # SHA-1 is the protocol's name for a script, not a safeguard.
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    async def run(
        self, client: redis.asyncio.Redis, keys: Sequence[bytes], arguments: Sequence[Argument]
    ) -> Any:
        """Call the script; raises redis.RedisError."""
        try:
            return await client.evalsha(self.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            await client.script_load(self.text)
            return await client.evalsha(self.sha, len(keys), *keys, *arguments)


class Call(NamedTuple):
    """One call of a script."""

    script: Script
    keys: Sequence[bytes]
    arguments: Sequence[Argument]


async def run_all(client: redis.asyncio.Redis, calls: Sequence[Call]) -> list[Any]:
    """Call scripts in order in one round trip (a second one after NOSCRIPT); return their replies.

    The calls are separate: when one fails, the others have run all the same. Raises the first
    failure, a redis.RedisError.
    """
    replies = await _send(client, calls)
    unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if unknown:
        for text in {calls[index].script.text for index in unknown}:
            await client.script_load(text)
        for index, reply in zip(unknown, await _send(client, [calls[i] for i in unknown]), strict=True):
            replies[index] = reply
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the fields of a hash, which a script replies as one flat list."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


async def _send(client: redis.asyncio.Redis, calls: Sequence[Call]) -> list[Any]:
    if not calls:
        return []
    async with client.pipeline(transaction=False) as pipe:
        for script, keys, arguments in calls:
            # Not `pipe.evalsha`, which the client of a Cluster refuses in a pipeline.
            pipe.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
        return await pipe.execute(raise_on_error=False)
