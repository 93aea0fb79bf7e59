"""Calibration: rates rise with the score, follow what came, and are moved apart where there is enough."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.money import BILLION
from pacing.calibration import CELL_EVENTS_MIN, Counts, rising
from pacing.prediction import (
    LINK_KNOTS,
    RATIO_ONE,
    SCORE_MIN,
    SCORE_ONE,
    TRUST_ONE,
    exponential_link,
    linked,
    predicted_rate,
    trust_in,
    trusted,
    worth,
)


def counted(score: float, impressions: int, events: int, cell: str = "plain/c") -> Counts:
    counts = Counts()
    count_more(counts, score, impressions, events, cell)
    return counts


def count_more(counts: Counts, score: float, impressions: int, events: int, cell: str) -> None:
    labels = np.array([False] * impressions + [True] * events)
    scores = np.full(len(labels), round(score * SCORE_ONE), np.int64)
    counts.add(scores, labels, [cell], np.zeros(len(labels), np.int64))


values = st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 10)), min_size=1, max_size=5)


@given(values)
def test_rising_is_the_nearest_rising_row(pairs: list[tuple[float, float]]) -> None:
    given_, weights = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    found = rising(given_, weights)
    assert (np.diff(found) >= -1e-12).all()
    # The best rising row is made of runs that each have their mean: try every way to cut them.
    best = math.inf
    for cuts in itertools.product((False, True), repeat=len(pairs) - 1):
        row, start = np.empty(len(pairs)), 0
        for end in [i + 1 for i, cut in enumerate(cuts) if cut] + [len(pairs)]:
            row[start:end] = np.average(given_[start:end], weights=weights[start:end])
            start = end
        if (np.diff(row) >= 0).all():
            best = min(best, float((weights * (row - given_) ** 2).sum()))
    assert float((weights * (found - given_) ** 2).sum()) <= best + 1e-9


def test_the_exponential_link_is_exp_to_a_thousandth() -> None:
    link = exponential_link()
    for score in (-15.0, -6.907, -3.21, -0.011):
        expected = math.exp(score) * BILLION
        assert linked(link, round(score * SCORE_ONE)) == pytest.approx(expected, rel=1.5e-3, abs=1)
    assert linked(link, 5 * SCORE_ONE) == BILLION
    assert linked(link, SCORE_MIN - 1) == link[0]


def test_without_counts_the_link_is_exp() -> None:
    link = Counts().link()
    assert len(link) == LINK_KNOTS
    assert np.abs(link - np.maximum(exponential_link(), 1)).max() <= 1


def test_the_link_follows_what_came() -> None:
    link = counted(-5.0, 1_000_000, 10_000).link()
    # Predicted e**-5, 0.67 %; one in a hundred came.
    assert linked(link, -5 * SCORE_ONE) == pytest.approx(BILLION / 100, rel=0.01)
    assert (np.diff(link) >= 0).all()
    few = counted(-5.0, 100, 3).link()
    assert linked(few, -5 * SCORE_ONE) == pytest.approx(math.exp(-5) * BILLION, rel=0.15), (
        "three clicks say little"
    )


def test_a_campaign_on_an_exchange_is_moved_when_enough_is_known() -> None:
    counts = counted(-5.0, 100_000, 600, "plain/a")
    count_more(counts, -5.0, 100_000, 1_400, "other/a")
    count_more(counts, -5.0, 100, CELL_EVENTS_MIN - 1, "plain/b")
    link = counts.link()
    ratios = counts.ratios(link)
    assert set(ratios) == {"plain/a", "other/a"}
    for name, rate in (("plain/a", 0.006), ("other/a", 0.014)):
        assert predicted_rate(link, -5 * SCORE_ONE, ratios[name]) == pytest.approx(rate * BILLION, rel=0.001)
    assert predicted_rate(link, 0, 3 * RATIO_ONE) == BILLION, "nothing is likelier than certain"


def test_counts_fade_and_survive_a_dump() -> None:
    counts, other = counted(-5.0, 100_000, 900), Counts()
    other.load(counts.dump())
    assert (other.link() == counts.link()).all()
    assert other.ratios(other.link()) == counts.ratios(counts.link())
    other.fade(0.1)
    assert other.ratios(other.link()) == {}, "of 900 clicks, 90 are left"


@given(st.integers(0, 10**15), st.integers(0, BILLION))
def test_worth_is_exact(amount: int, rate: int) -> None:
    assert worth(amount, rate) == amount * rate // BILLION


def test_a_prior_gives_way_as_impressions_come() -> None:
    assert trust_in(None, 0) == TRUST_ONE
    thousandth = BILLION // 1_000
    rates = [trusted(thousandth, 3 * thousandth, trust_in(thousandth, n)) for n in (0, 10_000, 10_000_000)]
    assert rates == [thousandth, 2 * thousandth, pytest.approx(3 * thousandth, rel=0.001)]
