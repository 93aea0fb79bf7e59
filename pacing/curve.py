"""How a window's money is spread over its time: the curve A(t) that a campaign's spend should follow.

    curve = plan_curve(campaign, start_s, end_s, hour_weights(traffic))
    should_be_spent = money_of_the_window * curve.share(now_s)

Even delivery means: as much for each request that the campaign could bid on. So the plan's slope at any
moment is the product of

    traffic     how many such requests that hour of the week brings (`pacing.traffic`), 168 numbers
    open        1 in hours when any line item may run, by flight and daypart, else 0
    weight      what `pacing_weights` in the config say of the hour; 1 where they say nothing

and where a line item's flight begins or ends, or the clocks change, a new stretch begins. A week of quarters
of an hour is added up once for each stretch; A at a moment is then whole weeks, and a place in one week: a
few look-ups, whatever the length of the flight. Quarters, because that is how far apart time zones are.

For example, a campaign that may run from 18:00 to 22:00, whose traffic doubles at 20:00, on a day's $60:

    18:00  A = 0       19:00  A = 1/6, $10      20:00  A = 2/6, $20      21:00  A = 4/6, $40      22:00  A = 1

The plan is complete a little before its window closes, when no more traffic is to come than CLOSING_SECONDS
bring at the best of times, so that the last impressions are billed within it. `ahead` bends the curve: x
becomes x + AHEAD_SHARE · x · (1 - x), which is half as fast again as even delivery at the start, half as fast
at the end, and at 62.5 % at half time.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.calendar import (
    HOURS_PER_WEEK,
    clock_changes_s,
    daypart_hours,
    flight_bounds_s,
    utc_offset_s,
)
from config.schema import Campaign

QUARTER_S: Final = 900
WEEK_S: Final = 7 * 86_400
_QUARTERS: Final = WEEK_S // QUARTER_S
_MONDAY_S: Final = 4 * 86_400
"""1970-01-05, the first Monday."""
CLOSING_SECONDS: Final = 60.0
"""The plan is complete when no more traffic is to come than so long brings at the best of times ..."""
CLOSING_SHARE_MAX: Final = 0.02
"""... or than this share of all of it, if that is less."""
AHEAD_SHARE: Final = 0.5

HourWeights = NDArray[np.float64]
"""float64[168]: weights of the hours of a week, Monday 00:00 UTC first, relative to each other."""
EVEN_HOURS: Final[HourWeights] = np.ones(HOURS_PER_WEEK)


class Week:
    """A week of weights, ready to be added up between any two moments."""

    def __init__(self, quarters: NDArray[np.float64]) -> None:
        """`quarters`: float64[672], the weight of each quarter of an hour from Monday 00:00 UTC on."""
        sums = np.concatenate([[0.0], np.cumsum(quarters)]) * QUARTER_S
        self._sums: list[float] = sums.tolist()
        self.peak = float(quarters.max())

    def up_to(self, at_s: float) -> float:
        """Return the weight, in seconds of weight 1, from the first Monday to a moment."""
        weeks, place_s = divmod(at_s - _MONDAY_S, WEEK_S)
        quarter = min(int(place_s / QUARTER_S), _QUARTERS - 1)
        low, high = self._sums[quarter], self._sums[quarter + 1]
        return weeks * self._sums[-1] + low + (high - low) * (place_s / QUARTER_S - quarter)


EVEN_WEEK: Final = Week(np.ones(_QUARTERS))


class PlanCurve:
    """A(t) of one campaign and one window."""

    def __init__(
        self, start_s: int, end_s: int, stretches: Sequence[tuple[int, Week]] = (), *, ahead: bool = False
    ) -> None:
        """`stretches`: where each begins, the first at `start_s`, and its week; none is even in time."""
        self.start_s, self.end_s = start_s, end_s
        self._ahead = ahead
        # What may never run has no traffic to follow: nothing is spent, whatever the plan.
        if not stretches or not self._spread(stretches):
            self._spread([(start_s, EVEN_WEEK)])

    def _spread(self, stretches: Sequence[tuple[int, Week]]) -> bool:
        self._starts = [start for start, _ in stretches]
        self._weeks = [week for _, week in stretches]
        self._from = [week.up_to(start) for start, week in stretches]
        self._before = [0.0]
        for week, begun, until in zip(self._weeks, self._from, [*self._starts[1:], self.end_s], strict=True):
            self._before.append(self._before[-1] + week.up_to(until) - begun)
        whole = self._before[-1]
        closing = CLOSING_SECONDS * max((week.peak for week in self._weeks), default=0.0)
        self._total = whole - min(closing, CLOSING_SHARE_MAX * whole)
        return whole > 0

    def share(self, now_s: float) -> float:
        """Return how much of the window's money, 0 to 1, should be spent by `now_s`; it never falls."""
        if now_s < self.start_s or self.end_s <= self.start_s:
            return 0.0 if now_s < self.end_s else 1.0
        if now_s >= self.end_s:
            return 1.0
        at = bisect_right(self._starts, now_s) - 1
        gone = self._before[at] + self._weeks[at].up_to(now_s) - self._from[at]
        share = min(max(gone / self._total, 0.0), 1.0)
        return share + AHEAD_SHARE * share * (1 - share) if self._ahead else share


def plan_curve(campaign: Campaign, start_s: int, end_s: int, traffic: HourWeights = EVEN_HOURS) -> PlanCurve:
    """Return the curve of a campaign's window; where it may never run, the curve is even in time.

    `traffic`: what the hours of a week bring the campaign, in UTC.
    """
    zone, weights = campaign.time_zone, _weights(campaign)
    items = [(item, flight_bounds_s(item.flight, zone)) for item in campaign.line_items if not item.paused]
    edges = {edge for _, bounds_s in items for edge in bounds_s if start_s < edge < end_s}
    weeks: dict[tuple[int, frozenset[int]], Week] = {}
    stretches = []
    for edge in sorted({start_s, *edges, *clock_changes_s(start_s, end_s, zone)}):
        hours = frozenset[int]().union(
            *(daypart_hours(item.targeting.dayparts) for item, (on_s, off_s) in items if on_s <= edge < off_s)
        )
        kind = (utc_offset_s(edge, zone), hours)
        if kind not in weeks:
            weeks[kind] = _week(traffic, weights, *kind)
        stretches.append((edge, weeks[kind]))
    return PlanCurve(start_s, end_s, stretches, ahead=campaign.pacing == "ahead")


def _week(traffic: HourWeights, weights: NDArray[np.float64], offset_s: int, hours: frozenset[int]) -> Week:
    """Return a week in which the given local hours are open, at one distance from UTC."""
    open_weights = np.zeros(HOURS_PER_WEEK)
    open_weights[list(hours)] = weights[list(hours)]
    quarters = np.arange(_QUARTERS)
    local_hours = (quarters * QUARTER_S + offset_s) // 3_600 % HOURS_PER_WEEK
    return Week(traffic[quarters // 4] * open_weights[local_hours])


def _weights(campaign: Campaign) -> NDArray[np.float64]:
    """Return the config's weights of the local hours of a week: float64[168]."""
    weights = np.ones(HOURS_PER_WEEK)
    for weighted in campaign.pacing_weights:
        weights[list(daypart_hours((weighted.hours,)))] = weighted.percent / 100
    return weights
