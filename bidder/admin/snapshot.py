"""What the admin process knows at one moment, gathered once for each question it is asked.

`Watcher.snapshot` asks Redis for the workers, the ledger's accounts and the pacing plan, and merges
the metric files of all processes. What it returns is data: `bidder.admin.status` shows it as JSON,
`bidder.admin.collector` shows it to Prometheus.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import redis.asyncio
from prometheus_client import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from bidder.admin.readiness import REDIS_SILENT, Readiness, ask
from config.calendar import flight_bounds_s, local_day
from config.schema import Advertiser, Bundle, Campaign
from pacing import plan
from pacing.ledger import Account, Ledger
from pacing.plan import Plan


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """`accounts` and `plan` are empty when Redis does not answer, and lack what it does not know."""

    now_s: float
    readiness: Readiness
    metrics: tuple[Metric, ...]
    """Every process's, merged."""
    bundle: Bundle | None
    accounts: dict[int, Account]
    """By campaign code."""
    plan: Plan | None

    def campaigns(self) -> Iterator[tuple[Advertiser, Campaign]]:
        """Every campaign of the config, in its order."""
        for advertiser in self.bundle.advertisers if self.bundle else ():
            for campaign in advertiser.campaigns:
                yield advertiser, campaign

    def today(self, campaign: Campaign) -> int:
        """The campaign's local day at the moment of the snapshot, as the ledger counts days."""
        return local_day(int(self.now_s), campaign.time_zone)

    def in_flight(self, campaign: Campaign) -> bool:
        start_s, end_s = flight_bounds_s(campaign.flight, campaign.time_zone)
        return start_s <= self.now_s < end_s


class Watcher:
    """Takes snapshots. `bundle` is the live config; whoever follows it puts it here."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        ledger: Ledger,
        metrics_dir: Path,
        bundle: Bundle | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.bundle = bundle
        self._client = client
        self._ledger = ledger
        self._metrics_dir = metrics_dir
        self._clock = clock

    async def readiness(self) -> Readiness:
        return await ask(self._client)

    async def snapshot(self) -> Snapshot:
        """Gather what there is. A Redis that fails is in the answer, not an exception."""
        bundle = self.bundle
        readiness = await self.readiness()
        accounts: dict[int, Account] = {}
        live_plan: Plan | None = None
        # A Redis that has just been waited for in vain is not waited for again.
        if readiness.reason != REDIS_SILENT:
            try:
                accounts = await self._ledger.accounts(list(bundle.campaigns_by_code()) if bundle else [])
                live_plan = await plan.fetch(self._client)
            except redis.RedisError:
                readiness = Readiness(REDIS_SILENT)
        return Snapshot(
            now_s=self._clock(),
            readiness=readiness,
            metrics=await asyncio.to_thread(_merged, self._metrics_dir),
            bundle=bundle,
            accounts=accounts,
            plan=live_plan,
        )


def _merged(metrics_dir: Path) -> tuple[Metric, ...]:
    # Reading tens of memory-mapped files takes milliseconds: beside the loop, not on it.
    collector = MultiProcessCollector(None, path=str(metrics_dir))  # type: ignore[no-untyped-call] # not annotated
    return tuple(collector.collect())  # type: ignore[no-untyped-call]
