"""Which money a campaign is spending now, and for which stretch of time.

    start_s, end_s = window(campaign, now_s)
    curve = plan_curve(campaign, start_s, end_s, traffic)          # pacing.curve
    observed = observe(campaign, account, curve, outcomes, now_s)   # pacing.pace

The money of a window is the daily budget where there is one; else what was left of the total when
the window began.
"""

import math

from config.calendar import OPEN_END_S, day_bounds_s, flight_bounds_s, local_day, local_hour
from config.schema import Campaign
from pacing.account import Account
from pacing.curve import PlanCurve
from pacing.pace import Observation

_HOUR_S = 3_600


def window(campaign: Campaign, now_s: float) -> tuple[int, int]:
    """Return the start and end, in unix seconds, of the time the campaign's current money is for.

    With a daily budget: today, in the campaign's time zone, as far as the flight covers it. With
    only a total: the flight; where the flight has no start, from this midnight on, so that what is
    left is spread again each day; where it has no end, today. A flight that does not touch today
    gives an empty window, whose start is not before its end.
    """
    day_start_s, day_end_s = day_bounds_s(int(now_s), campaign.time_zone)
    flight_start_s, flight_end_s = flight_bounds_s(campaign.flight, campaign.time_zone)
    if campaign.budget.daily is not None or flight_end_s == OPEN_END_S:
        return max(day_start_s, flight_start_s), min(day_end_s, flight_end_s)
    return flight_start_s or day_start_s, flight_end_s


def observe(
    campaign: Campaign, account: Account, curve: PlanCurve, outcomes: int, now_s: float
) -> Observation:
    """Relate a campaign's account to its window, whose curve is `curve`.

    A window that began today or later has today's money: what was left of the total this morning,
    or the daily budget if that is less. An older one has the total.
    """
    day_start_s, _ = day_bounds_s(int(now_s), campaign.time_zone)
    spent_today = account.spent_on(local_day(int(now_s), campaign.time_zone))
    budget, spent = int(campaign.budget.total), account.spent
    if curve.start_s >= day_start_s:
        budget, spent = budget - (account.spent - spent_today), spent_today
        if campaign.budget.daily is not None:
            budget = min(budget, int(campaign.budget.daily))
    due_per_s_max = math.inf
    if campaign.budget.hourly is not None:
        # What past hours left unspent can't be made up.
        hours_left = max(curve.end_s - max(now_s, curve.start_s), 0) / _HOUR_S
        budget = min(budget, spent + math.ceil(campaign.budget.hourly * hours_left))
        due_per_s_max = _hourly_rate(campaign.budget.hourly, account, campaign.time_zone, now_s)
    bids = [line_item.cpm_max_micros for line_item in campaign.line_items]
    return Observation(
        pacing=campaign.pacing,
        curve=curve,
        budget=max(budget, 0),
        spent=spent,
        spent_today=spent_today,
        spent_ever=account.billed,
        leased=account.leased,
        due_per_s_max=due_per_s_max,
        paused=account.paused or campaign.paused,
        price=sum(bids) // max(len(bids), 1),
        outcomes=outcomes,
    )


def _hourly_rate(hourly: int, account: Account, zone: str, now_s: float) -> float:
    """Return what the hour's money allows in each second that is left of the hour."""
    hour_s = local_hour(int(now_s), zone)
    left = hourly - (account.spent_hour if account.hour >= hour_s else 0)
    return max(left, 0) / max(hour_s + _HOUR_S - now_s, 1.0)
