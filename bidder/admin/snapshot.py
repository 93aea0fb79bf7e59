"""What the admin process knows at one moment, gathered once for each question it is asked.

`Watcher.snapshot` asks Redis for the workers, the ledger's accounts, the pacing plan, how it is itself and
now and then for the audiences, and merges the metric files of all processes. What it returns is data:
`bidder.admin.status` shows it as JSON, `bidder.admin.collector` shows it to Prometheus.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import redis.asyncio
from prometheus_client import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from bidder.admin import redis_state
from bidder.admin.freshness import Freshness, freshness, names_in_use
from bidder.admin.readiness import REDIS_SILENT, Readiness, ask
from bidder.admin.redis_state import RedisState
from config import refused_edit
from config.calendar import flight_bounds_s, local_day, local_hour
from config.refused_edit import RefusedEdit
from config.schema import Advertiser, Bundle, Campaign
from pacing import plan
from pacing import stop as global_stop
from pacing.account import Account
from pacing.ledger import Ledger
from pacing.plan import Plan
from pacing.shading import fetch_shading
from pacing.stop import Stop
from segments.counts_history import counts_history
from segments.registry import SegmentRegistry

FRESHNESS_SECONDS: Final = 30.0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """`accounts` and `plan` are empty when Redis does not answer, and lack what it does not know."""

    now_s: float
    readiness: Readiness
    metrics: tuple[Metric, ...]
    """Every process's, merged."""
    bundle: Bundle | None
    accounts: dict[int, Account]
    """By campaign code."""
    line_item_accounts: dict[int, Account] = {}
    """Of line items with a budget of their own, by the code of the account."""
    plan: Plan | None
    shading_auctions: dict[str, float] = {}
    """Auctions that prices were counted from, by the name of their cell (`pacing.cells`)."""
    stop: Stop | None
    """What holds all bidding."""
    refused_edits: tuple[RefusedEdit, ...] = ()
    redis: RedisState | None
    freshness: Freshness | None
    """Looked at every FRESHNESS_SECONDS."""

    def campaigns(self) -> Iterator[tuple[Advertiser, Campaign]]:
        """Every campaign of the config, in its order."""
        for advertiser in self.bundle.advertisers if self.bundle else ():
            for campaign in advertiser.campaigns:
                yield advertiser, campaign

    def today(self, campaign: Campaign) -> int:
        """The campaign's local day at the moment of the snapshot, as the ledger counts days."""
        return local_day(int(self.now_s), campaign.time_zone)

    def hour(self, campaign: Campaign) -> int:
        """The campaign's local hour, likewise."""
        return local_hour(int(self.now_s), campaign.time_zone)

    def in_flight(self, campaign: Campaign) -> bool:
        """Tell whether the moment of the snapshot is in the campaign's flight."""
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
        self._freshness: Freshness | None = None
        self._freshness_of: tuple[str, float] = ("", -math.inf)
        self._names_in_use: tuple[str, set[str]] = ("", set())
        self._shading_of = 0
        self._shading_auctions: dict[str, float] = {}
        self._client = client
        self._ledger = ledger
        self._metrics_dir = metrics_dir
        self._clock = clock

    def now_s(self) -> float:
        return self._clock()

    async def readiness(self) -> Readiness:
        """Return whether the engine may be sent traffic."""
        return await ask(self._client)

    async def snapshot(self) -> Snapshot:
        """Gather what there is. A Redis that fails is in the answer, not an exception."""
        bundle = self.bundle
        readiness = await self.readiness()
        accounts: dict[int, Account] = {}
        of_line_items: dict[int, Account] = {}
        live_plan: Plan | None = None
        stop: Stop | None = None
        refused_edits: tuple[RefusedEdit, ...] = ()
        state: RedisState | None = None
        fresh: Freshness | None = None
        # A Redis that has just been waited for in vain is not waited for again.
        if readiness.reason != REDIS_SILENT:
            try:
                accounts = await self._ledger.accounts(list(bundle.campaigns_by_code()) if bundle else [])
                of_line_items = await self._ledger.accounts(
                    list(bundle.line_items_by_account()) if bundle else []
                )
                live_plan = await plan.fetch(self._client)
                if live_plan is not None and live_plan.shading_version != self._shading_of:
                    shading = await fetch_shading(self._client)
                    self._shading_of = live_plan.shading_version
                    self._shading_auctions = shading.auctions if shading is not None else {}
                stop = await global_stop.fetch(self._client)
                refused_edits = await refused_edit.current(self._client, self._clock())
                # A user who may not ask for INFO has a Redis that is well all the same.
                with contextlib.suppress(redis.ResponseError):
                    state = await redis_state.ask(self._client)
                fresh = await self._audiences(bundle)
            except redis.RedisError:
                readiness = Readiness(REDIS_SILENT)
        return Snapshot(
            now_s=self._clock(),
            readiness=readiness,
            metrics=await self.metrics(),
            bundle=bundle,
            accounts=accounts,
            line_item_accounts=of_line_items,
            plan=live_plan,
            shading_auctions=self._shading_auctions,
            stop=stop,
            refused_edits=refused_edits,
            redis=state,
            freshness=fresh,
        )

    async def metrics(self) -> tuple[Metric, ...]:
        """Merge the counters of all processes."""
        return await asyncio.to_thread(_merged, self._metrics_dir)

    async def _audiences(self, bundle: Bundle | None) -> Freshness | None:
        if bundle is None:
            return None
        version, looked_s = self._freshness_of
        if version == bundle.version and time.monotonic() - looked_s < FRESHNESS_SECONDS:
            return self._freshness
        if self._names_in_use[0] != bundle.version:
            self._names_in_use = bundle.version, names_in_use(bundle)
        definitions = await SegmentRegistry(self._client).describe()
        counted = await counts_history(self._client, 1)
        self._freshness = freshness(
            self._names_in_use[1], definitions, counted[0] if counted else None, self._clock()
        )
        self._freshness_of = bundle.version, time.monotonic()
        return self._freshness


def _merged(metrics_dir: Path) -> tuple[Metric, ...]:
    # Reading tens of memory-mapped files takes milliseconds: beside the loop, not on it.
    files = []
    for file in metrics_dir.glob("*.db"):
        # A dead process's file may be taken away any moment; one that is just made has no size yet.
        with contextlib.suppress(FileNotFoundError):
            if file.stat().st_size:
                files.append(str(file))
    merged = MultiProcessCollector.merge(files, accumulate=True)  # type: ignore[no-untyped-call] # not annotated
    return tuple(merged)
