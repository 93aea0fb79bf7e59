"""How many cookies an audience has: exactly from all of them, or soon from a sample that says how good it is.

    counted = await count_audience(store, clauses, indices, today)
    counted = await estimate_audience(store, clauses, indices, today, rng)      # low <= the truth <= high

Problem: everybody is 0.6 us a cookie, half of it ours and half the server's: two seconds for four million,
a minute for a hundred million. Who tries out an expression wants to know now whether it is ten thousand
or a million.

The sample is whole buckets of the store, drawn at random: a bucket is one command, and single cookies can't
be asked for by number. A cookie's bucket is part of its hash, which has nothing to do with its segments, so
two cookies of a bucket are no more alike than any two, and buckets are as good as cookies. But nothing here
relies on that. What was counted is n of N buckets with y1 .. yn matching cookies, and the variance of their
sum k is that of a sample of clusters drawn without replacement (Cochran, Sampling Techniques, chapters 2
and 9):

    var(k) = n * s2 * (1 - n/N)            s2: the variance between the buckets' y

k +- 1.96 * sqrt(var) is the textbook's interval. It fails where it matters most: not one match in the sample
would be "0 +- 0". So the truth is asked instead: which sums would make a k like this one an accident? If the
sample were expected to find x, its variance would be d * x, with d = var(k) / k from the sample itself. Those
x for which k is within 1.96 of their deviations lie between the roots of (k - x)^2 = 1.96^2 * d * x:

    x = k + c/2 +- sqrt(k * c + c^2/4)     c = 1.96^2 * d,  and d = 1 - n/N when k is 0

For large k that is the textbook's; for k = 0 it goes from 0 to 3.8 matches. Times N/n, these are `low`
and `high`. 1 M cookies, of which 25,000 match: 200,000 are looked at, k is about 5,000, and the interval
25,000 +- 620.

Rejected: sketches kept by segment (HyperLogLog, theta). They must be fed by every writer, answer "and not"
with an error that grows with the union, and know nothing of expiry and removal.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from config.audience import Clause
from config.compiled import kernel
from config.limits import ESTIMATE_COOKIES, ESTIMATE_PILOT_BUCKETS
from segments.expressions import compile_clauses
from segments.kernels import clauses_hold, count_matching
from segments.location import BUCKETS
from segments.registry import words_of
from segments.store import SegmentStore

_Z = 1.96
"""Standard deviations to both sides that hold 95 % of a normal distribution."""


class Counted(msgspec.Struct, frozen=True):
    """How many cookies an audience has."""

    cookies: int
    of: int
    """All live cookies, estimated from the same sample."""
    low: int
    high: int
    """The truth lies between these in 19 samples of 20; both are `cookies` when everybody was counted."""
    exact: bool


async def count_audience(
    store: SegmentStore,
    clauses: Iterable[Clause],
    indices: Mapping[str, int],
    today: int,
    progress: Callable[[], None] = lambda: None,
) -> Counted:
    """Count the cookies for whom all clauses hold.

    progress is called `store.SCAN_CHUNKS` times. Raises UnknownSegmentError and redis.RedisError.
    """
    words = words_of(indices)
    masks = compile_clauses(clauses, indices, words)
    matching = cookies = 0
    async for users in store.scan(words, today):
        matching += int(count_matching(users, masks))
        cookies += len(users)
        progress()
    return Counted(matching, cookies, matching, matching, exact=True)


async def estimate_audience(
    store: SegmentStore,
    clauses: Iterable[Clause],
    indices: Mapping[str, int],
    today: int,
    rng: np.random.Generator,
    cookies_wanted: int = ESTIMATE_COOKIES,
) -> Counted:
    """Count in about `cookies_wanted` cookies of random buckets; exactly when there are no more than that.

    Raises UnknownSegmentError and redis.RedisError.
    """
    words = words_of(indices)
    masks = compile_clauses(clauses, indices, words)
    order: list[int] = rng.permutation(BUCKETS).tolist()
    pilot = await _count_buckets(store, masks, words, today, order[:ESTIMATE_PILOT_BUCKETS])
    cookies_a_bucket = pilot[1].sum() / ESTIMATE_PILOT_BUCKETS
    looked = BUCKETS
    if cookies_a_bucket * BUCKETS > cookies_wanted:
        looked = max(ESTIMATE_PILOT_BUCKETS, math.ceil(cookies_wanted / cookies_a_bucket))
    rest = await _count_buckets(store, masks, words, today, order[ESTIMATE_PILOT_BUCKETS:looked])
    matching, cookies = np.concatenate([pilot, rest], axis=1)
    return scaled_up(matching, cookies, BUCKETS)


def scaled_up(matching: NDArray[np.int64], cookies: NDArray[np.int64], buckets: int) -> Counted:
    """Conclude from some buckets, drawn at random, to all.

    matching, cookies: int64[n], the counts of each bucket drawn. buckets: how many there are.
    """
    n, k, all_cookies = len(matching), int(matching.sum()), int(cookies.sum())
    if n == buckets:
        return Counted(k, all_cookies, k, k, exact=True)
    unseen = 1 - n / buckets
    dispersion = float(matching.var(ddof=1)) * n / k if k else 1.0
    c = _Z**2 * dispersion * unseen
    off = math.sqrt(k * c + c * c / 4)
    scale = buckets / n
    return Counted(
        cookies=round(scale * k),
        of=round(scale * all_cookies),
        # There are at least as many as were seen.
        low=max(k, math.floor(scale * (k + c / 2 - off))),
        high=math.ceil(scale * (k + c / 2 + off)),
        exact=False,
    )


async def _count_buckets(
    store: SegmentStore, masks: NDArray[np.uint64], words: int, today: int, buckets: Sequence[int]
) -> NDArray[np.int64]:
    """Count matching and all cookies of each bucket, int64[2, buckets]."""
    counts = [np.zeros((2, 0), np.int64)]
    async for cookies in store.scan_cookies(words, today, buckets):
        chunk = np.zeros((2, len(cookies.starts) - 1), np.int64)
        count_by_bucket(cookies.bits, cookies.starts, masks, chunk)
        counts.append(chunk)
    return np.concatenate(counts, axis=1)


@kernel
def count_by_bucket(
    users: NDArray[np.uint64],
    starts: NDArray[np.int64],
    clauses: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> None:
    """Write to counts, int64[2, b], the users for whom all clauses hold, and all users, of each bucket.

    users: uint64[n, W]. starts: int64[b + 1], bucket i has users[starts[i]:starts[i + 1]]. clauses:
    uint64[k, 2, W]. counts holds zeros before.
    """
    for bucket in range(counts.shape[1]):
        counts[1, bucket] = starts[bucket + 1] - starts[bucket]
        for user in range(starts[bucket], starts[bucket + 1]):
            if clauses_hold(users[user], clauses, 0, clauses.shape[0]):
                counts[0, bucket] += 1
