"""What a run has counted so far, and the frozen summary made of it.

`Tally` is written by the run, on one event loop; `summary()` may be taken at any time, for the live
table as for the end.
"""

import re
from collections import Counter

import msgspec

from config.money import Money
from loadtest.books import Books, CampaignAccount
from loadtest.histogram import LatencyHistogram
from loadtest.limits import PROBLEMS_KEPT_MAX, TIMELINE_SECONDS_MAX

_PARTICULARS = re.compile(r"""'[^']*'|"[^"]*"|\d+(?:\.\d+)?""")
"""What differs between two sentences about the same fault: ids and numbers."""


class Second(msgspec.Struct):
    """What happened in one second of the run; answers with bids count when they arrive."""

    requests: int = 0
    bid_answers: int = 0
    timeouts: int = 0
    errors: int = 0


class Problem(msgspec.Struct, frozen=True):
    """A fault of answers, or of notices: the first sentence about it, and how often it was found."""

    sentence: str
    times: int


class Percentiles(msgspec.Struct, frozen=True):
    """In ms."""

    p50: float
    p90: float
    p99: float
    p999: float
    max: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One target in figures.

    `bids` counts valid bids in time, `bid_answers` the answers that held them. `timeouts` are
    answers after tmax, or never; their bids take no part. `errors` adds up `errors_by_kind`.
    `skipped` requests were never sent, as the client itself had no room for them. `notices` counts calls by
    kind, repetitions included. Latency is that of good answers (200 and 204); a request that got no answer or
    found no connection counts with the time after which it was given up on, and an error has none.
    """

    elapsed_s: float
    requests: int
    skipped: int
    answers: int
    no_bids: int
    bid_answers: int
    bids: int
    wins: int
    losses: int
    impressions: int
    clicks: int
    spend: Money
    currency: str
    timeouts: int
    errors: int
    errors_by_kind: dict[str, int]
    problems: tuple[Problem, ...]
    notices: dict[str, int]
    notices_repeated: int
    notices_lost: int
    notices_delayed: int
    notices_reordered: int
    latency_ms: Percentiles
    latency_curve: tuple[tuple[float, float], ...]
    campaigns: tuple[CampaignAccount, ...]

    @property
    def rate_per_s(self) -> float:
        """Requests sent in a second."""
        return self.requests / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def bid_rate(self) -> float:
        """The share of requests that were bid on."""
        return self.bid_answers / self.requests if self.requests else 0.0


class Tally:
    """Running counts of one target."""

    def __init__(self, currency: str) -> None:
        self._currency = currency
        self.books = Books()
        self.requests = self.skipped = self.answers = self.no_bids = self.bid_answers = self.bids = 0
        self.losses = self.timeouts = 0
        self.notices_repeated = self.notices_lost = self.notices_delayed = self.notices_reordered = 0
        self.errors: Counter[str] = Counter()
        self.notices: Counter[str] = Counter()
        self.problems: dict[str, Problem] = {}
        self.latency = LatencyHistogram()
        self.timeline: list[Second] = []

    def second(self, elapsed_s: float) -> Second:
        """Return the second to count into; a run past TIMELINE_SECONDS_MAX fills its last."""
        index = min(max(int(elapsed_s), 0), TIMELINE_SECONDS_MAX - 1)
        while len(self.timeline) <= index:
            self.timeline.append(Second())
        return self.timeline[index]

    def refuse(self, sentences: list[str]) -> None:
        """Count an invalid answer and its faults, up to PROBLEMS_KEPT_MAX different ones."""
        self.fail("invalid_response", *sentences)

    def fail(self, kind: str, *sentences: str) -> None:
        """Count an error of a kind, and what is said about it likewise."""
        self.errors[kind] += 1
        for sentence in sentences:
            fault = _PARTICULARS.sub("", sentence)
            seen = self.problems.get(fault)
            if seen is not None:
                self.problems[fault] = Problem(seen.sentence, seen.times + 1)
            elif len(self.problems) < PROBLEMS_KEPT_MAX:
                self.problems[fault] = Problem(sentence, 1)

    def summary(self, elapsed_s: float) -> Summary:
        """Return everything counted so far."""
        return Summary(
            elapsed_s=elapsed_s,
            requests=self.requests,
            skipped=self.skipped,
            answers=self.answers,
            no_bids=self.no_bids,
            bid_answers=self.bid_answers,
            bids=self.bids,
            wins=self.books.wins,
            losses=self.losses,
            impressions=self.books.impressions,
            clicks=self.books.clicks,
            spend=Money(self.books.spent),
            currency=self._currency,
            timeouts=self.timeouts,
            errors=self.errors.total(),
            errors_by_kind=dict(sorted(self.errors.items())),
            problems=tuple(self.problems.values()),
            notices=dict(sorted(self.notices.items())),
            notices_repeated=self.notices_repeated,
            notices_lost=self.notices_lost,
            notices_delayed=self.notices_delayed,
            notices_reordered=self.notices_reordered,
            latency_ms=percentiles(self.latency),
            latency_curve=tuple(self.latency.curve()),
            campaigns=self.books.accounts(),
        )


def percentiles(histogram: LatencyHistogram) -> Percentiles:
    """Return the percentiles that every report names, in ms."""
    p50, p90, p99, p999 = (histogram.percentile_ms(percent) for percent in (50, 90, 99, 99.9))
    return Percentiles(p50, p90, p99, p999, histogram.max_ms)
