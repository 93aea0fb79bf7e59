"""What a bid looks like on each exchange: its fields, its notices and its price macro."""

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from bidder.decision.reasons import Reason
from bidder.decision.snapshot import compile_snapshot
from bidder.openrtb.no_bid import NBR_OF, NBR_OWN, no_bid_body
from bidder.openrtb.notice_token import TokenSigner
from bidder.openrtb.opportunity import (
    BannerShape,
    DsaTerms,
    GoogleTerms,
    MediaOffer,
    NativeAsset,
    NativeShape,
    Slot,
    StreamShape,
)
from bidder.openrtb.render import Bid, BidSequence, ResponseRenderer
from config.limits import NOTICE_URL_CHARS_MAX
from config.load import load_folder
from config.schema import Advertiser, Approval, Creative, Dsa, Engine, ExchangeProfile, Political
from tests.factories import advertiser, audio, banner, bundle, campaign, line_item, native, opportunity, video

EVENTS_URL = "https://ev.example"
NOW_S = 1_795_000_000
SIGNER = TokenSigner(bytes(32))
PROFILES = {
    profile.id: profile
    for profile in load_folder(Path(str(resources.files("config"))) / "examples").exchanges
}
MEDIA = MediaOffer(
    banner=BannerShape(sizes=((300, 250),)),
    video=StreamShape(mimes=("video/mp4",), protocols=(2, 3, 7)),
    audio=StreamShape(mimes=("audio/mpeg",)),
    native=NativeShape(assets=(NativeAsset(1, True, "title"),)),
)
CREATIVES: dict[str, Callable[[], Creative]] = {
    "banner": banner,
    "video": video,
    "audio": audio,
    "native": native,
}


def shop(creative: Creative, **fields: Any) -> Advertiser:
    item = line_item(creatives=[creative.id], audience=fields.pop("audience", None))
    owner = campaign(line_items=[item], political=fields.pop("political", None))
    return advertiser(campaigns=[owner], creatives=[creative], **fields)


def response(
    profile: ExchangeProfile,
    owner: Advertiser,
    *,
    price_cpm_micros: int = 5_000_000,
    dsa: DsaTerms | None = None,
    **slot_fields: Any,
) -> dict[str, Any]:
    config = replace(bundle(owner, exchanges=[profile]), engine=Engine(platform_domain="dsp.example"))
    renderer = ResponseRenderer(compile_snapshot(config, {}), EVENTS_URL, SIGNER, 1, BidSequence())
    slot = Slot(imp_id="1", media=MEDIA, floor_cpm_micros=0, **slot_fields)
    asked = opportunity(slot, exchange_id=profile.id, dsa=dsa)
    answer: dict[str, Any] = json.loads(renderer.render(asked, [Bid(slot, None, 0, price_cpm_micros)], NOW_S))
    return answer


def bid(profile: ExchangeProfile, owner: Advertiser | None = None, **options: Any) -> dict[str, Any]:
    (seat,) = response(profile, owner or shop(banner()), **options)["seatbid"]
    bids: list[dict[str, Any]] = seat["bid"]
    assert len(bids) == 1
    return bids[0]


def registered(creative: Creative, profile: ExchangeProfile) -> Creative:
    """Give a creative what every profile wants."""
    approval = Approval(state="approved", id="481923")
    return replace(
        creative,
        language="en",
        preview_url="https://cdn.shop.example/preview.png",
        approvals={profile.id: approval},
    )


@pytest.mark.parametrize("format_", CREATIVES)
@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.id)
def test_a_bid_has_what_every_exchange_wants_and_what_this_one_requires(
    profile: ExchangeProfile, format_: str
) -> None:
    creative = registered(CREATIVES[format_](), profile)
    owner = shop(creative, seats={profile.id: "958"}, billing_ids={profile.id: 29_290_087_654})
    answer = response(profile, owner)
    (seat,) = answer["seatbid"]
    (made,) = seat["bid"]
    assert seat["seat"] == "958"
    assert answer["cur"] == "USD"
    assert made["adomain"] == ["shop.example"]
    assert made["cid"] == "campaign-1"
    assert made["crid"] == creative.id
    assert len(made["crid"].encode()) <= 64
    assert (made["cat"], made["cattax"]) == (["IAB18-1"], 1)
    assert made["mtype"] == list(CREATIVES).index(format_) + 1
    assert made["adid"] == "481923"
    assert ("adm" in made) is (profile.markup == "adm")
    assert made["language"] == "en"
    if "iurl" in profile.requires or ("banner_iurl" in profile.requires and format_ == "banner"):
        assert made["iurl"] == "https://cdn.shop.example/preview.png"
    if "attr" in profile.requires:
        assert made["attr"] == []
    if "ext_protocol" in profile.requires and format_ in ("video", "audio"):
        assert made["ext"]["protocol"] == made["protocol"]
    urls = [made[name] for name in ("nurl", "burl", "lurl") if name in made]
    assert all(url.startswith("https://") and len(url) < NOTICE_URL_CHARS_MAX for url in urls)
    assert "NOTICE-TOKEN" not in json.dumps(answer)
    # The price comes back by what bills, in the exchange's own macro.
    billing = {"burl": "burl", "nurl": "nurl", "impression": "adm"}[profile.billing_event]
    assert profile.price_macro in made[billing]
    if profile.price_macro != "${AUCTION_PRICE}":
        assert "${AUCTION_PRICE}" not in json.dumps(made)


def test_google_has_no_price_in_the_impression_url_of_a_vast_document() -> None:
    made = bid(PROFILES["google"], shop(video()))
    impression = ElementTree.fromstring(made["adm"]).find(".//{*}Impression")
    assert impression is not None
    assert impression.text is not None
    assert "AUCTION" not in impression.text
    assert "p=${AUCTION_PRICE}" in made["burl"]
    assert "p=${AUCTION_PRICE}" in bid(PROFILES["google"])["adm"]
    assert "lurl" not in made


def test_xandr_gets_a_registered_creative_and_bills_by_its_win_notice() -> None:
    made = bid(PROFILES["xandr"], shop(registered(banner(), PROFILES["xandr"])))
    assert made["nurl"].startswith(f"{EVENTS_URL}/imp?t=")
    assert made["nurl"].endswith("&p=${AUCTION_PRICE}")
    assert made.keys().isdisjoint({"adm", "burl", "lurl"})
    notice = SIGNER.read(made["nurl"].split("t=")[1].split("&")[0])
    assert notice is not None
    assert notice.billed_on_impression


def test_a_hosted_banner_on_openx_stays_within_its_kilobyte() -> None:
    owner = shop(
        banner("autumn-boots-300x250", image_url="https://cdn.shop.example/autumn-boots-300x250.jpg")
    )
    assert len(json.dumps(response(PROFILES["openx"], owner), separators=(",", ":"))) <= 1_000


def test_a_profile_can_want_fewer_notices() -> None:
    assert bid(ExchangeProfile(id="m", notices=())).keys().isdisjoint({"nurl", "lurl"})
    assert {"nurl", "burl"} < bid(ExchangeProfile(id="m", notices=("nurl",))).keys()
    impression = bid(ExchangeProfile(id="m", billing_event="impression"))
    assert "burl" not in impression


def test_politics_is_declared_with_the_bid() -> None:
    paid = Political(paid_for_by="Open Ballots", scope="state")
    assert bid(PROFILES["plain"], shop(banner(), political=paid))["cat"] == ["IAB18-1", "IAB11-4"]
    both = shop(banner(categories=("IAB1-1", "IAB18-1"), political=paid))
    assert bid(PROFILES["plain"], both)["cat"] == ["IAB18-1", "IAB1-1", "IAB11-4"]


@pytest.mark.parametrize(("publisher_renders", "shows"), [(0, True), (1, False), (1, True), (2, False)])
@pytest.mark.parametrize("required", [False, True])
def test_the_dsa_declaration(required: bool, publisher_renders: int, shows: bool) -> None:
    terms = DsaTerms(required, publisher_renders)
    owner = shop(banner(shows_dsa_notice=shows), dsa=Dsa(behalf="Shop", paid="Shop Holding"))
    assert bid(PROFILES["plain"], owner, dsa=terms)["ext"]["dsa"] == {
        "behalf": "Shop",
        "paid": "Shop Holding",
        "transparency": [{"domain": "dsp.example", "dsaparams": [2]}],
        "adrender": int(shows),
    }


def test_no_dsa_declaration_where_none_is_asked_for_or_it_would_cost_the_bid() -> None:
    owner = shop(banner(), dsa=Dsa(behalf="Shop", paid="Shop"))
    assert "ext" not in bid(PROFILES["plain"], owner)
    # Neither side would show it: an exchange drops such a bid, and one without the object stands.
    assert "ext" not in bid(PROFILES["plain"], owner, dsa=DsaTerms(False, 0))
    assert "ext" not in bid(PROFILES["plain"], dsa=DsaTerms(False, 1))


def test_google_is_told_the_billing_id_and_the_restricted_categories() -> None:
    owner = shop(banner(restricted_categories=(33,)), billing_ids={"google": 77})
    terms = GoogleTerms(billing_ids=(76, 77), restricted_categories=(33,))
    ext = bid(PROFILES["google"], owner, google=terms)["ext"]
    assert ext == {"billing_id": 77, "restricted_category": [33]}
    assert "ext" not in bid(PROFILES["google"], google=GoogleTerms(billing_ids=(76,)))


@pytest.mark.parametrize(
    ("multiplier_millionths", "maximum"),
    [(1_000_000, 5_000_001), (12_300_000, 61_500_013), (250_000, 1_250_001)],
)
def test_out_of_home_a_play_may_cost_its_price_times_its_impressions(
    multiplier_millionths: int, maximum: int
) -> None:
    made = bid(PROFILES["plain"], price_cpm_micros=5_000_001, multiplier_millionths=multiplier_millionths)
    assert made["price"] == 5.000001
    multiplied = multiplier_millionths != 1_000_000
    for url in (made["nurl"], made["burl"], made["adm"]):
        assert ("q=${AUCTION_MULTIPLIER}" in url) is multiplied
    notice = SIGNER.read(made["burl"].split("t=")[1].split("&")[0])
    assert notice is not None
    assert notice.price_max_cpm_micros == maximum


def test_what_differs_between_requests_is_not_remembered_for_another() -> None:
    """One renderer, one ad, several terms."""
    owner = shop(banner(), dsa=Dsa(behalf="Shop", paid="Shop"))
    profiles = [ExchangeProfile(id="a"), ExchangeProfile(id="b", notices=())]
    config = replace(bundle(owner, exchanges=profiles), engine=Engine(platform_domain="dsp.example"))
    renderer = ResponseRenderer(compile_snapshot(config, {}), EVENTS_URL, SIGNER, 1, BidSequence())

    def made(exchange_id: str, dsa: DsaTerms | None, **fields: Any) -> dict[str, Any]:
        slot = Slot(imp_id="1", media=MEDIA, floor_cpm_micros=0, **fields)
        asked = opportunity(slot, exchange_id=exchange_id, dsa=dsa)
        answer = json.loads(renderer.render(asked, [Bid(slot, None, 0, 1_000_000)], NOW_S))
        only: dict[str, Any] = answer["seatbid"][0]["bid"][0]
        return only

    assert "nurl" in made("a", None)
    assert "nurl" not in made("b", None)
    assert "ext" in made("a", DsaTerms(True, 1))
    assert "ext" not in made("a", None)
    assert "&q=" in made("a", None, multiplier_millionths=2_000_000)["burl"]
    assert "&q=" not in made("a", None)["burl"]


def test_the_forms_of_a_no_bid() -> None:
    assert no_bid_body("empty", "r-1", Reason.NO_MATCH, 3) is None
    assert json.loads(no_bid_body("processing_time", "r-1", Reason.NO_MATCH, 3) or b"") == {
        "id": "r-1",
        "ext": {"processing_time_ms": 3},
    }
    assert json.loads(no_bid_body("processing_time", "", Reason.OVERLOAD, 0) or b"") == {
        "ext": {"processing_time_ms": 0}
    }
    assert no_bid_body("reason", "", Reason.OVERLOAD, 0) is None
    for reason in Reason:
        nbr = json.loads(no_bid_body("reason", "r-1", reason, 3) or b"")["nbr"]
        assert nbr == NBR_OF.get(reason, NBR_OWN + reason)
    assert NBR_OF[Reason.TOO_LATE] == 15
