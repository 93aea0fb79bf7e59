"""Audiences counted and estimated: against plain Python sets, and the truth that a sample is drawn from."""

from functools import partial

import numpy as np
import pytest
import redis.asyncio
from numpy.typing import NDArray

from config.audience import holds, parse_audience, to_clauses
from segments.count import Counted, count_audience, count_by_bucket, estimate_audience, scaled_up
from segments.expressions import compile_clauses
from segments.store import SCAN_CHUNKS, SegmentStore
from tests.segments.crowd import NAMES, TODAY, draw_people, living, store_people

EXPRESSIONS = ("not s0", "s66 or (s0 and not (s1 or s65))")


async def test_everybody_counted_equals_plain_sets(redis_client: redis.asyncio.Redis) -> None:
    rng = np.random.default_rng(5)
    people = draw_people(rng, 3_000)
    indices = await store_people(redis_client, rng, people)
    alive = living(people)
    for expression in EXPRESSIONS:
        node = parse_audience(expression)
        assert node is not None
        expected = sum(holds(node, members) for members in alive)
        question = (SegmentStore(redis_client), to_clauses(node), indices, TODAY)
        whole = Counted(expected, len(alive), expected, expected, exact=True)
        progress: list[None] = []
        assert await count_audience(*question, partial(progress.append, None)) == whole
        assert len(progress) == SCAN_CHUNKS
    # There are fewer cookies than an estimate looks at.
    assert await estimate_audience(*question, np.random.default_rng(1)) == whole


async def test_an_estimate_from_a_part_is_as_good_as_it_says(redis_client: redis.asyncio.Redis) -> None:
    rng = np.random.default_rng(6)
    people = draw_people(rng, 20_000)
    indices = await store_people(redis_client, rng, people)
    node = parse_audience("s0 and not s1")
    assert node is not None
    expected = sum(holds(node, members) for members in living(people))
    estimates = [
        await estimate_audience(
            SegmentStore(redis_client),
            to_clauses(node),
            indices,
            TODAY,
            np.random.default_rng(seed),
            cookies_wanted=4_000,
        )
        for seed in range(10)
    ]
    assert sum(one.low <= expected <= one.high for one in estimates) >= 9
    assert len({one.cookies for one in estimates}) > 5, "each draws buckets of its own"
    for one in estimates:
        assert not one.exact
        # 4,000 of 18,000 looked at: some 0.045 of the count to both sides.
        assert 0.04 < (one.high - one.low) / expected < 0.2
        assert abs(one.of - len(living(people))) < 2_000


def covered(matching: NDArray[np.int64], drawn: int, rng: np.random.Generator) -> float:
    """How often the interval of a sample holds the truth."""
    truth, trials = int(matching.sum()), 600
    hits = 0
    for _ in range(trials):
        sample = matching[rng.choice(len(matching), drawn, replace=False)]
        one = scaled_up(sample, sample + 3, len(matching))
        assert one.low <= one.cookies <= one.high
        hits += one.low <= truth <= one.high
    return hits / trials


@pytest.mark.parametrize("mean", [0.002, 0.02, 0.5, 20.0])
def test_nineteen_intervals_of_twenty_hold_the_truth(mean: float) -> None:
    rng = np.random.default_rng(7)
    assert covered(rng.poisson(mean, 8_000), 800, rng) > 0.935


def test_cookies_that_come_in_clusters_make_it_wider() -> None:
    rng = np.random.default_rng(8)
    alone, together = rng.poisson(0.6, 8_000), 12 * rng.poisson(0.05, 8_000)
    assert covered(together, 800, rng) > 0.92
    widths = [
        one.high - one.low for one in (scaled_up(y[:800], y[:800] + 3, 8_000) for y in (alone, together))
    ]
    assert widths[1] > 2.5 * widths[0]


def test_nobody_in_the_sample_is_not_nobody_at_all() -> None:
    nobody = np.zeros(1_000, np.int64)
    one = scaled_up(nobody, nobody + 15, 100_000)
    # 3.84 matches would have been missed once in twenty times, and one bucket in 100 was looked at.
    assert (one.cookies, one.of, one.low, one.high, one.exact) == (0, 1_500_000, 0, 381, False)


def test_all_buckets_are_no_sample() -> None:
    counts = np.array([3, 0, 5])
    assert scaled_up(counts, counts + 1, 3) == Counted(8, 11, 8, 8, exact=True)


def test_the_kernel_counts_bucket_by_bucket() -> None:
    rng = np.random.default_rng(9)
    users = rng.integers(0, 2**64, (60, 2), np.uint64, endpoint=False)
    starts = np.array([0, 0, 7, 40, 40, 60])
    node = parse_audience("s0 and (s1 or not s66)")
    assert node is not None
    masks = compile_clauses(to_clauses(node), {name: index for index, name in enumerate(NAMES)}, 2)
    for kernel in (count_by_bucket, count_by_bucket.py_func):
        counts = np.zeros((2, 5), np.int64)
        kernel(users, starts, masks, counts)
        assert counts[1].tolist() == [0, 7, 33, 0, 20]
        for bucket in range(5):
            rows = users[starts[bucket] : starts[bucket + 1]]
            members = [
                {
                    name
                    for index, name in enumerate(NAMES)
                    if row[index // 64] >> np.uint64(index % 64) & np.uint64(1)
                }
                for row in rows
            ]
            assert counts[0, bucket] == sum(holds(node, person) for person in members)
