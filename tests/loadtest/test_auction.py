"""Auctions: who wins, what is paid, and what the macros then say."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.money import cpm_micros_from_text, cpm_text
from loadtest.auction import Outcome, fill_macros, hold_auctions
from loadtest.landscape import TICK_CPM_MICROS, Landscape, Landscapes, LogNormal
from tests.loadtest.answers import BANNER, VIDEO, Object, bid, request, response

NOBODY = LogNormal(rivals_max=0)


def auction(asked: Object, *bids: Object, landscape: Landscape = NOBODY, seed: int = 1) -> list[Outcome]:
    return hold_auctions(asked, response(asked, *bids), Landscapes.alike(landscape), random.Random(seed))


def test_without_rivals_a_first_price_bid_pays_itself() -> None:
    asked = request(banner=BANNER)
    (outcome,) = auction(asked, bid(asked["imp"][0], price=2.123456))
    assert outcome.won
    assert outcome.price_cpm_micros == 2_123_456
    assert outcome.min_to_win_cpm_micros == 500_000
    assert outcome.macros["AUCTION_PRICE"] == "2.123456"


def test_a_second_price_auction_charges_the_least_that_wins() -> None:
    asked = {**request(banner=BANNER), "at": 2}
    (outcome,) = auction(asked, bid(asked["imp"][0]))
    assert outcome.price_cpm_micros == outcome.min_to_win_cpm_micros == 500_000


@given(seed=st.integers(0, 2**32), price=st.integers(500_000, 9_000_000), at=st.sampled_from([1, 2, 3]))
def test_a_bid_wins_exactly_when_it_reaches_the_minimum(seed: int, price: int, at: int) -> None:
    asked = {**request(banner=BANNER), "at": at}
    (outcome,) = auction(
        asked, bid(asked["imp"][0], price=float(cpm_text(price))), landscape=LogNormal(), seed=seed
    )
    assert outcome.won == (price >= outcome.min_to_win_cpm_micros)
    assert outcome.min_to_win_cpm_micros >= 500_000
    if outcome.won:
        assert outcome.price_cpm_micros == (outcome.min_to_win_cpm_micros if at == 2 else price)
        assert cpm_micros_from_text(outcome.macros["AUCTION_PRICE"]) == outcome.price_cpm_micros
    else:
        assert outcome.price_cpm_micros == 0
        assert outcome.macros["AUCTION_LOSS"] == "102"
        assert outcome.macros["AUCTION_PRICE"] == ""


def test_rivals_are_seeded_and_lie_around_the_median() -> None:
    asked = request(banner=BANNER, bidfloor=0)
    landscape = LogNormal(rivals_max=1, median_cpm_micros=2_000_000, sigma=0.5)
    needed = [
        auction(asked, bid(asked["imp"][0]), landscape=landscape, seed=seed)[0].min_to_win_cpm_micros
        for seed in range(2_000)
    ]
    again = auction(asked, bid(asked["imp"][0]), landscape=landscape, seed=5)
    assert again[0].min_to_win_cpm_micros == needed[5]
    contested = sorted(price for price in needed if price > 1)
    assert 0.4 < len(contested) / len(needed) < 0.6
    assert contested[len(contested) // 2] == pytest.approx(2_000_000, rel=0.1)
    assert all(price % TICK_CPM_MICROS == 0 for price in contested)


def test_each_impression_has_its_own_auction() -> None:
    asked = request(banner=BANNER)
    asked["imp"].append({**asked["imp"][0], "id": "2", "bidfloor": 4})
    first, second = auction(
        asked, bid(asked["imp"][0], price=2.5), bid(asked["imp"][1], price=5.0, bid_id="b-2")
    )
    assert (first.won, first.min_to_win_cpm_micros) == (True, 500_000)
    assert (second.won, second.min_to_win_cpm_micros) == (True, 4_000_000)
    assert (first.macros["AUCTION_IMP_ID"], second.macros["AUCTION_IMP_ID"]) == ("1", "2")


def test_of_two_bids_on_one_impression_the_better_takes_part() -> None:
    asked = request(banner=BANNER)
    imp = asked["imp"][0]
    low, high = auction(asked, bid(imp, price=2.0), bid(imp, price=3.0, bid_id="b-2"))
    assert (low.won, high.won) == (False, True)
    assert low.min_to_win_cpm_micros == 3_010_000
    assert high.min_to_win_cpm_micros == 500_000


def test_a_test_request_is_never_sold() -> None:
    asked = {**request(banner=BANNER), "test": 1}
    assert auction(asked, bid(asked["imp"][0])) == []


def test_macros_are_filled_as_plain_text_and_unknown_ones_emptied() -> None:
    asked = request(banner=BANNER)
    (outcome,) = auction(asked, bid(asked["imp"][0]))
    text = (
        "a=${AUCTION_ID}&i=${AUCTION_IMP_ID}&p=${AUCTION_PRICE}&c=${AUCTION_CURRENCY}&m=${AUCTION_MIN_TO_WIN}"
    )
    assert fill_macros(text, outcome.macros) == "a=auction-1&i=1&p=2.5&c=USD&m=0.5"
    assert (
        fill_macros("x=${AUCTION_PRICE:B64}&y=${AUCTION_NEWS}&z=${OTHER}", outcome.macros)
        == "x=&y=&z=${OTHER}"
    )


def test_a_deal_pays_by_its_own_rule() -> None:
    asked = {**request(banner=BANNER), "at": 2}
    (imp,) = asked["imp"]
    for at, paid in ((1, 2_500_000), (2, 1), (3, 2_500_000)):
        imp["pmp"] = {"deals": [{"id": "d", "bidfloor": 2.5, "at": at}]}
        (outcome,) = auction(asked, bid(imp) | {"dealid": "d"})
        assert outcome.price_cpm_micros == paid


def test_a_dynamic_pod_sells_each_of_its_places() -> None:
    asked = request(video=VIDEO | {"poddur": 60})
    bids = [bid(asked["imp"][0], price=price, bid_id=str(price)) for price in (3.0, 2.0)]
    assert [outcome.won for outcome in auction(asked, *bids)] == [True, True]
    del asked["imp"][0]["video"]["poddur"]
    assert [outcome.won for outcome in auction(asked, *bids)] == [True, False]


@pytest.mark.parametrize(
    ("multiplier", "cost"), [(14.2, 35_500_000), (0.1, 250_000), (0.33333333, 833_333), (0, 2_500_000)]
)
def test_one_play_out_of_home_costs_its_price_times_the_people(multiplier: float, cost: int) -> None:
    asked = request(banner=BANNER, qty={"multiplier": multiplier})
    (outcome,) = auction(asked, bid(asked["imp"][0]))
    assert (outcome.price_cpm_micros, outcome.cost) == (2_500_000, cost)
    assert outcome.macros["AUCTION_MULTIPLIER"] == (str(multiplier) if multiplier else "1")


def test_a_floor_by_the_second_is_the_least_that_wins() -> None:
    asked = request(video=VIDEO | {"mincpmpersec": 0.1})
    (outcome,) = auction(asked, bid(asked["imp"][0]))
    assert outcome.min_to_win_cpm_micros == 1_500_000
