"""The value of an impression to a line item, compiled: price times rate times adjustments.

The kernel of `bidder.decision.kernels` calls `value_of` for ads of line items that are not plain
(`bidder.decision.values`). What of a score is the same for all ads of an imp is summed for the first.
"""

import numpy as np
from numpy.typing import NDArray

from bidder.decision.facts import FACT_COMPLETION, FACT_EXCHANGE, FACT_MARKS, FACT_VIEW, FACT_ZIP
from bidder.decision.values import EMPTY_KEY, Values, first_place
from config.compiled import inlined, kernel
from config.limits import ADJUSTMENT_MAX_MILLIONTHS, ADJUSTMENT_MIN_MILLIONTHS
from config.value import EVENTS
from pacing.features import context_sum, crossed_sum
from pacing.prediction import PREDICTED, Scoring, predicted_rate, trusted, worth

_MILLION = 1_000_000
_IMPRESSION, _VIEW, _COMPLETION = (EVENTS.index(event) for event in ("impression", "view", "completion"))
_TABLE_OF_EVENT = np.array([PREDICTED.index(e) if e in PREDICTED else -1 for e in EVENTS], np.int64)
_WORTH_MAX = 1_000_000 * _MILLION
"""Far above any bid, and low enough to be multiplied by a factor."""


@inlined
def value_of(
    values: Values,
    scoring: Scoring,
    facts: NDArray[np.int64],
    start: int,
    hour: int,
    sums: NDArray[np.int64],
    sums_of: NDArray[np.int64],
    segments: NDArray[np.uint64],
    ad: int,
    line_item: int,
    campaign: int,
    cpm_max_micros: int,
) -> int:
    """Return what an impression is worth to a line item, in CPM micros, at most `cpm_max_micros`.

    facts int64[m] (`bidder.decision.facts`), of which those of the imp begin at start; hour: a mark;
    segments uint64[S] of the person. sums, sums_of int64[len(PREDICTED)], written in place: what
    `context_sum` said last, and where the facts began that it was said of.
    """
    event = values.event[line_item]
    value = values.amount[line_item]
    if event != _IMPRESSION:
        rate = values.prior[ad]
        table = _TABLE_OF_EVENT[event]
        if table >= 0 and scoring.live[table]:
            predicted = _predicted(values, scoring, facts, start, hour, sums, sums_of, table, ad, campaign)
            rate = trusted(rate, predicted, scoring.trust[line_item])
        elif event == _VIEW and facts[start + FACT_VIEW] > 0:
            rate = facts[start + FACT_VIEW]
        elif event == _COMPLETION and facts[start + FACT_COMPLETION] > 0:
            rate = facts[start + FACT_COMPLETION]
        value = worth(value, rate)
    factor = _factor(values, facts, start, segments, line_item)
    return int(min(min(value, _WORTH_MAX) * factor // _MILLION, cpm_max_micros))


@inlined
def _predicted(
    values: Values,
    scoring: Scoring,
    facts: NDArray[np.int64],
    start: int,
    hour: int,
    sums: NDArray[np.int64],
    sums_of: NDArray[np.int64],
    table: int,
    ad: int,
    campaign: int,
) -> int:
    """The rate of a predicted event for one ad, in billionths."""
    weights = scoring.weights[table]
    marks = start + FACT_MARKS
    if sums_of[table] != start:
        sums[table] = context_sum(weights, facts, marks, hour)
        sums_of[table] = start
    score = scoring.ad_score[table, ad] + sums[table]
    line_item, creative = values.marks[ad, 1], values.marks[ad, 2]
    score += crossed_sum(weights, facts, marks, hour, line_item, creative)
    ratio = scoring.ratio[table, facts[start + FACT_EXCHANGE], campaign]
    return predicted_rate(scoring.link[table], score, ratio)


@inlined
def _factor(
    values: Values, facts: NDArray[np.int64], start: int, segments: NDArray[np.uint64], line_item: int
) -> int:
    """All adjustments of a line item together, in millionths."""
    factor = _MILLION
    row = values.segment_set[line_item]
    if row >= 0:
        held = np.uint64(0)
        for word in range(len(segments)):
            held |= segments[word] & values.segment_masks[row, word]
        if held != 0:
            for i in range(values.segment_starts[row], values.segment_starts[row + 1]):
                segment = values.segments[i]
                if segments[segment >> 6] >> np.uint64(segment & 63) & np.uint64(1):
                    factor = _bounded(factor * values.segment_factors[i] // _MILLION)
    zip_set = values.zip_set[line_item]
    if zip_set >= 0 and facts[start + FACT_ZIP] >= 0:
        key = zip_set << 32 | facts[start + FACT_ZIP]
        size = len(values.zip_keys)
        place = first_place(key, size)
        while values.zip_keys[place] != EMPTY_KEY:
            if values.zip_keys[place] == key:
                factor = _bounded(factor * values.zip_factors[place] // _MILLION)
                break
            place = (place + 1) & (size - 1)
    return factor


@kernel
def _bounded(factor: int) -> int:
    return min(max(factor, ADJUSTMENT_MIN_MILLIONTHS), ADJUSTMENT_MAX_MILLIONTHS)
