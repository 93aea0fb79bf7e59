"""E4: the spend of a real day against its plan, campaign 1458, budget 1/32, paced by the engine's controller.

The day's first 18 hours are replayed at their own times, the auctions of an hour spread evenly over it. The
controller ticks as in the engine, hears of spend REPORT_DELAY_S later (E4) or a minute later
(E4_delay60), and may not exceed its own ceiling, as the ledger sees to. Its plan is the campaign's traffic by
hour, each hour wrong by 15 %: a factor drawn from a log-normal distribution. Several such plans are followed,
and the worst figure of them is reported.

Pacing error, as in Smart Pacing (Xu et al. 2015): the root mean square, over slots of 15 minutes, of spend
minus plan, in shares of the mean slot's money. Value is the sum of the predicted click rates of what was won,
in shares of what the best fixed multiplier would have bought, had it been known.
"""

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.bidding.auctions import PRICE_MAX, Auctions, SharedData
from benchmarks.bidding.results import Cell, Line, Picture, Result, at_least, at_most
from pacing.curve import QUARTER_S, PlanCurve, Week
from pacing.pace import INTERVAL_S, CampaignState, Observation, resolve
from pacing.plan import MULTIPLIER_ONE_Q16

CAMPAIGN: Final = 1458
HOURS: Final = 18
HOUR_S: Final = 3_600
DAY_S: Final = HOURS * HOUR_S
MONDAY_S: Final = 4 * 86_400
BUDGET_SHARE: Final = 1 / 32
BID_MEAN_MAX: Final = PRICE_MAX
"""What the mean auction is bid at a multiplier of 1; only the scale of the multiplier depends on it."""
PLAN_ERROR: Final = 0.15
PLANS: Final = 3
REPORT_DELAY_S: Final = 1.0
REPORT_DELAY_LONG_S: Final = 60.0
SLOTS: Final = DAY_S // QUARTER_S


class Day(msgspec.Struct, frozen=True):
    """How one day went; money in fen for one impression each."""

    spent: int
    value: float
    error: float
    """The pacing error."""
    deviation_max: float
    """The furthest that spend ever was from the plan, in shares of the budget."""
    spend: npt.NDArray[np.float64]
    """Spend at the end of each tick, in shares of the budget."""
    planned: npt.NDArray[np.float64]
    multiplier: npt.NDArray[np.float64]


def run(data: SharedData, small: bool = False) -> Result:
    """Replay the day with reports that come a second late."""
    return _run(data, small, REPORT_DELAY_S, 0.05)


def run_delayed(data: SharedData, small: bool = False) -> Result:
    """Replay the day with reports that come a minute late."""
    return _run(data, small, REPORT_DELAY_LONG_S, 0.10)


def _run(data: SharedData, small: bool, delay_s: float, error_max: float) -> Result:
    """Follow PLANS plans (small: one, of a tenth of the auctions, whose figures say nothing)."""
    train, test = data.auctions(f"{CAMPAIGN}.train"), data.auctions(f"{CAMPAIGN}.test")
    auctions = Auctions(*(np.concatenate(pair) for pair in zip(train.columns(), test.columns(), strict=True)))
    auctions = auctions.part(auctions.hour < HOURS)
    if small:
        auctions = auctions.part(slice(None, None, 10))
    budget = int(auctions.price.sum() * BUDGET_SHARE)
    best = hindsight(auctions, budget)
    days = [
        replay(auctions, budget, wrong_plan(auctions, seed), delay_s) for seed in range(1 if small else PLANS)
    ]
    spent = [day.spent / budget for day in days]
    cells: list[Cell] = [
        at_most("pacing error", max(day.error for day in days), error_max, "5.7 to 13.4 % live, 18 % offline")
    ]
    if delay_s == REPORT_DELAY_S:
        cells += [
            at_most("largest deviation from the plan", max(day.deviation_max for day in days), 0.01),
            at_least("share of hindsight value", min(day.value for day in days) / best, 0.99),
            at_least("budget spent, least", min(spent), 0.995),
            at_most("budget spent, most", max(spent), 1.0),
        ]
    about = f"spend of a real day against a plan 15 % wrong an hour, reports {delay_s:.0f} s late"
    return Result(about=about, cells=cells, pictures=_pictures(days[0]))


def wrong_plan(auctions: Auctions, seed: int) -> PlanCurve:
    """Return the plan of someone who expects each hour's traffic to be another than it will be."""
    traffic = np.bincount(auctions.hour, minlength=HOURS).astype(float)
    traffic *= np.random.default_rng(seed).lognormal(0, PLAN_ERROR, HOURS)
    quarters = np.zeros(7 * 24 * 4)
    quarters[: HOURS * 4] = np.repeat(traffic, 4)
    return PlanCurve(MONDAY_S, MONDAY_S + DAY_S, [(MONDAY_S, Week(quarters))])


def times_s(auctions: Auctions) -> npt.NDArray[np.float64]:
    """Return when each auction takes place, in seconds since midnight: evenly within its hour."""
    traffic = np.bincount(auctions.hour, minlength=HOURS)
    first = np.concatenate([[0], np.cumsum(traffic)])[auctions.hour]
    place = np.arange(len(auctions)) - first
    times: npt.NDArray[np.float64] = (auctions.hour + (place + 0.5) / traffic[auctions.hour]) * HOUR_S
    return times


def replay(auctions: Auctions, budget: int, curve: PlanCurve, delay_s: float) -> Day:
    """Bid on every auction of the day."""
    at_s = times_s(auctions)
    ticks = int(DAY_S / INTERVAL_S)
    edges = np.searchsorted(at_s, np.arange(ticks + 1) * INTERVAL_S)
    bids_at_one = auctions.click_rate * (BID_MEAN_MAX / auctions.click_rate.mean())
    state = CampaignState(at_s=MONDAY_S, spent=0)
    spends, multipliers = np.zeros(ticks + 1), np.ones(ticks + 1)
    heard_ticks = round(delay_s / INTERVAL_S + 0.49)
    multiplier, ceiling = 1.0, budget
    spent, value, slots = 0, 0.0, np.zeros(SLOTS)
    for tick in range(ticks):
        part = slice(edges[tick], edges[tick + 1])
        bids = np.minimum(bids_at_one[part] * multiplier, PRICE_MAX).astype(np.int64)
        costs = np.where(bids >= auctions.price[part], auctions.price[part], 0)
        # The ledger stops what would pass the ceiling.
        won = (costs > 0) & (spent + np.cumsum(costs) <= min(ceiling, budget))
        cost = int(costs[won].sum())
        spent += cost
        value += float(auctions.click_rate[part][won].sum())
        slots[int(tick * INTERVAL_S / QUARTER_S)] += cost
        now_s = MONDAY_S + (tick + 1) * INTERVAL_S
        spends[tick + 1] = spent
        heard = int(spends[max(tick + 1 - heard_ticks, 0)])
        observed = Observation(
            curve=curve,
            budget=budget,
            spent=heard,
            spent_today=heard,
            spent_ever=heard,
            leased=max(ceiling - spent, 0),
            price=BID_MEAN_MAX,
            outcomes=1,
        )
        state, multiplier_q16, granted = resolve(state, observed, now_s)
        multiplier = multiplier_q16 / MULTIPLIER_ONE_Q16
        multipliers[tick + 1] = multiplier
        ceiling = budget if granted is None else granted
    planned = np.array([curve.share(MONDAY_S + tick * INTERVAL_S) for tick in range(ticks + 1)])
    slot_plan = np.diff(planned[:: QUARTER_S // int(INTERVAL_S)]) * budget
    error = float(np.sqrt(np.mean((slots - slot_plan) ** 2))) * SLOTS / budget
    spend = spends / budget
    return Day(spent, value, error, float(np.abs(spend - planned).max()), spend, planned, multipliers)


def hindsight(auctions: Auctions, budget: int) -> float:
    """Return what the best fixed multiplier buys, bidding until the budget is gone."""
    bids_at_one = auctions.click_rate * (BID_MEAN_MAX / auctions.click_rate.mean())
    best = 0.0
    for multiplier in np.geomspace(0.01, 1.0, 300):
        won = np.minimum(bids_at_one * multiplier, PRICE_MAX).astype(np.int64) >= auctions.price
        costs = np.where(won, auctions.price, 0)
        won &= np.cumsum(costs) <= budget
        best = max(best, float(auctions.click_rate[won].sum()))
    return best


def _pictures(day: Day) -> list[Picture]:
    shown = slice(None, None, 60)
    hours = np.arange(len(day.spend))[shown] * INTERVAL_S / HOUR_S
    x = hours.tolist()
    spend = [Line("spend", x, day.spend[shown].tolist()), Line("plan", x, day.planned[shown].tolist())]
    return [
        Picture(title="Spend against plan", x_label="hour", y_label="share of the budget", lines=spend),
        Picture(
            title="Multiplier",
            x_label="hour",
            y_label="multiplier",
            lines=[Line("multiplier", x, day.multiplier[shown].tolist())],
        ),
    ]
