"""Frequency-cap records: what one person has seen today, packed into one string.

Only a user who was shown something has a string, at `config.redis_keys.caps`. It is a row of 12-byte
records, one for each campaign and line item seen today (UTC), at most CAP_RECORDS_PER_USER_MAX:

    byte  0   key                  u32   code of the campaign or line item
          4   day                  u16   days since 1970 that count_day counts
          6   count_day            u8    impressions on that day; stops at 255
          7   count_hour           u8    impressions in the clock hour of last_seen_minutes; stops at 255
          8   last_seen_minutes    u32   minutes since 1970 of the last impression
         12                              all little-endian

A reader compares days and hours with its own: a record of yesterday counts for nothing. Twenty-five
campaigns take 300 bytes and one read; a key for each counter would take some 2.5 kB and 25 reads.
The events process writes, when an ad was shown; the bid path reads a batch at a time:

    records, offsets = unpack_caps(values)           # values as the look-up got them, None for no string
    capped(records, offsets[u], offsets[u + 1], code, per_day, per_hour, now_s)   # pacing.kernels
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import redis.asyncio

from config import redis_keys
from config.limits import CAP_RECORDS_PER_USER_MAX, SEEN_SECONDS
from pacing.scripts import Script

CAP_RECORD = np.dtype(
    [
        ("key", "<u4"),
        ("day", "<u2"),
        ("count_day", "u1"),
        ("count_hour", "u1"),
        ("last_seen_minutes", "<u4"),
    ]
)
CAP_TTL_SECONDS = 2 * 86_400
"""A record matters to the end of its day; the rest allows for clocks that disagree."""

FORGOTTEN = b"forgotten"
"""Stands for the records of a person who asked to be forgotten. It is no whole number of records."""

_RECORD_IMPRESSION = Script("record_impression", "cap_records")
_ADD_RECORDS = Script("add_records", "cap_records")

assert CAP_RECORD.itemsize == 12
assert len(FORGOTTEN) % CAP_RECORD.itemsize


async def record_impression(
    client: redis.asyncio.Redis, user_hash: int, codes: Sequence[int], now_s: int
) -> None:
    """Count one impression of each code (campaign, line item) for a user, in one atomic step.

    Records of past days go; when there are too many, those longest not seen go. A partner's id that is
    linked to a person counts for the person. It counts as often as it is called: ask
    `Ledger.first_time` before. Raises redis.RedisError.
    """
    assert 0 < len(codes) <= CAP_RECORDS_PER_USER_MAX, "more codes than one user may have records"
    arguments = (now_s // 60, CAP_TTL_SECONDS, CAP_RECORDS_PER_USER_MAX, *codes)
    person = user_hash.to_bytes(8, "big")
    # A person's own hash is never linked any further, so the second call counts.
    for _ in range(2):
        reply = await _RECORD_IMPRESSION.run(client, [redis_keys.caps(person)], arguments)
        if not isinstance(reply, bytes):
            return
        person = reply


async def add_records(client: redis.asyncio.Redis, user_hash: int, packed: bytes, now_s: int) -> None:
    """Count for a person what was counted for an id that turned out to be this person.

    `packed` is the id's string, taken away there: it counts as often as it is added. Raises
    redis.RedisError.
    """
    key = redis_keys.caps(user_hash.to_bytes(8, "big"))
    arguments = (now_s // 60, CAP_TTL_SECONDS, CAP_RECORDS_PER_USER_MAX, packed)
    await _ADD_RECORDS.run(client, [key], arguments)


async def forget_caps(client: redis.asyncio.Redis, user_hash: int) -> bool:
    """Delete a user's records, and have impressions on their way not counted; say whether there were any.

    The mark that does it goes when no notice of a bid made until now would be taken any more. Raises
    redis.RedisError.
    """
    key = redis_keys.caps(user_hash.to_bytes(8, "big"))
    before = await client.set(key, FORGOTTEN, ex=SEEN_SECONDS, get=True)
    return before not in (None, FORGOTTEN)


def unpack_caps(values: Sequence[bytes | None]) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int64]]:
    """Lay the strings of a batch of users end to end.

    Returns records, CAP_RECORD[k], read-only, and offsets, int64[n + 1]: user u has records
    [offsets[u], offsets[u + 1]). A string that is no whole number of records is taken for none; the next
    impression overwrites it.
    """
    size = CAP_RECORD.itemsize
    whole = [value if value and len(value) % size == 0 else b"" for value in values]
    offsets = np.zeros(len(whole) + 1, np.int64)
    np.cumsum([len(value) // size for value in whole], out=offsets[1:])
    return np.frombuffer(b"".join(whole), CAP_RECORD), offsets
