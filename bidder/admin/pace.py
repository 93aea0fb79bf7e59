"""Spend against plan, for one campaign at one moment: what the dashboard shows and the reports remember.

    pace = pace_of(campaign, account, now_s, decided)
    await PaceRecord(client).write(bundle, accounts, now_s)

The controller works with the money of a window (`pacing.window`): today's, or the flight's. A `Pace`
says how much that is, how much of it is spent, and how much of it should be by now.

What the plan asked for in the past can't be worked out later, when budgets and flights have changed. So
every RECORD_SECONDS the admin process writes it into the hour under way in the campaign's sums
(`pacing.delivery`), where the last word of an hour stays. Several hosts' admin processes write the same.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

import msgspec
import redis.asyncio

from bidder.admin.snapshot import Watcher
from config import redis_keys
from config.calendar import local_day, local_hour
from config.limits import DELIVERED_HOURS_SECONDS
from config.schema import Bundle, Campaign
from pacing.account import Account
from pacing.curve import plan_curve
from pacing.delivery import PLAN, WINDOW_SPENT, WINDOW_START
from pacing.ledger import Ledger
from pacing.plan import CampaignPlan, Plan, fetch
from pacing.window import observe, window

RECORD_SECONDS: Final = 30.0
_CAMPAIGNS_AT_ONCE: Final = 200

logger = logging.getLogger(__name__)


class Pace(msgspec.Struct, frozen=True):
    """Money in billionths."""

    start_s: int
    """Of the window."""
    end_s: int
    budget: int
    spent: int
    planned: int | None
    """What should be spent by now; None for a campaign that spends as fast as it can."""


def pace_of(
    campaign: Campaign, account: Account, now_s: float, decided: CampaignPlan | None = None
) -> Pace | None:
    """Return how a campaign stands; None outside its flight.

    What should be spent is as `decided` says, which knows the campaign's traffic; without it, as the schedule
    alone would have it.
    """
    start_s, end_s = window(campaign, now_s)
    if not start_s <= now_s < end_s:
        return None
    curve = plan_curve(campaign, start_s, end_s)
    seen = observe(campaign, account, curve, 0, now_s)
    planned = None
    if campaign.pacing != "asap":
        share = curve.share(now_s)
        if decided is not None and decided.window_s == start_s:
            share = decided.share_millionths / 1_000_000
        planned = int(seen.budget * share)
    return Pace(start_s, end_s, seen.budget, seen.spent, planned)


class PaceRecord:
    """Writes what the plans ask for into the sums of the hour."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client

    async def write(
        self, bundle: Bundle, accounts: Mapping[int, Account], now_s: float, plan: Plan | None = None
    ) -> None:
        """Write for every campaign in flight. Raises redis.RedisError."""
        decided = plan.campaigns if plan is not None else {}
        campaigns = [
            (code, campaign) for code, campaign in bundle.campaigns_by_code().items() if code in accounts
        ]
        for start in range(0, len(campaigns), _CAMPAIGNS_AT_ONCE):
            async with self._client.pipeline(transaction=False) as pipe:
                for code, campaign in campaigns[start : start + _CAMPAIGNS_AT_ONCE]:
                    pace = pace_of(campaign, accounts[code], now_s, decided.get(code))
                    if pace is None:
                        continue
                    zone = campaign.time_zone
                    key = redis_keys.delivered_hours(code, local_day(int(now_s), zone))
                    hour = local_hour(int(now_s), zone)
                    fields = {WINDOW_START: pace.start_s, WINDOW_SPENT: pace.spent}
                    if pace.planned is not None:
                        fields[PLAN] = pace.planned
                    pipe.hset(key, mapping={f"{hour} {name}": value for name, value in fields.items()})
                    pipe.expire(key, DELIVERED_HOURS_SECONDS)
                await pipe.execute()

    async def run(self, stop: asyncio.Event, watcher: Watcher, ledger: Ledger) -> None:
        """Write every RECORD_SECONDS until told to stop. While Redis fails, it keeps trying."""
        while not stop.is_set():
            bundle = watcher.bundle
            if bundle is not None:
                try:
                    accounts = await ledger.accounts(list(bundle.campaigns_by_code()))
                    await self.write(bundle, accounts, watcher.now_s(), await fetch(self._client))
                except redis.RedisError as error:
                    logger.info("what the plans ask for was not written down: %s", error)
            try:
                await asyncio.wait_for(stop.wait(), RECORD_SECONDS)
            except TimeoutError:
                continue
