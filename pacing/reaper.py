"""Takes back what vanished workers held, some seconds after the last of their bids can be billed.

Each admin process of an installation runs one; they need no leader, because the ledger returns a lease
once, whoever asks, and however often.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Final

import redis

from config.money import money_text
from config.schema import Bundle
from pacing.ledger import Ledger

INTERVAL_S: Final = 0.5
THOROUGH_INTERVAL_S: Final = 10.0
"""Seconds between two looks at every campaign, for what a reaper that died half-way has left."""

logger = logging.getLogger(__name__)


async def reap_until(stop: asyncio.Event, ledger: Ledger, bundles: Callable[[], Bundle | None]) -> None:
    """Reap every INTERVAL_S; while Redis fails, keep trying. `bundles` returns the config in use, if any."""
    thorough_at_s = -THOROUGH_INTERVAL_S
    while not stop.is_set():
        now_s = time.monotonic()
        thorough = now_s - thorough_at_s >= THOROUGH_INTERVAL_S
        bundle = bundles()
        exchanges = bundle.exchanges if bundle is not None else ()
        notice_timeout_s = max((exchange.notice_timeout_seconds for exchange in exchanges), default=0)
        # The controller logs that Redis is away.
        with contextlib.suppress(redis.RedisError):
            reaped = await ledger.reap(notice_timeout_s, thorough=thorough)
            if thorough:
                thorough_at_s = now_s
            if reaped:
                logger.info("%s leased to vanished workers is free again", money_text(reaped))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), INTERVAL_S)
