"""The landscape against what it is an estimate of, and against slow and obvious estimators."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from config.money import CPM_MICROS_MAX
from pacing.cells import Cell
from pacing.landscape import (
    ANY_PRICE,
    HALF_LIFE_S,
    LOST,
    OBSERVATIONS_MIN,
    PARENT_WEIGHT,
    Key,
    Landscape,
    kaplan_meier,
    weights,
    win_share,
    win_shares,
)
from pacing.price_grid import PRICE_EDGES_CPM_MICROS

DOLLAR: Final = 1_000_000
PHONE = Key(Cell("plain", "banner", "phone"))
TABLET = Key(Cell("plain", "banner", "tablet"))
VIDEO = Key(Cell("plain", "video", "phone"))
ELSEWHERE = Key(Cell("other", "banner", "phone"))
BINS = 12
ALONE: Final = 1e-6
"""So little of a parent that it speaks only where nothing else does."""
EVEN = np.arange(1, BINS + 1) / BINS
Counts = NDArray[np.float64]
counts = st.lists(st.integers(0, 5), min_size=BINS, max_size=BINS).map(lambda many: np.array(many, float))


def product_limit(exact: Counts, lost: Counts) -> list[float]:
    """Kaplan and Meier's estimator auction by auction."""
    auctions = [(k, True) for k in range(BINS) for _ in range(int(exact[k]))]
    auctions += [(k, False) for k in range(BINS) for _ in range(int(lost[k]))]
    shares, dearer = [], 1.0
    for k in range(BINS):
        running = [one for one in auctions if one[0] >= k]
        here = sum(seen for at, seen in running if at == k)
        if here:
            dearer *= 1 - here / len(running)
        shares.append(1 - dearer)
    return shares


def pooled(won: Sequence[float], bids: Sequence[float]) -> list[float]:
    """The rising shares nearest to won / bids: neighbours that fall are pooled (Ayer et al. 1955)."""
    blocks: list[list[float]] = []
    for wins, of in zip(won, bids, strict=True):
        blocks.append([wins, of, 1])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    return [wins / of for wins, of, size in blocks for _ in range(int(size))]


@given(counts, counts)
def test_censored_losses_are_divided_as_auction_by_auction(exact: Counts, lost: Counts) -> None:
    assert kaplan_meier(exact, lost) == pytest.approx(product_limit(exact, lost))


@settings(max_examples=50, deadline=None)
@given(counts, counts, counts)
def test_shares_rise_to_one(exact: Counts, won: Counts, lost: Counts) -> None:
    lost[-1] = 0
    share = win_share(exact, won, lost, EVEN, ALONE)
    assert (np.diff(share) >= -1e-9).all()
    assert share[0] >= 0
    assert share[-1] == pytest.approx(1)


def test_uncensored_prices_are_a_histogram() -> None:
    exact = np.arange(BINS, dtype=float)
    share = win_share(exact, np.zeros(BINS), np.zeros(BINS), EVEN, ALONE)
    assert share == pytest.approx(np.cumsum(exact) / exact.sum(), abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=BINS - 1, max_size=BINS - 1))
def test_wins_and_losses_alone_give_the_nearest_rising_win_rates(outcomes: list[tuple[int, int]]) -> None:
    """Only whether a bid won is known: nothing explains it better than isotonic regression does."""
    won = np.array([wins for wins, _ in outcomes] + [0], float)
    lost = np.array([losses for _, losses in outcomes] + [0], float)
    share = win_share(np.zeros(BINS), won, lost, EVEN, ALONE)[:-1]
    best = np.array(pooled(won[:-1].tolist(), (won + lost)[:-1].tolist()))

    def likelihood(share: Counts) -> float:
        logs = won[:-1] * np.log(share) + lost[:-1] * np.log(1 - share)
        return float(logs.sum() / (won + lost).sum())

    assert likelihood(share) == pytest.approx(likelihood(best), abs=1e-4)


@given(counts)
def test_a_parent_counts_as_so_many_auctions(exact: Counts) -> None:
    share = win_share(exact, np.zeros(BINS), np.zeros(BINS), EVEN, 7.0)
    assert share == pytest.approx((np.cumsum(exact) + 7 * EVEN) / (exact.sum() + 7))


def test_the_example_of_the_module() -> None:
    won, lost = np.zeros(BINS), np.zeros(BINS)
    won[2], lost[2], won[5], lost[5] = 40, 60, 70, 30
    share = win_share(np.zeros(BINS), won, lost, EVEN, ALONE)
    assert (share[2], share[5]) == pytest.approx((0.4, 0.7), abs=1e-3)
    # Counted at their own bids, wins at the lower look as if the higher had been needed half of the time.
    assert kaplan_meier(won, lost)[2] == pytest.approx(0.2)


def test_above_the_highest_loss_the_prior_speaks() -> None:
    lost = np.zeros(BINS)
    lost[5] = 10
    share = win_share(np.zeros(BINS), np.zeros(BINS), lost, EVEN, ALONE)
    assert share == pytest.approx([0.0] * 6 + [k / 6 for k in range(1, 7)], abs=1e-6)


def test_simulated_auctions_are_found_again_whatever_is_hidden() -> None:
    """Log-normal prices, bids beside them: all prices, wins' prices only, and no price at all."""
    rng = np.random.default_rng(11)
    prices = np.rint(DOLLAR * rng.lognormal(0, 0.8, 20_000)).astype(int).tolist()
    bids = np.rint(DOLLAR * rng.lognormal(0, 1.0, 20_000)).astype(int).tolist()
    known, second_price, first_price = Landscape(), Landscape(), Landscape()
    for price, bid in zip(prices, bids, strict=True):
        known.observe_price(PHONE, price)
        if bid >= price:
            second_price.observe_price(PHONE, price)
            first_price.observe_win(PHONE, bid)
        else:
            second_price.observe_loss(PHONE, bid)
            first_price.observe_loss(PHONE, bid)
    at = np.searchsorted(PRICE_EDGES_CPM_MICROS, [0.4 * DOLLAR, DOLLAR, 2 * DOLLAR, 4 * DOLLAR])
    truth = win_shares(known.copy())[PHONE.cell.name].share[at]
    assert win_shares(second_price.copy())[PHONE.cell.name].share[at] == pytest.approx(truth, abs=0.02)
    assert win_shares(first_price.copy())[PHONE.cell.name].share[at] == pytest.approx(truth, abs=0.04)
    # The prices of wins alone make the market look cheap.
    naive = second_price.copy()
    naive[PHONE][LOST] = 0
    assert win_shares(naive)[PHONE.cell.name].share[at[1]] > truth[1] + 0.1


def test_a_small_cell_leans_on_its_parent_and_a_large_one_on_itself() -> None:
    landscape = Landscape()
    landscape.observe_price(TABLET, 4 * DOLLAR, 100_000)
    landscape.observe_price(PHONE, DOLLAR, OBSERVATIONS_MIN)
    landscape.observe_price(VIDEO, DOLLAR, 100_000)
    shares = win_shares(landscape.copy())
    at_two_dollars = int(np.searchsorted(PRICE_EDGES_CPM_MICROS, 2 * DOLLAR))
    own = OBSERVATIONS_MIN / (OBSERVATIONS_MIN + PARENT_WEIGHT)
    assert shares[PHONE.cell.name].share[at_two_dollars] == pytest.approx(own, abs=0.002)
    assert shares[TABLET.cell.name].share[at_two_dollars] == pytest.approx(0, abs=0.001)
    assert shares[PHONE.cell.name].share[-1] == pytest.approx(1)
    # Videos are no relatives.
    assert shares["plain/banner"].share[at_two_dollars] < 0.01


def test_a_band_leans_on_its_cell_and_the_cell_has_all_bands() -> None:
    landscape = Landscape()
    cheap, dear = Key(PHONE.cell, 9), Key(PHONE.cell, 11)
    landscape.observe_price(PHONE, DOLLAR, 10_000)
    landscape.observe_price(cheap, DOLLAR, 10_000)
    landscape.observe_price(dear, 4 * DOLLAR, PARENT_WEIGHT)
    shares = win_shares(landscape.copy())[PHONE.cell.name]
    at_two_dollars = int(np.searchsorted(PRICE_EDGES_CPM_MICROS, 2 * DOLLAR))
    of_cell = 20_000 / (20_000 + PARENT_WEIGHT)
    assert shares.share[at_two_dollars] == pytest.approx(of_cell, abs=0.001)
    assert set(shares.of_band) == {9, 11}
    assert shares.of_band[9][at_two_dollars] == pytest.approx(1, abs=0.01)
    assert shares.of_band[11][at_two_dollars] == pytest.approx(of_cell / 2, abs=0.01)
    assert weights(landscape.copy()) == {PHONE.cell.name: 20_000 + PARENT_WEIGHT}


def test_a_format_with_too_few_auctions_has_no_landscape_on_an_exchange() -> None:
    landscape = Landscape()
    landscape.observe_price(PHONE, DOLLAR, OBSERVATIONS_MIN - 1)
    landscape.observe_price(ELSEWHERE, DOLLAR, 10_000)
    assert set(win_shares(landscape.copy())) == {"other/banner", "other/banner/phone"}
    landscape.observe_loss(TABLET, DOLLAR)
    assert {"plain/banner", PHONE.cell.name, TABLET.cell.name} < set(win_shares(landscape.copy()))


@pytest.mark.parametrize("price", [0, -1, CPM_MICROS_MAX + 1])
def test_a_price_out_of_range_is_not_counted(price: int) -> None:
    landscape = Landscape()
    landscape.observe_price(PHONE, price)
    landscape.observe_win(PHONE, price)
    landscape.observe_loss(PHONE, price)
    assert landscape.copy() == {}


def test_a_loss_below_the_lowest_edge_tells_nothing() -> None:
    landscape = Landscape()
    landscape.observe_loss(PHONE, int(PRICE_EDGES_CPM_MICROS[0]) - 1)
    assert landscape.copy() == {}


def test_yesterday_weighs_half_however_often_one_looks() -> None:
    often, once = Landscape(0.0), Landscape(0.0)
    for landscape in (often, once):
        landscape.observe_price(PHONE, DOLLAR, 100)
    for hour in range(1, 25):
        often.age(hour * HALF_LIFE_S / 24)
    once.age(HALF_LIFE_S)
    assert often.counts[PHONE].sum() == pytest.approx(50)
    assert once.counts[PHONE].sum() == pytest.approx(50)
    once.restore(TABLET, once.counts[PHONE], 0.0)
    assert once.counts[TABLET].sum() == pytest.approx(25)


def test_cells_of_exchanges_that_are_gone_go() -> None:
    landscape = Landscape()
    landscape.observe_price(PHONE, DOLLAR)
    landscape.observe_price(ELSEWHERE, DOLLAR)
    assert landscape.keep_exchanges(["plain"]) == [ELSEWHERE]
    assert set(landscape.copy()) == landscape.changed == {PHONE}


def test_whoever_knows_nothing_bids_a_half() -> None:
    value = PRICE_EDGES_CPM_MICROS[700]
    surplus = (value - PRICE_EDGES_CPM_MICROS[:701]) * ANY_PRICE[:701]
    assert PRICE_EDGES_CPM_MICROS[surplus.argmax()] == pytest.approx(value / 2, rel=0.01)
