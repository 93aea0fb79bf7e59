"""E5: how near a landscape comes to the truth when prices are hidden from it.

The auctions are those of campaign 2997's training counts, each met by a bid that knows nothing of its price:
what an impression was worth on average, spread as the predicted rates of campaign 1458's training rows are.
Then everything is hidden that a bidder would not see, `pacing.landscape.win_share` estimates what share of
the auctions each price wins, and the estimate is held against the test set's prices: the Kullback-Leibler
divergence over prices 0 to 300, and ANLP, the mean negative logarithm of the chance given to each test
price, both in nats.

    second price    a win shows the price, a loss that it lay above the bid: Kaplan and Meier's estimate
    first price     a win shows only that it did not lie above

The published figures are of the first kind (bid-lands, campaign 2997): .140 by Kaplan-Meier, .0725 by a
survival tree. Their bids are not public, ours are PRICE_MAX at most, as the bidder's that gathered the data.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.bidding.auctions import PRICE_MAX, Auctions, Landscape, SharedData
from benchmarks.bidding.results import Line, Picture, Result, at_most
from pacing.landscape import PARENT_WEIGHT, win_share

CAMPAIGN, SPREAD_OF = 2997, "1458.train"
SEED: Final = 2997
DIVERGENCE: Final = 0.14
OPEN: Final = "nothing hidden"
NAIVE: Final = "wins' prices as they are"
_DOUBT: Final = 0.5
"""Auctions added to each price, so that none is thought impossible (Krichevsky and Trofimov 1981)."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def run(data: SharedData, small: bool = False) -> Result:
    """Hide prices both ways and estimate them; small: from a tenth of the auctions."""
    training, test = data.landscape(CAMPAIGN), data.auctions(f"{CAMPAIGN}.test")
    prices = np.repeat(np.arange(PRICE_MAX + 1), training.prices)
    if small:
        prices = prices[::10]
    bid = _bids(training, data.auctions(SPREAD_OF), len(prices))
    won = bid >= prices
    seen = _counts(prices[won])
    lost, won_at = _counts(bid[~won]), _counts(bid[won])
    nothing = np.zeros(PRICE_MAX + 1)
    shares = {
        "second price": win_share(seen, nothing, lost, _any_price(), PARENT_WEIGHT),
        "first price": win_share(nothing, won_at, lost, _any_price(), PARENT_WEIGHT),
        NAIVE: np.cumsum(seen) / seen.sum(),
        OPEN: np.cumsum(_counts(prices)) / len(prices),
    }
    truth = _counts(test.price) / len(test)
    chances = {name: _chances(share, len(prices)) for name, share in shares.items()}
    hidden = f"{1 - won.mean():.0%} of the prices hidden"
    naive = f"from wins' prices as they are {divergence(truth, chances[NAIVE]):.3f}"
    cells = [
        at_most(
            "second price: divergence from the test set",
            divergence(truth, chances["second price"]),
            DIVERGENCE,
            f"Kaplan-Meier 0.140, survival tree 0.0725; {hidden}; {naive}",
        ),
        at_most(
            "first price: divergence from the test set",
            divergence(truth, chances["first price"]),
            DIVERGENCE,
            "every price hidden",
        ),
        at_most(
            "second price: ANLP on the test set",
            anlp(test, chances["second price"]),
            5.091,
            f"Kaplan-Meier 5.141, survival tree 5.091; nothing hidden {anlp(test, chances[OPEN]):.3f}",
        ),
    ]
    fen = list(range(PRICE_MAX + 1))
    lines = [Line(name, fen, share.tolist()) for name, share in shares.items()]
    lines.append(Line("test set", fen, np.cumsum(truth).tolist()))
    picture = Picture(
        title=f"What is found again of hidden prices, campaign {CAMPAIGN}",
        x_label="bid, fen CPM",
        y_label="share of auctions won",
        lines=lines,
    )
    return Result(about=(__doc__ or "").partition("\n")[0], cells=cells, pictures=[picture])


def divergence(truth: Floats, chances: Floats) -> float:
    """Return the Kullback-Leibler divergence of chances from the truth, in nats."""
    there = truth > 0
    return float((truth[there] * np.log(truth[there] / chances[there])).sum())


def anlp(auctions: Auctions, chances: Floats) -> float:
    """Return the mean negative logarithm of the chance given to each auction's price, in nats."""
    return float(-np.log(chances[auctions.price]).mean())


def _bids(training: Landscape, spread_of: Auctions, count: int) -> Ints:
    """Bids about the mean price, spread as predicted rates are; PRICE_MAX at most, as the data's bidder."""
    rng = np.random.default_rng(SEED)
    rates = rng.choice(spread_of.click_rate, count) / spread_of.click_rate.mean()
    bids: Ints = np.minimum(rates * training.cost / training.impressions, PRICE_MAX).astype(np.int64)
    return bids


def _counts(prices: Ints) -> Floats:
    return np.bincount(prices, minlength=PRICE_MAX + 1).astype(np.float64)


def _any_price() -> Floats:
    return np.arange(1, PRICE_MAX + 2) / (PRICE_MAX + 1)


def _chances(share: Floats, auctions: int) -> Floats:
    mass: Floats = np.diff(share, prepend=0.0) * auctions + _DOUBT
    mass /= mass.sum()
    return mass
