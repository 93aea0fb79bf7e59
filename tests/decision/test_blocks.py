"""Who is kept out by which list: the rule, and the rows that are made of it."""

from typing import Any

import numpy as np
import pytest

from bidder.decision.blocks import KeptOut, block_mismatch, declared
from bidder.decision.dimensions import Ad
from bidder.decision.reasons import Mismatch
from bidder.decision.snapshot import compile_snapshot
from bidder.openrtb.opportunity import NO_BLOCKS, Blocks, DealOffer
from config.schema import Creative
from tests.factories import advertiser, banner, bundle, campaign, line_item


def shop(creative: Creative) -> Ad:
    """The one ad of an advertiser `shop.example` with the seat `seat-shop`, in IAB18-1."""
    items = [line_item(creatives=[creative.id])]
    (ad,) = compile_snapshot(
        bundle(advertiser(campaigns=[campaign(line_items=items)], creatives=[creative])), {}
    ).ads
    return ad


TELLING = banner(language="en", app_bundle="com.shop", other_categories={"7": ("52", "53")})


@pytest.mark.parametrize(
    ("lists", "reason"),
    [
        ({"categories": ("IAB18",)}, Mismatch.CATEGORY_BLOCKED),
        ({"categories": ("IAB18-1",)}, Mismatch.CATEGORY_BLOCKED),
        ({"categories": ("IAB18-2", "IAB1", "1:18")}, None),
        ({"categories": ("7:52",)}, Mismatch.CATEGORY_BLOCKED),
        ({"categories": ("8:52",)}, None),
        ({"allowed_categories": ("IAB18",)}, None),
        ({"allowed_categories": ("IAB18-1", "IAB2")}, None),
        ({"allowed_categories": ("IAB1",)}, Mismatch.CATEGORY_NOT_ALLOWED),
        ({"allowed_categories": ("7:52", "7:53")}, None),
        ({"allowed_categories": ("7:52",)}, Mismatch.CATEGORY_NOT_ALLOWED),
        ({"allowed_categories": ("8:1",)}, Mismatch.CATEGORY_NOT_ALLOWED),
        ({"domains": ("shop.example",)}, Mismatch.ADVERTISER_BLOCKED),
        ({"domains": ("example",)}, Mismatch.ADVERTISER_BLOCKED),
        ({"domains": ("op.example", "a.shop.example")}, None),
        ({"apps": ("com.shop",)}, Mismatch.APP_BLOCKED),
        ({"apps": ("com.other", "")}, None),
        ({"allowed_languages": ("es", "en")}, None),
        ({"allowed_languages": ("es",)}, Mismatch.LANGUAGE),
        ({"seats": ("seat-shop",)}, Mismatch.SEAT),
        ({"allowed_seats": ("seat-other",)}, Mismatch.SEAT),
        ({"allowed_seats": ("seat-shop", "seat-other")}, None),
    ],
)
def test_each_list_keeps_out_whom_it_names(lists: dict[str, Any], reason: Mismatch | None) -> None:
    ad = shop(TELLING)
    assert set(declared(ad)) == {"IAB18-1", "7:52", "7:53"}
    assert block_mismatch(ad, "plain", Blocks(**lists), None) is reason


def test_a_creative_of_no_language_and_no_app_is_in_no_such_list() -> None:
    ad = shop(banner())
    assert block_mismatch(ad, "plain", Blocks(allowed_languages=("", "en")), None) is Mismatch.LANGUAGE
    assert block_mismatch(ad, "plain", Blocks(apps=("",)), None) is None


def test_a_deal_may_be_for_some_seats_and_advertisers_only() -> None:
    ad = shop(banner())

    def under(**terms: Any) -> Mismatch | None:
        deal = DealOffer("d", 0, first_price=True, fixed_price=False, **terms)
        return block_mismatch(ad, "plain", NO_BLOCKS, deal)

    assert under() is None
    assert under(seats=("seat-x",)) is Mismatch.SEAT
    assert under(domains=("x.example",)) is Mismatch.DEAL_ADVERTISER
    assert under(domains=("x.example", "shop.example")) is None
    assert under(domains=("example",)) is None


def test_rows_hold_whom_the_rule_lets_through() -> None:
    english = banner("b-0", language="en", app_bundle="com.shop", other_categories={"7": ("52",)})
    made = compile_snapshot(
        bundle(
            advertiser("shop-0", [campaign("c-0", [line_item("l-0", creatives=["b-0"])])], [english]),
            advertiser(
                "shop-1",
                [campaign("c-1", [line_item("l-1", creatives=["b-1"])])],
                [banner("b-1")],
                categories=("IAB1", "IAB2-3"),
                other_categories={"8": ("9",)},
            ),
        ),
        {},
    )
    lists: list[dict[str, Any]] = [
        {},
        {"categories": ("IAB2",)},
        {"allowed_categories": ("IAB1", "IAB2")},
        {"allowed_categories": ("7:52", "IAB18-1")},
        {"domains": ("shop-1.example",), "apps": ("com.shop",)},
        {"allowed_languages": ("en",), "seats": ("seat-shop-1",)},
        {"allowed_seats": ("nobody",)},
    ]
    deals: list[DealOffer | None] = [
        None,
        DealOffer("d", 0, False, False, domains=("shop-1.example",), seats=("seat-shop-1",)),
    ]
    for blocks in (Blocks(**fields) for fields in lists):
        for deal in deals:
            limits = (deal.seats, deal.domains) if deal else ((), ())
            row = made.blocks.row_of(KeptOut("plain", blocks, *limits))
            bits = int(made.blocks.bits[row, 0])
            expected = [block_mismatch(ad, "plain", blocks, deal) is None for ad in made.ads]
            assert [bool(bits >> i & 1) for i in range(len(made.ads))] == expected, (blocks, deal)
    assert made.blocks.bits.dtype == np.uint64
