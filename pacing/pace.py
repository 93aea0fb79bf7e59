"""The rule of pacing: how eagerly a campaign bids next, from what it was to spend and what it spent.

    state, multiplier_q16, ceiling = resolve(state, observed, now_s)

Pure, and called by the elected controller for every campaign and tick (`pacing.controller`), and by
`benchmarks.bidding` on recorded auctions.

The rule
--------
A(t) is the plan (`pacing.curve`), B the window's money, S what was spent of it when the last tick ended, p
what an impression costs, about. Money that is not yet spent is planned anew at every tick, so an hour
without traffic is made up over the rest of the window, not in a burst:

    due      = (B - S) · (A(now) - A(last)) / (1 - A(last))        what should have been spent since
    excess   = spent since - due
    level   := level · exp(-excess · min(gain / p, elapsed / SETTLING_SECONDS / due))
    drift    := drift · exp(-elapsed / (DRIFT_WINDOW_SHARE · window)) + excess / B
    m        = level · exp(-lead · drift),  MULTIPLIER_MIN <= m <= 1

`level` is a slow memory of the right bid: one impression too many lowers it by `gain`, 5 % where the
window's money buys thousands, less where it buys hundreds and chance speaks louder, and more while little
is known of the campaign. Where a tick brings many impressions the second term rules: the level follows a
lasting error in SETTLING_SECONDS, more than a bill usually takes, or the two would swing. `drift` is how far
spend has come off its plan, in shares of B, slowly forgotten. It answers at once what the level answers
late. How far is far depends on what chance alone does: in a window of n impressions that is 1/√n of the
money. So lead is LEAD · √(B / p), at most LEAD_MAX.

Example: $100 for a day, even, $30 spent at noon: A = 0.500, and the next 2 s should cost
70 · 0.0000232 / 0.5 = $0.0032. At $0.002 an impression, two wins cost $0.0008 more than that. They lower the
level by the lesser of 0.0008 / 0.002 · 5 % = 2 % and 0.0008 / 0.0032 · 2 / 100 = 0.5 %.

Measured on recorded auctions (docs/bidding.md): without drift, a budget of a hundred impressions buys 94 % of
what hindsight could have bought; with it, 97 %.

*Spend* is what is billed, not what is leased. Leases move in lumps of seconds of spend, most of a
lease goes back unspent after lost auctions, and money in a lease can still be spent, so it belongs
to what is left. Leases do count where it matters: the ledger keeps billed plus leased under the ceiling
B · A(next tick) + 1 % of B, so the plan is a wall even for a campaign whose multiplier is wrong.

*Anti-windup*: spending less than planned is no reason to bid more when the campaign could not have
spent: less is leased than an impression costs (the ceiling, or the budget, is reached), it is paused,
or no auction of any campaign had an outcome. Then m may fall but does not rise. After SILENCE_S_MAX
without any outcome the level rises again: perhaps the silence is ours, because every bid is under its floor.

Rejected: a coin toss for each request at a fixed bid. On the recorded day it buys 80 predicted clicks with
the money that buys 125 at a lower one (docs/bidding.md).
"""

import math
from typing import Final

import msgspec

from config.schema import Pacing
from pacing.curve import PlanCurve
from pacing.plan import MULTIPLIER_ONE_Q16

INTERVAL_S: Final = 2.0
"""Seconds between two ticks."""
MULTIPLIER_MIN: Final = 0.01
MULTIPLIER_START: Final = 1.0
"""A campaign no plan knows starts at its full bid; the ceiling bounds what finding its level costs."""
GAIN_MIN: Final = 0.005
GAIN_MAX: Final = 0.05
"""How far one impression too many lowers the level, in a window of GAIN_IMPRESSIONS or more."""
GAIN_IMPRESSIONS: Final = 4_000
GAIN_FIRST: Final = 0.5
"""... while nothing is known of a campaign; then 1 / (1 / GAIN_FIRST + impressions), down to the above."""
SETTLING_SECONDS: Final = 100.0
STEP_MAX: Final = 0.3
"""The level's logarithm moves by no more in one tick ..."""
STEP_MAX_FIRST: Final = 1.0
"""... while nothing is known of a campaign."""
LEAD: Final = 0.9
LEAD_MAX: Final = 100.0
LEADING_MAX: Final = 1.0
"""What drift adds to the multiplier's logarithm, or takes from it, is no more than this."""
DRIFT_WINDOW_SHARE: Final = 0.4
"""The time in which drift is forgotten, in shares of the window."""
SLACK_SHARE: Final = 0.01
"""How far, in shares of the window's money, the ceiling is ahead of the plan."""
SILENCE_S_MAX: Final = 60.0


class CampaignState(msgspec.Struct, frozen=True, kw_only=True):
    """What the controller remembers of one campaign from tick to tick."""

    at_s: float
    """When the account was last read."""
    spent: int
    """The campaign's money spent up to then, ever; billionths."""
    level: float = MULTIPLIER_START
    drift: float = 0.0
    window_s: int = -1
    """Where the window began that the drift is of."""
    silent_s: float = 0.0
    """How long no auction of any campaign has had an outcome."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What a tick sees of one campaign. Money in billionths, times in unix seconds."""

    pacing: Pacing = "even"
    curve: PlanCurve
    """Of the window that `budget` is for."""
    budget: int
    spent: int
    """Spent since the window began, of `budget`."""
    spent_today: int
    """The part of `spent` that was spent today: ceilings are in today's money."""
    spent_ever: int
    """Billed, so that it never falls; the difference of two ticks is the spend between them."""
    leased: int
    """In the hands of workers."""
    due_per_s_max: float = math.inf
    """No more than this is due in a second: an hourly budget allows no more in the rest of the hour."""
    paused: bool = False
    price: int
    """What one impression costs at a multiplier of 1, roughly."""
    outcomes: int
    """Auctions of any campaign that had an outcome since the last tick."""


def resolve(
    state: CampaignState, observed: Observation, now_s: float
) -> tuple[CampaignState, int, int | None]:
    """Decide one campaign for the next interval.

    Returns the new state, the multiplier in 1/65536 (1 to MULTIPLIER_ONE_Q16), and the most that may
    be spent and leased today before the next tick, in billionths, or None for "as the budget allows".
    """
    spend = max(observed.spent_ever - state.spent, 0)
    spoke = observed.outcomes > 0 or spend > 0
    silent_s = 0.0 if spoke else state.silent_s + max(now_s - state.at_s, 0.0)
    if observed.pacing == "asap":
        after = CampaignState(at_s=now_s, spent=observed.spent_ever, silent_s=silent_s)
        return after, MULTIPLIER_ONE_Q16, None
    before = state.drift if state.window_s == observed.curve.start_s else 0.0
    level, drift = _moved(state, before, observed, spend, now_s, spoke, silent_s)
    after = CampaignState(
        at_s=now_s,
        spent=observed.spent_ever,
        level=level,
        drift=drift,
        window_s=observed.curve.start_s,
        silent_s=silent_s,
    )
    multiplier = level * math.exp(-_leading(observed, level, drift))
    return after, in_q16(max(multiplier, MULTIPLIER_MIN)), _ceiling(observed, now_s)


def in_q16(multiplier: float) -> int:
    """Return a multiplier in 1/65536, from 1 to MULTIPLIER_ONE_Q16."""
    return min(max(round(multiplier * MULTIPLIER_ONE_Q16), 1), MULTIPLIER_ONE_Q16)


def _moved(
    state: CampaignState,
    drift: float,
    observed: Observation,
    spend: int,
    now_s: float,
    spoke: bool,
    silent_s: float,
) -> tuple[float, float]:
    elapsed_s = now_s - state.at_s
    if elapsed_s <= 0:
        return state.level, drift
    curve = observed.curve
    excess, due = _excess(state, observed, spend, now_s, elapsed_s)
    drift *= math.exp(-elapsed_s / max(DRIFT_WINDOW_SHARE * (curve.end_s - curve.start_s), 1.0))
    impression = max(observed.price * state.level, 1.0)
    usual = min(max(GAIN_MAX / GAIN_IMPRESSIONS * observed.budget / impression, GAIN_MIN), GAIN_MAX)
    first = 1 / (1 / GAIN_FIRST + observed.spent_ever / impression)
    step = excess * max(usual, first) / impression
    if due > 0:
        settling = excess / due * elapsed_s / SETTLING_SECONDS
        step = min(step, settling) if excess > 0 else max(step, settling)
    step_max = STEP_MAX if first < usual else STEP_MAX_FIRST
    step = min(max(step, -step_max), step_max)
    if excess < 0:
        affords = observed.leased >= impression
        if observed.paused or not affords or not (spoke or silent_s > SILENCE_S_MAX):
            return state.level, drift
        if state.level >= 1.0 or not spoke:
            # Bidding all it may, it can't do better: what is missing is no debt.
            return min(state.level * math.exp(-step), 1.0), drift
    drift += excess / max(observed.budget, 1)
    return min(max(state.level * math.exp(-step), MULTIPLIER_MIN), 1.0), drift


def _excess(
    state: CampaignState, observed: Observation, spend: int, now_s: float, elapsed_s: float
) -> tuple[float, float]:
    """Return what was spent since the last tick beyond what was due, and what was due."""
    share_then, share_now = observed.curve.share(state.at_s), observed.curve.share(now_s)
    # Around midnight a part of the spend was of yesterday's money.
    left_then = max(observed.budget - max(observed.spent - spend, 0), 0)
    due = left_then * (share_now - share_then) / (1 - share_then) if share_then < 1 else float(left_then)
    due = min(due, observed.due_per_s_max * elapsed_s)
    return spend - due, due


def _leading(observed: Observation, level: float, drift: float) -> float:
    impressions = observed.budget / max(observed.price * level, 1.0)
    leading = min(LEAD * math.sqrt(impressions), LEAD_MAX) * drift
    return min(max(leading, -LEADING_MAX), LEADING_MAX)


def _ceiling(observed: Observation, now_s: float) -> int:
    share_next = observed.curve.share(now_s + INTERVAL_S)
    of_window = min(int(observed.budget * share_next) + int(observed.budget * SLACK_SHARE), observed.budget)
    return max(of_window - (observed.spent - observed.spent_today), 0)
