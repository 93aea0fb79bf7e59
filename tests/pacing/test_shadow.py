"""What a model must show before it bids, and when one that bids must go."""

import zlib
from typing import Any

import msgspec
import numpy as np
import pytest

from config.money import BILLION
from pacing.calibration import RATIO_MAX
from pacing.features import (
    CAMPAIGN,
    CONTEXT_MARKS,
    CREATIVE,
    LINE_ITEM,
    TABLE_SLOTS,
    ad_mark,
    context_mark,
    hour_mark,
)
from pacing.learning import slots_of
from pacing.prediction import LINK_KNOTS, SCORE_ONE, EventModel, Model, decode, encode
from pacing.shadow import CALIBRATION_MAX, EVENTS_MIN, EventTrainer, Examples, Outcome, Tally, rates_of

GOOD, BAD = 0.15, 0.05
"""Clicks an impression brings on each of two sites."""


def examples(impressions: int, good: float = GOOD, bad: float = BAD, seed: int = 0) -> Examples:
    """Impressions on two sites by turns, and the clicks that came of them."""
    chance = np.random.default_rng(seed)
    marks, labels = [], []
    for n in range(impressions):
        site, rate = ("good.example", good) if n % 2 == 0 else ("bad.example", bad)
        context = [context_mark(field, site if field == 0 else "same") for field in range(CONTEXT_MARKS)]
        ad = [ad_mark(CAMPAIGN, 5), ad_mark(LINE_ITEM, 6), ad_mark(CREATIVE, 7)]
        times = 2 if chance.random() < rate else 1
        marks += times * [[*context, hour_mark(0), *ad]]
        labels += [False, True][:times]
    count = len(labels)
    return Examples(
        marks=np.array(marks, np.int64),
        labels=np.array(labels),
        cells=["plain/c"],
        cell=np.zeros(count, np.int64),
        campaigns=["c"],
        line_item_codes=np.full(count, 6, np.int64),
        minutes=np.zeros(count, np.int64),
        priors=np.full(count, 1_000_000, np.int64),
        stated=np.zeros(count, np.bool_),
    )


def rates_on_both(model: EventModel | None) -> list[float]:
    both = examples(2, 0, 0)
    return [float(rate) for rate in rates_of(model, both, slots_of(both.marks))]


def trained(event_trainer: EventTrainer, windows: int, seed: int = 1) -> list[Outcome]:
    outcomes = []
    for window in range(windows):
        event_trainer.take(examples(1_500, seed=seed + window))
        outcomes.append(event_trainer.review())
    return outcomes


def test_a_model_is_live_when_it_has_proven_itself_and_not_before() -> None:
    trainer = EventTrainer("click")
    assert trained(trainer, 1) == [Outcome.KEPT]
    assert trainer.live is None
    assert trainer.candidate is not None
    assert Outcome.PROMOTED in trained(trainer, 3, seed=10)
    good, bad = rates_on_both(trainer.live)
    assert good == pytest.approx(GOOD, rel=0.3)
    assert bad == pytest.approx(BAD, rel=0.3)


def test_too_few_events_decide_nothing() -> None:
    trainer = EventTrainer("click")
    trainer.take(examples(300))
    assert trainer.of_live.events < EVENTS_MIN
    assert trainer.review() is Outcome.WAITING
    assert trainer.candidate is None


def scaled(model: EventModel | None, by: float) -> EventModel:
    assert model is not None
    return msgspec.structs.replace(model, link=tuple(max(1, round(rate * by)) for rate in model.link))


def test_a_candidate_that_predicts_too_much_never_bids() -> None:
    trainer = EventTrainer("click")
    trained(trainer, 4)
    before = trainer.live
    assert before is not None
    trainer.candidate = scaled(before, 1.6)
    # Worse than the live model, even if the live model loses by something else.
    trainer.live = None
    trainer.take(examples(3_000, seed=50))
    assert trainer.of_candidate.loss < trainer.of_live.loss
    assert not trainer.of_candidate.is_sound()
    assert trainer.review() is Outcome.KEPT
    assert trainer.live is None


def test_a_live_model_that_is_far_off_is_rolled_back_to_the_best_there_is() -> None:
    trainer = EventTrainer("click")
    trained(trainer, 4)
    sound = trainer.live
    assert sound is not None
    trainer.live, trainer.before, trainer.candidate = scaled(sound, 4), sound, None
    trainer.take(examples(1_500, seed=60))
    assert trainer.of_live.calibration > CALIBRATION_MAX
    assert trainer.review() is Outcome.ROLLED_BACK
    assert trainer.live is sound
    # Without one before, the priors are what there is, and they must do better to come back.
    trainer.live, trainer.before, trainer.candidate = scaled(sound, 4), None, None
    trainer.take(examples(1_500, seed=61))
    assert trainer.of_priors.loss > trainer.of_live.loss
    assert trainer.review() is Outcome.KEPT


def test_what_was_learned_survives_a_restart() -> None:
    trainer, other = EventTrainer("click"), EventTrainer("click")
    trained(trainer, 3)
    assert other.load(trainer.dump())
    for one in (trainer, other):
        one.take(examples(1_500, seed=70))
        one.review()
    assert trainer.candidate == other.candidate
    assert not other.load(b"nonsense")
    assert not other.load(b"")


def test_the_loss_is_smallest_where_the_rate_is_what_comes() -> None:
    shown = examples(4_000, 0.1, 0.1)
    clicks = int(shown.labels.sum())
    rate = clicks / 4_000
    losses = {}
    for share in (0.7, 0.9, 1.0, 1.1, 1.4):
        tally = Tally()
        tally.add(shown, np.full(len(shown.labels), rate * share))
        losses[share] = tally.loss
        assert tally.calibration == pytest.approx(share)
    assert min(losses, key=lambda share: losses[share]) == 1.0


def test_a_published_model_is_read_back_or_refused() -> None:
    trainer = EventTrainer("click")
    trained(trainer, 1)
    assert trainer.candidate is not None
    model = Model(version=3, made_at_s=9, events={"click": trainer.candidate})
    assert decode(encode(model)) == model
    assert decode(b"other") is None
    assert rates_on_both(None) == [0.001, 0.001]


@pytest.mark.parametrize(
    "wrong",
    [
        {"link": (1,) * (LINK_KNOTS - 1)},
        {"link": (2,) + (1,) * (LINK_KNOTS - 1)},
        {"link": (-5,) * LINK_KNOTS},
        {"link": (BILLION + 1,) * LINK_KNOTS},
        {"ratios": {"plain/c": -1}},
        {"ratios": {"plain/c": 1 << 63}},
        {"learned": {6: -1}},
        {"learned": {6: 1 << 63}},
        {"offset": 1 << 40},
        {"weights": zlib.compress(b"short")},
    ],
)
def test_a_model_that_no_trainer_would_write_is_refused(wrong: dict[str, Any]) -> None:
    sound = EventModel(
        offset=-7 * SCORE_ONE,
        weights=zlib.compress(bytes(2 * TABLE_SLOTS), 1),
        link=(1,) * LINK_KNOTS,
        ratios={"plain/c": RATIO_MAX},
        learned={6: 10**12},
    )
    assert decode(encode(Model(version=3, made_at_s=9, events={"click": sound}))) is not None
    unsound = msgspec.structs.replace(sound, **wrong)
    assert decode(encode(Model(version=3, made_at_s=9, events={"click": unsound}))) is None
