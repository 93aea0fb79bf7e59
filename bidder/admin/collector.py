"""What Prometheus sees that no process counts: the ledger, the workers and the config, when it scrapes.

A `SnapshotCollector` is registered for one scrape. It passes on the merged metrics of the processes
and adds gauges made from the rest of the snapshot. Amounts are in currency units, as floats, for
graphs and alerts; the exact figures are the ledger's (`/status.json`).
"""

import math
import platform
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from bidder.admin.snapshot import Snapshot
from config.money import BILLION
from config.schema import Campaign, code_of
from pacing.plan import MULTIPLIER_ONE_Q16

_OF_CAMPAIGNS = {
    "hustings_campaign_budget": "Total budget, in currency units.",
    "hustings_campaign_daily_budget": "Budget of one local day, in currency units.",
    "hustings_campaign_spent": "Billed so far, in currency units.",
    "hustings_campaign_spent_today": "Billed on this local day, in currency units.",
    "hustings_campaign_leased": "In the hands of workers, in currency units.",
    "hustings_campaign_late": "Billed when in no lease any more, in currency units.",
    "hustings_campaign_multiplier": "The pacing controller's bid multiplier, 0 to 1.",
    "hustings_campaign_goal_multiplier": "The part of the multiplier that its goal asks for, 0 to 1.",
    "hustings_campaign_window_budget": (
        "The money of the day, or of what is left of the flight, in currency units."
    ),
    "hustings_campaign_window_spent": "What of it was spent, in currency units.",
    "hustings_campaign_window_planned": "What of it should be spent by now, in currency units.",
    "hustings_campaign_active": "1 when in flight and not paused, else 0.",
}
"""The gauges of each campaign, and what they mean."""


def exposition(snapshot: Snapshot) -> bytes:
    """Return a snapshot in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(snapshot))
    return generate_latest(registry)


class SnapshotCollector(Collector):
    """The metric families of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        yield from self._snapshot.metrics
        yield _build()
        yield from self._engine()
        yield from self._campaigns()
        yield self._shading()

    def _engine(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        yield GaugeMetricFamily(
            "hustings_ready", "1 when this engine may be sent traffic.", float(snapshot.readiness.ready)
        )
        yield GaugeMetricFamily(
            "hustings_workers_live", "Workers heard of lately.", len(snapshot.readiness.workers)
        )
        yield GaugeMetricFamily(
            "hustings_ledger_accounts", "Campaigns of the config with an account.", len(snapshot.accounts)
        )
        yield GaugeMetricFamily(
            "hustings_config_faults",
            "Faults of edited config folders, on any host, that are not live because of them.",
            sum(edit.fault_count for edit in snapshot.refused_edits),
        )
        if snapshot.bundle:
            yield InfoMetricFamily(
                "hustings_config", "The live config.", value={"version": snapshot.bundle.version}
            )
        if snapshot.plan or snapshot.readiness.ready:
            yield GaugeMetricFamily(
                "hustings_plan_age_seconds",
                "Time since the pacing controller's last plan; endless where workers wait for the first.",
                max(snapshot.now_s - snapshot.plan.made_at_s, 0.0) if snapshot.plan else math.inf,
            )

    def _shading(self) -> Metric:
        auctions = GaugeMetricFamily(
            "hustings_shading_auctions",
            "Auctions that shaded prices are counted from; those of a day ago weigh half.",
            labels=["exchange", "format", "device"],
        )
        for name, weight in self._snapshot.shading_auctions.items():
            auctions.add_metric(name.split("/"), weight)
        return auctions

    def _campaigns(self) -> Iterator[Metric]:
        gauges = {
            name: GaugeMetricFamily(name, meaning, labels=["campaign", "advertiser"])
            for name, meaning in _OF_CAMPAIGNS.items()
        }
        for advertiser, campaign in self._snapshot.campaigns():
            for name, value in self._figures(campaign):
                gauges[name].add_metric([campaign.id, advertiser.id], value)
        yield from gauges.values()

    def _figures(self, campaign: Campaign) -> Iterator[tuple[str, float]]:
        """What is known of a campaign, by the names of the gauges."""
        snapshot, code = self._snapshot, code_of(campaign.id)
        account = snapshot.accounts.get(code)
        running = snapshot.in_flight(campaign) and not campaign.paused
        running = running and account is not None and not account.paused
        yield "hustings_campaign_active", float(running)
        yield "hustings_campaign_budget", campaign.budget.total / BILLION
        if campaign.budget.daily is not None:
            yield "hustings_campaign_daily_budget", campaign.budget.daily / BILLION
        if account:
            yield "hustings_campaign_spent", account.spent / BILLION
            yield "hustings_campaign_spent_today", account.spent_on(snapshot.today(campaign)) / BILLION
            yield "hustings_campaign_leased", account.leased / BILLION
            yield "hustings_campaign_late", account.late / BILLION
        decided = snapshot.plan.campaigns.get(code) if snapshot.plan else None
        if decided is not None:
            yield "hustings_campaign_multiplier", decided.multiplier_q16 / MULTIPLIER_ONE_Q16
            if campaign.goal is not None:
                yield "hustings_campaign_goal_multiplier", decided.goal_q16 / MULTIPLIER_ONE_Q16
            yield "hustings_campaign_window_budget", decided.budget / BILLION
            yield "hustings_campaign_window_spent", decided.spent / BILLION
            if campaign.pacing != "asap":
                yield "hustings_campaign_window_planned", decided.planned / BILLION


@cache
def _build() -> Metric:
    try:
        release = version("hustings")
    except PackageNotFoundError:
        # Run from a source tree that was never installed.
        release = "unknown"
    labels = {"version": release, "python": platform.python_version()}
    return InfoMetricFamily("hustings_build", "This build of the engine.", value=labels)
