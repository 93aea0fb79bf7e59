"""Takes notices whether or not Redis is there: through the desk, or into the spool and later to the desk.

    intake = Intake(desk, spools, is_at_home, life)
    await intake.take("bill", query)         # SpoolError: neither worked, and the caller should come again
    await intake.replay_until(stop)          # beside it

A notice goes straight to the desk. When Redis fails it, it goes to the spool instead, with the time it
came, and its sender gets the usual answer. From then on Redis counts as away: what comes next goes to
the spool at once, so nobody waits for a Redis that is gone. The replay tries again twice a second. With
the first entry that it gets through, new notices go to the desk again, and the rest of the spool follows
in its order. An entry is done when the desk has answered it, so a process that is killed in between
brings it twice; every notice names its bid, and the desk knows the second for a repeat.

Only genuine notices are kept: a forged token or a rendering for review is counted and answered without
Redis, so that a stranger can't fill the disk.

An entry that Redis refuses, though it is there, waits for the next pass while the others pass it; so does
one that another release wrote and this one can't read. Of a Cluster of which one shard is gone, what is in
the others goes on: where an entry fails and its campaign's account can't be read either, nothing that waits
for the server which has it is tried for REACH_AGAIN_SECONDS.

Whoever stops the replay lets the entry under way come to its end: broken off between two steps of a notice,
it would be taken for its own repeat by the next process.

A server that comes back without its last second of writes has lost notices that were answered. What was
done in the last seconds is brought to it again (`bidder.events.recent`).
"""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
import redis
from redis.exceptions import ClusterError

from bidder.events.charge import MIN_TO_WIN, MULTIPLIER, PRICE, TOKEN, Query
from bidder.events.notices import LOSS, NoticeDesk
from bidder.events.outcome import DONE, Kind, Outcome, count
from bidder.events.recent import Recent
from bidder.events.spool import Spool, SpoolError
from bidder.events.steps import PartlyDoneError
from bidder.metrics import SPOOL_AGE, SPOOL_ENTRIES, SPOOL_REPLAYED
from config.limits import RECENT_NOTICES_MAX
from pacing.ledger_clock import elapsed_s

REPLAY_INTERVAL_S: Final = 0.5
REPLAY_FAILURES_MAX: Final = 8
"""After so many failures in a row a round of replaying ends. If Redis answers, the next one goes on there."""
_AWAY: Final = (redis.ConnectionError, redis.TimeoutError, ClusterError)
REACH_AGAIN_SECONDS: Final = 1.0
"""So long a server that does not answer is left alone: a call that it does not take is tried for some tenths
of a second, and then the client of a Cluster drops its connections to all nodes."""
GAUGE_ENTRIES: Final = 500
"""A long round tells how far it is, and lets others in, after every so many entries."""
_PARAMETERS = (TOKEN, PRICE, MULTIPLIER, MIN_TO_WIN, LOSS)

logger = logging.getLogger(__name__)


class SpooledNotice(msgspec.Struct, frozen=True, array_like=True):
    """What the spool holds of a notice."""

    kind: Kind
    at_s: float
    """When it came."""
    query: dict[str, str]
    steps_done: int = 0
    """How far the desk was when Redis failed it (`bidder.events.steps`)."""
    campaign_code: int = 0
    """Whose account it needs; 0 where an earlier release wrote it."""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(SpooledNotice)


class Intake:
    """The way in of one events process."""

    def __init__(
        self,
        desk: NoticeDesk,
        spools: Sequence[Spool],
        is_at_home: Callable[[], Awaitable[bool]],
        life: Callable[[], Awaitable[object]],
        clock: Callable[[], float] = time.time,
        *,
        elapsed: Callable[[], float] = elapsed_s,
        away: bool = False,
    ) -> None:
        """`is_at_home` says whether the desk knows its config, and `life` which life of which server it
        talks to (`bidder.redis_client.server_life`); both may raise redis.RedisError.

        `clock` says when a notice came; `elapsed`, which no setting of a clock moves, for how long to
        remember what Redis took. What comes goes to the first of `spools`; all of them are replayed. With
        `away` everything goes there until the replay has found Redis and the config.
        """
        self._desk = desk
        self._spools = list(spools)
        self._is_at_home = is_at_home
        self._life = life
        self._recent: Recent[SpooledNotice] = Recent(RECENT_NOTICES_MAX)
        self._clock = clock
        self._elapsed = elapsed
        self._away = away
        self._wake = asyncio.Event()
        # Where the next round goes on, after one that ended at entries that were refused.
        self._passed: dict[Spool, int] = {}
        # Server -> when it did not answer.
        self._unreached_s: dict[str, float] = {}

    def adopt(self, spools: Sequence[Spool]) -> None:
        """Replay these as well from now on."""
        self._spools += spools

    async def take(self, kind: Kind, query: Query) -> None:
        """Do what a notice asks for, now or later. Raises SpoolError, and the notice is counted so."""
        now_s, steps_done = self._clock(), 0
        if not self._away:
            try:
                outcome = await self._desk.take(kind, query, now_s)
            except redis.RedisError as error:
                steps_done = _steps_done(error)
                if not self._away:
                    logger.warning("Redis does not take notices, they go to the spool: %s", error)
                self._away = True
            else:
                if outcome in DONE:
                    self._recent.add(SpooledNotice(kind, now_s, _parameters(query)), self._elapsed())
                return
        elif self._desk.counts_for_nothing(kind, query):
            return
        try:
            await self._keep(SpooledNotice(kind, now_s, _parameters(query), steps_done))
        except SpoolError as error:
            count(kind, Outcome.UNAVAILABLE)
            logger.error("a notice was not kept: %s", error)
            raise
        count(kind, Outcome.SPOOLED)
        self._wake.set()

    async def replay_until(self, stop: asyncio.Event) -> None:
        """Bring what is in the spools to the desk, as soon as Redis takes it. Raises OSError.

        When `stop` is set it ends between two entries, or after its next pause.
        """
        while not stop.is_set():
            await self._bring_what_was_forgotten()
            if self._away or any(spool.waiting_count for spool in self._spools):
                await self._replay(stop)
            self._show()
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), REPLAY_INTERVAL_S)
            except TimeoutError:
                continue
            # Redis failed just now: not at once again.
            await asyncio.sleep(REPLAY_INTERVAL_S)

    async def _bring_what_was_forgotten(self) -> None:
        asked_s, failures = self._elapsed(), 0
        try:
            life = await self._life()
        except redis.RedisError:
            return
        forgotten = self._recent.forgotten(life)
        for notice in forgotten:
            try:
                await self._desk.take(notice.kind, notice.query, notice.at_s, replayed=True)
            except redis.RedisError as error:
                # From here on the spool's: part of it may be done, and it must hold up none of the others.
                try:
                    await self._keep(msgspec.structs.replace(notice, steps_done=_steps_done(error)))
                except SpoolError:
                    return
                self._recent.drop(notice)
                failures += 1
                if failures == REPLAY_FAILURES_MAX:
                    return
            else:
                failures = 0
        self._recent.confirm(life, asked_s, self._elapsed())
        if forgotten:
            logger.warning(
                "Redis has restarted, or another server has taken its place: the %d notices of the last "
                "seconds were brought to it again",
                len(forgotten),
            )

    async def _replay(self, stop: asyncio.Event) -> None:
        """Do one round."""
        try:
            if not await self._is_at_home():
                return
        except redis.RedisError:
            return
        looked = replayed = failures = 0
        was_away = False
        nodes: dict[int, str] = {}
        for spool in self._spools:
            for entry in spool.waiting(self._passed.pop(spool, 0)):
                if stop.is_set():
                    return
                looked += 1
                if looked % GAUGE_ENTRIES == 0:
                    self._show()
                    await asyncio.sleep(0)
                try:
                    notice = _DECODER.decode(entry.payload)
                except msgspec.DecodeError:
                    continue
                code = notice.campaign_code
                node = nodes.get(code) or nodes.setdefault(code, self._desk.node_of(code) if code else "")
                if self._is_out_of_reach(node):
                    was_away = True
                    continue
                try:
                    await self._bring(notice)
                except redis.RedisError as error:
                    failures += 1
                    if isinstance(error, _AWAY):
                        was_away = True
                        if code and not await self._desk.reaches(code):
                            self._unreached_s[node] = self._elapsed()
                    if failures == REPLAY_FAILURES_MAX:
                        logger.warning("the replay of notices waits: %s", error)
                        self._passed[spool] = entry.end
                        return
                    continue
                spool.done(entry, _key(notice))
                SPOOL_REPLAYED.inc()
                self._away, failures, replayed = False, 0, replayed + 1
            with contextlib.suppress(OSError):
                # A disk that is full now: the next round tries again.
                spool.tidy()
        if not was_away:
            # What is left was refused, or can't be read: that is no reason to keep others waiting.
            self._away = False
        if replayed:
            logger.info("%d notices of the spool are done", replayed)

    def _is_out_of_reach(self, node: str) -> bool:
        since_s = self._unreached_s.get(node)
        return since_s is not None and self._elapsed() - since_s < REACH_AGAIN_SECONDS

    async def _bring(self, notice: SpooledNotice) -> None:
        try:
            outcome = await self._desk.take(
                notice.kind, notice.query, notice.at_s, replayed=True, steps_done=notice.steps_done
            )
        except PartlyDoneError as error:
            if error.steps_done == notice.steps_done:
                raise
            # What is left of it takes its place, or the next round would take it for a repeat.
            try:
                await self._keep(msgspec.structs.replace(notice, steps_done=error.steps_done))
            except SpoolError:
                raise error from None
            return
        if outcome in DONE:
            self._recent.add(msgspec.structs.replace(notice, steps_done=0), self._elapsed())

    async def _keep(self, notice: SpooledNotice) -> None:
        notice = msgspec.structs.replace(notice, campaign_code=self._desk.campaign_code(notice.query))
        await self._spools[0].append(_ENCODER.encode(notice), _key(notice))

    def _show(self) -> None:
        SPOOL_ENTRIES.set(sum(spool.waiting_count for spool in self._spools))
        oldest_s = [at_s for spool in self._spools for at_s in _came(spool)]
        SPOOL_AGE.set(max(self._clock() - min(oldest_s), 0.0) if oldest_s else 0.0)


def _parameters(query: Query) -> dict[str, str]:
    # Percent-encoding can write what is no character; none of it means anything to the desk.
    return {name: query[name].encode("utf-8", "replace").decode() for name in _PARAMETERS if name in query}


def _came(spool: Spool) -> list[float]:
    """Return when the first notice that waits came; nothing when none does, or it can't be read."""
    entry = spool.oldest()
    if entry is None:
        return []
    with contextlib.suppress(msgspec.DecodeError):
        return [_DECODER.decode(entry.payload).at_s]
    return []


def _steps_done(error: redis.RedisError) -> int:
    return error.steps_done if isinstance(error, PartlyDoneError) else 0


def _key(notice: SpooledNotice) -> int:
    """Stand for what a notice says, whenever it says it."""
    said = _ENCODER.encode((notice.kind, sorted(notice.query.items()), notice.steps_done))
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "big")
