import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.money import CPM_MICROS_MAX
from pacing.price_grid import (
    NEPERS_PER_PRICE_BIN,
    PRICE_BINS,
    PRICE_EDGES_CPM_MICROS,
    SHADE_BINS,
    SHADE_EDGES_CPM_MICROS,
    bin_of,
)


def test_edges_rise_evenly_and_the_value_edges_are_price_edges() -> None:
    assert (np.diff(PRICE_EDGES_CPM_MICROS) > 0).all()
    assert len(PRICE_EDGES_CPM_MICROS) == PRICE_BINS
    assert len(SHADE_EDGES_CPM_MICROS) == SHADE_BINS
    assert np.isin(SHADE_EDGES_CPM_MICROS, PRICE_EDGES_CPM_MICROS).all()
    assert PRICE_EDGES_CPM_MICROS[-1] == CPM_MICROS_MAX
    assert np.diff(np.log(PRICE_EDGES_CPM_MICROS)) == pytest.approx(NEPERS_PER_PRICE_BIN, rel=0.01)


@given(st.integers(1, CPM_MICROS_MAX))
def test_bin_holds_its_value(value: int) -> None:
    expected = max(int(np.searchsorted(SHADE_EDGES_CPM_MICROS, value, side="right")) - 1, 0)
    assert bin_of(value) == expected


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_bin_is_exact_at_every_edge(off: int) -> None:
    for index, edge in enumerate(SHADE_EDGES_CPM_MICROS.tolist()):
        assert bin_of(edge + off) == max(index - (off < 0), 0)
