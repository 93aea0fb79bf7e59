"""Made-up people as plain Python sets, and the same people in a real store."""

from collections.abc import Sequence

import msgspec
import numpy as np
import redis.asyncio

from segments.bitsets import bits_from_indices
from segments.registry import SegmentRegistry, words_of
from segments.store import SegmentStore

TODAY = 20_000
NAMES = tuple(f"s{number}" for number in range(70))
"""More than one word of them."""


class Person(msgspec.Struct, frozen=True):
    """Somebody, in some segments until some day."""

    members: frozenset[str]
    last_day: int


def draw_people(rng: np.random.Generator, n: int) -> list[Person]:
    """Draw people in few, skewed segments, one in ten of them expired."""
    chances = 0.6 / (1 + np.arange(len(NAMES)))
    flags = rng.random((n, len(NAMES))) < chances
    days = TODAY + rng.choice([-1, 0, 3, 6, 7, 30, 400], n, p=[0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.1])
    return [
        Person(frozenset(np.array(NAMES)[row].tolist()), int(day))
        for row, day in zip(flags, days, strict=True)
    ]


async def store_people(
    client: "redis.asyncio.Redis", rng: np.random.Generator, people: Sequence[Person]
) -> dict[str, int]:
    """Store people under random hashes; return the bits of the segments."""
    indices = await SegmentRegistry(client).define(dict.fromkeys(reversed(NAMES), ""))
    words = words_of(indices)
    for day in {person.last_day for person in people}:
        those = [person for person in people if person.last_day == day]
        bits = [bits_from_indices([indices[name] for name in person.members], words) for person in those]
        await SegmentStore(client).write(
            rng.integers(1, 2**64 - 1, len(those), np.uint64), np.array(bits), day
        )
    return indices


def living(people: Sequence[Person]) -> list[frozenset[str]]:
    """Return the segments of those who have not expired."""
    return [person.members for person in people if person.last_day >= TODAY]
