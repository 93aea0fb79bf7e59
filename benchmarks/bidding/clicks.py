"""E1: clicks under a budget, campaign 2997, paced by the engine's own controller.

The test set is cut into episodes of EPISODE_AUCTIONS, each with a budget of its own. A bid is the predicted
click rate times a value, times the multiplier that `pacing.pace.resolve` moves between auctions; it
wins where it is at least the price, and pays the price. The published figures come from a dynamic program
(RLB, Cai et al. 2017), which knows the distribution of prices; the controller knows nothing of it.

Clicks are few, so their count is noisy: the sum of the predicted clicks of the wins is held against what
hindsight could have bought in each episode with the same money, dearest value for money first.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from benchmarks.bidding.auctions import PRICE_MAX, Auctions, SharedData
from benchmarks.bidding.results import Cell, Result, at_least
from pacing.curve import PlanCurve
from pacing.pace import CampaignState, Observation, resolve
from pacing.plan import MULTIPLIER_ONE_Q16

CAMPAIGN: Final = 2997
EPISODE_AUCTIONS: Final = 1_000
AUCTION_S: Final = 86.4
"""Between two auctions: an episode is a day. The controller ticks after each."""
BID_MEAN_MAX: Final = PRICE_MAX
"""What the mean auction is bid at a multiplier of 1; only the scale of the multiplier depends on it."""
CLICKS: Final[Mapping[int, tuple[int, int]]] = {
    32: (75, 78),
    16: (111, 119),
    8: (175, 176),
    4: (260, 260),
    2: (371, 389),
}
"""Budget 1/n -> clicks to reach, clicks published."""
KNAPSACK_SHARE: Final = 0.975
"""Of what hindsight would have bought with all the budgets together ..."""
KNAPSACK_SHARE_EACH: Final = 0.95
"""... and with each."""


def run(data: SharedData, small: bool = False) -> Result:
    """Replay every budget; small: a tenth of the episodes, whose clicks say nothing."""
    auctions = data.auctions(f"{CAMPAIGN}.test")
    landscape = data.landscape(CAMPAIGN)
    if small:
        auctions = auctions.part(slice(0, len(auctions) // 10))
    cells: list[Cell] = []
    in_all = np.zeros(2)
    for divisor, (to_reach, published) in CLICKS.items():
        budget = int(landscape.cost / landscape.impressions / divisor * EPISODE_AUCTIONS)
        won = replay(auctions, budget)
        predicted = float(auctions.click_rate[won].sum())
        clicks = int(auctions.click[won].sum())
        best = knapsack(auctions, budget)
        cells.append(at_least(f"budget 1/{divisor}: clicks", clicks, to_reach, f"RLB {published}"))
        share = f"budget 1/{divisor}: share of hindsight clicks"
        cells.append(at_least(share, predicted / best, KNAPSACK_SHARE_EACH))
        in_all += predicted, best
    share_in_all = float(in_all[0] / in_all[1])
    cells.append(at_least("all budgets: share of hindsight clicks", share_in_all, KNAPSACK_SHARE))
    return Result(about=(__doc__ or "").partition("\n")[0], cells=cells)


def replay(auctions: Auctions, budget: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Bid on every auction, episode by episode; return which were won (bool[n])."""
    won = np.zeros(len(auctions), np.bool_)
    state = CampaignState(at_s=0.0, spent=0)
    multiplier = 1.0
    value = BID_MEAN_MAX / float(auctions.click_rate.mean())
    curve = PlanCurve(0, 1)
    spent_ever = spent = 0
    prices, rates = auctions.price.tolist(), auctions.click_rate.tolist()
    for index, (price, rate) in enumerate(zip(prices, rates, strict=True)):
        if index % EPISODE_AUCTIONS == 0:
            spent = 0
            curve = PlanCurve(int(index * AUCTION_S), int((index + EPISODE_AUCTIONS) * AUCTION_S))
        bid = min(int(rate * value * multiplier), budget - spent, PRICE_MAX)
        if bid >= price:
            won[index] = True
            spent += price
            spent_ever += price
        observed = Observation(
            curve=curve,
            budget=budget,
            spent=spent,
            spent_today=spent,
            spent_ever=spent_ever,
            leased=budget,
            price=BID_MEAN_MAX,
            outcomes=1,
        )
        state, multiplier_q16, _ = resolve(state, observed, (index + 1) * AUCTION_S)
        multiplier = multiplier_q16 / MULTIPLIER_ONE_Q16
    return won


def knapsack(auctions: Auctions, budget: int) -> float:
    """Return the predicted clicks that each episode's money buys in hindsight, dearest value first."""
    bought = 0.0
    for start in range(0, len(auctions), EPISODE_AUCTIONS):
        part = auctions.part(slice(start, start + EPISODE_AUCTIONS))
        order = np.argsort(-part.click_rate / np.maximum(part.price, 1e-9), kind="stable")
        affordable = np.cumsum(part.price[order]) <= budget
        bought += float(part.click_rate[order][affordable].sum())
    return bought
