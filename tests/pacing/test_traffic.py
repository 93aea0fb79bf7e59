"""What is learned of the hours of a week, and what is guessed of those nobody has seen."""

import numpy as np
import pytest
import redis.asyncio

from config.redis_keys import traffic_counts
from pacing.traffic import (
    ALL,
    BATCHES_TO_BELIEVE,
    CLOSED_AFTER_S,
    HOUR_MIN,
    SAMPLED,
    WEEKS_MAX,
    Learned,
    Traffic,
    add_counts,
    expected,
    usual_week,
)

CODE = 7
HOUR_S = 3_600
MONDAY_HOUR = (4 + 7 * 2_900) * 24
"""A Monday, 00:00 UTC, in hours since 1970."""
PLENTY = 1_000 * BATCHES_TO_BELIEVE * SAMPLED


def true_week(seed: int = 1) -> np.ndarray:
    """A week unlike the usual one: quiet by day, weekends half."""
    hours = PLENTY * (1.5 + np.cos(2 * np.pi * (np.arange(168) % 24) / 24))
    hours[120:] /= 2
    return hours * np.random.default_rng(seed).lognormal(0, 0.05, 168)


def error(found: np.ndarray, truth: np.ndarray) -> float:
    """How far a shape is from another: the money of a week that would be planned in the wrong hour."""
    return float(np.abs(found / found.sum() - truth / truth.sum()).sum() / 2)


def test_a_usual_week_is_quiet_at_four_in_the_morning_local_time() -> None:
    chicago = usual_week(-6 * HOUR_S)
    assert chicago.argmin() % 24 == 10
    assert chicago.max() / chicago.min() == pytest.approx(4)


def test_without_counts_the_guess_stands() -> None:
    guess = usual_week(0)
    assert expected(Learned(), guess) is guess


def test_a_day_tells_most_of_the_week_and_four_weeks_all_of_it() -> None:
    truth, learned, guess = true_week(), Learned(), usual_week(0)
    errors = [error(guess, truth)]
    for hours in (range(24), range(24, 168)):
        for hour in hours:
            learned.learn(hour, truth[hour])
        errors.append(error(expected(learned, guess), truth))
    assert errors[0] > 0.2
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[1] / 2
    for _ in range(WEEKS_MAX):
        for hour in range(168):
            learned.learn(hour, truth[hour])
    assert error(expected(learned, guess), truth) < 0.02


def test_a_few_requests_change_the_guess_a_little() -> None:
    learned, guess = Learned(), usual_week(0)
    for hour in range(24):
        learned.learn(hour, SAMPLED * (hour == 4))
    assert error(expected(learned, guess), guess) < 0.1


def test_old_weeks_fade() -> None:
    learned = Learned()
    for _ in range(10):
        learned.learn(0, 100.0)
    learned.learn(0, 200.0)
    assert learned.mean[0] == pytest.approx(100 + 100 / WEEKS_MAX)


def test_an_hour_without_traffic_keeps_a_little_of_the_plan() -> None:
    learned = Learned()
    for hour in range(168):
        learned.learn(hour, 0.0 if hour == 3 else PLENTY)
    found = expected(learned, usual_week(0))
    assert HOUR_MIN * found.mean() * 0.99 <= found[3] < found[4] / 2


async def watch(traffic: Traffic, hour: int, counts: dict[int, int], minutes: int = 60) -> None:
    """Look every 30 s of so many minutes of an hour in which this was counted."""
    for second in range(0, minutes * 60 + 1, 30):
        await traffic.look([CODE], True, hour * HOUR_S + second)
    await add_counts(traffic._client, counts, hour)


async def test_ended_hours_are_learned_and_outlive_the_controller(redis_client: redis.asyncio.Redis) -> None:
    traffic = Traffic(redis_client)
    await traffic.load()
    assert not await traffic.look([CODE], True, MONDAY_HOUR * HOUR_S - 30)
    for hour in range(24):
        busy = hour == 9
        await watch(traffic, MONDAY_HOUR + hour, {CODE: PLENTY * (5 if busy else 1), ALL: 10 * PLENTY})
    assert await traffic.look([CODE], True, (MONDAY_HOUR + 24) * HOUR_S + CLOSED_AFTER_S)
    hours = traffic.hours(CODE, 0)
    assert hours[9] / hours[8] == pytest.approx(5, rel=0.4)
    assert hours[24 + 9] > 2 * hours[24 + 8], "a Tuesday is guessed from the Monday"
    heir = Traffic(redis_client)
    await heir.load()
    np.testing.assert_allclose(heir.hours(CODE, 0), hours, rtol=1e-4)
    assert not await heir.look([CODE], True, (MONDAY_HOUR + 24) * HOUR_S + CLOSED_AFTER_S + 30)
    # Who is not in the config any more is forgotten with the next hour of its name.
    unknown = heir.hours(CODE + 1, 0)
    assert unknown[9] == pytest.approx(unknown[8], rel=0.2)


async def test_an_hour_seen_in_part_counts_for_the_whole_and_one_hardly_seen_not_at_all(
    redis_client: redis.asyncio.Redis,
) -> None:
    traffic = Traffic(redis_client)
    await traffic.load()
    await traffic.look([CODE], True, MONDAY_HOUR * HOUR_S - 30)
    await watch(traffic, MONDAY_HOUR, {CODE: PLENTY, ALL: PLENTY})
    await watch(traffic, MONDAY_HOUR + 1, {CODE: PLENTY // 2, ALL: PLENTY}, minutes=30)
    await watch(traffic, MONDAY_HOUR + 2, {CODE: PLENTY // 9, ALL: PLENTY}, minutes=7)
    await traffic.look([CODE], True, (MONDAY_HOUR + 3) * HOUR_S + CLOSED_AFTER_S)
    learned = traffic._learned[CODE]
    assert learned.weeks[:4].tolist() == [1, 1, 0, 0]
    assert learned.mean[1] == pytest.approx(learned.mean[0], rel=0.03)


async def test_a_campaign_that_is_new_learns_from_its_first_whole_hour(
    redis_client: redis.asyncio.Redis,
) -> None:
    traffic = Traffic(redis_client)
    await traffic.load()
    await traffic.look([], True, MONDAY_HOUR * HOUR_S - 30)
    await watch(traffic, MONDAY_HOUR, {ALL: PLENTY, CODE: 64})
    await traffic.look([CODE], True, (MONDAY_HOUR + 1) * HOUR_S + CLOSED_AFTER_S)
    assert CODE not in traffic._learned
    assert traffic._learned[ALL].weeks[0] == 1


async def test_nothing_is_covered_while_no_worker_lives(redis_client: redis.asyncio.Redis) -> None:
    traffic = Traffic(redis_client)
    await traffic.load()
    for second in range(0, 3_600, 30):
        await traffic.look([CODE], False, MONDAY_HOUR * HOUR_S + second)
    assert await redis_client.hgetall(traffic_counts(MONDAY_HOUR)) == {}
