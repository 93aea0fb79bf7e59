"""Frequency caps against a twin that remembers every impression."""

import asyncio
import random
from collections.abc import Callable
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
import redis.asyncio
from hypothesis import example, given
from hypothesis import strategies as st

from config import redis_keys
from config.calendar import OPEN_END_S
from config.limits import CAP_FLIGHT_DAYS_MAX, CAP_FLIGHT_SPARE_DAYS, CAP_ROWS_PER_USER_MAX
from config.schema import FrequencyCap
from pacing.caps import (
    CAP_RECORD,
    CapLife,
    Seen,
    add_records,
    life_of,
    limits_of,
    record_impression,
    seen_of,
    unpack_caps,
)
from pacing.kernels import impressions_left

USER = 0xFEED_0000_0000_00AA
KEY = redis_keys.caps(USER.to_bytes(8, "big"))
OTHER = 0xBEEF_0000_0000_00BB
OTHER_KEY = redis_keys.caps(OTHER.to_bytes(8, "big"))
DAY_S = 86_400
MIDNIGHT_S = 20_000 * DAY_S
"""A Friday."""
START_S = MIDNIGHT_S + DAY_S
CODES = [1, 2, 0xFFFF_FFFF, 77]
CAPS = [
    FrequencyCap(per_day=1),
    FrequencyCap(per_hour=1),
    FrequencyCap(per_day=5, per_hour=2),
    FrequencyCap(per_week=3),
    FrequencyCap(per_flight=4),
    FrequencyCap(gap_minutes=10),
    FrequencyCap(gap_minutes=1_500, per_day=3),
    FrequencyCap(per_hour=2, per_day=3, per_week=6, per_flight=9, gap_minutes=1),
]
LIFE = CapLife(week=True, flight=True, gap_minutes=1_500, start_s=START_S)
LIVES = dict.fromkeys(CODES, LIFE)

Left = Callable[..., int]
KERNELS = pytest.mark.parametrize(
    "left", [impressions_left, impressions_left.py_func], ids=["compiled", "plain"]
)


async def stored(
    client: redis.asyncio.Redis, key: bytes = KEY
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int64]]:
    return unpack_caps([cast(bytes | None, await client.get(key))])


def limits(cap: FrequencyCap, start_s: int = START_S) -> npt.NDArray[np.int64]:
    return np.array([limits_of(cap, start_s)], np.int64)


def naive_left(seen: list[tuple[int, int]], code: int, cap: FrequencyCap, now_s: int) -> int:
    """`seen` is every (code, second) of one person, ever."""
    times = [at_s for other, at_s in seen if other == code]

    def since(start_s: int) -> int:
        return sum(at_s >= start_s for at_s in times)

    hour_s, day_s = now_s // 3_600 * 3_600, now_s // DAY_S * DAY_S
    monday_s = day_s - (now_s // DAY_S + 3) % 7 * DAY_S
    left = [
        most - since(start_s)
        for most, start_s in (
            (cap.per_hour, hour_s),
            (cap.per_day, day_s),
            (cap.per_week, monday_s),
            (cap.per_flight, START_S),
        )
        if most is not None
    ]
    if cap.gap_minutes is not None:
        left.append(int(not times or now_s // 60 - times[-1] // 60 > cap.gap_minutes))
    return min(left)


@KERNELS
async def test_caps_agree_with_remembering_every_impression(
    redis_client: redis.asyncio.Redis, left: Left
) -> None:
    chance = random.Random(4)
    for _ in range(12):
        await redis_client.delete(KEY)
        seen: list[tuple[int, int]] = []
        now_s = MIDNIGHT_S + chance.randrange(3 * DAY_S)
        for _ in range(25):
            now_s += chance.choice([0, 1, 59, 60, 600, 3_599, 3_600, 20_000, DAY_S, 3 * DAY_S, 9 * DAY_S])
            shown = chance.sample(CODES, chance.randint(1, 3))
            await record_impression(redis_client, USER, shown, now_s, LIVES)
            seen += [(code, now_s) for code in shown]
            later_s = now_s + chance.choice([0, 30, 660, 3_600, DAY_S, 5 * DAY_S])
            records, offsets = await stored(redis_client)
            for code in CODES:
                for cap in CAPS:
                    got = left(records, offsets[0], offsets[1], code, limits(cap), 0, later_s)
                    want = naive_left(seen, code, cap, later_s)
                    assert (got > 0, got if want > 0 else 0) == (want > 0, max(want, 0))


@KERNELS
async def test_a_record_lives_as_long_as_its_cap_asks_for_it(
    redis_client: redis.asyncio.Redis, left: Left
) -> None:
    """Each cap alone, with the life that follows from it: what left Redis would have counted no more."""
    chance = random.Random(6)
    for cap in CAPS:
        lives = {5: life_of(cap, START_S, START_S + 60 * DAY_S)}
        await redis_client.delete(KEY)
        seen: list[tuple[int, int]] = []
        now_s = START_S
        while now_s < START_S + 60 * DAY_S:
            # Another's impression throws out what is kept no longer.
            await record_impression(redis_client, USER, [6], now_s)
            records, offsets = await stored(redis_client)
            got = left(records, offsets[0], offsets[1], 5, limits(cap), 0, now_s)
            assert max(got, 0) == max(naive_left(seen, 5, cap, now_s), 0)
            if chance.random() < 0.5:
                await record_impression(redis_client, USER, [5], now_s, lives)
                seen.append((5, now_s))
            now_s += chance.choice([60, 900, 40_000, DAY_S, 2 * DAY_S])


def test_how_long_a_record_is_kept() -> None:
    today = 20_000

    def kept(cap: FrequencyCap, end_s: int = OPEN_END_S, now_s: int = MIDNIGHT_S) -> int:
        return life_of(cap, 0, end_s).kept_day(now_s) - today

    assert kept(FrequencyCap(per_day=1, per_hour=1)) == 0
    # From Friday and from Sunday to Sunday; from Monday to the next one.
    assert kept(FrequencyCap(per_week=1)) == 2
    assert kept(FrequencyCap(per_week=1), now_s=MIDNIGHT_S + 2 * DAY_S) == 2
    assert kept(FrequencyCap(per_week=1), now_s=MIDNIGHT_S + 3 * DAY_S) == 9
    assert kept(FrequencyCap(gap_minutes=1_438)) == 0
    assert kept(FrequencyCap(gap_minutes=1_440)) == 1
    assert kept(FrequencyCap(per_flight=1)) == CAP_FLIGHT_DAYS_MAX
    assert kept(FrequencyCap(per_flight=1), MIDNIGHT_S + 9 * DAY_S) == 9 + CAP_FLIGHT_SPARE_DAYS


async def test_records_are_the_documented_bytes_and_expire(redis_client: redis.asyncio.Redis) -> None:
    now_s = MIDNIGHT_S + 3_600
    await record_impression(redis_client, USER, [0x04030201, 9], now_s)
    await record_impression(redis_client, USER, [0x04030201, 0x04030201], now_s + 60)
    minute = now_s // 60
    first = b"\x01\x02\x03\x04" + (20_000).to_bytes(2, "little") + b"\x02\x02"
    daily = first + (minute + 1).to_bytes(4, "little")
    daily += b"\x09\0\0\0" + (20_000).to_bytes(2, "little") + b"\x01\x01" + minute.to_bytes(4, "little")
    assert await redis_client.get(KEY) == daily
    assert 2 * DAY_S - 60 < await redis_client.ttl(KEY) <= 2 * DAY_S
    end_s = MIDNIGHT_S + 10 * DAY_S
    lives = {9: life_of(FrequencyCap(per_flight=3), 0, end_s)}
    await record_impression(redis_client, USER, [9], now_s + 60, lives)
    last_day = 10 + CAP_FLIGHT_SPARE_DAYS
    assert await redis_client.get(KEY) == (
        daily[:12]
        + (b"\x09\0\0\0" + (20_000 + last_day).to_bytes(2, "little") + b"\x02\x02")
        + (minute + 1).to_bytes(4, "little")
        + (b"\x09\0\0\0" + b"\0\0" + b"\x02\0" + b"\x02\0\0\0")
    )
    seconds = (last_day + 2) * DAY_S
    assert seconds - 60 < await redis_client.ttl(KEY) <= seconds


async def test_a_flight_is_not_the_one_before_it(redis_client: redis.asyncio.Redis) -> None:
    cap = FrequencyCap(per_flight=2)
    before = {5: life_of(cap, 0, MIDNIGHT_S)}
    for _ in range(2):
        await record_impression(redis_client, USER, [5], MIDNIGHT_S - 60, before)
    records, _ = await stored(redis_client)
    assert impressions_left(records, 0, 2, 5, limits(cap, 0), 0, MIDNIGHT_S) == 0
    # The flight is moved: it begins anew.
    assert impressions_left(records, 0, 2, 5, limits(cap, MIDNIGHT_S), 0, MIDNIGHT_S) == 2
    await record_impression(redis_client, USER, [5], MIDNIGHT_S, {5: life_of(cap, MIDNIGHT_S, OPEN_END_S)})
    records, _ = await stored(redis_client)
    assert impressions_left(records, 0, 2, 5, limits(cap, MIDNIGHT_S), 0, MIDNIGHT_S) == 1


async def test_a_longer_cap_begins_with_what_a_shorter_one_counted_that_day(
    redis_client: redis.asyncio.Redis,
) -> None:
    for _ in range(2):
        await record_impression(redis_client, USER, [5], MIDNIGHT_S)
    weekly = limits(FrequencyCap(per_week=4))
    records, _ = await stored(redis_client)
    assert (len(records), impressions_left(records, 0, 1, 5, weekly, 0, MIDNIGHT_S)) == (1, 2)
    await record_impression(redis_client, USER, [5], MIDNIGHT_S, {5: CapLife(week=True)})
    records, _ = await stored(redis_client)
    assert (len(records), impressions_left(records, 0, 2, 5, weekly, 0, MIDNIGHT_S)) == (2, 1)
    assert seen_of(records.tobytes(), MIDNIGHT_S) == {5: Seen(3, 3, 3, 3, MIDNIGHT_S // 60)}


async def test_counts_stop_at_255(redis_client: redis.asyncio.Redis) -> None:
    full = np.array([(5, 20_000, 254, 254, MIDNIGHT_S // 60)], CAP_RECORD)
    await redis_client.set(KEY, full.tobytes())
    for _ in range(3):
        await record_impression(redis_client, USER, [5], MIDNIGHT_S)
    records, _ = await stored(redis_client)
    assert records.tolist() == [(5, 20_000, 255, 255, MIDNIGHT_S // 60)]
    assert impressions_left(records, 0, 1, 5, limits(FrequencyCap(per_day=255)), 0, MIDNIGHT_S) == 0


async def test_what_lapses_soonest_makes_room_and_is_reported(redis_client: redis.asyncio.Redis) -> None:
    lives = {code: CapLife(week=True) for code in (1, 2)}
    assert await record_impression(redis_client, USER, [1, 2], MIDNIGHT_S, lives) == 0
    assert await record_impression(redis_client, USER, [3], MIDNIGHT_S - DAY_S) == 0
    room = CAP_ROWS_PER_USER_MAX - 4
    dropped = 0
    for index in range(room + 5):
        dropped += await record_impression(redis_client, USER, [100 + index], MIDNIGHT_S + 60 * index)
    records, _ = await stored(redis_client)
    assert len(records) == CAP_ROWS_PER_USER_MAX
    # The one of yesterday was no live one; of the others those seen first went.
    assert dropped == 5
    assert sorted({*records["key"].tolist()}) == [1, 2, *(100 + 5 + index for index in range(room))]
    # What is shown now stays, though it lapses soonest.
    late_s = MIDNIGHT_S + 3 * 3_600
    assert await record_impression(redis_client, USER, [7, 8], late_s) == 2
    records, _ = await stored(redis_client)
    assert {1, 2, 7, 8} <= set(records["key"].tolist())


async def test_a_clock_behind_counts_into_the_record_of_the_one_ahead(
    redis_client: redis.asyncio.Redis,
) -> None:
    await record_impression(redis_client, USER, [5], MIDNIGHT_S)
    await record_impression(redis_client, USER, [5], MIDNIGHT_S - 5)
    records, _ = await stored(redis_client)
    assert records.tolist() == [(5, 20_000, 2, 2, MIDNIGHT_S // 60)]
    for cap in (FrequencyCap(per_day=2), FrequencyCap(per_hour=2), FrequencyCap(gap_minutes=1)):
        assert impressions_left(records, 0, 1, 5, limits(cap), 0, MIDNIGHT_S - 1) == 0


async def test_a_malformed_string_counts_for_nothing_and_is_overwritten(
    redis_client: redis.asyncio.Redis,
) -> None:
    await redis_client.set(KEY, b"thirteen byte")
    records, offsets = await stored(redis_client)
    assert (len(records), offsets.tolist()) == (0, [0, 0])
    await record_impression(redis_client, USER, [5], MIDNIGHT_S)
    records, _ = await stored(redis_client)
    assert records["key"].tolist() == [5]


async def test_impressions_at_the_same_time_are_all_counted(redis_client: redis.asyncio.Redis) -> None:
    await asyncio.gather(*(record_impression(redis_client, USER, [5, 6], MIDNIGHT_S) for _ in range(50)))
    records, _ = await stored(redis_client)
    assert records[["count_day", "count_hour"]].tolist() == [(50, 50), (50, 50)]


@given(st.lists(st.none() | st.binary(max_size=40) | st.integers(0, 4).map(lambda count: b"x" * 12 * count)))
@example([])
@example([None])
def test_a_batch_unpacks_to_each_users_own_records(values: list[bytes | None]) -> None:
    records, offsets = unpack_caps(values)
    assert not records.flags.writeable
    assert offsets.dtype == np.int64
    for user, value in enumerate(values):
        whole = value if value and len(value) % 12 == 0 else b""
        assert records[offsets[user] : offsets[user + 1]].tobytes() == whole
    assert offsets[-1] == len(records)


@KERNELS
@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(0, 5), st.integers(0, 5)), max_size=4
    ),
    st.integers(0, 2),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_a_user_is_judged_by_its_own_records_only(
    left: Left, rows: list[tuple[int, int, int, int]], start: int, day_max: int, hour_max: int
) -> None:
    unique = list({row[0]: row for row in rows}.values())
    records = np.array(
        [
            (key, 20_000 + day, in_day, in_hour, (20_000 + day) * 1_440)
            for key, day, in_day, in_hour in unique
        ],
        CAP_RECORD,
    )
    start = min(start, len(unique))
    now_s = (20_000 + 1) * DAY_S
    cap = limits(FrequencyCap(per_day=day_max, per_hour=hour_max))
    for code in (1, 2, 3):
        expected = any(
            key == code and day >= 1 and (day_max <= in_day or hour_max <= in_hour)
            for key, day, in_day, in_hour in unique[start:]
        )
        records.flags.writeable = False
        assert (left(records, start, len(records), code, cap, 0, now_s) <= 0) == expected


async def test_two_ids_that_are_one_person_have_seen_what_both_have(
    redis_client: redis.asyncio.Redis,
) -> None:
    chance = random.Random(9)
    for _ in range(40):
        await redis_client.delete(KEY, OTHER_KEY)
        seen: list[tuple[int, int]] = []
        now_s = START_S + chance.randrange(DAY_S)
        for _ in range(12):
            now_s += chance.choice([0, 60, 600, 3_600, 7_200, DAY_S, 4 * DAY_S])
            code = chance.choice([1, 2, 77])
            user = chance.choice([USER, OTHER])
            await record_impression(redis_client, user, [code], now_s, LIVES)
            seen.append((code, now_s))
        await add_records(redis_client, USER, cast(bytes, await redis_client.get(OTHER_KEY) or b""), now_s)
        records, offsets = await stored(redis_client)
        for code in (1, 2, 77):
            for cap in CAPS:
                got = impressions_left(records, offsets[0], offsets[1], code, limits(cap), 0, now_s)
                assert max(got, 0) == max(naive_left(seen, code, cap, now_s), 0)


async def test_nothing_is_made_of_the_records_of_a_past_day(redis_client: redis.asyncio.Redis) -> None:
    await record_impression(redis_client, OTHER, [5], MIDNIGHT_S)
    yesterday = cast(bytes, await redis_client.get(OTHER_KEY))
    await add_records(redis_client, USER, yesterday, MIDNIGHT_S + DAY_S)
    assert await redis_client.exists(KEY) == 0
