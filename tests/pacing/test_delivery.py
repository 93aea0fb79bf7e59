"""The sums of what campaigns delivered: against plain Python, and who is in the sample of frequencies."""

from collections import Counter

import pytest
import redis.asyncio

from config import redis_keys
from config.limits import DELIVERED_HOURS_SECONDS, DELIVERED_SECONDS
from pacing import delivery
from pacing.delivery import (
    WHATS,
    Day,
    Happening,
    Hour,
    append_and_count,
    count_call,
    delivered_days,
    delivered_hours,
    forget_frequencies,
    rank_of,
    reach_of,
    sampled_frequencies,
)
from pacing.scripts import run_all

CODE, ITEM, OTHER = 0xC0FFEE, 0xA1, 0xB2
DAY, HOUR = 20_400, 20_400 * 86_400 + 5 * 3_600


def impression(user_hash: int, item: int = ITEM, times: int = 1) -> Happening:
    return Happening(CODE, item, DAY, HOUR, "impressions", user_hash, times)


async def test_an_event_is_in_its_stream_and_in_the_sums_of_its_day_and_hour(
    redis_client: redis.asyncio.Redis,
) -> None:
    # The first call finds a server that does not know the script.
    await redis_client.script_flush()
    for happening in (
        Happening(CODE, ITEM, DAY, HOUR, "wins"),
        impression(7),
        impression(0, OTHER),
        Happening(CODE, ITEM, DAY, HOUR + 3_600, "clicks"),
        Happening(CODE, ITEM, DAY + 1, HOUR + 86_400, "wins"),
    ):
        await append_and_count(redis_client, redis_keys.STREAM_WINS, {"bid": "1-2-3"}, happening)
    assert await redis_client.xlen(redis_keys.STREAM_WINS) == 5
    days = await delivered_days(redis_client, CODE, range(DAY - 2, DAY + 3))
    assert days == [
        Day(
            DAY,
            {"wins": 1, "impressions": 2, "recognised": 1, "clicks": 1},
            {ITEM: {"wins": 1, "impressions": 1, "recognised": 1, "clicks": 1}, OTHER: {"impressions": 1}},
            {},
        ),
        Day(DAY + 1, {"wins": 1}, {ITEM: {"wins": 1}}, {}),
    ]
    assert await delivered_hours(redis_client, CODE, [DAY]) == [
        Hour(HOUR, {"wins": 1, "impressions": 2, "recognised": 1}),
        Hour(HOUR + 3_600, {"clicks": 1}),
    ]
    for key, kept_s in (
        (redis_keys.delivered(CODE, DAY), DELIVERED_SECONDS),
        (redis_keys.delivered_hours(CODE, DAY), DELIVERED_HOURS_SECONDS),
        (redis_keys.reach(CODE), DELIVERED_SECONDS),
        (redis_keys.frequencies(CODE), DELIVERED_SECONDS),
    ):
        assert kept_s - 60 < await redis_client.ttl(key) <= kept_s


async def test_reach_counts_each_person_once(redis_client: redis.asyncio.Redis) -> None:
    calls = [count_call(impression(person * 0x9E3779B97F4A7C15 % 2**64)) for person in range(1, 1_001)]
    await run_all(redis_client, calls + calls[:300] + [count_call(impression(5, OTHER))])
    # The standard error is 0.81 %: six of them.
    assert await reach_of(redis_client, CODE) == pytest.approx(1_001, rel=0.05)
    assert await reach_of(redis_client, CODE, ITEM) == pytest.approx(1_000, rel=0.05)
    assert await reach_of(redis_client, CODE, OTHER) == 1
    assert await reach_of(redis_client, 1) == 0


@pytest.mark.parametrize("most", [1, 2, 5, 40])
@pytest.mark.parametrize("seed", range(4))
async def test_the_sample_is_the_people_of_the_smallest_ranks_with_all_they_saw(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch, most: int, seed: int
) -> None:
    monkeypatch.setattr(delivery, "FREQUENCY_SAMPLE_PEOPLE", most)
    people = [(person * person * 0x51ED + seed) % 31 + 1 for person in range(150)]
    seen: Counter[int] = Counter()
    for start in range(0, len(people), 30):
        part = people[start : start + 30]
        seen.update(part)
        await run_all(redis_client, [count_call(impression(person)) for person in part])
        smallest = sorted(seen, key=lambda person: rank_of(person, CODE))[:most]
        assert await sampled_frequencies(redis_client, CODE) == sorted(seen[person] for person in smallest)


async def test_whoever_is_forgotten_leaves_every_sample(redis_client: redis.asyncio.Redis) -> None:
    await run_all(redis_client, [count_call(impression(person)) for person in (1, 2, 2)])
    assert await forget_frequencies(redis_client, [CODE, 1], [2, 9])
    assert await sampled_frequencies(redis_client, CODE) == [1]
    assert not await forget_frequencies(redis_client, [CODE, 1], [2, 9])


def test_ranks_are_spread_and_differ_between_campaigns() -> None:
    ranks = [rank_of(person, CODE) for person in range(2_000)]
    assert len(set(ranks)) == 2_000
    assert sum(rank < 2**47 for rank in ranks) == pytest.approx(1_000, abs=150)
    assert max(ranks) < 2**48
    assert rank_of(5, CODE) != rank_of(5, CODE + 1)


def test_no_kind_could_be_taken_for_a_reason() -> None:
    assert not any(" " in what for what in WHATS)
