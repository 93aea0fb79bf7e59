"""What was predicted and what came: by line item and local day, and nothing twice."""

import numpy as np
import pytest
import redis
import redis.asyncio

from config.calendar import local_day
from config.money import BILLION
from config.redis_keys import predicted
from pacing.shadow import Examples
from pacing.track_record import Owner, Tracked, TrackRecord, fetch_tracked

CHICAGO = "America/Chicago"
MIDNIGHT_MINUTE = 1_771_308_000 // 60
"""2026-02-17 00:00 in Chicago."""
TODAY = local_day(MIDNIGHT_MINUTE * 60, CHICAGO)
OWNERS = {6: Owner(5, CHICAGO), 7: Owner(5, CHICAGO), 8: Owner(9, "UTC")}


def examples(*happened: tuple[int, int, bool]) -> Examples:
    """Impressions, and events, of a line item's code in minutes since Chicago's midnight."""
    count = len(happened)
    return Examples(
        marks=np.zeros((count, 0), np.int64),
        labels=np.array([came for _, _, came in happened]),
        cells=["plain/c"],
        cell=np.zeros(count, np.int64),
        campaigns=["c"],
        line_item_codes=np.array([code for code, _, _ in happened], np.int64),
        minutes=np.array([MIDNIGHT_MINUTE + minute for _, minute, _ in happened], np.int64),
        priors=np.zeros(count, np.int64),
        stated=np.zeros(count, np.bool_),
    )


async def test_sums_are_by_line_item_and_local_day(redis_client: redis.asyncio.Redis) -> None:
    record = TrackRecord()
    page = examples(
        (6, -1, False), (6, 0, False), (7, 5, False), (6, 9, True), (8, 9, False), (6, 900, False)
    )
    record.count("click", page, np.array([0.5, 0.25, 0.1, 0.9, 1e-9, 0.25]), OWNERS)
    await record.send(redis_client)
    assert await fetch_tracked(redis_client, 5, [TODAY]) == {
        (6, "click"): Tracked(2, BILLION // 2, 1),
        (7, "click"): Tracked(1, BILLION // 10, 0),
    }
    assert await fetch_tracked(redis_client, 5, [TODAY - 1]) == {(6, "click"): Tracked(1, BILLION // 2, 0)}
    assert await fetch_tracked(redis_client, 9, [TODAY]) == {(8, "click"): Tracked(1, 1, 0)}
    assert (await fetch_tracked(redis_client, 5, [TODAY - 1, TODAY]))[6, "click"] == Tracked(3, BILLION, 1)
    assert await redis_client.ttl(predicted(5, TODAY)) > 0


async def test_what_redis_refused_is_sent_with_the_next_and_what_it_took_is_not(
    redis_client: redis.asyncio.Redis,
) -> None:
    record = TrackRecord()
    record.count("conversion", examples((6, 0, False)), np.array([0.5]), OWNERS)
    await redis_client.set(predicted(5, TODAY), "not a hash")
    with pytest.raises(redis.RedisError):
        await record.send(redis_client)
    await redis_client.delete(predicted(5, TODAY))
    for _ in range(2):
        await record.send(redis_client)
    tracked = await fetch_tracked(redis_client, 5, [TODAY])
    assert tracked == {(6, "conversion"): Tracked(1, BILLION // 2, 0)}


def test_ratios_of_nothing_are_none() -> None:
    assert (Tracked().calibration, Tracked().predicted_rate, Tracked().observed_rate) == (None, None, None)
    tracked = Tracked(100, 5 * BILLION, 4)
    assert (tracked.calibration, tracked.predicted_rate, tracked.observed_rate) == (1.25, 0.05, 0.04)
