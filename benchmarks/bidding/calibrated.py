"""calibration: whether predicted clicks come, on auctions after those that the correction was counted from.

The predicted rates of campaign 1458 stand in for a model's scores: `pacing.calibration.Counts` counts what
they brought in the training rows, its link is what the engine would make of a score from then on, and the
test rows, which are later, say whether it was right. Auctions are grouped by their predicted rate, GROUPS of
as many predicted clicks each.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.bidding.auctions import Auctions, SharedData
from benchmarks.bidding.results import Line, Picture, Result, at_least, at_most
from config.money import BILLION
from pacing.calibration import Counts
from pacing.prediction import SCORE_MAX, SCORE_MIN, SCORE_ONE, linked

CAMPAIGN: Final = 1458
GROUPS: Final = 8
RATIO_MIN, RATIO_MAX = 0.8, 1.25
"""Of predicted clicks to clicks: outside of this the engine's alert tells somebody."""

Floats = NDArray[np.float64]


def run(data: SharedData, small: bool = False) -> Result:
    """Count the training rows and hold the link to the test rows; small: every fourth of these."""
    training, test = data.auctions(f"{CAMPAIGN}.train"), data.auctions(f"{CAMPAIGN}.test")
    if small:
        test = test.part(slice(0, None, 4))
    counts = Counts()
    scores = scores_of(training)
    for part in (np.ones(len(training), np.bool_), training.click):
        # A click is an example besides that of its impression.
        labels = np.full(int(part.sum()), part is training.click)
        counts.add(scores[part], labels, [], np.zeros(len(labels), np.int64))
    link = counts.link()
    rates = np.array([linked(link, score) for score in scores_of(test).tolist()]) / BILLION
    ratio = float(rates.sum() / test.click.sum())
    before = float(test.click_rate.sum() / test.click.sum())
    said = f"uncorrected {before:.3f}"
    cells = [
        at_least("predicted clicks for each that came, at least", ratio, RATIO_MIN, said),
        at_most("predicted clicks for each that came, at most", ratio, RATIO_MAX, said),
    ]
    lines = [
        Line("corrected", *_groups(rates, test)),
        Line("as predicted", *_groups(test.click_rate, test)),
    ]
    upto = max(max(line.x) for line in lines)
    lines.append(Line("right", [0.0, upto], [0.0, upto]))
    picture = Picture(
        title=f"Calibration, campaign {CAMPAIGN}",
        x_label="predicted click rate, per thousand",
        y_label="clicks per thousand impressions",
        lines=lines,
    )
    return Result(about=(__doc__ or "").partition("\n")[0], cells=cells, pictures=[picture])


def scores_of(auctions: Auctions) -> NDArray[np.int64]:
    """Return predicted rates as the engine's scores: logarithms in 1/SCORE_ONE of a neper."""
    scores = np.rint(np.log(np.maximum(auctions.click_rate, 1e-9)) * SCORE_ONE).astype(np.int64)
    within: NDArray[np.int64] = np.clip(scores, SCORE_MIN, SCORE_MAX)
    return within


def _groups(rates: Floats, auctions: Auctions) -> tuple[list[float], list[float]]:
    """Return predicted and actual clicks per thousand, by groups of equally many predicted clicks."""
    order = np.argsort(rates, kind="stable")
    reached = np.cumsum(rates[order]) / rates.sum()
    predicted, came = [], []
    for group in range(GROUPS):
        chosen = order[(reached > group / GROUPS) & (reached <= (group + 1) / GROUPS)]
        if len(chosen):
            predicted.append(float(1_000 * rates[chosen].mean()))
            came.append(float(1_000 * auctions.click[chosen].mean()))
    return predicted, came
