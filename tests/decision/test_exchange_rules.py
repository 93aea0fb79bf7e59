"""What an exchange refuses, where it shows politics, and what it has an ad declare."""

from typing import Any

import pytest

from bidder.decision.dimensions import Ad
from bidder.decision.exchange_rules import (
    barred_scopes,
    categories,
    dsa_mismatch,
    google_mismatch,
    political_mismatch,
    preview_url,
    refusal,
)
from bidder.decision.reasons import Mismatch
from bidder.openrtb.opportunity import DsaTerms, GoogleTerms
from config.schema import (
    POLITICAL_SCOPES,
    Approval,
    BarredRegions,
    Creative,
    Dsa,
    ExchangeProfile,
    Political,
    PoliticalRules,
)
from tests.factories import advertiser, banner, campaign, line_item, native, video

PAID = Political(paid_for_by="Open Ballots", scope="state")
IN_THE_USA = PoliticalRules(countries=("USA",))


def ad(
    creative: Creative | None = None,
    *,
    political: Political | None = None,
    audience: str | None = None,
    **fields: Any,
) -> Ad:
    creative = creative or banner()
    item = line_item(creatives=[creative.id], audience=audience)
    owner = advertiser(
        campaigns=[campaign(line_items=[item], political=political)], creatives=[creative], **fields
    )
    return Ad(owner, owner.campaigns[0], item, creative)


def exchange(**fields: Any) -> ExchangeProfile:
    return ExchangeProfile(id="market", **fields)


@pytest.mark.parametrize(
    ("state", "required", "mismatch"),
    [
        (None, False, None),
        (None, True, Mismatch.CREATIVE_UNAPPROVED),
        ("pending", False, None),
        ("pending", True, Mismatch.CREATIVE_UNAPPROVED),
        ("approved", True, None),
        ("disapproved", False, Mismatch.CREATIVE_DISAPPROVED),
        ("disapproved", True, Mismatch.CREATIVE_DISAPPROVED),
    ],
)
def test_a_creative_bids_as_far_as_its_review_has_come(
    state: Any, required: bool, mismatch: Mismatch | None
) -> None:
    approvals = {"market": Approval(state=state)} if state else {}
    # What another exchange thinks of it does not matter.
    approvals["other"] = Approval(state="disapproved")
    assert refusal(ad(banner(approvals=approvals)), exchange(approval_required=required)) is mismatch


def test_registered_creatives_need_their_id() -> None:
    here = exchange(markup="registered")
    assert refusal(ad(), here) is Mismatch.CREATIVE_UNREGISTERED
    nameless = banner(approvals={"market": Approval(state="approved")})
    assert refusal(ad(nameless), here) is Mismatch.CREATIVE_UNREGISTERED
    registered = banner(approvals={"market": Approval(state="approved", id="77")})
    assert refusal(ad(registered), here) is None


@pytest.mark.parametrize(
    ("field", "lacking", "having", "mismatch"),
    [
        ("iurl", ad(video()), ad(video(preview_url="https://cdn.example/a.png")), Mismatch.PREVIEW_MISSING),
        ("iurl", ad(video()), ad(banner()), Mismatch.PREVIEW_MISSING),
        ("iurl", ad(video()), ad(native()), Mismatch.PREVIEW_MISSING),
        ("language", ad(), ad(banner(language="en")), Mismatch.LANGUAGE_MISSING),
        ("billing_id", ad(), ad(billing_ids={"market": 5}), Mismatch.BILLING_ID_MISSING),
        (
            "billing_id",
            ad(billing_ids={"other": 5}),
            ad(billing_ids={"market": 5}),
            Mismatch.BILLING_ID_MISSING,
        ),
        ("seat", ad(seats={"other": "5"}), ad(seats={"market": "x"}), Mismatch.SEAT_MISSING),
        ("numeric_seat", ad(seat="x"), ad(seat="958"), Mismatch.SEAT_NOT_NUMERIC),
        ("numeric_seat", ad(), ad(seat="x", seats={"market": "958"}), Mismatch.SEAT_NOT_NUMERIC),
        ("https", ad(banner(image_url="http://cdn.example/a.png")), ad(), Mismatch.NOT_SECURE_HERE),
    ],
)
def test_what_an_exchange_requires_an_ad_must_have(
    field: Any, lacking: Ad, having: Ad, mismatch: Mismatch
) -> None:
    assert refusal(lacking, exchange(requires=(field,))) is mismatch
    assert refusal(having, exchange(requires=(field,))) is None
    assert refusal(lacking, exchange()) is None


def test_a_picture_for_reviewers_is_asked_of_banners_only_where_only_banners_need_it() -> None:
    assert refusal(ad(video()), exchange(requires=("banner_iurl",))) is None
    assert preview_url(banner()) == banner().image_url


def test_politics_must_say_who_paid() -> None:
    political = exchange(political=IN_THE_USA)
    for undeclared in (
        ad(categories=("IAB11-4",)),
        ad(banner(categories=("IAB11-4",))),
    ):
        assert refusal(undeclared, political) is Mismatch.POLITICAL_UNDECLARED
    for declared in (
        ad(categories=("IAB11-4",), political=PAID),
        ad(banner(political=PAID), categories=("IAB11-4",)),
        ad(political=PAID),
    ):
        assert refusal(declared, political) is None
        assert "IAB11-4" in categories(declared)


def test_political_ads_have_no_audience_where_that_is_barred() -> None:
    google = exchange(political=PoliticalRules(countries=("USA",), audiences=False))
    assert refusal(ad(political=PAID, audience="voters"), google) is Mismatch.POLITICAL_AUDIENCE
    assert refusal(ad(political=PAID), google) is None
    assert refusal(ad(audience="readers"), google) is None


def test_political_ads_are_shown_nowhere_unless_a_country_is_named() -> None:
    political = ad(political=PAID)
    for country in ("USA", "DEU", "FRA", ""):
        assert political_mismatch(political, exchange(), country, "") is Mismatch.POLITICAL_PLACE
        assert political_mismatch(ad(), exchange(), country, "") is None
    allowed = exchange(political=IN_THE_USA)
    assert political_mismatch(political, allowed, "USA", "USA-IA") is None
    assert political_mismatch(political, allowed, "USA", "") is None
    assert political_mismatch(political, allowed, "DEU", "DEU-BE") is Mismatch.POLITICAL_PLACE


def test_regions_bar_the_scopes_they_name() -> None:
    """State and local in California, everything in Washington."""
    rules = PoliticalRules(
        countries=("USA", "CAN"),
        barred=(
            BarredRegions(regions=("USA-CA", "USA-MD"), scopes=("state", "local")),
            BarredRegions(regions=("USA-WA",)),
        ),
    )
    assert barred_scopes(rules, "USA", "USA-IA") == ()
    assert barred_scopes(rules, "USA", "USA-CA") == ("state", "local")
    assert barred_scopes(rules, "USA", "USA-WA") == POLITICAL_SCOPES
    assert barred_scopes(rules, "CAN", "CAN-ON") == barred_scopes(rules, "CAN", "") == ()
    # It may be any region that is not said, or not said as regions are.
    for unknown in ("", "USA-California", "USA-ca", "CA"):
        assert barred_scopes(rules, "USA", unknown) == POLITICAL_SCOPES
    assert political_mismatch(ad(political=PAID), exchange(political=rules), "USA", "USA-MD") is not None
    issue = Political(paid_for_by="Open Ballots", scope="issue")
    assert political_mismatch(ad(political=issue), exchange(political=rules), "USA", "USA-MD") is None


def test_a_creatives_own_declaration_goes_before_its_campaigns() -> None:
    local = Political(paid_for_by="Friends of the library", scope="local")
    rules = PoliticalRules(
        countries=("USA",), barred=(BarredRegions(regions=("USA-NY",), scopes=("local",)),)
    )
    mixed = ad(banner(political=local), political=PAID)
    assert political_mismatch(mixed, exchange(political=rules), "USA", "USA-NY") is not None


@pytest.mark.parametrize(
    ("publisher_renders", "shows", "mismatch"),
    [
        (0, False, Mismatch.DSA_RENDERING),
        (0, True, None),
        (1, False, None),
        (1, True, None),
        (2, False, None),
        (2, True, Mismatch.DSA_RENDERING),
    ],
)
def test_one_side_shows_the_dsa_notice(
    publisher_renders: int, shows: bool, mismatch: Mismatch | None
) -> None:
    declared = ad(banner(shows_dsa_notice=shows), dsa=Dsa(behalf="Shop", paid="Shop"))
    silent = ad(banner(shows_dsa_notice=shows))
    required = DsaTerms(required=True, publisher_renders=publisher_renders)
    assert dsa_mismatch(declared, required) is mismatch
    assert dsa_mismatch(silent, required) is Mismatch.DSA_MISSING
    welcome = DsaTerms(required=False, publisher_renders=publisher_renders)
    assert dsa_mismatch(silent, welcome) is dsa_mismatch(silent, None) is None


def test_google_lists_billing_ids_and_restricted_categories() -> None:
    mine = ad(banner(restricted_categories=(33,)), billing_ids={"market": 7})
    assert google_mismatch(mine, "market", None) is None
    assert google_mismatch(mine, "market", GoogleTerms((7, 8), (33, 34))) is None
    assert google_mismatch(mine, "market", GoogleTerms((8,), (33,))) is None
    assert google_mismatch(mine, "market", GoogleTerms((8, 9), (33,))) is Mismatch.BILLING_ID
    assert google_mismatch(mine, "other", GoogleTerms((7, 8), (33,))) is Mismatch.BILLING_ID
    assert google_mismatch(mine, "market", GoogleTerms((7,), ())) is Mismatch.RESTRICTED_CATEGORY
    assert google_mismatch(ad(), "market", GoogleTerms()) is None
