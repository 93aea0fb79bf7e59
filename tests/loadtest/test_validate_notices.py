"""Macros: only those of OpenRTB, and the price where a house wants it."""

import pytest

from loadtest.house import House
from tests.loadtest.judging import Change, both, judged, replacing, setting, unchanged

OPENX = House(price_macro="${AUCTION_PRICE:OXCRYPT}", price_places=("adm",))
GOOGLE = House(price_places=("burl",), price_in_vast_impression=False)
XANDR = House(takes_markup=False, price_places=())
PLAIN, ENCIPHERED = "${AUCTION_PRICE}", "${AUCTION_PRICE:OXCRYPT}"


def without_adm(answer: dict[str, object]) -> None:
    del answer["adm"]


@pytest.mark.parametrize(
    ("macro", "complaint"),
    [
        ("${AUCTION_IMP_TS}", ""),
        ("${AUCTION_DISCOUNT_PCT}", ""),
        ("${auction_price}", ""),
        ("${AUCTION_WINNER}", "lurl holds '${AUCTION_WINNER}', which is no macro of OpenRTB"),
        ("${CLICK_URL}", "lurl holds '${CLICK_URL}', which is no macro of OpenRTB"),
        ("${AUCTION_LOSS:B64}", "lurl holds '${AUCTION_LOSS:B64}', an encoding that is not agreed"),
    ],
)
def test_only_macros_of_the_list_are_filled_in(macro: str, complaint: str) -> None:
    found = judged("banner", setting(lurl=f"https://bidder.example/loss?x={macro}"))
    assert found == ([f"Bid 'b-1': {complaint}."] if complaint else [])


def test_openx_fills_in_its_own_macro_only() -> None:
    change = replacing("adm", PLAIN, ENCIPHERED)
    assert judged("banner", change, house=OPENX) == []
    assert judged("banner", unchanged, house=OPENX) == [
        "Bid 'b-1': adm lacks ${AUCTION_PRICE:OXCRYPT}.",
        f"Bid 'b-1': adm holds {PLAIN}, which this exchange fills in only as {ENCIPHERED}.",
    ]


def test_google_never_fills_in_the_vast_impression() -> None:
    assert judged("video", unchanged, house=GOOGLE) == [
        "Bid 'b-1': its VAST <Impression> carries the price, which this exchange never fills in there."
    ]
    assert judged("video", replacing("adm", f"&p={PLAIN}", ""), house=GOOGLE) == []
    assert judged("banner", unchanged, house=GOOGLE) == []


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        (without_adm, []),
        (unchanged, ["adm is given, and this exchange takes only registered creatives"]),
        (both(without_adm, setting(w=1, h=1)), ["a banner of 1x1 is none of the offered sizes"]),
    ],
)
def test_a_house_of_registered_creatives_takes_no_markup(change: Change, sentences: list[str]) -> None:
    assert judged("banner", change, house=XANDR) == [f"Bid 'b-1': {sentence}." for sentence in sentences]


def test_a_bid_needs_a_place_for_the_price() -> None:
    def without_burl(answer: dict[str, object]) -> None:
        del answer["burl"]

    assert judged("banner", without_burl, house=GOOGLE) == [
        "Bid 'b-1': nothing of it can carry ${AUCTION_PRICE}."
    ]
