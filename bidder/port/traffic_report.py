"""How much traffic a worker's campaigns matched, from a sample of its batches, brought to `pacing.traffic`.

report = TrafficReport(client)
bidder.traffic = report             # which calls `add` for every batch that `wanted` says
await report.send(now_s)            # with the ticks; every TRAFFIC_REPORT_SECONDS it does something
"""

import math
from collections import Counter

import redis.asyncio

from bidder.decision.columns import CandidateColumns
from bidder.decision.decide import Users
from bidder.decision.snapshot import Snapshot
from bidder.decision.traffic import count_matches
from config.limits import TRAFFIC_REPORT_SECONDS
from pacing.traffic import ALL, SAMPLED, add_counts

_MASK = SAMPLED - 1


class TrafficReport:
    """The counts of one worker that are not reported yet."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._counts: Counter[int] = Counter()
        self._sent_s = -math.inf

    def add(self, snapshot: Snapshot, columns: CandidateColumns, users: Users, draw: int) -> None:
        """Count a batch, if its draw, a random number below 2**64, says that it is of the sample."""
        if draw & _MASK:
            return
        matched = count_matches(snapshot, columns, users)
        for code, times in zip(snapshot.account_codes, matched.tolist(), strict=False):
            if times:
                self._counts[code] += times * SAMPLED
        self._counts[ALL] += len(columns.candidates) * SAMPLED

    async def send(self, now_s: float) -> None:
        """Report what was counted, if it is time. Raises redis.RedisError, and it is lost."""
        if now_s - self._sent_s < TRAFFIC_REPORT_SECONDS:
            return
        self._sent_s = now_s
        if self._counts:
            counts, self._counts = self._counts, Counter()
            await add_counts(self._client, counts, int(now_s) // 3_600)
