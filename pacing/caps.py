"""Frequency-cap records: what one person has seen of what is capped, packed into one string.

Only a user who was shown something has a string, at `config.redis_keys.caps`. It is a row of 12 bytes for
each campaign and line item, and a second one where a cap is on a week or a flight; at most
CAP_ROWS_PER_USER_MAX:

    byte  0   key                  u32   code of the campaign or line item
          4   kept_day             u16   the record is kept through this day, in days since 1970 (UTC)
          6   count_day            u8    impressions on the day of last_seen_minutes; stops at 255
          7   count_hour           u8    likewise in its clock hour
          8   last_seen_minutes    u32   minutes since 1970 of the last impression
         12                              all little-endian
    and   0   key                  u32   the same
          4   kept_day             u16   0: this row goes with the one before
          6   count_week           u16   impressions in the week of last_seen_minutes; stops at 65,535
          8   count_flight         u32   impressions in the flight of last_seen_minutes

A reader compares the hour, day and week of the last impression with its own: what was seen yesterday
counts for nothing today. A week begins on Monday; hours, days and weeks are UTC. A gap since the last
impression takes no byte of its own. Twenty-five capped campaigns take 300 bytes and one read, 600 with caps
on the flight; a key for each counter would take some 2.5 kB and 25 reads.

A record lives as long as a cap can ask for it (`CapLife`): to the end of the day or the week, for the length
of the gap, or for the flight and CAP_FLIGHT_SPARE_DAYS more, should it be extended. The string expires with
the last of its records. When there is no room, records that lapse soonest go first, and whoever wrote is
told how many live ones went, because their caps begin anew.

The events process writes, when an ad was shown; the bid path reads a batch at a time:

    records, offsets = unpack_caps(values)           # values as the look-up got them, None for no string
    impressions_left(records, offsets[u], offsets[u + 1], code, limits, row, now_s)   # pacing.kernels

What was bid and not yet shown is in no record: `pacing.pending`.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import redis.asyncio

from config import redis_keys
from config.calendar import OPEN_END_S, SECONDS_PER_DAY, week_of
from config.limits import CAP_FLIGHT_DAYS_MAX, CAP_FLIGHT_SPARE_DAYS, CAP_ROWS_PER_USER_MAX, SEEN_SECONDS
from config.schema import FrequencyCap
from pacing.scripts import Script

CAP_RECORD = np.dtype(
    [
        ("key", "<u4"),
        ("kept_day", "<u2"),
        ("count_day", "u1"),
        ("count_hour", "u1"),
        ("last_seen_minutes", "<u4"),
    ]
)
LONG_RECORD = np.dtype([("key", "<u4"), ("kept_day", "<u2"), ("count_week", "<u2"), ("count_flight", "<u4")])
"""A record's second row, as `CAP_RECORD[k].view(LONG_RECORD)` shows it."""

FORGOTTEN = b"forgotten"
"""Stands for the records of a person who asked to be forgotten. It is no whole number of records."""

_RECORD_IMPRESSION = Script("record_impression", "cap_records")
_ADD_RECORDS = Script("add_records", "cap_records")

assert CAP_RECORD.itemsize == LONG_RECORD.itemsize == 12
assert len(FORGOTTEN) % CAP_RECORD.itemsize


class CapLife(NamedTuple):
    """How an impression is remembered for one cap. As it is by default: to the end of the day."""

    week: bool = False
    flight: bool = False
    gap_minutes: int = 0
    start_s: int = 0
    """When the flight begins."""
    end_s: int = OPEN_END_S

    def kept_day(self, now_s: int) -> int:
        """Return the last day for which an impression of now matters, in days since 1970."""
        today = now_s // SECONDS_PER_DAY
        # A gap is over when a minute more than it has begun (`pacing.kernels.impressions_left`).
        kept = (now_s + 60 * (self.gap_minutes + 1)) // SECONDS_PER_DAY
        if self.week:
            kept = max(kept, 7 * week_of(today) + 3)
        if self.flight:
            last = self.end_s // SECONDS_PER_DAY + CAP_FLIGHT_SPARE_DAYS
            kept = max(kept, min(last, today + CAP_FLIGHT_DAYS_MAX))
        return kept


TO_THE_END_OF_THE_DAY = CapLife()
_NO_LIVES: Mapping[int, CapLife] = MappingProxyType({})


def is_capped(cap: FrequencyCap) -> bool:
    """Say whether a cap limits anything."""
    return cap != FrequencyCap()


def life_of(cap: FrequencyCap, start_s: int, end_s: int) -> CapLife:
    """Return how impressions are remembered for a cap; [start_s, end_s) is the flight it is under."""
    return CapLife(cap.per_week is not None, cap.per_flight is not None, cap.gap_minutes or 0, start_s, end_s)


def limits_of(cap: FrequencyCap, start_s: int) -> tuple[int, ...]:
    """Return a cap that limits something as a row of the limits of `pacing.kernels.impressions_left`.

    start_s: when its flight begins. The columns are named there.
    """
    most = (cap.per_hour, cap.per_day, cap.per_week, cap.per_flight)
    left_unseen = min(limit for limit in (*most, cap.gap_minutes and 1) if limit is not None)
    return (*(limit or 0 for limit in (*most, cap.gap_minutes)), start_s // 60, left_unseen)


class Seen(NamedTuple):
    """What a person has seen of one campaign or line item, at one moment."""

    hour: int = 0
    day: int = 0
    week: int = 0
    flight: int = 0
    """In the flight of the last impression."""
    last_minutes: int = -1
    """Minutes since 1970 of the last impression; -1 for never."""


def seen_of(packed: bytes | None, now_s: int) -> dict[int, Seen]:
    """Return what a string says at this moment, by code."""
    records, _ = unpack_caps([packed])
    long = {
        int(row["key"]): (int(row["count_week"]), int(row["count_flight"]))
        for row in records.view(LONG_RECORD)
        if row["kept_day"] == 0
    }
    seen = {}
    for record in records:
        if record["kept_day"] == 0:
            continue
        code, last, now = int(record["key"]), int(record["last_seen_minutes"]), now_s // 60
        today = int(record["count_day"])
        week, flight = long.get(code, (today, today))
        # A record written by a clock ahead of ours is of the present.
        seen[code] = Seen(
            hour=int(record["count_hour"]) if last // 60 >= now // 60 else 0,
            day=today if last // 1_440 >= now // 1_440 else 0,
            week=week if week_of(last // 1_440) >= week_of(now // 1_440) else 0,
            flight=flight,
            last_minutes=last,
        )
    return seen


async def record_impression(
    client: redis.asyncio.Redis,
    user_hash: int,
    codes: Sequence[int],
    now_s: int,
    lives: Mapping[int, CapLife] = _NO_LIVES,
) -> int:
    """Count one impression of each code (campaign, line item) for a user, in one atomic step.

    `lives` has the codes whose records are kept longer than to the end of the day. Returns how many live
    records of other codes had to make room. A partner's id that is linked to a person counts for the
    person. It counts as often as it is called: ask `Ledger.first_time` before. Raises redis.RedisError.
    """
    assert 0 < 2 * len(codes) <= CAP_ROWS_PER_USER_MAX, "more codes than one user may have records"
    arguments = (now_s // 60, CAP_ROWS_PER_USER_MAX, *_terms(codes, now_s, lives))
    person = user_hash.to_bytes(8, "big")
    reply = await _RECORD_IMPRESSION.run(client, [redis_keys.caps(person)], arguments)
    if isinstance(reply, bytes):
        # A person's own hash is never linked any further, so this call counts.
        reply = await _RECORD_IMPRESSION.run(client, [redis_keys.caps(reply)], arguments)
    return reply if isinstance(reply, int) else 0


def _terms(codes: Iterable[int], now_s: int, lives: Mapping[int, CapLife]) -> list[int]:
    terms = []
    for code in codes:
        life = lives.get(code, TO_THE_END_OF_THE_DAY)
        terms += [code, life.kept_day(now_s), int(life.week or life.flight), life.start_s // 60]
    return terms


async def add_records(client: redis.asyncio.Redis, user_hash: int, packed: bytes, now_s: int) -> int:
    """Count for a person what was counted for an id that turned out to be this person.

    `packed` is the id's string, taken away there: it counts as often as it is added. Returns how many
    live records had to make room. Raises redis.RedisError.
    """
    key = redis_keys.caps(user_hash.to_bytes(8, "big"))
    dropped: int = await _ADD_RECORDS.run(client, [key], (now_s // 60, CAP_ROWS_PER_USER_MAX, packed))
    return dropped


async def forget_caps(client: redis.asyncio.Redis, user_hash: int) -> bool:
    """Delete a user's records, and have impressions on their way not counted; say whether there were any.

    The mark that does it goes when no notice of a bid made until now would be taken any more. Raises
    redis.RedisError.
    """
    person = user_hash.to_bytes(8, "big")
    async with client.pipeline(transaction=True) as pipe:
        pipe.set(redis_keys.caps(person), FORGOTTEN, ex=SEEN_SECONDS, get=True)
        pipe.delete(redis_keys.moving_caps(person))
        before, moving = await pipe.execute()
    return before not in (None, FORGOTTEN) or bool(moving)


def unpack_caps(values: Sequence[bytes | None]) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int64]]:
    """Lay the strings of a batch of users end to end.

    Returns rows, CAP_RECORD[k], read-only, and offsets, int64[n + 1]: user u has rows
    [offsets[u], offsets[u + 1]). A string that is no whole number of rows is taken for none; the next
    impression overwrites it.
    """
    size = CAP_RECORD.itemsize
    whole = [value if value and len(value) % size == 0 else b"" for value in values]
    # For a batch, summed faster than np.cumsum is called.
    offsets = np.array([0, *accumulate([len(value) // size for value in whole])], np.int64)
    return np.frombuffer(b"".join(whole), CAP_RECORD), offsets
