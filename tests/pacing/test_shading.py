import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from config.money import CPM_MICROS_MAX
from pacing.shading import (
    OBSERVATIONS_MIN,
    PARENT_WEIGHT,
    PRICE_BINS,
    PRICE_EDGES_CPM_MICROS,
    SHADE_BINS,
    SHADE_EDGES_CPM_MICROS,
    WinPrices,
    bin_of,
    shade,
    shade_row,
    shade_rows,
    shade_table,
    win_share,
)

CELL = "plain/banner"
PRICES = st.integers(1, CPM_MICROS_MAX)
VALUES = st.integers(1, CPM_MICROS_MAX)
DOLLAR = 1_000_000


def counted(prices: list[int], exchange_id: str = "plain", format_: str = "banner") -> WinPrices:
    win_prices = WinPrices()
    for price in prices:
        win_prices.observe(exchange_id, format_, price)
    return win_prices


def table_of(win_prices: WinPrices, cell: str = CELL) -> NDArray[np.int64]:
    return shade_table(shade_rows(win_prices.cells()), [cell])


def rough(prices: list[int]) -> list[int]:
    """Repeat prices until a cell has enough of them."""
    return prices * (OBSERVATIONS_MIN // len(prices) + 1)


def test_edges_rise_and_the_value_edges_are_price_edges() -> None:
    assert (np.diff(PRICE_EDGES_CPM_MICROS) > 0).all()
    assert len(PRICE_EDGES_CPM_MICROS) == PRICE_BINS
    assert len(SHADE_EDGES_CPM_MICROS) == SHADE_BINS
    assert np.isin(SHADE_EDGES_CPM_MICROS, PRICE_EDGES_CPM_MICROS).all()
    assert PRICE_EDGES_CPM_MICROS[-1] == CPM_MICROS_MAX


@given(VALUES)
def test_bin_holds_its_value(value: int) -> None:
    expected = max(int(np.searchsorted(SHADE_EDGES_CPM_MICROS, value, side="right")) - 1, 0)
    assert bin_of(value) == expected


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_bin_is_exact_at_every_edge(off: int) -> None:
    for index, edge in enumerate(SHADE_EDGES_CPM_MICROS.tolist()):
        assert bin_of(edge + off) == max(index - (off < 0), 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(PRICES, min_size=1, max_size=20), st.lists(VALUES, min_size=2, max_size=30))
def test_price_is_positive_at_most_the_value_and_never_falls(prices: list[int], values: list[int]) -> None:
    table = table_of(counted(rough(prices)))
    bids = [shade(table, 0, value) for value in sorted(values)]
    assert all(0 < bid <= value for bid, value in zip(bids, sorted(values), strict=True))
    assert bids == sorted(bids)


def test_price_does_not_fall_across_any_edge() -> None:
    table = table_of(counted(rough([DOLLAR, 2 * DOLLAR, 2 * DOLLAR, 9 * DOLLAR])))
    values = sorted({edge + off for edge in SHADE_EDGES_CPM_MICROS.tolist() for off in (-1, 0, 1)})
    bids = [shade(table, 0, value) for value in values]
    assert bids == sorted(bids)


@given(VALUES)
def test_without_data_the_value_is_bid(value: int) -> None:
    assert shade(shade_table({}, [CELL]), 0, value) == value


def test_too_few_observations_leave_a_cell_unshaded() -> None:
    win_prices = counted([DOLLAR] * (OBSERVATIONS_MIN - 1))
    assert shade_rows(win_prices.cells()) == {}
    win_prices.observe("plain", "banner", DOLLAR)
    assert set(shade_rows(win_prices.cells())) == {CELL}


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(10_000, 50 * DOLLAR), min_size=1, max_size=12), st.integers(0, SHADE_BINS - 1))
def test_row_is_the_best_bid_of_all(prices: list[int], value_bin: int) -> None:
    """Against the definition, evaluated bid by bid on the raw prices."""
    counts, parent = counted(rough(prices)).cells()[CELL]
    row = shade_row(win_share(counts, parent))
    value = int(SHADE_EDGES_CPM_MICROS[value_bin])

    def surplus(bid: int) -> float:
        return (value - bid) * sum(price <= bid for price in prices) / len(prices)

    bids = [bid for bid in PRICE_EDGES_CPM_MICROS.tolist() if bid <= value]
    best = max(map(surplus, bids))
    assert surplus(int(row[value_bin])) == pytest.approx(best)


def test_known_prices_give_the_bid_that_just_wins() -> None:
    table = table_of(counted([DOLLAR] * 1_000))
    just_wins = int(PRICE_EDGES_CPM_MICROS[np.searchsorted(PRICE_EDGES_CPM_MICROS, DOLLAR)])
    assert shade(table, 0, 4 * DOLLAR) == just_wins
    assert shade(table, 0, 400 * DOLLAR) == just_wins
    assert 0.48 * DOLLAR < shade(table, 0, DOLLAR // 2) <= DOLLAR // 2


def test_a_small_cell_leans_on_its_format_and_a_large_one_on_itself() -> None:
    win_prices = counted([4 * DOLLAR] * 100_000, "other")
    for _ in range(OBSERVATIONS_MIN):
        win_prices.observe("plain", "banner", DOLLAR)
        win_prices.observe("plain", "video", DOLLAR)
    counts, parent = win_prices.cells()[CELL]
    share = win_share(counts, parent)
    own = OBSERVATIONS_MIN / (OBSERVATIONS_MIN + PARENT_WEIGHT)
    at_two_dollars = int(np.searchsorted(PRICE_EDGES_CPM_MICROS, 2 * DOLLAR))
    assert share[at_two_dollars] == pytest.approx(own, abs=0.002)
    assert share[-1] == pytest.approx(1)
    # Videos are no relatives.
    assert parent.sum() == 100_000 + OBSERVATIONS_MIN


@pytest.mark.parametrize("price", [0, -1, CPM_MICROS_MAX + 1])
def test_a_price_out_of_range_is_not_counted(price: int) -> None:
    assert counted([price]).cells() == {}


def test_halving_halves_the_weight() -> None:
    win_prices = counted([DOLLAR] * (2 * OBSERVATIONS_MIN))
    win_prices.halve()
    assert win_prices.cells()[CELL][0].sum() == OBSERVATIONS_MIN
    win_prices.halve()
    assert shade_rows(win_prices.cells()) == {}


def test_rows_are_stacked_in_the_order_asked_and_odd_lengths_are_unshaded() -> None:
    rows = shade_rows(counted([DOLLAR] * 1_000).cells())
    table = shade_table({**rows, "odd/video": (1, 2, 3)}, ["none/audio", CELL, "odd/video"])
    assert table.shape == (3, SHADE_BINS)
    assert table.dtype == np.int64
    assert [shade(table, cell, 4 * DOLLAR) < 4 * DOLLAR for cell in range(3)] == [False, True, False]


def test_compiled_and_plain_look_up_agree() -> None:
    table = table_of(counted(rough([DOLLAR, 3 * DOLLAR])))
    for value in (1, 9_999, 10_000, DOLLAR, 5 * DOLLAR, CPM_MICROS_MAX):
        assert shade(table, 0, value) == shade.py_func(table, 0, value)
