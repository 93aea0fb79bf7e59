"""Takes back what vanished workers held, some seconds after the last of their bids can be billed.

Each admin process of an installation runs one; they need no leader, because the ledger returns a lease
once, whoever asks, and however often.

How long a worker has been silent is counted here: from when this process first saw a heartbeat until it sees
another, in time that elapsed. What the heartbeats themselves say, the server's time, would make every worker
silent for as long as that clock is put forward, and take away what all of them have promised. A reaper that
begins knows of no silence yet, so the lease of a worker that died before it is back that much later.

How long a vanished worker's bids may be billed in time is the exchanges' affair, and in the config: without
one, nothing is taken back. A config with a shorter timeout says nothing of the bids made before it, so a
longer one is still kept to while they may be billed.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Final

import redis

from config.money import money_text
from config.schema import Bundle
from pacing.ledger import Ledger, silence_seconds_max
from pacing.ledger_clock import elapsed_s

INTERVAL_S: Final = 0.25
THOROUGH_INTERVAL_S: Final = 10.0
"""Seconds between two looks at every campaign, for what a reaper that died half-way has left."""

CONFIG_LAG_S: Final = 60.0
"""So long after this process has a new config, a worker may still bid by the one before."""

logger = logging.getLogger(__name__)


class Silences:
    """Since when each worker has not been heard of, by the clock of whoever asks."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, float]] = {}

    def longer_than(self, seconds: float, heartbeats: Mapping[int, float], now_s: float) -> dict[int, float]:
        """Take in the workers' last heartbeats; return those that have been the same for so long, by owner.

        `now_s` is of a clock that elapses, read when `heartbeats` had come.
        """
        self._known = {
            owner: known if (known := self._known.get(owner)) and known[0] == beat_s else (beat_s, now_s)
            for owner, beat_s in heartbeats.items()
        }
        return {
            owner: beat_s for owner, (beat_s, since_s) in self._known.items() if now_s - since_s > seconds
        }


class NoticeTimeouts:
    """The longest timeout by which a bid may have been made that can still be billed in time."""

    def __init__(self) -> None:
        self._last_seen_s: dict[int, float] = {}

    def longest(self, bundle: Bundle | None, now_s: float) -> int | None:
        """Return it, in seconds, for the config in use; None while none is known.

        `now_s` is of a clock that elapses.
        """
        if bundle is not None:
            own = max((exchange.notice_timeout_seconds for exchange in bundle.exchanges), default=0)
            self._last_seen_s[own] = now_s
        self._last_seen_s = {
            timeout_s: seen_s
            for timeout_s, seen_s in self._last_seen_s.items()
            if now_s - seen_s <= timeout_s + CONFIG_LAG_S
        }
        return max(self._last_seen_s, default=None)


async def reap_until(stop: asyncio.Event, ledger: Ledger, bundles: Callable[[], Bundle | None]) -> None:
    """Reap every INTERVAL_S; while Redis fails, keep trying. `bundles` returns the config in use, if any."""
    thorough_at_s, silences, timeouts = -THOROUGH_INTERVAL_S, Silences(), NoticeTimeouts()
    while not stop.is_set():
        begun_s = elapsed_s()
        thorough = begun_s - thorough_at_s >= THOROUGH_INTERVAL_S
        # The controller logs that Redis is away.
        with contextlib.suppress(redis.RedisError):
            heartbeats = await ledger.heartbeats()
            now_s = elapsed_s()
            notice_timeout_s = timeouts.longest(bundles(), now_s)
            if notice_timeout_s is not None:
                silent = silences.longer_than(silence_seconds_max(notice_timeout_s), heartbeats, now_s)
                reaped = await ledger.reap(silent, thorough=thorough)
                if thorough:
                    thorough_at_s = begun_s
                if reaped:
                    logger.info("%s leased to vanished workers is free again", money_text(reaped))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), INTERVAL_S)
