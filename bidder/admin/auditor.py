"""Holds every account against its bills, again and again, and tells the metrics what disagrees.

Each admin process of an installation runs one. Two of them only do the same work twice
(`pacing.reconcile`).
"""

import asyncio
import contextlib
import logging
import time
from typing import Final

import redis
import redis.asyncio

from bidder.metrics import LEDGER_AUDITED, LEDGER_MISMATCH
from config.money import BILLION
from pacing.ledger import Ledger
from pacing.reconcile import audit_all

INTERVAL_S: Final = 60.0

logger = logging.getLogger(__name__)


async def audit_until(stop: asyncio.Event, client: redis.asyncio.Redis, ledger: Ledger) -> None:
    """Audit every INTERVAL_S; while Redis fails, keep trying."""
    while not stop.is_set():
        try:
            await audit_once(client, ledger, time.time())
        except redis.RedisError as error:
            logger.warning("the ledger can't be audited: %s", error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), INTERVAL_S)


async def audit_once(client: redis.asyncio.Redis, ledger: Ledger, now_s: float) -> None:
    """Audit every account and set the metrics. Raises redis.RedisError."""
    for audit in await audit_all(client, ledger, now_s):
        LEDGER_MISMATCH.labels(audit.account.campaign_id).set(
            (audit.mismatch or audit.of_line_items) / BILLION
        )
        for fault in audit.faults:
            logger.error("the ledger disagrees: %s", fault)
    LEDGER_AUDITED.set(now_s)
