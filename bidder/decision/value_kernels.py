"""The value of an impression to a line item, compiled: price times rate times adjustments.

The kernel of `bidder.decision.kernels` calls `value_of` for ads of line items that are not plain
(`bidder.decision.values`). A score is a sum of what the parts of the request and the ad weigh alone, summed
once for a model (`bidder.decision.marks`), and of what they weigh together.
"""

import numpy as np
from numpy.typing import NDArray

from bidder.decision.marks import viewability_step
from bidder.decision.values import EMPTY_KEY, Values, first_place
from config.compiled import inlined, kernel
from config.limits import ADJUSTMENT_MAX_MILLIONTHS, ADJUSTMENT_MIN_MILLIONTHS
from config.value import EVENTS
from pacing.features import alone, crossed_sum
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
    candidate: np.record,
    context: np.record,
    place: np.record,
    slot: np.record,
    hour: int,
    hour_alone: NDArray[np.int64],
    segments: NDArray[np.uint64],
    ad: int,
    campaign: int,
    cpm_max_micros: int,
) -> int:
    """Return what an impression is worth to an ad's line item, in CPM micros, at most `cpm_max_micros`.

    candidate, context, place, slot: records of `bidder.decision.columns`, `contexts`, `places` and `media`;
    hour: a mark, and hour_alone int64[len(PREDICTED)] its weight in each model; segments uint64[S] of the
    person. The sums of the last three records are written where they are not of this scoring.
    """
    terms = values.terms[ad]
    value = terms.amount
    if terms.event != _IMPRESSION:
        rate = terms.prior
        table = _TABLE_OF_EVENT[terms.event]
        if table >= 0 and scoring.live[table]:
            predicted = _predicted(
                scoring, candidate, context, place, slot, hour, hour_alone, table, ad, campaign
            )
            rate = trusted(rate, predicted, scoring.ads[ad].trust)
        elif terms.event == _VIEW and candidate.view_billionths > 0:
            rate = candidate.view_billionths
        elif terms.event == _COMPLETION and candidate.completion_billionths > 0:
            rate = candidate.completion_billionths
        value = worth(value, rate)
    factor = _factor(values, segments, terms.segment_set, terms.zip_set, place.zip)
    return int(min(min(value, _WORTH_MAX) * factor // _MILLION, cpm_max_micros))


@inlined
def _predicted(
    scoring: Scoring,
    candidate: np.record,
    context: np.record,
    place: np.record,
    slot: np.record,
    hour: int,
    hour_alone: NDArray[np.int64],
    table: int,
    ad: int,
    campaign: int,
) -> int:
    """The rate of a predicted event for one ad, in billionths."""
    if context.sums_of != scoring.number or place.sums_of != scoring.number or slot.sums_of != scoring.number:
        _sum_up(scoring, context, place, slot)
    weights = scoring.weights[table]
    of_ad = scoring.ads[ad]
    score = of_ad.alone + place.sums[table] + context.sums[table] + slot.sums[table] + hour_alone[table]
    score += scoring.viewability[table, viewability_step(candidate.view_billionths)]
    score += crossed_sum(
        weights,
        place.region,
        context.site,
        context.exchange,
        context.device_type,
        context.system,
        slot.mark,
        hour,
        of_ad.line_item,
        of_ad.creative,
    )
    ratio = scoring.ratio[table, context.exchange_index, campaign]
    return predicted_rate(scoring.link[table], score, ratio)


@kernel
def _sum_up(scoring: Scoring, context: np.record, place: np.record, slot: np.record) -> None:
    """Write what the marks of each part weigh alone."""
    context.sums_of = place.sums_of = slot.sums_of = scoring.number
    for table in range(len(scoring.live)):
        if not scoring.live[table]:
            continue
        weights = scoring.weights[table]
        place.sums[table] = alone(weights, place.region) + alone(weights, place.metro)
        context.sums[table] = (
            alone(weights, context.site)
            + alone(weights, context.exchange)
            + alone(weights, context.device_type)
            + alone(weights, context.system)
        )
        slot.sums[table] = alone(weights, slot.mark)


@inlined
def _factor(values: Values, segments: NDArray[np.uint64], row: int, zip_set: int, zip_number: int) -> int:
    """All adjustments of a line item together, in millionths.

    row: its set of factors for segments; zip_set: its factors for postal codes, of which this is one.
    """
    factor = _MILLION
    if row >= 0:
        held = np.uint64(0)
        for word in range(len(segments)):
            held |= segments[word] & values.segment_masks[row, word]
        if held != 0:
            for i in range(values.segment_starts[row], values.segment_starts[row + 1]):
                segment = values.segments[i]
                if segments[segment >> 6] >> np.uint64(segment & 63) & np.uint64(1):
                    factor = _bounded(factor * values.segment_factors[i] // _MILLION)
    if zip_set >= 0 and zip_number >= 0:
        key = zip_set << 32 | zip_number
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
