"""Users changed bit by bit: what several owners, and events, do to the one value of a cookie.

    users = UserBits(client)
    await users.merge(hashes, clear, set_, common, expiry_day=day, today=today)    # a loader
    await users.touch(user_hash, {17: today + 7}, today)       # "clicked in the last 7 days"
    await users.sweep(retired_mask, today)                     # every day
    await users.forget(user_hash, today)                       # who asks for it

Problem: a value (`segments.bitsets`) has one last day for all its bits. A reader compares it and is
done; that is what a look-up can afford. But "clicked in the last 7 days" ends before the ninety days of the
file that the cookie came in, or lasts beyond it.

So a bit that an event set has its own last day in a second hash beside the bucket, which no look-up reads:

    s:03fa1       <07 c2 ..>  ->  day 20100 | bits 3, 9, 17           what is read on the path of a bid
    {s:03fa1}:d   <07 c2 ..>  ->  (others, 20100) (17, 20037)         the days behind it

The value's day is the latest of them. The daily sweep takes away a bit whose day is over, and all the
others when theirs is; between midnight UTC and the end of the sweep a bit may live on. A cookie that
has nothing but such bits is not read past its last day, sweep or no sweep. Only people whom an event
has touched have a day record: some 15 bytes each and 4 for each bit.

Who else writes leaves these bits alone: a loader clears and sets only what is its own (`merge`). The
fast write of whole values (`segments.store`) is for installations where there is nothing to leave alone
(`segments.registry.Definition.ruled`, and no retired bits).

Rejected: days inside the value (every reader would pay, and a value is as long as its bits); a bit for each
day of a rule, rotated (an expression would change its bits every midnight); TTLs for fields of a hash
(Redis 7.4 alone has them).

Forgetting deletes both, and leaves in the day record a mark that says so until tomorrow's end. An event
that was under way (a click on an ad shown an hour ago) finds it and writes nothing.
"""

from collections.abc import Callable, Mapping

import numpy as np
import redis.asyncio
from numpy.typing import NDArray

from config import redis_keys
from config.limits import RULE_DAYS_PER_USER_MAX, STORE_PIPELINE_COMMANDS_MAX
from segments.bitsets import DAY_BYTES, is_live, pack_values, unpack_users
from segments.bucket_script import BucketScript, Call
from segments.bulk import BulkConnections
from segments.location import BUCKET_SHIFT, BUCKETS, location

FORGOTTEN_DAYS = 1
"""The mark of a forgotten person lasts to the end of tomorrow; no notice is taken longer after its bid."""
_MERGE = BucketScript("merge_users")
_TOUCH = BucketScript("touch_user")
_SWEEP = BucketScript("sweep_users")
_FORGET = BucketScript("forget_user")
_BUCKETS_A_STEP = 1_024
_BUCKETS_A_BREATH = 16
"""Redis answers nobody else while it sweeps these: a millisecond each at worst."""
SWEEP_STEPS = BUCKETS // _BUCKETS_A_STEP


class UserBits:
    """The segments of every user of one Redis, a bit at a time."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client

    async def merge(
        self,
        user_hashes: NDArray[np.uint64],
        clear: NDArray[np.uint64],
        set_: NDArray[np.uint64],
        common: NDArray[np.uint64],
        *,
        expiry_day: int,
        today: int,
    ) -> None:
        """Clear, then set, bits of n users.

        user_hashes: uint64[n]. clear, set_: uint64[n, W]. common: uint64[W], cleared for everyone. A user
        lives to `expiry_day` or longer; 0 prolongs nobody's life, and makes nobody. Of a user given twice
        the rows hold one after the other. Raises redis.RedisError; then some may be written, and
        writing them again is harmless.
        """
        clears, sets = _octets(clear), _octets(set_)
        head = (today, expiry_day, _octets(common.reshape(1, -1))[0])
        order = np.argsort(user_hashes >> np.uint64(BUCKET_SHIFT), kind="stable")
        buckets = (user_hashes >> np.uint64(BUCKET_SHIFT))[order].tolist()
        rows: list[int] = order.tolist()
        hashes: list[int] = user_hashes.tolist()
        calls: list[Call] = []
        arguments: list[bytes | int] = []
        for place, (bucket, row) in enumerate(zip(buckets, rows, strict=True)):
            if not place or bucket != buckets[place - 1]:
                arguments = [*head]
                calls.append((bucket, arguments))
            arguments += (location(hashes[row])[1], clears[row], sets[row])
        await _MERGE.load(self._client)
        async with BulkConnections.to(self._client) as bulk:
            await _MERGE.run_each(bulk, calls)

    async def read_many(
        self, user_hashes: NDArray[np.uint64], words: int, today: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
        """Return bool[n], who of n users is stored and live, and their bits, uint64[n, words]."""
        values: list[bytes | None] = []
        hashes: list[int] = user_hashes.tolist()
        for start in range(0, len(hashes), STORE_PIPELINE_COMMANDS_MAX):
            pipeline = self._client.pipeline(transaction=False)
            for user_hash in hashes[start : start + STORE_PIPELINE_COMMANDS_MAX]:
                pipeline.execute_command("HGET", *location(user_hash))
            values += await pipeline.execute()
        known = np.array([value is not None and is_live(value, today) for value in values], np.bool_)
        return known, unpack_users(values, words, today)

    async def touch(self, user_hash: int, last_days: Mapping[int, int], today: int) -> bool:
        """Put a user into segments, bit -> last day; False when the person is forgotten.

        Raises redis.RedisError.
        """
        pairs = [number for pair in last_days.items() for number in pair]
        arguments: list[bytes | int] = [today, location(user_hash)[1], RULE_DAYS_PER_USER_MAX, *pairs]
        return bool(await _TOUCH.run(self._client, user_hash >> BUCKET_SHIFT, *arguments))

    async def sweep(
        self, common: NDArray[np.uint64], today: int, progress: Callable[[], None] = lambda: None
    ) -> tuple[int, int]:
        """Delete what is over, and the bits `common`, uint64[W], of everyone.

        Returns how many users were deleted, and how many of the others lost a bit. progress is called
        SWEEP_STEPS times. Raises redis.RedisError.
        """
        mask = _octets(common.reshape(1, -1))[0]
        deleted = changed = 0
        await _SWEEP.load(self._client)
        async with BulkConnections.to(self._client) as bulk:
            for first in range(0, BUCKETS, _BUCKETS_A_STEP):
                occupied = await _occupied(bulk, range(first, first + _BUCKETS_A_STEP))
                for start in range(0, len(occupied), _BUCKETS_A_BREATH):
                    some = occupied[start : start + _BUCKETS_A_BREATH]
                    calls = [(bucket, (today, mask)) for bucket in some]
                    for gone, less in await _SWEEP.run_each(bulk, calls):
                        deleted += gone
                        changed += less
                progress()
        return deleted, changed

    async def forget(self, user_hash: int, today: int) -> bool:
        """Delete a user's segments, and have events on their way ignored; say whether there was anything.

        Raises redis.RedisError.
        """
        mark = (location(user_hash)[1], today + FORGOTTEN_DAYS)
        return any(await _FORGET.run(self._client, user_hash >> BUCKET_SHIFT, *mark))


async def _occupied(bulk: BulkConnections, buckets: range) -> list[int]:
    """Return the buckets with anything in them."""
    commands = [
        ("EXISTS", redis_keys.segment_bucket(bucket), redis_keys.segment_days(bucket)) for bucket in buckets
    ]
    replies = await bulk.call(buckets, commands)
    return [bucket for bucket, there in zip(buckets, replies, strict=True) if there]


def _octets(bits: NDArray[np.uint64]) -> list[bytes]:
    """The bitsets of n users without the zero bytes at their ends."""
    return [value[DAY_BYTES:] for value in pack_values(bits, 0)]
