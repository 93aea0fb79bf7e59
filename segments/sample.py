"""A made-up audience: cookies in skewed, overlapping segments, for the demo and for benchmarks.

Real audiences are a few large segments and many small ones, and they come in bundles: who hunts also
fishes. So each cookie gets one of a dozen walks of life, which makes each segment several times more
or less likely, and the segments' sizes fall off by rank. A cookie is in about twelve. One seed makes one
audience, and the ids are numbers in order, so a load test can name the same cookies by itself.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from segments.bitsets import bits_from_flags
from segments.expressions import words_for
from segments.identity import COOKIE, Identity
from segments.registry import SegmentRegistry
from segments.store import SegmentStore

SEGMENTS_PER_COOKIE = 12
_BATCH_COOKIES = 16_384
_WALKS_OF_LIFE = 12
_SHARE_MAX = 0.9


def cookie_id(number: int) -> str:
    """Return the id of one made-up cookie: ``demo-000000123``."""
    return f"demo-{number:09d}"


def sample_audience(
    rng: np.random.Generator, cookies: int, indices: Mapping[str, int]
) -> Iterator[tuple[list[str], NDArray[np.uint64]]]:
    """Yield (ids, uint64[n, W]) of cookies 0, 1, 2 ..., a batch at once.

    `indices` maps segment names to bits; the sizes of the segments follow its order.
    """
    bits = np.fromiter(indices.values(), np.int64)
    words = words_for(int(bits.max(initial=0)) + 1)
    shares = _shares(rng, len(bits))
    for start in range(0, cookies, _BATCH_COOKIES):
        n = min(_BATCH_COOKIES, cookies - start)
        lives = rng.integers(0, _WALKS_OF_LIFE, n)
        flags = np.zeros((n, 64 * words), np.bool_)
        flags[:, bits] = rng.random((n, len(bits)), np.float32) < shares[lives]
        yield [cookie_id(number) for number in range(start, start + n)], bits_from_flags(flags)


def _shares(rng: np.random.Generator, segments: int) -> NDArray[np.float32]:
    """Return float32[walks of life, segments]: the chance of each segment in each walk of life."""
    sizes = 1 / (np.arange(segments) + 8) ** 0.8
    shares = sizes * rng.lognormal(0, 1.25, (_WALKS_OF_LIFE, segments))
    for _ in range(3):  # what the ceiling takes off the largest goes to the others
        shares *= min(SEGMENTS_PER_COOKIE, segments / 2) / shares.sum(axis=1).mean()
        shares = np.minimum(shares, _SHARE_MAX)
    return shares.astype(np.float32)


async def load_sample(
    rng: np.random.Generator,
    cookies: int,
    segment_names: Sequence[str],
    *,
    store: SegmentStore,
    registry: SegmentRegistry,
    identity: Identity,
    expiry_day: int,
    progress: Callable[[int], None],
) -> None:
    """Define the segments and write the sample to the store; progress is called with cookies done.

    Raises registry.RegistryError and redis.RedisError.
    """
    defined = await registry.define(dict.fromkeys(segment_names, ""))
    indices = {name: defined[name] for name in segment_names}
    done = 0
    for ids, bits in sample_audience(rng, cookies, indices):
        hashes = np.array([identity.hash(COOKIE, cookie) for cookie in ids], np.uint64)
        await store.write(hashes, bits, expiry_day)
        done += len(ids)
        progress(done)
