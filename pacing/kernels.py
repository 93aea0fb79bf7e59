"""Compiled functions of pacing that the decision kernel calls: frequency caps."""

import numpy as np
from numpy.typing import NDArray

from config.calendar import week_of
from config.compiled import inlined, kernel
from pacing.pending import PENDING_SLOTS, Pending

PER_HOUR, PER_DAY, PER_WEEK, PER_FLIGHT, GAP_MINUTES, FLIGHT_START_MINUTES, LEFT_UNSEEN = range(7)
"""The columns of a cap's limits, 0 for no limit; the last is what is left to somebody new."""
LIMITS = 7
_BIDS = (1 << 32) - 1


_week_of = kernel(week_of)


@inlined
def impressions_left(
    records: NDArray[np.void],
    start: int,
    end: int,
    key: int,
    limits: NDArray[np.int64],
    row: int,
    now_s: int,
) -> int:
    """Return how many more impressions of a campaign or line item its cap allows one user; 0 or less: none.

    records: pacing.caps.CAP_RECORD[k], of which [start, end) are the user's; key: the code; limits:
    int64[caps, LIMITS], of which `row` is the cap's; now_s: unix seconds. Writes nothing. A gap that is
    over leaves one impression.
    """
    minute = now_s // 60
    left = limits[row, LEFT_UNSEEN]
    for index in range(start, end):
        record = records[index]
        if record["key"] != key or record["kept_day"] == 0:
            continue
        hour = day = week = flight = 0
        last = int(record["last_seen_minutes"])
        today = int(record["count_day"])
        # A record written by a clock ahead of ours is of the present.
        if last // 60 >= minute // 60:
            hour = int(record["count_hour"])
        if last // 1_440 >= minute // 1_440:
            day = today
        if limits[row, PER_WEEK] > 0 or limits[row, PER_FLIGHT] > 0:
            # Written when only a shorter cap was there: what it saw on its last day is what is known.
            in_week = in_flight = today
            if index + 1 < end and records[index + 1]["key"] == key:
                long = records[index + 1]
                in_week = int(long["count_day"]) + 256 * int(long["count_hour"])
                in_flight = int(long["last_seen_minutes"])
            if _week_of(last // 1_440) >= _week_of(minute // 1_440):
                week = in_week
            if last >= limits[row, FLIGHT_START_MINUTES]:
                flight = in_flight
        if limits[row, PER_HOUR] > 0:
            left = min(left, limits[row, PER_HOUR] - hour)
        if limits[row, PER_DAY] > 0:
            left = min(left, limits[row, PER_DAY] - day)
        if limits[row, PER_WEEK] > 0:
            left = min(left, limits[row, PER_WEEK] - week)
        if limits[row, PER_FLIGHT] > 0:
            left = min(left, limits[row, PER_FLIGHT] - flight)
        # Minutes are whole ones: a difference of ten may be nine and a bit.
        if limits[row, GAP_MINUTES] > 0 and minute - last <= limits[row, GAP_MINUTES]:
            left = 0
        break
    return int(left)


@kernel
def pending_key(user_hash: np.uint64, code: int) -> np.uint64:
    """Return what a user's pending impressions of a code are found by: splitmix64 of both; never 0."""
    x = np.uint64(user_hash) ^ (np.uint64(code) * np.uint64(0x9E3779B97F4A7C15))
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))) | np.uint64(1)


@inlined
def pending_count(pending: Pending, key: np.uint64, now_s: int) -> int:
    """Return how many bids are live under a key. Writes nothing."""
    bucket = (key >> np.uint64(1)) & np.uint64(pending.slots.shape[0] - 1)
    count = 0
    for slot in range(PENDING_SLOTS):
        if pending.slots[bucket, 0, slot] == key:
            state = int(pending.slots[bucket, 1, slot])
            if state >> 32 >= now_s:
                count += state & _BIDS
    return count


@kernel
def counts_until(pending: Pending, hold_s: int, now_s: int) -> int:
    """Return the last second in which a bid made now counts under its keys; hold_s: its notice timeout."""
    # See `pacing.pending`: the others must have heard of its impression before its worker bids again.
    return now_s + hold_s if pending.place[1] <= 1 else now_s + 2 * hold_s


@inlined
def hold_pending(pending: Pending, key: np.uint64, until_s: int, now_s: int) -> None:
    """Count a bid under a key until a second has passed; writes `pending` in place.

    Bids of one key and one second share a slot. Where no slot is free, what ends first makes room and
    is counted as crowded out.
    """
    bucket = (key >> np.uint64(1)) & np.uint64(pending.slots.shape[0] - 1)
    first, first_state = 0, int(pending.slots[bucket, 1, 0])
    for slot in range(PENDING_SLOTS):
        state = int(pending.slots[bucket, 1, slot])
        if pending.slots[bucket, 0, slot] == key and state >> 32 == until_s:
            pending.slots[bucket, 1, slot] = np.uint64(state + 1)
            return
        if state >> 32 < first_state >> 32:
            first, first_state = slot, state
    if first_state >> 32 >= now_s:
        pending.crowded_out[0] += first_state & _BIDS
    pending.slots[bucket, 0, first] = key
    pending.slots[bucket, 1, first] = np.uint64(until_s << 32 | 1)


@kernel
def _turns(left: int, key: np.uint64, place: NDArray[np.int64]) -> int:
    workers = int(place[1])
    if left <= 0 or workers <= 1:
        return left
    turn = int((np.uint64(place[0]) + (key >> np.uint64(33))) % np.uint64(workers))
    return max(0, left - turn + workers) // workers


@inlined
def share_of(left: int, key: np.uint64, pending: Pending) -> int:
    """Return how many of the impressions that a cap leaves one worker may have live bids for.

    All workers' shares come to `left`, or to one more where there are several (`pacing.pending`).
    """
    share = _turns(left, key, pending.place)
    if pending.before[1] != 0:
        share = min(share, _turns(left, key, pending.before))
    return share
