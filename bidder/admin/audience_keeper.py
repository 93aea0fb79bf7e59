"""The keeper of audiences: what has to be done for them all the time, by one process of the installation.

    inboxes       twice a second: what advertisers' loaders sent is applied, and
                  what is too much is dropped                                    `segments.inbox`
    audiences     after a config, a load, a day: which have too few people        `segments.sizes`
    sizes         after a load, a day: how many are in each segment
    retention     every day: what is over is deleted                              `segments.retention`

Every host's admin process is a candidate; who holds the lease in Redis works, the others try again.
Counting and sweeping run beside the inboxes. Counting takes a tenth of the time at most: the longer it
takes, the longer the pause before the next. Two keepers at once, where one was frozen and came back, do
everything twice, which does no harm.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import redis
import redis.asyncio

from bidder.background import end_task
from bidder.metrics import INBOX_COOKIES, INBOX_DROPPED
from config import redis_keys
from config.calendar import SECONDS_PER_DAY
from config.schema import Bundle
from pacing.election import Election
from segments.counts_history import remember_counts
from segments.expressions import UnknownSegmentError
from segments.inbox import InboxReader
from segments.registry import SegmentRegistry
from segments.retention import sweep
from segments.sizes import audiences_of, count_audiences, count_segments, publish_audience_sizes
from segments.store import SegmentStore

LEASE_SECONDS = 30.0
INBOX_SECONDS = 0.5
UPKEEP_SECONDS = 1.0
PAUSE_SECONDS_MIN = 5.0
"""Between two countings that only a load asks for."""
PAUSE_TIMES = 10
"""The pause after a counting, in times that it took."""

_LOG = logging.getLogger(__name__)


class _Pace:
    """When the next counting of a kind may begin."""

    def __init__(self) -> None:
        self.done_for: tuple[object, ...] = ()
        self._next_s = 0.0

    def is_due(self, state: tuple[object, ...], at_once: bool) -> bool:
        return state != self.done_for and (at_once or time.monotonic() >= self._next_s)

    def done(self, state: tuple[object, ...], began_s: float) -> None:
        self.done_for = state
        now_s = time.monotonic()
        self._next_s = now_s + max(PAUSE_SECONDS_MIN, PAUSE_TIMES * (now_s - began_s))


class AudienceKeeper:
    """One candidate: `run` it, or call its steps with a time of your own. All raise redis.RedisError."""

    def __init__(self, client: redis.asyncio.Redis, owner: str) -> None:
        """`owner` names this process for people who look at the lease in Redis."""
        self._client = client
        self._registry, self._store = SegmentRegistry(client), SegmentStore(client)
        self._inboxes = InboxReader(client)
        self._election = Election(client, redis_keys.AUDIENCE_KEEPER, owner, LEASE_SECONDS)
        self._audiences, self._sizes = _Pace(), _Pace()
        self._counts: Mapping[str, int] = {}

    async def run(self, stop: asyncio.Event, bundles: Callable[[], Bundle | None]) -> None:
        """Keep audiences until `stop`. `bundles` returns the live config; Redis failing is waited out."""
        tasks = [
            asyncio.create_task(_repeat(INBOX_SECONDS, lambda: self._tend_inboxes(bundles))),
            asyncio.create_task(_repeat(INBOX_SECONDS, lambda: self._tend_lengths(bundles()))),
            asyncio.create_task(_repeat(UPKEEP_SECONDS, lambda: self._tend_cookies(bundles()))),
        ]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            for task in tasks:
                await end_task(task)
            with contextlib.suppress(redis.RedisError):
                await self._election.resign()

    async def drain(self, bundle: Bundle, now_s: int) -> int:
        """Apply what waits in the inboxes, a turn for each; return how many entries that were."""
        entries = 0
        for advertiser in await self._inboxes.waiting(advertiser.id for advertiser in bundle.advertisers):
            drained = await self._inboxes.drain(advertiser, now_s // SECONDS_PER_DAY, now_s)
            entries += drained.entries
            INBOX_COOKIES.labels("applied").inc(drained.cookies)
            INBOX_COOKIES.labels("refused").inc(drained.refused)
            _tell_dropped(advertiser, drained.dropped)
        return entries

    async def bound(self, bundle: Bundle) -> None:
        """Drop what is too much in the inboxes."""
        for advertiser in await self._inboxes.waiting(advertiser.id for advertiser in bundle.advertisers):
            _tell_dropped(advertiser, (await self._inboxes.bound(advertiser)).dropped)

    async def count_audiences(self, bundle: Bundle, now_s: int) -> bool:
        """Count the audiences that may be too small, where that is due; say whether it was."""
        today, enough = now_s // SECONDS_PER_DAY, bundle.engine.audience_size_min
        # People whom events put into segments come without a load.
        few = any(size < enough for size in self._counts.values())
        minute = now_s // 60 if few and any(segment.rule for segment in bundle.segments) else 0
        state = (bundle.version, today, await self._registry.loads(), minute)
        if not self._audiences.is_due(state, at_once=state[:2] != self._audiences.done_for[:2]):
            return False
        began_s = time.monotonic()
        # On the same day an audience that had enough people is not counted again.
        kept = self._counts if self._audiences.done_for[1:2] == (today,) else {}
        audiences = audiences_of(bundle)
        missing = {digest: clauses for digest, clauses in audiences.items() if kept.get(digest, -1) < enough}
        try:
            counted = await count_audiences(
                self._store, missing, await self._registry.indices(), enough, today
            )
        except UnknownSegmentError:
            # The config was published a moment ago, and nobody has defined its segments yet.
            return False
        counts = {digest: kept.get(digest, 0) for digest in audiences} | counted
        await publish_audience_sizes(self._client, counts)
        self._counts = counts
        self._audiences.done(state, began_s)
        return True

    async def count_segments(self, now_s: int) -> bool:
        """Count everybody in every segment, where that is due; say whether it was."""
        today = now_s // SECONDS_PER_DAY
        state = (today, await self._registry.loads())
        if not self._sizes.is_due(state, at_once=state[:1] != self._sizes.done_for[:1]):
            return False
        began_s = time.monotonic()
        definitions = await self._registry.describe()
        await remember_counts(self._client, await count_segments(self._store, definitions, today, now_s))
        self._sizes.done(state, began_s)
        return True

    async def sweep(self, now_s: int) -> bool:
        """Do the sweep of the day, unless it is done; say whether it was due."""
        swept: Any = await self._client.get(redis_keys.AUDIENCE_SWEPT)
        if swept is not None and int(swept) >= now_s // SECONDS_PER_DAY:
            return False
        done = await sweep(self._client, now_s)
        _LOG.info("swept: %d cookies deleted, %d lost a segment", done.deleted, done.changed)
        return True

    async def _tend_inboxes(self, bundles: Callable[[], Bundle | None]) -> None:
        # The inboxes hold the lease for all.
        while await self._election.elected() and (bundle := bundles()) is not None:
            if not await self.drain(bundle, int(time.time())):
                return

    async def _tend_lengths(self, bundle: Bundle | None) -> None:
        if self._election.leading and bundle is not None:
            await self.bound(bundle)

    async def _tend_cookies(self, bundle: Bundle | None) -> None:
        if not self._election.leading:
            return
        now_s = int(time.time())
        if bundle is not None:
            await self.count_audiences(bundle, now_s)
        await self.sweep(now_s)
        await self.count_segments(now_s)


def _tell_dropped(advertiser: str, entries: int) -> None:
    if entries:
        INBOX_DROPPED.inc(entries)
        _LOG.warning("%d entries of %s's inbox were dropped: too much was waiting in it", entries, advertiser)


async def _repeat(pause_s: float, step: Callable[[], Awaitable[None]]) -> None:
    failing = False
    while True:
        try:
            await step()
            failing = False
        except redis.RedisError as error:
            if not failing:
                _LOG.warning("the keeper of audiences can't use Redis and keeps trying: %s", error)
            failing = True
        await asyncio.sleep(pause_s)
