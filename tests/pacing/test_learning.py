"""FTRL against a model written from the paper, and the features against their three-part sum."""

import math
import zlib
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacing.features import (
    CAMPAIGN,
    CONTEXT_MARKS,
    CREATIVE,
    CROSSED,
    EXAMPLE_MARKS,
    EXAMPLE_SLOTS,
    HOUR,
    LINE_ITEM,
    MARK_BYTES,
    PACKED_BYTES,
    TABLE_SLOTS,
    ad_mark,
    ad_sum,
    alone,
    context_mark,
    crossed_sum,
    example_slots,
    hour_mark,
    pack_mark,
    unpack_marks,
)
from pacing.learning import ALPHA, BETA, L1, L2, Learner, learn, slots_of
from pacing.prediction import SCORE_ONE

words = st.text(max_size=6)
codes = st.integers(0, 2**32 - 1)


class NaiveFtrl:
    """McMahan et al. 2013, algorithm 1, with a dictionary for a table."""

    def __init__(self) -> None:
        self.z: dict[int, float] = defaultdict(float)
        self.n: dict[int, float] = defaultdict(float)

    def weight(self, i: int) -> float:
        if abs(self.z[i]) <= L1:
            return 0.0
        sign = 1 if self.z[i] > 0 else -1
        return -1 / ((BETA + math.sqrt(self.n[i])) / ALPHA + L2) * (self.z[i] - sign * L1)

    def learn(self, slots: list[int], label: bool, offset: float) -> float:
        score = offset + sum(self.weight(i) for i in slots)
        gradient = 1 / (1 + math.exp(-score)) - label
        for i in slots:
            weight = self.weight(i)
            sigma = (math.sqrt(self.n[i] + gradient**2) - math.sqrt(self.n[i])) / ALPHA
            self.z[i] += gradient - sigma * weight
            self.n[i] += gradient**2
        return score


@pytest.mark.parametrize("seed", range(3))
def test_the_learner_learns_as_the_paper_says(seed: int) -> None:
    chance = np.random.default_rng(seed)
    # Few slots, so that examples share them and some hold one twice.
    slots = chance.integers(0, 60, (400, EXAMPLE_SLOTS))
    labels = chance.random(400) < 0.2
    z, n = np.zeros(TABLE_SLOTS), np.zeros(TABLE_SLOTS)
    scores = learn(z, n, slots, labels, -2.0)
    naive = NaiveFtrl()
    expected = [
        naive.learn(row, label, -2.0) for row, label in zip(slots.tolist(), labels.tolist(), strict=True)
    ]
    assert scores.tolist() == pytest.approx(expected, abs=1e-9)
    assert z[:60].tolist() == pytest.approx([naive.z[i] for i in range(60)], abs=1e-9)
    assert any(naive.weight(i) for i in range(60))


def test_what_is_known_survives_a_dump() -> None:
    chance = np.random.default_rng(5)
    slots, labels = chance.integers(0, TABLE_SLOTS, (300, EXAMPLE_SLOTS)), chance.random(300) < 0.5
    # One slot of each is for everything, as in life.
    slots[:, 0] = TABLE_SLOTS - 1
    learner, other = Learner(-1.0), Learner(-1.0)
    learner.learn(slots[:200], labels[:200])
    other.load(learner.dump())
    assert learner.weights().any()
    assert (learner.weights() == other.weights()).all()
    assert (learner.learn(slots[200:], labels[200:]) == other.learn(slots[200:], labels[200:])).all()
    for spoiled in (b"", zlib.compress(bytes(19)), zlib.compress(b"\xff" * 20)):
        with pytest.raises((ValueError, zlib.error)):
            other.load(spoiled)


def test_weights_are_those_of_the_module_rounded() -> None:
    learner = Learner(0.0)
    slots = np.zeros((50, EXAMPLE_SLOTS), np.int64)
    learner.learn(slots, np.zeros(50, np.bool_))
    rounded = EXAMPLE_SLOTS * int(learner.weights()[0])
    (score,) = learner.learn(slots[:1], np.zeros(1, np.bool_)).tolist()
    assert score == pytest.approx(rounded, abs=EXAMPLE_SLOTS)
    assert -10 * SCORE_ONE < score < 0


@given(
    st.lists(words, min_size=CONTEXT_MARKS, max_size=CONTEXT_MARKS),
    st.integers(0, 2**40),
    codes,
    codes,
    codes,
)
@settings(max_examples=50)
def test_bids_sum_the_slots_that_are_learned(
    values: list[str], now_s: int, campaign: int, line_item: int, creative: int
) -> None:
    weights = np.random.default_rng(1).integers(-500, 500, TABLE_SLOTS).astype(np.int16)
    context = [context_mark(field, value) for field, value in enumerate(values)]
    ad = [ad_mark(CAMPAIGN, campaign), ad_mark(LINE_ITEM, line_item), ad_mark(CREATIVE, creative)]
    hour = hour_mark(now_s)
    slots = np.empty(EXAMPLE_SLOTS, np.int64)
    example_slots(np.array([*context, hour, *ad], np.int64), slots)
    in_parts = sum(alone(weights, mark) for mark in (*context, hour)) + ad_sum(weights, *ad)
    region, site, exchange, device, system, slot = (context[field] for field in CROSSED)
    crossed = (weights, region, site, exchange, device, system, slot, hour, ad[1], ad[2])
    in_parts += crossed_sum(*crossed)
    assert in_parts == int(weights[slots].sum(dtype=np.int64))
    packed = np.zeros(PACKED_BYTES, np.uint8)
    for field, mark in enumerate(context):
        pack_mark(packed, field * MARK_BYTES, mark)
    assert unpack_marks(packed.tobytes()) == context


def test_an_examples_marks_lead_to_as_many_slots() -> None:
    marks = np.arange(2 * EXAMPLE_MARKS, dtype=np.int64).reshape(2, -1)
    slots = slots_of(marks)
    assert slots.shape == (2, EXAMPLE_SLOTS)
    assert len(set(slots[0].tolist())) == EXAMPLE_SLOTS
    assert HOUR == CONTEXT_MARKS
