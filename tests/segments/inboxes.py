"""Entries put in oak's inbox, and what came back, for the tests of inboxes."""

from typing import Any

import redis.asyncio

from config import redis_keys
from segments.identity import COOKIE
from tests.segments.loading import IDENTITY

OAK = redis_keys.inbox("oak").decode()


def users(*ids: str) -> bytes:
    return b"".join(IDENTITY.hash(COOKIE, one).to_bytes(8, "big") for one in ids)


async def faults(client: redis.asyncio.Redis) -> list[tuple[str, int, str]]:
    entries: Any = await client.xrange(redis_keys.inbox_faults("oak"))
    return [(f[b"entry"].decode(), int(f[b"line"]), f[b"reason"].decode()) for _, f in entries]


async def put(client: redis.asyncio.Redis, **fields: Any) -> str:
    entry: Any = fields
    entry_id: Any = await client.xadd(OAK, entry)
    return str(entry_id.decode())
