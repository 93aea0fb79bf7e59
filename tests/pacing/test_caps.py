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
from config.limits import CAP_RECORDS_PER_USER_MAX
from pacing.caps import CAP_RECORD, CAP_TTL_SECONDS, add_records, record_impression, unpack_caps
from pacing.kernels import capped

USER = 0xFEED_0000_0000_00AA
KEY = redis_keys.caps(USER.to_bytes(8, "big"))
OTHER = 0xBEEF_0000_0000_00BB
OTHER_KEY = redis_keys.caps(OTHER.to_bytes(8, "big"))
DAY_S = 86_400
MIDNIGHT_S = 20_000 * DAY_S

Capped = Callable[..., bool]
KERNELS = pytest.mark.parametrize("is_capped", [capped, capped.py_func], ids=["compiled", "plain"])


async def stored(client: redis.asyncio.Redis) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int64]]:
    return unpack_caps([cast(bytes | None, await client.get(KEY))])


def naive_capped(seen: list[tuple[int, int]], key: int, day_max: int, hour_max: int, now_s: int) -> bool:
    """`seen` is every (code, second) of one person, ever."""
    today = sum(code == key and at_s // DAY_S == now_s // DAY_S for code, at_s in seen)
    this_hour = sum(code == key and at_s // 3_600 == now_s // 3_600 for code, at_s in seen)
    return bool((day_max and today >= day_max) or (hour_max and this_hour >= hour_max))


@KERNELS
async def test_caps_agree_with_remembering_every_impression(
    redis_client: redis.asyncio.Redis, is_capped: Capped
) -> None:
    chance = random.Random(4)
    codes = [1, 2, 0xFFFF_FFFF, 77]
    for _ in range(12):
        await redis_client.delete(KEY)
        seen: list[tuple[int, int]] = []
        now_s = MIDNIGHT_S + chance.randrange(3 * DAY_S)
        for _ in range(25):
            now_s += chance.choice([0, 1, 59, 60, 600, 3_599, 3_600, 20_000, DAY_S, 3 * DAY_S])
            shown = chance.sample(codes, chance.randint(1, 3))
            await record_impression(redis_client, USER, shown, now_s)
            seen += [(code, now_s) for code in shown]
            later_s = now_s + chance.choice([0, 30, 3_600, DAY_S])
            records, offsets = await stored(redis_client)
            for code in codes:
                for day_max, hour_max in [(0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (5, 2), (3, 3)]:
                    got = is_capped(records, offsets[0], offsets[1], code, day_max, hour_max, later_s)
                    assert got == naive_capped(seen, code, day_max, hour_max, later_s)


async def test_records_are_the_documented_bytes_and_expire(redis_client: redis.asyncio.Redis) -> None:
    now_s = MIDNIGHT_S + 3_600
    await record_impression(redis_client, USER, [0x04030201, 9], now_s)
    await record_impression(redis_client, USER, [0x04030201, 0x04030201], now_s + 60)
    minute = now_s // 60
    first = b"\x01\x02\x03\x04" + (20_000).to_bytes(2, "little") + b"\x02\x02"
    assert await redis_client.get(KEY) == (
        first
        + (minute + 1).to_bytes(4, "little")
        + b"\x09\0\0\0"
        + (20_000).to_bytes(2, "little")
        + b"\x01\x01"
        + minute.to_bytes(4, "little")
    )
    assert CAP_TTL_SECONDS - 60 < await redis_client.ttl(KEY) <= CAP_TTL_SECONDS


async def test_counts_stop_at_255(redis_client: redis.asyncio.Redis) -> None:
    full = np.array([(5, 20_000, 254, 254, MIDNIGHT_S // 60)], CAP_RECORD)
    await redis_client.set(KEY, full.tobytes())
    for _ in range(3):
        await record_impression(redis_client, USER, [5], MIDNIGHT_S)
    records, _ = await stored(redis_client)
    assert records.tolist() == [(5, 20_000, 255, 255, MIDNIGHT_S // 60)]
    assert capped(records, 0, 1, 5, 255, 0, MIDNIGHT_S)


async def test_past_days_go_first_and_then_what_was_not_seen_for_longest(
    redis_client: redis.asyncio.Redis,
) -> None:
    await record_impression(redis_client, USER, [1, 2, 3], MIDNIGHT_S)
    for index in range(CAP_RECORDS_PER_USER_MAX):
        await record_impression(redis_client, USER, [100 + index], MIDNIGHT_S + DAY_S + 60 * index)
    records, _ = await stored(redis_client)
    assert sorted(records["key"].tolist()) == [100 + index for index in range(CAP_RECORDS_PER_USER_MAX)]
    late_s = MIDNIGHT_S + DAY_S + 60 * CAP_RECORDS_PER_USER_MAX
    await record_impression(redis_client, USER, [100], late_s)
    await record_impression(redis_client, USER, [7, 8], late_s)
    records, _ = await stored(redis_client)
    kept = set(records["key"].tolist())
    assert len(records) == len(kept) == CAP_RECORDS_PER_USER_MAX
    assert {100, 7, 8} <= kept
    assert not kept & {101, 102}


async def test_a_clock_behind_counts_into_the_record_of_the_one_ahead(
    redis_client: redis.asyncio.Redis,
) -> None:
    await record_impression(redis_client, USER, [5], MIDNIGHT_S)
    await record_impression(redis_client, USER, [5], MIDNIGHT_S - 5)
    records, _ = await stored(redis_client)
    assert records.tolist() == [(5, 20_000, 2, 2, MIDNIGHT_S // 60)]
    assert capped(records, 0, 1, 5, 2, 0, MIDNIGHT_S - 1)
    assert capped(records, 0, 1, 5, 0, 2, MIDNIGHT_S - 1)


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
    st.integers(0, 5),
    st.integers(0, 5),
)
def test_a_user_is_judged_by_its_own_records_only(
    is_capped: Capped, rows: list[tuple[int, int, int, int]], start: int, day_max: int, hour_max: int
) -> None:
    unique = list({row[0]: row for row in rows}.values())
    minutes = [(20_000 + day) * 1_440 for _, day, _, _ in unique]
    records = np.array(
        [
            (key, 20_000 + day, in_day, in_hour, minute)
            for (key, day, in_day, in_hour), minute in zip(unique, minutes, strict=True)
        ],
        CAP_RECORD,
    )
    start = min(start, len(unique))
    now_s = (20_000 + 1) * DAY_S
    for code in (1, 2, 3):
        expected = any(
            key == code and day >= 1 and (0 < day_max <= in_day or 0 < hour_max <= in_hour)
            for key, day, in_day, in_hour in unique[start:]
        )
        records.flags.writeable = False
        assert is_capped(records, start, len(records), code, day_max, hour_max, now_s) == expected


async def test_two_ids_that_are_one_person_have_seen_what_both_have(
    redis_client: redis.asyncio.Redis,
) -> None:
    chance = random.Random(9)
    for _ in range(40):
        await redis_client.delete(KEY, OTHER_KEY)
        seen: list[tuple[int, int]] = []
        now_s = MIDNIGHT_S + chance.randrange(DAY_S)
        for _ in range(12):
            now_s += chance.choice([0, 60, 600, 3_600, 7_200, DAY_S])
            code = chance.choice([1, 2, 3])
            await record_impression(redis_client, chance.choice([USER, OTHER]), [code], now_s)
            seen.append((code, now_s))
        await add_records(redis_client, USER, cast(bytes, await redis_client.get(OTHER_KEY) or b""), now_s)
        records, offsets = await stored(redis_client)
        for code in (1, 2, 3):
            for day_max, hour_max in [(1, 0), (0, 1), (2, 0), (0, 2), (3, 0), (4, 2)]:
                got = capped(records, offsets[0], offsets[1], code, day_max, hour_max, now_s)
                assert got == naive_capped(seen, code, day_max, hour_max, now_s)


async def test_nothing_is_made_of_the_records_of_a_past_day(redis_client: redis.asyncio.Redis) -> None:
    await record_impression(redis_client, OTHER, [5], MIDNIGHT_S)
    yesterday = cast(bytes, await redis_client.get(OTHER_KEY))
    await add_records(redis_client, USER, yesterday, MIDNIGHT_S + DAY_S)
    assert await redis_client.exists(KEY) == 0
