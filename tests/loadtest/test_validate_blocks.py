"""Blocks, declarations and transparency: what may not be shown, and what a bid must say of itself."""

from typing import Any

import pytest

from loadtest.house import House
from tests.loadtest.answers import Object
from tests.loadtest.judging import Change, both, judged, on_media, setting, unchanged
from tests.openrtb.houses import EVERY_MTYPE

DSA = {
    "behalf": "Acme",
    "paid": "Acme",
    "adrender": 1,
    "transparency": [{"domain": "a.example", "dsaparams": [1]}],
}


@pytest.mark.parametrize(
    ("asked", "change", "sentence"),
    [
        (
            {"bapp": ["com.shop.example"]},
            setting(bundle="com.shop.example"),
            "app 'com.shop.example' is blocked by bapp",
        ),
        ({"wseat": ["t"]}, unchanged, "seat 's' is not among wseat"),
        ({"bseat": ["s"]}, unchanged, "seat 's' is blocked by bseat"),
        ({"acat": ["IAB1"]}, unchanged, "category 'IAB3-1' is not allowed by acat"),
        ({"wlang": ["de"]}, setting(language="en"), "language 'en' is not among wlang"),
        ({"wlangb": ["de-CH"]}, setting(langb="fr-CH"), "langb 'fr-CH' is not among wlangb"),
        (
            {},
            setting(language="en", langb="en-US"),
            "it gives both language and langb, and may give only one",
        ),
        ({"bcat": ["385"], "cattax": 7}, setting(cat=["385"], cattax=7), "category '385' is blocked by bcat"),
    ],
)
def test_what_a_list_forbids_is_named(asked: Object, change: Change, sentence: str) -> None:
    assert judged("banner", change, **asked) == [f"Bid 'b-1': {sentence}."]


@pytest.mark.parametrize(
    ("asked", "change"),
    [
        ({"wseat": ["s", "t"], "bseat": ["u"]}, unchanged),
        ({"acat": ["IAB3"]}, unchanged),
        ({"wlang": ["EN", "de"]}, setting(language="en")),
        ({"wlang": ["de"]}, unchanged),
        ({"bcat": ["IAB3"], "cattax": 2}, unchanged),
        ({"bcat": ["38"], "cattax": 7}, setting(cat=["38-5"], cattax=7)),
    ],
)
def test_what_no_list_forbids_passes(asked: Object, change: Change) -> None:
    assert judged("banner", change, **asked) == []


def test_an_api_that_is_not_listed_is_not_supported() -> None:
    assert on_media("banner", setting(apis=[5]), api=[5, 7]) == []
    for fields in ({"apis": [3]}, {"api": 3}):
        assert on_media("banner", setting(**fields), api=[5]) == [
            "Bid 'b-1': API 3 is not among those the impression supports."
        ]


@pytest.mark.parametrize(
    ("adm", "btype", "passes"),
    [
        ('<iframe src="https://a.example/${AUCTION_PRICE}"></iframe>', 4, False),
        ('<iframe src="https://a.example/${AUCTION_PRICE}"></iframe>', 3, True),
        ('<script src="https://a.example/${AUCTION_PRICE}"></script>', 3, False),
        ('<img src="https://a.example/${AUCTION_PRICE}">', 2, False),
        ('<img src="https://a.example/${AUCTION_PRICE}">', 1, True),
    ],
)
def test_a_blocked_type_of_markup_is_named(adm: str, btype: int, passes: bool) -> None:
    assert (on_media("banner", setting(adm=adm), btype=[btype]) == []) == passes


def dsa(answer: Object | None = None, **asked: int) -> list[str]:
    change: Change = setting(ext={"dsa": answer}) if answer is not None else unchanged
    found = judged("banner", change, regs={"ext": {"dsa": asked}})
    assert found == judged("banner", change, regs={"dsa": asked}), "both homes are read"
    return [sentence.removeprefix("Bid 'b-1': ") for sentence in found]


def test_transparency_is_required_well_formed_and_rendered_once() -> None:
    assert dsa(DSA, dsarequired=2, pubrender=0) == []
    assert dsa(None, dsarequired=1) == []
    assert dsa(None, dsarequired=3) == ["ext.dsa is missing, and the request requires it."]
    assert dsa({**DSA, "paid": ""}, dsarequired=2) == ["ext.dsa.paid is missing."]
    assert dsa({**DSA, "behalf": "x" * 101}) == ["ext.dsa.behalf has 101 characters; 100 is the most."]
    assert len(dsa({**DSA, "transparency": [{"dsaparams": [1]}]})) == 1
    assert dsa({**DSA, "adrender": 0}, pubrender=0) == [
        "ext.dsa.adrender is not 1, and the publisher does not render the disclosure."
    ]
    assert dsa(DSA, pubrender=2) == ["ext.dsa.adrender is 1, and the publisher renders the disclosure."]


def test_a_house_requires_fields_of_its_own() -> None:
    house = House(required_fields={"iurl": EVERY_MTYPE, "ext.protocol": EVERY_MTYPE}, numeric_seats=True)
    found = judged("banner", unchanged, house=house)
    assert found == [
        "Bid 'b-1': iurl is missing, and this exchange requires it.",
        "Bid 'b-1': ext.protocol is missing, and this exchange requires it.",
        "Bid 'b-1': seat 's' is not the number this exchange requires.",
    ]
    filled: dict[str, Any] = {"iurl": "https://cdn.example/i.png", "ext": {"protocol": 5}}
    assert len(judged("banner", both(setting(**filled)), house=house)) == 1


def test_a_field_may_be_required_on_some_formats_only() -> None:
    house = House(required_fields={"ext.protocol": (2, 3)})
    assert judged("banner", unchanged, house=house) == []
    assert len(judged("video", unchanged, house=house)) == 1


def test_a_house_may_want_https_everywhere() -> None:
    change = setting(lurl="http://bidder.example/loss")
    assert judged("banner", change, {"secure": 0}) == []
    assert len(judged("banner", change, {"secure": 0}, House(secure_only=True))) == 1


def test_googles_impressions_list_what_a_bid_may_name() -> None:
    google, terms = (
        House(google_extensions=True),
        {"billing_id": ["17", "18"], "allowed_restricted_category": [33]},
    )

    def named(**extension: Any) -> list[str]:
        return judged("banner", setting(ext=extension), {"ext": terms}, google)

    assert named(billing_id=17, restricted_category=[33]) == []
    assert named() == ["Bid 'b-1': ext.billing_id None is none of those the impression lists."]
    assert named(billing_id=18, restricted_category=[34]) == [
        "Bid 'b-1': restricted category 34 is not allowed on the impression."
    ]
