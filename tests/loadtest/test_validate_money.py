"""Floors in their order and currency, and the terms of deals."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.money import cpm_text
from loadtest.house import House
from loadtest.validate import problems
from loadtest.validate_money import floor_for
from tests.loadtest.answers import BANNER, VIDEO, Object, bid, request, response
from tests.loadtest.judging import judged, setting, unchanged

EURO = House(exchange_rates={"USD": "1", "EUR": "1.25"})


def priced(imp_fields: Object, price: float, house: House, **bid_fields: Any) -> list[str]:
    """Judge a banner bid of a price."""
    return judged("banner", setting(price=price, **bid_fields), imp_fields, house)


def under_deal(price: float, seat: str = "s", domain: str = "advertiser.example", **deal: Any) -> list[str]:
    asked = request(banner=BANNER, pmp={"private_auction": 1, "deals": [{"id": "d"} | deal]})
    answer = bid(asked["imp"][0], price=price) | {"dealid": "d", "adomain": [domain]}
    envelope = {"id": asked["id"], "cur": "USD", "seatbid": [{"seat": seat, "bid": [answer]}]}
    return problems(asked, envelope)


@pytest.mark.parametrize(
    ("media", "imp", "deal", "expected"),
    [
        ({}, {"bidfloor": 2}, None, "2"),
        ({"mincpmpersec": 0.5}, {"bidfloor": 2}, None, "7.5"),
        ({"durfloors": [{"mindur": 1, "maxdur": 10, "bidfloor": 9}]}, {"bidfloor": 2}, None, "2"),
        ({"durfloors": [{"maxdur": 10, "bidfloor": 9}, {"mindur": 11, "bidfloor": 4}]}, {}, None, "4"),
        ({"mincpmpersec": 0.5}, {"bidfloor": 2}, {"bidfloor": 3}, "3"),
        ({"mincpmpersec": 0.5}, {"bidfloor": 2}, {"mincpmpersec": 0.1, "bidfloor": 3}, "1.5"),
        ({}, {"bidfloor": 2}, {"durfloors": [{"mindur": 15, "maxdur": 15, "bidfloor": 6}]}, "6"),
        ({"durfloors": "soon", "mincpmpersec": "much"}, {"bidfloor": 1e99}, None, "0"),
    ],
)
def test_the_floor_is_the_deals_then_the_medias_then_the_imps(
    media: Object, imp: Object, deal: Object | None, expected: str
) -> None:
    assert cpm_text(floor_for(imp, media, deal, 15)) == expected


def test_a_floor_by_the_second_is_held_against_the_bid() -> None:
    assert judged("video", setting(price=7.4), {"video": VIDEO | {"mincpmpersec": 0.5}}) == [
        "Bid 'b-1': price 7.4 is below the floor of 7.5."
    ]
    assert judged("video", setting(price=7.5), {"video": VIDEO | {"mincpmpersec": 0.5}}) == []


def test_a_floor_in_another_currency_is_compared_when_there_is_a_rate() -> None:
    in_euro = {"bidfloor": 2.0, "bidfloorcur": "EUR"}
    assert priced(in_euro, 2.5, EURO) == []
    assert priced(in_euro, 2.49, EURO) == ["Bid 'b-1': price 2.49 is below the floor of 2 EUR."]
    assert priced(in_euro, 0.01, House()) == []


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_currencies_are_compared_exactly(price: int, floor: int) -> None:
    imp = {"bidfloor": floor / 1e6, "bidfloorcur": "EUR"}
    assert bool(priced(imp, price / 1e6, EURO)) == (price * 4 < floor * 5)


def test_a_deals_floor_is_in_dollars_unless_it_says_otherwise() -> None:
    imp = {"bidfloorcur": "EUR", "pmp": {"deals": [{"id": "d", "bidfloor": 2.4}]}}
    assert priced(imp, 2.4, EURO, dealid="d") == []
    imp["pmp"] = {"deals": [{"id": "d", "bidfloor": 2.4, "bidfloorcur": "EUR"}]}
    assert len(priced(imp, 2.4, EURO, dealid="d")) == 1


def test_a_private_auction_takes_no_open_bid() -> None:
    assert judged("banner", unchanged, {"pmp": {"private_auction": 1, "deals": [{"id": "d"}]}}) == [
        "Bid 'b-1': the auction is private, and the bid names no deal."
    ]


def test_a_deal_is_for_its_seats_and_advertisers_at_its_fixed_price() -> None:
    assert under_deal(3, wseat=["s"], wadomain=["advertiser.example"], at=3, bidfloor=3) == []
    assert under_deal(3, wseat=["t"]) == ["Bid 'b-1': seat 's' is none of those deal 'd' is for."]
    assert under_deal(3, wadomain=["other.example"]) == [
        "Bid 'b-1': advertiser 'advertiser.example' is none of those deal 'd' is for."
    ]
    assert under_deal(3.5, at=3, bidfloor=3) == ["Bid 'b-1': price 3.5 is not the deal's fixed price of 3."]


def test_a_number_for_a_deals_id_is_answered_by_its_text() -> None:
    asked = request(banner=BANNER, pmp={"deals": [{"id": 7}]})
    answer = bid(asked["imp"][0]) | {"dealid": "7"}
    assert problems(asked, response(asked, answer)) == []
