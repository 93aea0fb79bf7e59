"""FTRL-proximal: how the weights of a prediction are learned, one example after the other.

McMahan et al. 2013, "Ad Click Prediction: a View from the Trenches", algorithm 1. Each slot of the table has
two numbers, z and n, and its weight follows from them:

    w = 0 if |z| <= L1, else -(z - sgn(z) · L1) / ((BETA + sqrt(n)) / ALPHA + L2)

An example's prediction is the logistic function of an offset and the weights of its slots; its gradient,
prediction less label, then moves every one of those slots. A slot that was met rarely has learned little
and is still moved far; one that never said anything beyond its fellows stays at exactly 0.

The offset is the logarithm of a rate that is about right for an advertisement. Starting from 0, a rate of a
half, the first hundred impressions would be spent on finding out that clicks are rare, and spoil n for it.

Downsampling the impressions was rejected: reading an entry from its stream costs five times what learning
from it does, so nothing would be saved but the truth of n.
"""

import math
import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.compiled import kernel
from pacing.features import EXAMPLE_SLOTS, TABLE_SLOTS, example_slots
from pacing.prediction import SCORE_ONE, WEIGHT_MAX

ALPHA: Final = 0.05
BETA: Final = 1.0
L1: Final = 1.0
L2: Final = 1.0
SCORE_BOUND: Final = 35.0
"""Beyond it the logistic function is 0 or 1 to a double."""


@kernel
def weight_of(z: float, n: float) -> float:
    """Return the weight of a slot."""
    if abs(z) <= L1:
        return 0.0
    return float(-(z - math.copysign(L1, z)) / ((BETA + math.sqrt(n)) / ALPHA + L2))


@kernel
def slots_of(marks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the slots, int64[m, EXAMPLE_SLOTS], of marks int64[m, EXAMPLE_MARKS]."""
    slots = np.empty((len(marks), EXAMPLE_SLOTS), np.int64)
    for i in range(len(marks)):
        example_slots(marks[i], slots[i])
    return slots


@kernel
def learn(
    z: NDArray[np.float64],
    n: NDArray[np.float64],
    slots: NDArray[np.int64],
    labels: NDArray[np.bool_],
    offset: float,
) -> NDArray[np.float64]:
    """Learn from examples in turn; return what was predicted of each before it was learned from.

    slots int64[m, EXAMPLE_SLOTS], labels bool[m], offset and the result, float64[m], in nepers. z and n,
    float64[TABLE_SLOTS], are written in place.
    """
    scores = np.empty(len(labels), np.float64)
    for i in range(len(labels)):
        score = offset
        for slot in slots[i]:
            score += weight_of(z[slot], n[slot])
        scores[i] = score
        bounded = min(max(score, -SCORE_BOUND), SCORE_BOUND)
        gradient = 1.0 / (1.0 + math.exp(-bounded)) - (1.0 if labels[i] else 0.0)
        for slot in slots[i]:
            weight = weight_of(z[slot], n[slot])
            before = n[slot]
            n[slot] = before + gradient * gradient
            z[slot] += gradient - (math.sqrt(n[slot]) - math.sqrt(before)) / ALPHA * weight
    return scores


class Learner:
    """What has been learned of one event."""

    def __init__(self, offset: float) -> None:
        """`offset`: the score, in nepers, of an example of which nothing is known."""
        self.offset = offset
        self._z = np.zeros(TABLE_SLOTS)
        self._n = np.zeros(TABLE_SLOTS)

    def learn(self, slots: NDArray[np.int64], labels: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Learn; return the scores before, int64[m], in 1/SCORE_ONE of a neper. See `learn` of the module."""
        scores = learn(self._z, self._n, slots, labels, self.offset)
        whole: NDArray[np.int64] = np.rint(scores * SCORE_ONE).astype(np.int64)
        return whole

    def weights(self) -> NDArray[np.int16]:
        """Return the weights as a model has them, int16[TABLE_SLOTS]."""
        z, n = self._z, self._n
        exact = -(z - np.copysign(L1, z)) / ((BETA + np.sqrt(n)) / ALPHA + L2)
        exact[np.abs(z) <= L1] = 0.0
        bounded = np.clip(np.rint(exact * SCORE_ONE), -WEIGHT_MAX, WEIGHT_MAX)
        weights: NDArray[np.int16] = bounded.astype(np.int16)
        return weights

    def dump(self) -> bytes:
        """Write what `load` reads."""
        (met,) = np.nonzero(self._n)
        parts = (met.astype("<i4"), self._z[met].astype("<f8"), self._n[met].astype("<f8"))
        return zlib.compress(b"".join(part.tobytes() for part in parts), 1)

    def load(self, data: bytes) -> None:
        """Go on from what `dump` wrote; raises zlib.error or ValueError on anything else."""
        raw = zlib.decompress(data)
        count, rest = divmod(len(raw), 20)
        if rest:
            raise ValueError("not a learner's state")
        met = np.frombuffer(raw, "<i4", count)
        if count and not 0 <= met.min() <= met.max() < TABLE_SLOTS:
            raise ValueError("not a learner's state")
        self._z[met] = np.frombuffer(raw, "<f8", count, 4 * count)
        self._n[met] = np.frombuffer(raw, "<f8", count, 12 * count)
