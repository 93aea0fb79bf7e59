import numpy as np
import pytest
import redis.asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from config.money import CPM_MICROS_MAX
from config.redis_keys import SHADING
from pacing.cells import CELLS_PER_EXCHANGE, DEVICES, FORMATS, Cell, cells_of, device_index, first_cell
from pacing.landscape import OBSERVATIONS_MIN, CellShares, Key, Landscape, win_shares
from pacing.price_grid import (
    PRICE_BINS,
    PRICE_EDGES_CPM_MICROS,
    SHADE_BINS,
    SHADE_EDGES_CPM_MICROS,
    band_of,
)
from pacing.shading import (
    EXPLORED_ONE_IN,
    EXPLORED_SHARE,
    UNEXPLORED,
    Shading,
    fetch_shading,
    publish_shading,
    shade,
    shade_row,
    shade_rows,
    shade_table,
)

CELL = Cell("plain", "banner", "phone")
PRICES = st.integers(1, CPM_MICROS_MAX)
VALUES = st.integers(1, CPM_MICROS_MAX)
TICKETS = st.integers(0, 2**64 - 1)
DOLLAR = 1_000_000


def counted(prices: list[int]) -> Landscape:
    """A landscape with enough auctions of each price."""
    landscape = Landscape()
    for price in prices:
        landscape.observe_price(Key(CELL), price, OBSERVATIONS_MIN)
    return landscape


def table_of(landscape: Landscape) -> NDArray[np.int64]:
    return shade_table(shade_rows(win_shares(landscape.copy())), [CELL])


def bid(table: NDArray[np.int64], value: int, ticket: int = int(UNEXPLORED)) -> int:
    return int(shade(table, 0, value, np.uint64(ticket)))


@settings(max_examples=60, deadline=None)
@given(st.lists(PRICES, min_size=1, max_size=20), st.lists(VALUES, min_size=2, max_size=30))
def test_price_is_positive_at_most_the_value_and_under_one_landscape_never_falls(
    prices: list[int], values: list[int]
) -> None:
    table = table_of(counted(prices))
    bids = [bid(table, value) for value in sorted(values)]
    assert all(0 < price <= value for price, value in zip(bids, sorted(values), strict=True))
    assert bids == sorted(bids)


def test_price_does_not_fall_across_any_edge() -> None:
    table = table_of(counted([DOLLAR, 2 * DOLLAR, 2 * DOLLAR, 9 * DOLLAR]))
    values = sorted({edge + off for edge in SHADE_EDGES_CPM_MICROS.tolist() for off in (-1, 0, 1)})
    bids = [bid(table, value) for value in values]
    assert bids == sorted(bids)


@given(VALUES, TICKETS)
def test_without_data_the_value_is_bid(value: int, ticket: int) -> None:
    assert bid(shade_table({}, [CELL]), value, ticket) == value


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(10_000, 50 * DOLLAR), min_size=1, max_size=12), st.integers(0, SHADE_BINS - 1))
def test_row_is_the_best_bid_of_all(prices: list[int], value_bin: int) -> None:
    """Against the definition, evaluated bid by bid on the raw prices."""
    share = np.mean([price <= PRICE_EDGES_CPM_MICROS for price in prices], axis=0)
    row = np.frombuffer(shade_row(CellShares(share)), "<u2")
    value = int(SHADE_EDGES_CPM_MICROS[value_bin])

    def surplus(price: int) -> float:
        return (value - price) * sum(other <= price for other in prices) / len(prices)

    bids = [edge for edge in PRICE_EDGES_CPM_MICROS.tolist() if edge <= value]
    assert surplus(int(PRICE_EDGES_CPM_MICROS[row[value_bin]])) == pytest.approx(max(map(surplus, bids)))


def test_known_prices_give_the_bid_that_just_wins() -> None:
    landscape = Landscape()
    landscape.observe_price(Key(CELL), DOLLAR, 10_000_000)
    table = table_of(landscape)
    just_wins = int(PRICE_EDGES_CPM_MICROS[np.searchsorted(PRICE_EDGES_CPM_MICROS, DOLLAR)])
    assert bid(table, 4 * DOLLAR) == just_wins
    assert bid(table, 400 * DOLLAR) == just_wins
    assert 0.48 * DOLLAR < bid(table, DOLLAR // 2) <= DOLLAR // 2


def test_each_band_of_values_has_its_own_best_bid() -> None:
    """What is worth four dollars goes for one, what is worth ten for a half."""
    landscape = Landscape()
    for value, price in ((4 * DOLLAR, DOLLAR), (10 * DOLLAR, DOLLAR // 2)):
        landscape.observe_price(Key(CELL, band_of(value)), price, 100_000)
    table = table_of(landscape)
    assert bid(table, 4 * DOLLAR) == pytest.approx(DOLLAR, rel=0.02)
    assert bid(table, 10 * DOLLAR) == pytest.approx(DOLLAR // 2, rel=0.02)
    # A band nobody counted in is as the cell, half of which goes for a half.
    assert bid(table, 3 * DOLLAR // 2) == pytest.approx(DOLLAR // 2, rel=0.02)


def test_one_bid_in_so_many_explores_and_none_above_its_value() -> None:
    table = table_of(counted([DOLLAR]))
    plain = bid(table, 4 * DOLLAR)
    bids = np.array([bid(table, 4 * DOLLAR, ticket) for ticket in range(50 * EXPLORED_ONE_IN)])
    assert 40 <= (bids != plain).sum() <= 50
    rng = np.random.default_rng(3)
    some = [int(n) * EXPLORED_ONE_IN for n in rng.integers(0, 2**57, 300)]
    explored = np.array([bid(table, 4 * DOLLAR, ticket) for ticket in some]) / plain
    assert np.abs(explored - 1).max() < EXPLORED_SHARE + 1e-6
    assert explored.min() < 1 - 0.9 * EXPLORED_SHARE
    assert explored.max() > 1 + 0.9 * EXPLORED_SHARE
    assert np.mean(explored) == pytest.approx(1, abs=0.02)
    value = plain // 2
    assert max(bid(table, value, ticket) for ticket in some) <= value


def test_rows_are_stacked_in_the_order_asked_and_a_cell_without_one_has_its_parents() -> None:
    rows = shade_rows(win_shares(counted([DOLLAR]).copy()))
    cells = [
        Cell("none", "audio", "tv"),
        CELL,
        Cell("plain", "banner", "desktop"),
        Cell("odd", "video", "tv"),
    ]
    bad = (np.zeros(3, "<u2").tobytes(), np.full(SHADE_BINS, PRICE_BINS, "<u2").tobytes())
    for row in bad:
        table = shade_table({**rows, "odd/video": row}, cells)
        assert table.shape == (4, SHADE_BINS)
        assert table.dtype == np.int64
        unexplored = [shade(table, n, 4 * DOLLAR, UNEXPLORED) for n in range(4)]
        assert [price < 4 * DOLLAR for price in unexplored] == [False, True, True, False]
    assert shade_table({}, []).shape == (1, SHADE_BINS)


def test_the_rows_of_the_table_are_where_a_candidate_looks() -> None:
    cells = cells_of(["a", "b"])
    assert len(cells) == 2 * CELLS_PER_EXCHANGE
    row = first_cell(1, DEVICES.index("tablet")) + FORMATS.index("video")
    assert cells[row] == Cell("b", "video", "tablet")
    kinds = [DEVICES[device_index(type_)] for type_ in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1)]
    expected = "unknown mobile desktop tv phone tablet tv tv billboard unknown unknown"
    assert kinds == expected.split()


def test_compiled_and_plain_look_up_agree() -> None:
    table = table_of(counted([DOLLAR, 3 * DOLLAR]))
    for value in (1, 9_999, 10_000, DOLLAR, 5 * DOLLAR, CPM_MICROS_MAX):
        for ticket in (UNEXPLORED, np.uint64(0), np.uint64(1_999 * EXPLORED_ONE_IN), np.uint64(2**64 - 16)):
            assert shade(table, 0, value, ticket) == shade.py_func(table, 0, value, ticket)


async def test_shading_is_published_whole(redis_client: redis.asyncio.Redis) -> None:
    assert await fetch_shading(redis_client) is None
    shading = Shading(version=3, rows={"plain/banner": bytes(2 * SHADE_BINS)}, auctions={CELL.name: 7.5})
    await publish_shading(redis_client, shading)
    assert await fetch_shading(redis_client) == shading
    await redis_client.set(SHADING, b"another version's")
    assert await fetch_shading(redis_client) is None
