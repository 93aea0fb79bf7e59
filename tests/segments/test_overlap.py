"""Pairs of segments counted: against plain Python sets."""

import numpy as np
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st

from segments.bitsets import bits_from_indices
from segments.overlap import OverlapCounter, Overlaps, add_pairs, count_overlaps
from segments.registry import words_of
from segments.store import SCAN_CHUNKS, SegmentStore
from tests.segments.crowd import TODAY, draw_people, living, store_people

BITS = {"d": 130, "a": 0, "c": 64, "b": 63}
WORDS = 3
people = st.lists(st.frozensets(st.sampled_from([*BITS, "else"])), max_size=12)


def pairs(names: tuple[str, ...], members: list[frozenset[str]]) -> list[list[int]]:
    return [[sum({one, other} <= person for person in members) for other in names] for one in names]


@given(people, people)
def test_pairs_are_those_of_plain_sets(first: list[frozenset[str]], second: list[frozenset[str]]) -> None:
    bits = BITS | {"else": 1}
    counter = OverlapCounter(BITS, WORDS)
    for batch in (first, second):
        rows = [bits_from_indices([bits[name] for name in person], WORDS) for person in batch]
        counter.add(np.array(rows, np.uint64).reshape(-1, WORDS))
    overlaps = counter.overlaps()
    assert overlaps.names == tuple(BITS)
    assert overlaps.cookies.tolist() == pairs(overlaps.names, first + second)
    shares, jaccard = overlaps.shares(), overlaps.jaccard()
    for row, one in enumerate(overlaps.names):
        for column, other in enumerate(overlaps.names):
            ones = {number for number, person in enumerate(first + second) if one in person}
            others = {number for number, person in enumerate(first + second) if other in person}
            assert shares[row, column] == (len(ones & others) / len(ones) if ones else 0)
            assert jaccard[row, column] == (len(ones & others) / len(ones | others) if ones | others else 0)


@given(people)
def test_the_kernel_does_what_its_python_does(members: list[frozenset[str]]) -> None:
    rows = [bits_from_indices([BITS.get(name, 1) for name in person], WORDS) for person in members]
    users = np.array(rows, np.uint64).reshape(-1, WORDS)
    columns = np.zeros(64 * WORDS, np.int64)
    columns[list(BITS.values())] = range(len(BITS))
    compiled, plain = np.zeros((2, len(BITS), len(BITS)), np.int64)
    add_pairs(users, bits_from_indices(BITS.values(), WORDS), columns, compiled)
    add_pairs.py_func(users, bits_from_indices(BITS.values(), WORDS), columns, plain)
    assert compiled.tolist() == plain.tolist()


async def test_a_store_is_counted_in_one_pass(redis_client: redis.asyncio.Redis) -> None:
    rng = np.random.default_rng(3)
    crowd = draw_people(rng, 2_000)
    indices = await store_people(redis_client, rng, crowd)
    chosen = {name: indices[name] for name in ("s3", "s0", "s69", "s1")}
    calls: list[None] = []
    overlaps = await count_overlaps(
        SegmentStore(redis_client), chosen, words_of(indices), TODAY, lambda: calls.append(None)
    )
    assert overlaps.cookies.tolist() == pairs(overlaps.names, living(crowd))
    assert overlaps.cookies[1, 3] > 0
    assert len(calls) == SCAN_CHUNKS


def test_the_largest_come_first_with_all_they_share() -> None:
    overlaps = Overlaps(("b", "z", "a"), np.array([[5, 1, 2], [1, 9, 3], [2, 3, 5]]))
    largest = overlaps.largest(2)
    assert largest.names == ("z", "a")
    assert largest.cookies.tolist() == [[9, 3], [3, 5]]
    assert overlaps.largest(9).names == ("z", "a", "b")
