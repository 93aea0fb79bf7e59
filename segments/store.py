"""Which audiences each cookie is in: the segments of every user, in Redis.

Problem: hundreds of millions of cookies, each with a few dozen bytes, each read in one command
while an exchange waits. A key for each cookie spends more on the key than on the data.

Layout: the user's hash (`segments.identity`) is cut in two. Its leading SEGMENT_BUCKET_BITS name a Redis
hash, the rest names a field in it, and the field's value is the packed bitset (`segments.bitsets`):

    hash 0x3fa1_07c2d59e6b44      HGET s:03fa1 <07 c2 d5 9e 6b 44>  ->  51 12 02 00 ...

A small Redis hash is one listpack, a single block without pointers that is searched from end to
end, so a cookie costs its own bytes and 4 more, and the cost of the key is shared by all cookies of
the bucket. How many share it is the number of cookies divided by 2**SEGMENT_BUCKET_BITS. Measured on
Valkey 8.1 with cookies in 12 of 256 segments (32 bytes of value, 6 of field):

    cookies a bucket                3       32      128      512    a key each   one big hash
    cookies in all, 16 bits      0.2 M    2.1 M    8.4 M     34 M
    bytes a cookie                 65       44       42       42         91          70
    server time of a read, us     0.8      0.8      0.9      2.9

So 16 bits suit one to fifty million cookies. Past 67 million a bucket outgrows the listpack, and a
cookie costs what it does in the big hash: then use more bits. The private server allows listpacks of
1,024 entries and values of 1,024 bytes (`config.embedded_server`); a server of your own needs the
same `hash-max-listpack-entries` and `hash-max-listpack-value`.

Expiry is a day inside the value, for Valkey 8 has no TTL for a single field of a hash. Readers
treat a value past its day as absent; it gives its memory back when it is written again, forgotten,
or swept (`sweep`).
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import redis.asyncio
from numpy.typing import NDArray

from config import redis_keys
from config.limits import SEGMENT_BUCKET_BITS, STORE_PIPELINE_COMMANDS_MAX
from segments.bitsets import is_live, pack_values, unpack_users, unpack_value

BUCKETS = 1 << SEGMENT_BUCKET_BITS
BUCKET_SHIFT = 64 - SEGMENT_BUCKET_BITS
FIELD = slice(SEGMENT_BUCKET_BITS // 8, 8)
"""The bytes of a hash that are the field: those that hold a bit which the bucket does not."""
_BUCKETS_A_CHUNK = 256
SCAN_CHUNKS = BUCKETS // _BUCKETS_A_CHUNK
"""How many arrays one `SegmentStore.scan` yields."""
_SAMPLE_STEP = 16
_SWEEP = (Path(__file__).parent / "lua" / "sweep_bucket.lua").read_text()

assert _BUCKETS_A_CHUNK <= STORE_PIPELINE_COMMANDS_MAX
assert SCAN_CHUNKS > 0


def location(user_hash: int) -> tuple[bytes, bytes]:
    """Return (key, field) of the value that holds a user's segments."""
    return (redis_keys.segment_bucket(user_hash >> BUCKET_SHIFT), user_hash.to_bytes(8, "big")[FIELD])


def caps_key(user_hash: int) -> bytes:
    """Return the key of a user's frequency-cap records."""
    return redis_keys.caps(user_hash.to_bytes(8, "big"))


class SegmentStore:
    """The segments of every user of one Redis."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client

    async def write(self, user_hashes: NDArray[np.uint64], bits: NDArray[np.uint64], expiry_day: int) -> None:
        """Replace the segments of n users, uint64[n], with uint64[n, W], good to the end of a day.

        Of a user given twice the last counts. Raises redis.RedisError; then some may be written.
        """
        hashes: list[int] = user_hashes.tolist()
        for start in range(0, len(hashes), STORE_PIPELINE_COMMANDS_MAX):
            end = start + STORE_PIPELINE_COMMANDS_MAX
            pipeline = self._client.pipeline(transaction=False)
            for user_hash, value in zip(
                hashes[start:end], pack_values(bits[start:end], expiry_day), strict=True
            ):
                pipeline.execute_command("HSET", *location(user_hash), value)
            await pipeline.execute()

    async def read(self, user_hash: int, words: int, today: int) -> tuple[NDArray[np.uint64], int] | None:
        """Return (uint64[words], expiry day) of one user, or None when absent or expired."""
        key, field = location(user_hash)
        reply: Any = await self._client.hget(key, field)
        if reply is None:
            return None
        bits, expiry_day = unpack_value(reply, words)
        return (bits, expiry_day) if expiry_day >= today else None

    async def forget(self, user_hash: int) -> bool:
        """Delete all we hold under a user's hash, segments and caps; say whether there was anything."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.execute_command("HDEL", *location(user_hash))
        pipeline.execute_command("DEL", caps_key(user_hash))
        return any(await pipeline.execute())

    async def scan(self, words: int, today: int) -> AsyncIterator[NDArray[np.uint64]]:
        """Yield the bits of all live users, uint64[n, words], in SCAN_CHUNKS arrays.

        It walks the buckets by number, so a user who is there throughout is seen exactly once.
        SCAN would promise no more than "at least once".
        """
        for keys in _bucket_chunks():
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.execute_command("HVALS", key)
            values = [value for bucket in await pipeline.execute() for value in bucket]
            yield unpack_users([value for value in values if is_live(value, today)], words, today)

    async def sweep(self, today: int) -> int:
        """Delete the segments of every user for whom they have expired; return how many there were."""
        swept = 0
        for keys in _bucket_chunks():
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                # In a script, so that a cookie written again meanwhile is not lost.
                pipeline.execute_command("EVAL", _SWEEP, 1, key, today)
            swept += sum(await pipeline.execute())
        return swept

    async def cookies_bytes(self) -> int:
        """Return about how much of Redis's memory the users take, measured on one bucket in sixteen."""
        pipeline = self._client.pipeline(transaction=False)
        for bucket in range(0, BUCKETS, _SAMPLE_STEP):
            pipeline.execute_command("MEMORY USAGE", redis_keys.segment_bucket(bucket))
        return _SAMPLE_STEP * sum(size or 0 for size in await pipeline.execute())


def _bucket_chunks() -> Iterator[list[bytes]]:
    for start in range(0, BUCKETS, _BUCKETS_A_CHUNK):
        yield [redis_keys.segment_bucket(bucket) for bucket in range(start, start + _BUCKETS_A_CHUNK)]
