"""What is remembered of sizes: bounded, the latest whole, of earlier days the last."""

import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st

from config import redis_keys
from config.limits import SEGMENT_COUNTS_MAX, SEGMENT_COUNTS_RECENT_MAX
from segments.counts_history import SegmentCounts, counts_history, remember_counts, superseded

DAY = 86_400


@given(st.lists(st.integers(0, 600 * DAY), max_size=700))
def test_the_latest_stay_and_of_days_before_them_the_last(times: list[int]) -> None:
    dropped = set(superseded(times))
    kept = sorted(set(times) - dropped, reverse=True)
    newest_first = sorted(set(times), reverse=True)
    assert len(kept) <= SEGMENT_COUNTS_MAX
    assert kept[:SEGMENT_COUNTS_RECENT_MAX] == newest_first[:SEGMENT_COUNTS_RECENT_MAX]
    earlier = kept[SEGMENT_COUNTS_RECENT_MAX:]
    assert len({at_s // DAY for at_s in earlier}) == len(earlier)
    for at_s in earlier:
        assert not any(
            at_s < later <= at_s // DAY * DAY + DAY - 1 for later in newest_first[SEGMENT_COUNTS_RECENT_MAX:]
        )
    if len(kept) < SEGMENT_COUNTS_MAX:
        days = {at_s // DAY for at_s in kept}
        assert all(at_s // DAY in days for at_s in dropped), "no day is lost while there is room"


def test_what_is_kept_once_is_kept_until_it_is_too_old() -> None:
    """A loader every five minutes, for ten days."""
    remembered: list[int] = []
    for at_s in range(0, 10 * DAY, 300):
        remembered.append(at_s)
        gone = superseded(remembered)
        remembered = [one for one in remembered if one not in gone]
    assert [at_s // DAY for at_s in remembered[:10]] == list(range(10))
    assert all(at_s % DAY == DAY - 300 for at_s in remembered[:9])
    assert len(remembered) == 10 + SEGMENT_COUNTS_RECENT_MAX


async def test_countings_come_back_the_newest_first(redis_client: redis.asyncio.Redis) -> None:
    assert await counts_history(redis_client) == []
    countings = [SegmentCounts(day * DAY, day, {"a": day}) for day in range(SEGMENT_COUNTS_MAX + 5)]
    for counts in countings:
        await remember_counts(redis_client, counts)
    assert await counts_history(redis_client) == countings[:4:-1]
    assert await counts_history(redis_client, most=2) == countings[:-3:-1]
    assert await redis_client.hlen(redis_keys.SEGMENT_COUNTS) == SEGMENT_COUNTS_MAX
