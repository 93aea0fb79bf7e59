"""The shadow: what a model must show before it bids, and when one that bids must go.

An `EventTrainer` learns one event without pause. Every so often (`review`) it freezes what it has learned
as a **candidate**. From then on the candidate, the **live** model and the one that was live **before** each
predict every new example, none of which they have seen. At the next review their tallies are compared:

    promoted      the candidate's loss is below the live model's, and its sums are right: what it predicts
                  for everything is within 2 % of what came, and for each large campaign within 10 %,
                  or within three standard errors where so few events came that chance does more
    rolled back   the live model predicts less than 0.8 or more than 1.25 of what came, beyond chance,
                  and the one before, or the priors, do better on the same examples: the best becomes live
    kept          else

Then what has been learned since is the next candidate. Without a live model its place is taken by the priors,
so that the first one has to show its worth as well.

The loss is the Poisson one, sum of rates less sum of the logarithms of the rates of the events: that of
counts, smallest when a rate is what comes. As rates are small it is the logarithmic loss.
"""

import math
import zlib
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from config.money import BILLION
from pacing.calibration import Counts
from pacing.learning import Learner, slots_of
from pacing.prediction import (
    PRIORS,
    RATIO_ONE,
    SCORE_ONE,
    EventModel,
    Predicted,
    predicted_rates,
    trust_in,
)

EVENTS_MIN: Final = 50
"""Fewer events than this decide nothing: the review waits."""
BIAS_MAX: Final = 0.02
CAMPAIGN_BIAS_MAX: Final = 0.10
CAMPAIGN_EVENTS_MIN: Final = 200
CALIBRATION_MIN, CALIBRATION_MAX = 0.8, 1.25
STANDARD_ERRORS: Final = 3.0
FADE: Final = 0.97
"""What counts for calibration keep from review to review."""


class Examples(NamedTuple):
    """Impressions and events in the order they came, m of them."""

    marks: NDArray[np.int64]
    """int64[m, EXAMPLE_MARKS]."""
    labels: NDArray[np.bool_]
    """bool[m]: False for an impression, True for an event, which is an example besides."""
    cells: list[str]
    cell: NDArray[np.int64]
    """int64[m]: example i is of cells[cell[i]], a `pacing.prediction.cell_name`."""
    campaigns: list[str]
    """Of each cell, the campaign's id."""
    line_item_codes: NDArray[np.int64]
    """int64[m]."""
    minutes: NDArray[np.int64]
    """int64[m]: when each was bid on, unix time // 60."""
    priors: NDArray[np.int64]
    """int64[m], billionths: what the config, or `PRIORS`, says of the event's rate."""
    stated: NDArray[np.bool_]
    """bool[m]: the config says it."""


class Outcome(StrEnum):
    """What became of a review: the values of the metric's label."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    KEPT = "kept"
    WAITING = "waiting"


class Tally:
    """What one contender predicted of the same examples as the others."""

    def __init__(self) -> None:
        self.predicted = 0.0
        self.events = 0
        self.loss = 0.0
        self.by_campaign: dict[str, list[float]] = {}
        """Predicted, and come."""

    def add(self, examples: Examples, rates: NDArray[np.float64]) -> None:
        """Count examples for which float64[m] rates were predicted."""
        labels = examples.labels
        predicted = np.where(labels, 0.0, rates)
        self.predicted += float(predicted.sum())
        self.events += int(labels.sum())
        self.loss += float(predicted.sum() - np.log(rates[labels]).sum())
        expected = np.bincount(examples.cell, predicted, len(examples.cells))
        came = np.bincount(examples.cell, labels, len(examples.cells))
        for campaign, more, events in zip(examples.campaigns, expected.tolist(), came.tolist(), strict=True):
            counted = self.by_campaign.setdefault(campaign, [0.0, 0.0])
            counted[0] += more
            counted[1] += events

    @property
    def calibration(self) -> float:
        """Events predicted for each that came."""
        return self.predicted / self.events if self.events else 1.0

    def is_sound(self) -> bool:
        """Whether what was predicted is what came, on the whole and for each large campaign."""
        parts = [(self.predicted, float(self.events), BIAS_MAX)]
        parts += [
            (predicted, events, CAMPAIGN_BIAS_MAX)
            for predicted, events in self.by_campaign.values()
            if events >= CAMPAIGN_EVENTS_MIN
        ]
        return all(
            abs(predicted / events - 1) <= max(bound, STANDARD_ERRORS / math.sqrt(events))
            for predicted, events, bound in parts
        )

    def is_off(self) -> bool:
        """Whether what was predicted is far from what came, and not by chance."""
        outside = not CALIBRATION_MIN <= self.calibration <= CALIBRATION_MAX
        return outside and abs(self.calibration - 1) > STANDARD_ERRORS / math.sqrt(max(self.events, 1))


class EventTrainer:
    """Learns one event, and decides which model of it is live."""

    def __init__(self, event: Predicted, live: EventModel | None = None) -> None:
        self.event = event
        self.live = live
        self.before: EventModel | None = None
        self.candidate: EventModel | None = None
        offset = math.log(PRIORS[event]["banner"] / BILLION)
        self._learner = Learner(offset)
        self._counts = Counts()
        self._learned: dict[int, int] = {}
        self._begin_window()

    def take(self, examples: Examples) -> NDArray[np.float64]:
        """Predict, count and learn; return what the live model predicted of each, float64[m]."""
        slots = slots_of(examples.marks)
        rates = rates_of(self.live, examples, slots)
        self.of_live.add(examples, rates)
        self.of_priors.add(examples, rates_of(None, examples, slots))
        if self.candidate is not None:
            self.of_candidate.add(examples, rates_of(self.candidate, examples, slots))
        if self.before is not None:
            self.of_before.add(examples, rates_of(self.before, examples, slots))
        scores = self._learner.learn(slots, examples.labels)
        self._counts.add(scores, examples.labels, examples.cells, examples.cell)
        codes, counts = np.unique(examples.line_item_codes[~examples.labels], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            self._learned[code] = self._learned.get(code, 0) + count
        return rates

    def review(self) -> Outcome:
        """Compare the contenders, let the best be live, and freeze the next candidate."""
        if self.of_live.events < EVENTS_MIN:
            return Outcome.WAITING
        outcome = Outcome.KEPT
        if (
            self.candidate is not None
            and self.of_candidate.is_sound()
            and self.of_candidate.loss < self.of_live.loss
        ):
            self.before, self.live = self.live, self.candidate
            outcome = Outcome.PROMOTED
        elif self.live is not None and self.of_live.is_off():
            others: list[tuple[float, EventModel | None]] = [(self.of_priors.loss, None)]
            if self.before is not None:
                others.append((self.of_before.loss, self.before))
            loss, best = min(others, key=lambda other: other[0])
            if loss < self.of_live.loss:
                self.before, self.live = None, best
                outcome = Outcome.ROLLED_BACK
        self.candidate = self._frozen()
        self._counts.fade(FADE)
        self._begin_window()
        return outcome

    def dump(self) -> bytes:
        """Write what `load` reads: what was learned, but no contender."""
        return msgspec.msgpack.encode(_Dumped(self._learner.dump(), self._counts.dump(), self._learned))

    def load(self, data: bytes) -> bool:
        """Go on from what `dump` wrote; False, and nothing changed, when this version can't read it."""
        try:
            dumped = msgspec.msgpack.decode(data, type=_Dumped)
            learner, counts = Learner(self._learner.offset), Counts()
            learner.load(dumped.learner)
            counts.load(dumped.counts)
        except (msgspec.DecodeError, ValueError, zlib.error):
            return False
        self._learner, self._counts, self._learned = learner, counts, dumped.learned
        return True

    def _begin_window(self) -> None:
        self.of_live, self.of_candidate, self.of_before, self.of_priors = (Tally() for _ in range(4))

    def _frozen(self) -> EventModel:
        link = self._counts.link()
        return EventModel(
            offset=round(self._learner.offset * SCORE_ONE),
            weights=zlib.compress(self._learner.weights().astype("<i2").tobytes(), 1),
            link=tuple(link.tolist()),
            ratios=self._counts.ratios(link),
            learned=dict(self._learned),
        )


class _Dumped(msgspec.Struct, frozen=True):
    learner: bytes
    counts: bytes
    learned: dict[int, int]


def rates_of(model: EventModel | None, examples: Examples, slots: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the rates that bids would go by, float64[m]; without a model the priors.

    slots: `pacing.learning.slots_of` the examples.
    """
    if model is None:
        return examples.priors / BILLION
    ratios = np.array([model.ratios.get(name, RATIO_ONE) for name in examples.cells] or [RATIO_ONE], np.int64)
    scores = model.offset + model.table()[slots].sum(axis=1, dtype=np.int64)
    rates = predicted_rates(np.array(model.link, np.int64), scores, ratios[examples.cell])
    codes, first, of_code = np.unique(examples.line_item_codes, return_index=True, return_inverse=True)
    trusts = [
        trust_in(prior if stated else None, model.learned.get(code, 0))
        for code, prior, stated in zip(
            codes.tolist(), examples.priors[first].tolist(), examples.stated[first].tolist(), strict=True
        )
    ]
    moved = (rates - examples.priors) * np.array(trusts, np.int64)[of_code] >> 16
    return np.maximum(examples.priors + moved, 1) / BILLION
