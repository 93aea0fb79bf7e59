"""A run's result as one typed value: what `hustings loadtest --json` prints, and all that the page shows.

    result = result_of(asked, exchange, started_at)
    msgspec.json.encode(result)

`docs/load-testing.md` describes every field. `version` grows when a field changes its meaning or goes; new
fields may come without. Money is exact decimal text in `currency`; latencies are milliseconds.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from config.money import money_text
from loadtest.books import CampaignAccount
from loadtest.exchange import Ending, Exchange
from loadtest.lane import Target
from loadtest.tally import Percentiles, Problem, Second, Summary

VERSION = 1


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the run was to be; the same again, with the same files, sends the same requests."""

    rate: float
    seconds: float
    warm_up_seconds: float
    seed: int
    connections: int
    source: str
    """Where the requests came from: `generated`, with the mix, or a file name."""
    shape: str
    landscape: str
    notices: str


class Campaign(msgspec.Struct, frozen=True):
    """One campaign (`bid.cid`) by the exchange's books."""

    id: str
    spent: str
    wins: int
    impressions: int
    clicks: int


class WarmUp(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to the warm-up's requests, and to none of the other figures."""

    requests: int
    timeouts: int
    errors: int
    wins: int
    spend: str
    campaigns: list[Campaign]


class TargetResult(msgspec.Struct, frozen=True, kw_only=True):
    """One target; `loadtest.tally.Summary` says what counts as what."""

    name: str
    url: str
    requests: int
    rate: float
    skipped: int
    answers: int
    no_bids: int
    bid_answers: int
    bid_rate: float
    bids: int
    wins: int
    losses: int
    impressions: int
    clicks: int
    spend: str
    timeouts: int
    errors: int
    errors_by_kind: dict[str, int]
    problems: list[Problem]
    latency_ms: Percentiles
    latency_curve: list[tuple[float, float]]
    """Percent of the requests, and the milliseconds within which they were answered."""
    notices: dict[str, int]
    notices_repeated: int
    notices_lost: int
    notices_delayed: int
    notices_reordered: int
    campaigns: list[Campaign]
    timeline: list[Second]
    warm_up: WarmUp


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """The client's own work; `reasons` say why it `is_bottleneck`."""

    is_bottleneck: bool
    reasons: list[str]
    late_ms: Percentiles
    loop_lag_ms: Percentiles
    cpu_share: float
    cpu_share_max: float
    skipped: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The counts at the top are those of all targets together; `latency_ms` is, at each percentile, the
    slowest target's."""

    kind: Literal["hustings-loadtest"] = "hustings-loadtest"
    version: int = VERSION
    started_at: str
    ending: Ending
    asked: Asked
    seconds: float
    requests: int
    rate: float
    bid_rate: float
    bids: int
    wins: int
    impressions: int
    clicks: int
    spend: str
    currency: str
    timeouts: int
    errors: int
    errors_by_kind: dict[str, int]
    latency_ms: Percentiles
    client: Client
    targets: list[TargetResult]


def result_of(asked: Asked, targets: Sequence[Target], exchange: Exchange, started_at: str) -> Result:
    """Return what a run has come to so far; `started_at` is a date and time in ISO 8601."""
    summaries = exchange.snapshots()
    figures = exchange.client()
    requests = sum(summary.requests for summary in summaries)
    errors_by_kind: Counter[str] = Counter()
    for summary in summaries:
        errors_by_kind.update(summary.errors_by_kind)
    elapsed_s = summaries[0].elapsed_s
    return Result(
        started_at=started_at,
        ending=exchange.ending,
        asked=asked,
        seconds=round(elapsed_s, 3),
        requests=requests,
        rate=round(requests / elapsed_s, 1) if elapsed_s else 0.0,
        bid_rate=round(sum(s.bid_answers for s in summaries) / requests, 4) if requests else 0.0,
        bids=sum(summary.bids for summary in summaries),
        wins=sum(summary.wins for summary in summaries),
        impressions=sum(summary.impressions for summary in summaries),
        clicks=sum(summary.clicks for summary in summaries),
        spend=money_text(sum(summary.spend for summary in summaries)),
        currency=summaries[0].currency,
        timeouts=sum(summary.timeouts for summary in summaries),
        errors=sum(summary.errors for summary in summaries),
        errors_by_kind=dict(sorted(errors_by_kind.items())),
        latency_ms=_rounded(_slowest([summary.latency_ms for summary in summaries])),
        client=Client(
            is_bottleneck=bool(figures.verdict),
            reasons=list(figures.verdict),
            late_ms=_rounded(figures.late_ms),
            loop_lag_ms=_rounded(figures.loop_lag_ms),
            cpu_share=figures.cpu_share,
            cpu_share_max=figures.cpu_share_max,
            skipped=figures.skipped,
        ),
        targets=[
            _target_result(target, summary, timeline, warm_up)
            for target, summary, timeline, warm_up in zip(
                targets, summaries, exchange.timelines(), exchange.warm_ups(), strict=True
            )
        ],
    )


def _target_result(
    target: Target, summary: Summary, timeline: list[Second], warm_up: Summary
) -> TargetResult:
    return TargetResult(
        name=target.name,
        url=target.url,
        requests=summary.requests,
        rate=round(summary.rate_per_s, 1),
        skipped=summary.skipped,
        answers=summary.answers,
        no_bids=summary.no_bids,
        bid_answers=summary.bid_answers,
        bid_rate=round(summary.bid_rate, 4),
        bids=summary.bids,
        wins=summary.wins,
        losses=summary.losses,
        impressions=summary.impressions,
        clicks=summary.clicks,
        spend=money_text(summary.spend),
        timeouts=summary.timeouts,
        errors=summary.errors,
        errors_by_kind=summary.errors_by_kind,
        problems=list(summary.problems),
        latency_ms=_rounded(summary.latency_ms),
        latency_curve=[(round(percent, 5), round(ms, 3)) for percent, ms in summary.latency_curve],
        notices=summary.notices,
        notices_repeated=summary.notices_repeated,
        notices_lost=summary.notices_lost,
        notices_delayed=summary.notices_delayed,
        notices_reordered=summary.notices_reordered,
        campaigns=_campaigns(summary.campaigns),
        timeline=timeline,
        warm_up=WarmUp(
            requests=warm_up.requests,
            timeouts=warm_up.timeouts,
            errors=warm_up.errors,
            wins=warm_up.wins,
            spend=money_text(warm_up.spend),
            campaigns=_campaigns(warm_up.campaigns),
        ),
    )


def _campaigns(accounts: Sequence[CampaignAccount]) -> list[Campaign]:
    return [Campaign(a.id, money_text(a.spent), a.wins, a.impressions, a.clicks) for a in accounts]


def _slowest(all_of_them: Sequence[Percentiles]) -> Percentiles:
    values = zip(*(msgspec.structs.astuple(percentiles) for percentiles in all_of_them), strict=True)
    return Percentiles(*(max(column) for column in values))


def _rounded(percentiles: Percentiles) -> Percentiles:
    return Percentiles(*(round(value, 3) for value in msgspec.structs.astuple(percentiles)))
