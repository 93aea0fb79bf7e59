"""What the admin port is asked about: a campaign that has spent, and what two workers counted."""

import redis.asyncio

from config import redis_keys
from config.calendar import local_day
from config.money import BILLION
from config.schema import code_of
from pacing import plan
from pacing.plan import CampaignPlan, Plan
from tests.admin.conftest import AdminPort
from tests.events.factories import BID_MINUTE, CAMPAIGN, OWNER

CODE = code_of(CAMPAIGN)
SPENT = 2_500_000_001
LABELS = frozenset({("campaign", CAMPAIGN), ("advertiser", "shop")})
FIRST_WORKER = """
BID_REQUESTS.labels("plain", "bid").inc(30)
BID_REQUESTS.labels("plain", "no_bid").inc(12)
BIDS.labels("plain", "banner").inc(33)
NO_BIDS.labels("audience").inc(12)
BID_LATENCY.observe_counts([0] * 5 + [42] + [0] * 12, 0.1)
LEASE_AVAILABLE.labels("spring").set(1.5)
LOOKUP_FAILURES.labels("timeout").inc(2)
"""
SECOND_WORKER = """
BID_REQUESTS.labels("plain", "bid").inc(8)
BIDS.labels("plain", "banner").inc(8)
BIDS.labels("plain", "video").inc(1)
NO_BIDS.labels("budget").inc(5)
BID_LATENCY.observe_counts([8] + [0] * 17, 0.003)
LEASE_AVAILABLE.labels("spring").set(0.25)
NOTICES.labels("win", "ok").inc(7)
NOTICES.labels("impression", "ok").inc(6)
NOTICES.labels("impression", "duplicate").inc(2)
NOTICES.labels("click", "ok").inc(1)
NOTICES.labels("bill", "forged").inc(4)
"""

DECIDED = CampaignPlan(
    1 << 14, budget_q16=1 << 14, share_millionths=500_000, budget=10 * BILLION, spent=2 * BILLION
)


async def spend(port: AdminPort) -> None:
    """Open the campaign's account, lease a dollar of it, bill some, and publish a plan."""
    await port.ledger.register(CODE, CAMPAIGN, 100 * BILLION, 10 * BILLION, "UTC")
    day = local_day(BID_MINUTE * 60, "UTC")
    for sequence, price in enumerate((SPENT - 2_000_000_000, 2_000_000_000)):
        await port.ledger.settle(CODE, OWNER, BID_MINUTE, sequence, price, price, day, 0, {})
    lease = await port.ledger.grant(CODE, OWNER, BILLION, day, 1_000_000, 1)
    assert lease.outstanding > 0
    await plan.publish(port.client, Plan(made_at_s=BID_MINUTE * 60.0, version=1, campaigns={CODE: DECIDED}))


async def beat(client: redis.asyncio.Redis, owner: int, silent_s: int = 0) -> None:
    seconds, _ = await client.time()
    await client.zadd(redis_keys.WORKERS, {str(owner): seconds - silent_s})
