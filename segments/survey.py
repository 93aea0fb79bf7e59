"""Everything worth knowing of all audiences at one moment, gathered in one pass over the cookies.

    survey = await take_survey(store, await registry.describe(), today, now_s)

It is what `segments.report` draws. One pass, so that sizes, overlaps and last days are of the same
cookies even while somebody loads.
"""

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from segments.counts_history import SegmentCounts
from segments.overlap import OverlapCounter, Overlaps
from segments.registry import Definition, words_of
from segments.store import SegmentStore


class Survey(msgspec.Struct, frozen=True):
    """All segments at one moment."""

    segments: tuple[Definition, ...]
    counts: SegmentCounts
    overlaps: Overlaps
    """Of every two segments."""
    last_days: dict[int, int]
    """How many cookies are good to the end of each day, counted from 1970-01-01."""


async def take_survey(
    store: SegmentStore,
    definitions: Iterable[Definition],
    today: int,
    now_s: int,
    progress: Callable[[], None] = lambda: None,
) -> Survey:
    """Count everybody. progress is called `store.SCAN_CHUNKS` times. Raises redis.RedisError."""
    segments = tuple(definitions)
    indices = {segment.name: segment.index for segment in segments}
    words = words_of(indices)
    counter = OverlapCounter(indices, words)
    last_days: Counter[int] = Counter()
    async for cookies in store.scan_cookies(words, today):
        counter.add(cookies.bits)
        last_days.update(cookies.last_days.tolist())
        progress()
    overlaps = counter.overlaps()
    sizes = dict(zip(overlaps.names, overlaps.cookies.diagonal().tolist(), strict=True))
    counts = SegmentCounts(now_s, last_days.total(), sizes)
    return Survey(segments, counts, overlaps, dict(sorted(last_days.items())))
