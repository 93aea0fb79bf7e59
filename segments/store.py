"""Which audiences each cookie is in: the segments of every user, in Redis.

Problem: hundreds of millions of cookies, each with a few dozen bytes, each read in one command
while an exchange waits. A key for each cookie spends more on the key than on the data.

Layout: the user's hash (`segments.identity`) is cut in two. Its leading SEGMENT_BUCKET_BITS name a Redis
hash, the rest names a field in it, and the field's value is the packed bitset (`segments.bitsets`):

    hash 0x3fa107c2d59e6b44      HGET s:07f42 <07 c2 d5 9e 6b 44>  ->  51 12 02 00 ...

The field is whole bytes, so one bit of it is in the bucket's number, too. A small Redis hash is one
listpack, a single block without pointers that is searched from end to end, so a cookie costs its own
bytes and 4 more, and the cost of the key is shared by all cookies of the bucket. How many share it is
the number of cookies divided by 2**SEGMENT_BUCKET_BITS. Measured on Valkey 8.1 with cookies in 12 of 256
segments (32 bytes of value, 6 of field):

    cookies a bucket                3       32      128      512    a key each   one big hash
    cookies in all, 17 bits      0.4 M    4.2 M     17 M     67 M
    bytes a cookie                 65       44       42       42         91          70
    server time of a read, us     0.8      0.8      0.9      2.9

So 17 bits suit two million cookies to a hundred million. Past 134 million a bucket outgrows the
listpack, and a cookie costs what it does in the big hash: then use more bits (docs/audiences.md). The
private server allows listpacks of 1,024 entries and values of 1,024 bytes (`config.embedded_server`); a
server of your own needs the same `hash-max-listpack-entries` and `hash-max-listpack-value`.

Expiry is a day inside the value, for Valkey 8 has no TTL for a single field of a hash. Readers
treat a value past its day as absent; it gives its memory back when it is written again, forgotten,
or swept (`segments.bit_days`).
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import redis.asyncio
from numpy.typing import NDArray

from config import redis_keys
from segments.bitsets import unpack_value
from segments.bulk import BulkConnections
from segments.cookies import Cookies, unpack_buckets
from segments.location import BUCKETS, location

BUCKETS_A_CHUNK = 256
SCAN_CHUNKS = BUCKETS // BUCKETS_A_CHUNK
"""How many arrays one `SegmentStore.scan` yields."""

assert SCAN_CHUNKS > 0


class SegmentStore:
    """The segments of every user of one Redis, or of a Cluster."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client

    async def write(self, user_hashes: NDArray[np.uint64], bits: NDArray[np.uint64], expiry_day: int) -> None:
        """Replace the segments of n users, uint64[n], with uint64[n, W], good to the end of a day.

        Of a user given twice the last counts. The more users at once, the less each costs: on two cores
        with the server on one of them, some 400,000 a second. Raises redis.RedisError; then some may be
        written, and writing them again is harmless.
        """
        if not len(user_hashes):
            return
        async with BulkConnections.to(self._client) as bulk:
            await bulk.write(user_hashes, bits, expiry_day)

    async def read(self, user_hash: int, words: int, today: int) -> tuple[NDArray[np.uint64], int] | None:
        """Return (uint64[words], expiry day) of one user, or None when absent or expired."""
        key, field = location(user_hash)
        reply: Any = await self._client.hget(key, field)
        if reply is None:
            return None
        bits, expiry_day = unpack_value(reply, words)
        return (bits, expiry_day) if expiry_day >= today else None

    async def scan(self, words: int, today: int) -> AsyncIterator[NDArray[np.uint64]]:
        """Yield the bits of all live users, uint64[n, words], in SCAN_CHUNKS arrays.

        It walks the buckets by number, so a user who is there throughout is seen exactly once.
        SCAN would promise no more than "at least once". Raises redis.RedisError.
        """
        async for cookies in self.scan_cookies(words, today):
            yield cookies.bits

    async def scan_cookies(
        self, words: int, today: int, buckets: Sequence[int] = range(BUCKETS)
    ) -> AsyncIterator[Cookies]:
        """Yield the live users of some buckets with their last days, in arrays of BUCKETS_A_CHUNK buckets.

        Raises redis.RedisError.
        """
        async with BulkConnections.to(self._client) as bulk:
            for start in range(0, len(buckets), BUCKETS_A_CHUNK):
                chunk = buckets[start : start + BUCKETS_A_CHUNK]
                commands = [(b"HVALS", redis_keys.segment_bucket(bucket)) for bucket in chunk]
                yield unpack_buckets(await bulk.call(chunk, commands), words, today)
