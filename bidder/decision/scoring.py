"""The live model as one snapshot needs it: the kernel's tables, and the naive twin's way to a rate."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bidder.decision.dimensions import Ad
from bidder.decision.marks import VIEWABILITY_MARKS, VIEWABILITY_STEPS, ad_marks, context_values
from bidder.decision.snapshot import Snapshot
from bidder.openrtb.opportunity import Opportunity, Slot
from config.schema import code_of
from pacing.features import (
    EXAMPLE_SLOTS,
    TABLE_SLOTS,
    ad_sum,
    alone,
    context_mark,
    example_slots,
    hour_mark,
)
from pacing.prediction import (
    AD_SCORE,
    LINK_KNOTS,
    PREDICTED,
    RATIO_ONE,
    EventModel,
    Model,
    Predicted,
    Scoring,
    cell_name,
    predicted_rate,
    prior_billionths,
    trust_in,
    trusted,
    unscored,
)

Predict = Callable[[Predicted, Ad, Opportunity, Slot, int], int | None]
"""(event, ad, request, imp, now in epoch seconds) -> the rate in billionths; None without a model of it."""


def compile_scoring(model: Model | None, snapshot: Snapshot) -> Scoring:
    """Arrange the live model for a snapshot; what the snapshot has no use for is left out."""
    paid_for = {ad.line_item.price.event for ad in snapshot.ads}
    models = {event: of for event, of in model.events.items() if event in paid_for} if model else {}
    if not models:
        return unscored()
    events, exchanges = len(PREDICTED), snapshot.bundle.exchanges
    campaigns = list(dict.fromkeys(ad.campaign.id for ad in snapshot.ads))
    scoring = Scoring(
        next(snapshot.scorings),
        np.zeros(events, np.bool_),
        np.zeros((events, TABLE_SLOTS), np.int16),
        np.zeros((events, LINK_KNOTS), np.int64),
        np.zeros((events, len(exchanges), len(campaigns)), np.int64),
        np.zeros((events, VIEWABILITY_STEPS), np.int64),
        np.zeros(len(snapshot.ads), AD_SCORE),
    )
    for table, event in enumerate(PREDICTED):
        learned = models.get(event)
        if learned is None:
            continue
        weights = learned.table()
        scoring.live[table] = True
        scoring.weights[table] = weights
        scoring.link[table] = learned.link
        scoring.ratio[table] = [
            [learned.ratios.get(cell_name(exchange.id, campaign), RATIO_ONE) for campaign in campaigns]
            for exchange in exchanges
        ]
        scoring.viewability[table] = [alone(weights, mark) for mark in VIEWABILITY_MARKS.tolist()]
        for row, ad in enumerate(snapshot.ads):
            if ad.line_item.price.event == event:
                scoring.ads[row] = _ad_score(learned, weights, ad)
    return scoring


def _ad_score(learned: EventModel, weights: NDArray[np.int16], ad: Ad) -> tuple[int, int, int, int]:
    campaign, line_item, creative = ad_marks(ad)
    seen = learned.learned.get(code_of(ad.line_item.id), 0)
    score = learned.offset + ad_sum(weights, campaign, line_item, creative)
    return line_item, creative, score, trust_in(ad.line_item.expected_rate, seen)


def predictor(model: Model | None) -> Predict:
    """Return the naive way to a rate: all slots of the example as a trainer learns them, summed."""
    models = model.events if model is not None else {}
    tables = {event: learned.table() for event, learned in models.items()}
    links = {event: np.array(learned.link, np.int64) for event, learned in models.items()}

    def predict(event: Predicted, ad: Ad, opportunity: Opportunity, slot: Slot, now_s: int) -> int | None:
        learned = models.get(event)
        if learned is None:
            return None
        marks = [context_mark(i, value) for i, value in enumerate(context_values(opportunity, slot))]
        marks.append(hour_mark(now_s))
        marks += ad_marks(ad)
        slots = np.empty(EXAMPLE_SLOTS, np.int64)
        example_slots(np.array(marks, np.int64), slots)
        score = learned.offset + int(tables[event][slots].sum(dtype=np.int64))
        ratio = learned.ratios.get(cell_name(opportunity.exchange_id, ad.campaign.id), RATIO_ONE)
        rate = predicted_rate(links[event], score, ratio)
        trust = trust_in(ad.line_item.expected_rate, learned.learned.get(code_of(ad.line_item.id), 0))
        return int(trusted(prior_billionths(ad.line_item, ad.creative.format), rate, trust))

    return predict


def no_prediction(event: Predicted, ad: Ad, opportunity: Opportunity, slot: Slot, now_s: int) -> None:
    """Predict nothing: every rate is a prior."""
