"""How many people are in each segment and in each audience.

    counts = await count_segments(store, definitions, today)                   # every cookie, exactly
    sizes = await count_audiences(store, audiences, indices, 100, today)     # until each has 100
    await publish_audience_sizes(client, sizes)                              # workers read it

A line item whose audience is smaller than `audience_size_min` must not bid, and an audience is an
expression: the sizes of its segments don't tell how many people it has. But the question is only whether
there are enough. So cookies are streamed through the kernel until every audience has its number, which
for most is over after a few of the 131,072 buckets; only a small one is looked for in all of them, and
its count is then exact.

An audience is known by the digest of its clauses: two line items that say the same share one. An audience
that strangers are in too (`not customers`) points at nobody and is not counted.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
import redis.asyncio
from numpy.typing import NDArray

from config import redis_keys
from config.audience import Clause, holds, parse_audience, to_clauses
from config.compiled import kernel
from config.schema import Bundle
from segments.counts_history import SegmentCounts
from segments.expressions import compile_clauses
from segments.kernels import clauses_hold
from segments.packing import add_sizes
from segments.registry import Definition, words_of
from segments.store import SegmentStore

DIGEST_BYTES = 8


def audience_digest(audience: object) -> str | None:
    """Return what an audience of the config is known by; None when strangers are in it."""
    node = parse_audience(audience)
    if node is None or holds(node, frozenset()):
        return None
    clauses = [(sorted(clause.any), sorted(clause.none)) for clause in to_clauses(node)]
    return hashlib.blake2b(msgspec.msgpack.encode(clauses), digest_size=DIGEST_BYTES).hexdigest()


def audiences_of(bundle: Bundle) -> dict[str, tuple[Clause, ...]]:
    """Return every audience of a config that is to be counted, by its digest."""
    found: dict[str, tuple[Clause, ...]] = {}
    for campaign in bundle.campaigns_by_code().values():
        for line_item in campaign.line_items:
            digest = audience_digest(line_item.audience)
            if digest is not None and digest not in found:
                node = parse_audience(line_item.audience)
                assert node is not None
                found[digest] = to_clauses(node)
    return found


async def count_segments(
    store: SegmentStore,
    definitions: Iterable[Definition],
    today: int,
    now_s: int,
    progress: Callable[[], None] = lambda: None,
) -> SegmentCounts:
    """Count everybody in every segment. progress is called `store.SCAN_CHUNKS` times.

    Raises redis.RedisError.
    """
    names = {definition.index: definition.name for definition in definitions}
    words = words_of({name: index for index, name in names.items()})
    sizes = np.zeros(64 * words, np.int64)
    cookies = 0
    async for users in store.scan(words, today):
        await asyncio.to_thread(add_sizes, users, sizes)
        cookies += len(users)
        progress()
    return SegmentCounts(now_s, cookies, {name: int(sizes[index]) for index, name in names.items()})


async def count_audiences(
    store: SegmentStore,
    audiences: Mapping[str, Iterable[Clause]],
    indices: Mapping[str, int],
    enough: int,
    today: int,
) -> dict[str, int]:
    """Count the people of each audience, by its digest, and stop at `enough`.

    Raises redis.RedisError, and UnknownSegmentError for a name without an index.
    """
    if not audiences:
        return {}
    words = words_of(indices)
    compiled = [compile_clauses(clauses, indices, words) for clauses in audiences.values()]
    starts = np.cumsum([0, *(len(part) for part in compiled)], dtype=np.int64)
    clauses = np.concatenate([np.zeros((0, 2, words), np.uint64), *compiled])
    counts = np.zeros(len(compiled), np.int64)
    if enough > 0:
        async for users in store.scan(words, today):
            # Beside the loop, for the first call may compile.
            await asyncio.to_thread(_count_until, users, clauses, starts, counts, enough)
            if (counts >= enough).all():
                break
    return dict(zip(audiences, counts.tolist(), strict=True))


@kernel
def _count_until(
    users: NDArray[np.uint64],
    clauses: NDArray[np.uint64],
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    enough: int,
) -> None:
    """Add to counts, int64[a], the users of each audience, up to `enough`.

    users: uint64[n, W]. clauses: uint64[k, 2, W], audience i having [starts[i], starts[i + 1]).
    """
    for audience in range(len(counts)):
        for user in range(users.shape[0]):
            if counts[audience] >= enough:
                break
            if clauses_hold(users[user], clauses, starts[audience], starts[audience + 1]):
                counts[audience] += 1


async def publish_audience_sizes(client: "redis.asyncio.Redis", sizes: Mapping[str, int]) -> None:
    """Replace what workers know of the sizes of audiences. Raises redis.RedisError."""
    async with client.pipeline(transaction=True) as pipeline:
        pipeline.delete(redis_keys.AUDIENCE_SIZES)
        if sizes:
            mapping: Any = dict(sizes)
            pipeline.hset(redis_keys.AUDIENCE_SIZES, mapping=mapping)
        pipeline.incr(redis_keys.AUDIENCE_SIZES_VERSION)
        await pipeline.execute()


class AudienceSizes:
    """What is published of the sizes of audiences, read anew when it has changed."""

    def __init__(self) -> None:
        self.counts: Mapping[str, int] = {}
        """By digest."""
        self._version: bytes | None = b""

    async def read(self, client: "redis.asyncio.Redis") -> bool:
        """Read what is new, and say whether there was anything. Raises redis.RedisError."""
        version: Any = await client.get(redis_keys.AUDIENCE_SIZES_VERSION)
        if version == self._version:
            return False
        reply: Any = await client.hgetall(redis_keys.AUDIENCE_SIZES)
        self.counts = {digest.decode(): int(count) for digest, count in reply.items()}
        self._version = version
        return True


def too_small(bundle: Bundle, counts: Mapping[str, int]) -> dict[str, int | None]:
    """Return the line items that must not bid for want of people, with how many they have.

    None is an audience that was not counted yet: it might be too small, so it waits.
    """
    found: dict[str, int | None] = {}
    smallest = bundle.engine.audience_size_min
    if not smallest:
        return found
    for campaign in bundle.campaigns_by_code().values():
        for line_item in campaign.line_items:
            digest = audience_digest(line_item.audience)
            if digest is not None and counts.get(digest, 0) < smallest:
                found[line_item.id] = counts.get(digest)
    return found
