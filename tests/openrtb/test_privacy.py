"""What may be done with whose data: without permission nothing of the person reaches the decision."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bidder.cli.main import command_line
from bidder.openrtb.consent.permissions import ALL_PERMITTED, Cause, Permissions
from bidder.openrtb.decode import decode_request
from bidder.openrtb.notice_token import Notice, TokenSigner
from bidder.openrtb.opportunity import Opportunity
from bidder.openrtb.privacy import (
    NO_VENDOR,
    Vendor,
    permissions,
    request_permissions,
    request_signals,
    sync_permissions,
    vendor_of,
)
from bidder.openrtb.translate import translate
from config.currency import Currencies
from config.limits import TC_STRING_CHARS_MAX
from config.schema import Engine, ExchangeProfile, FrequencyCap, code_of
from config.settings import load_secrets
from tests.factories import advertiser, bid_request, bundle, campaign, line_item
from tests.openrtb.consent.steps import lines_run
from tests.openrtb.consent.strings import (
    gpp_string,
    tc_string,
    us_section,
)
from tests.openrtb.scenario import FOLDER
from tests.openrtb.scenario import read as read_scenario
from tests.running import RunningWorker, running_worker

HASHES = {("cookie", "demo-1"): 1, ("ifa", "aaaa-1"): 2, ("eids.example", "e-1"): 3}


US_QUIET = us_section("0" * 32)
"""Section 7 in which nothing speaks against."""
UNTARGETED = gpp_string({7: us_section("000000001" + "0" * 23)})
SOLD_NOT = gpp_string({6: "1YYN"})
WITH_GPC = gpp_string({7: US_QUIET + ".YA"})
TCF_1 = "BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA"
OURS = 123
VENDOR = Vendor(OURS)
CONSENT = tc_string((OURS,), (1, 2, 3, 4), special_features=(1,))
REFUSAL = tc_string((), ())


def person(vendor: Vendor = VENDOR, **fields: Any) -> int:
    return opportunity(vendor, **fields).user_hash


def opportunity(vendor: Vendor = VENDOR, **fields: Any) -> Opportunity:
    fields = {"user": {"buyeruid": "demo-1"}} | fields
    asked: list[tuple[str, str]] = []

    def hash_user(source: str, id_: str) -> int:
        asked.append((source, id_))
        return HASHES[source, id_]

    request = decode_request(msgspec.json.encode(bid_request(**fields)))
    found = translate(request, ExchangeProfile(id="plain"), Currencies("USD", {}), hash_user, vendor)
    assert len(asked) == (found.user_hash != 0), "an id that may not be used is not even hashed"
    return found


def test_our_cookie_comes_before_the_device_and_the_device_before_eids() -> None:
    eids = [{"source": "eids.example", "uids": [{"id": "e-1"}]}]
    assert person(user={"buyeruid": "demo-1", "eids": eids}, device={"ifa": "AAAA-1"}) == 1
    assert person(user={"eids": eids}, device={"ifa": "AAAA-1"}) == 2
    assert person(user={"eids": eids}) == 3
    assert person(user={"ext": {"eids": eids}}) == 3
    assert person(user={}) == 0


def test_a_zeroed_advertising_id_is_nobody() -> None:
    assert person(user={}, device={"ifa": "00000000-0000-0000-0000-000000000000"}) == 0


def test_an_over_long_id_is_no_id() -> None:
    assert person(user={"buyeruid": "x" * 513}) == 0


@pytest.mark.parametrize(
    ("signal", "cause"),
    [
        ({"regs": {"coppa": 1}}, Cause.COPPA),
        ({"regs": {"ext": {"s22580": 1}}}, Cause.MINOR_IN_CALIFORNIA),
        ({"device": {"lmt": 1}}, Cause.LIMITED_TRACKING),
        ({"device": {"dnt": 1}}, Cause.DO_NOT_TRACK),
        ({"regs": {"ext": {"gpc": "1"}}}, Cause.GLOBAL_PRIVACY_CONTROL),
        ({"regs": {"ext": {"gpc": 1}}}, Cause.GLOBAL_PRIVACY_CONTROL),
        ({"regs": {"us_privacy": "1YYN"}}, Cause.US_PRIVACY_SALE),
        ({"regs": {"ext": {"us_privacy": "1nyn"}}}, Cause.US_PRIVACY_SALE),
        ({"regs": {"us_privacy": "1YYN and more"}}, Cause.US_PRIVACY_UNREADABLE),
        # Of two homes that contradict each other, the one that says no.
        ({"regs": {"us_privacy": "1YNN", "ext": {"us_privacy": "1YYN"}}}, Cause.US_PRIVACY_SALE),
        ({"regs": {"us_privacy": "1YYN", "ext": {"us_privacy": "1YNN"}}}, Cause.US_PRIVACY_SALE),
        (
            {"regs": {"gpp": gpp_string({8: "x"}), "gpp_sid": [-1], "ext": {"gpp_sid": [7]}}},
            Cause.GPP_SECTION_MISSING,
        ),
        (
            {"regs": {"gpp": gpp_string({7: US_QUIET}), "gpp_sid": [7], "ext": {"gpp": UNTARGETED}}},
            Cause.GPP_UNREADABLE,
        ),
        (
            {"user": {"buyeruid": "demo-1", "consent": CONSENT, "ext": {"consent": REFUSAL}}},
            Cause.TCF_UNREADABLE,
        ),
        ({"regs": {"gdpr": 1}}, Cause.TCF_NO_STRING),
        ({"regs": {"ext": {"gdpr": 1}}}, Cause.TCF_NO_STRING),
        ({"regs": {"gdpr": "1"}}, Cause.TCF_NO_STRING),
        ({"regs": {"gdpr": 0, "ext": {"gdpr": 1}}}, Cause.TCF_NO_STRING),
        ({"regs": {"gdpr": 1}, "user": {"buyeruid": "demo-1", "consent": "CPx"}}, Cause.TCF_UNREADABLE),
        ({"user": {"buyeruid": "demo-1", "consent": "CPx"}}, Cause.TCF_UNREADABLE),
        ({"user": {"buyeruid": "demo-1", "ext": {"consent": TCF_1}}}, Cause.TCF_UNREADABLE),
        ({"regs": {"gpp": "DBAA"}}, Cause.GPP_UNADDRESSED),
        ({"regs": {"ext": {"gpp": "DBAA"}}}, Cause.GPP_UNADDRESSED),
        ({"regs": {"gpp": "DBAA", "gpp_sid": []}}, Cause.GPP_UNADDRESSED),
        ({"regs": {"gpp_sid": [7]}}, Cause.GPP_SECTION_MISSING),
        ({"regs": {"gpp": "DBAA", "gpp_sid": [7]}}, Cause.GPP_SECTION_MISSING),
        ({"regs": {"gpp": "DBABLA", "gpp_sid": [7]}}, Cause.GPP_SECTION_MISSING),
        ({"regs": {"gpp": "nonsense", "gpp_sid": [7]}}, Cause.GPP_UNREADABLE),
        ({"regs": {"gpp": gpp_string({7: US_QUIET}), "gpp_sid": [-1, 8]}}, Cause.GPP_SECTION_MISSING),
        ({"regs": {"gpp": gpp_string({99: "x"}), "gpp_sid": [99]}}, Cause.GPP_SECTION_UNKNOWN),
        ({"regs": {"gpp": gpp_string({7: "x"}), "gpp_sid": [7]}}, Cause.GPP_SECTION_UNREADABLE),
        ({"regs": {"gpp": UNTARGETED, "gpp_sid": [7]}}, Cause.GPP_TARGETED_ADVERTISING),
        ({"regs": {"ext": {"gpp": WITH_GPC, "gpp_sid": [7]}}}, Cause.GPP_GLOBAL_PRIVACY_CONTROL),
        ({"regs": {"gpp": SOLD_NOT, "gpp_sid": [6]}}, Cause.US_PRIVACY_SALE),
        ({"regs": {"us_privacy": "1YNN", "gpp": SOLD_NOT, "gpp_sid": [6]}}, Cause.US_PRIVACY_SALE),
        ({"regs": {"ext": {"gpp_sid": [2]}}}, Cause.TCF_NO_STRING),
        ({"regs": {"gpp": gpp_string({5: CONSENT}), "gpp_sid": [5]}}, Cause.TCF_UNREADABLE),
    ],
)
def test_each_signal_alone_switches_the_person_off_and_is_named(signal: dict[str, Any], cause: Cause) -> None:
    assert person() == 1
    found = opportunity(**signal)
    assert found.user_hash == 0
    assert not found.permissions.sync
    assert found.permissions.refusals[0].cause is cause


@pytest.mark.parametrize(
    "signal",
    [
        {"regs": {"gdpr": 0, "us_privacy": "1YNN", "coppa": 0}},
        {"regs": {"gdpr": 0}, "user": {"buyeruid": "demo-1", "consent": "nonsense"}},
        {"regs": {"gpp": "DBAA", "gpp_sid": [-1]}},
        {"regs": {"gpp": "nonsense", "gpp_sid": [-1]}},
        {"regs": {"gpp": gpp_string({7: US_QUIET, 8: "x"}), "gpp_sid": [7, 3, 4]}},
        {"regs": {"gpp": gpp_string({6: "1YNN"}), "gpp_sid": [6]}},
        {"regs": {"us_privacy": "1YNN", "gpp_sid": [6]}},
        {"regs": {"us_privacy": "1YNN", "ext": {"us_privacy": "1YNY", "gpp_sid": [-1]}}},
        {"user": {"buyeruid": "demo-1", "consent": CONSENT, "ext": {"consent": CONSENT}}},
        {"device": {"lmt": 0, "dnt": 0}},
        {"user": {"buyeruid": "demo-1", "consent": ""}},
        {"user": {"buyeruid": "demo-1", "consent": CONSENT}},
        {"regs": {"gdpr": 1}, "user": {"buyeruid": "demo-1", "consent": CONSENT}},
        {"regs": {"ext": {"gdpr": 1}}, "user": {"buyeruid": "demo-1", "ext": {"consent": CONSENT}}},
        {"regs": {"gpp_sid": [2]}, "user": {"buyeruid": "demo-1", "consent": CONSENT}},
        {"regs": {"gpp": gpp_string({2: CONSENT}), "gpp_sid": [2]}},
        {"regs": {"gdpr": 1, "gpp": gpp_string({2: CONSENT, 6: "1YYN"}), "gpp_sid": [2]}},
    ],
)
def test_signals_that_permit_do(signal: dict[str, Any]) -> None:
    found = opportunity(**signal)
    assert (found.user_hash, found.permissions) == (1, ALL_PERMITTED)


def test_a_child_has_no_zip_and_no_precise_location_either() -> None:
    geo = {"country": "USA", "region": "IA", "zip": "50309"}
    assert opportunity(device={"geo": geo}).zip_code == "USA-50309"
    child = opportunity(device={"geo": geo}, regs={"coppa": 1})
    assert (child.zip_code, child.region) == ("", "USA-IA")
    signals = {"gpp": gpp_string({7: us_section("0" * 25 + "1" + "0" * 6)}), "gpp_sid": [7]}
    found = opportunity(device={"geo": geo}, regs=signals)
    assert (found.zip_code, found.permissions.refusals[0].cause) == ("", Cause.GPP_CHILD)
    opted_out = opportunity(device={"geo": geo}, regs={"us_privacy": "1YYN"})
    assert opted_out.zip_code == "USA-50309"


def test_without_special_feature_1_a_postcode_is_not_used() -> None:
    geo = {"country": "GBR", "region": "ENG", "zip": "SW1A 1AA"}
    for features, postcode in (((1,), "GBR-SW1A 1AA"), ((), "")):
        consent = tc_string((OURS,), (1, 2, 3, 4), special_features=features)
        user = {"buyeruid": "demo-1", "consent": consent}
        found = opportunity(device={"geo": geo}, regs={"gdpr": 1}, user=user)
        assert (found.zip_code, found.region, found.user_hash) == (postcode, "GBR-ENG", 1)


def test_client_hints_come_before_what_the_user_agent_says() -> None:
    sua = {"platform": {"brand": "Android", "version": ["14"]}, "mobile": 1}
    assert opportunity(device={"os": "Linux", "sua": sua}).operating_system == "android"
    assert opportunity(device={"os": "Linux", "sua": {"browsers": []}}).operating_system == "linux"


@pytest.mark.parametrize(
    ("query", "headers", "permitted"),
    [
        ({}, {}, True),
        ({"gdpr": "", "gdpr_consent": ""}, {"Sec-GPC": "0", "DNT": "0"}, True),
        ({"gdpr": "0", "gdpr_consent": "whatever"}, {}, True),
        ({"us_privacy": "1YNN"}, {}, True),
        ({"gpp": "DBABTA~1YNN", "gpp_sid": "6"}, {}, True),
        ({"gpp": gpp_string({7: US_QUIET}), "gpp_sid": "-1"}, {}, True),
        ({"gdpr": "1", "gdpr_consent": CONSENT}, {}, True),
        ({"gdpr_consent": CONSENT}, {}, True),
        ({"gpp": gpp_string({2: CONSENT}), "gpp_sid": "2"}, {}, True),
        ({"gdpr": "1", "gdpr_consent": tc_string((OURS,), (1,))}, {}, True),
        ({"gdpr": "1", "gdpr_consent": tc_string((OURS,), (2, 3, 4))}, {}, False),
        ({"gdpr": "1"}, {}, False),
        ({"gdpr": "${GDPR}"}, {}, False),
        ({"gdpr": "1", "gdpr_consent": "A" * (TC_STRING_CHARS_MAX + 1)}, {}, False),
        ({"gdpr_consent": "${GDPR_CONSENT_123}"}, {}, False),
        ({"us_privacy": "1YYN"}, {}, False),
        ({"us_privacy": "${US_PRIVACY}"}, {}, False),
        ({"gpp": "DBABTA~1YNN"}, {}, False),
        ({"gpp_sid": "2"}, {}, False),
        ({"gpp": gpp_string({7: US_QUIET}), "gpp_sid": "7,2"}, {}, False),
        ({"gpp": "DBABTA~1YNN", "gpp_sid": "6_5"}, {}, False),
        ({"gpp_sid": "${GPP_SID}"}, {}, False),
        ({}, {"Sec-GPC": "1"}, False),
        ({}, {"DNT": "1"}, False),
    ],
)
def test_a_sync_asks_the_same_rules(query: dict[str, str], headers: dict[str, str], permitted: bool) -> None:
    assert sync_permissions(query, headers, VENDOR).sync == permitted


def test_explain_opens_with_what_is_refused(tmp_path: Path) -> None:
    scenario = read_scenario(FOLDER / "without-consent-for-purpose-1-the-person-is-hidden.json")
    request = tmp_path / "request.json"
    request.write_bytes(scenario.body())
    arguments = ["explain", str(request), "--config", str(scenario.write_config(tmp_path / "config"))]
    result = CliRunner().invoke(command_line(["explain"]), [*arguments, "--segment", "gardeners"])
    assert result.output.startswith(
        "Privacy: no id is read, segments are not used, no ids are synced: "
        "gdpr: vendor 123 has no consent for purpose 1.\n"
    )
    assert "the person is not in its audience" in result.output


def test_what_the_config_says_of_the_vendor_is_what_is_judged() -> None:
    engine = Engine(gvl_vendor_id=7, gvl_legitimate_interests=(2,), gvl_flexible_purposes=(2, 9))
    assert vendor_of(engine) == Vendor(7, (2,), (2, 9))
    assert vendor_of(Engine()) == NO_VENDOR


strings = st.sampled_from(
    ["", CONSENT, "CPx", gpp_string({2: CONSENT, 7: US_QUIET}), "1YNN", "1YYN"]
) | st.text(max_size=60)
section_ids = st.lists(st.integers(-2, 40), max_size=40)
junk = st.none() | st.booleans() | st.integers(-2, 2**40) | st.floats() | strings | st.lists(st.integers())


def with_junk(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), junk | section_ids)


REGS = ("coppa", "gdpr", "us_privacy", "gpp", "gpp_sid")


@settings(max_examples=200, deadline=None)
@given(
    regs=with_junk(*REGS),
    regs_ext=with_junk(*REGS, "gpc", "s22580"),
    user=with_junk("consent", "buyeruid", "eids"),
    user_ext=with_junk("consent"),
    device=with_junk("lmt", "dnt", "ifa", "sua"),
)
def test_any_signals_have_an_answer_and_are_little_work(
    regs: dict[str, Any],
    regs_ext: dict[str, Any],
    user: dict[str, Any],
    user_ext: dict[str, Any],
    device: dict[str, Any],
) -> None:
    body = msgspec.json.encode(
        bid_request(regs=regs | {"ext": regs_ext}, user=user | {"ext": user_ext}, device=device)
    )
    request = decode_request(body)
    permissions.cache_clear()
    found: list[Permissions] = []
    assert lines_run(lambda: found.append(request_permissions(request, VENDOR))) < 4_000
    assert found[0].profile <= found[0].identify <= found[0].sync
    assert found[0] == permissions(request_signals(request), VENDOR), "the quick answer is the right one"
    if str(regs.get("gdpr")) == "1":
        nobody = request_permissions(request, NO_VENDOR)
        assert not any((nobody.identify, nobody.profile, nobody.precise_geo, nobody.sync))


async def test_a_person_in_europe_is_bid_on_as_far_as_they_consented(redis_url: str, tmp_path: Path) -> None:
    items = [
        line_item("audience", cpm=9, audience="gardeners"),
        line_item("capped", cpm=7, frequency_cap=FrequencyCap(per_day=3)),
        line_item("context", cpm=5),
    ]
    config = msgspec.structs.replace(
        bundle(advertiser(campaigns=[campaign(line_items=items)]), segments=["gardeners"]),
        engine=Engine(gvl_vendor_id=OURS, audience_size_min=0),
    )
    async with running_worker(redis_url, config, tmp_path) as worker:
        await worker.put_in_segments("someone", "gardeners")
        whole = tc_string((OURS,), (1, 2, 3, 4))
        capped_only = tc_string((OURS,), (1, 2))
        stored_only = tc_string((OURS,), (1,))
        for consent, line, known, profiled in (
            (whole, "audience", True, True),
            (capped_only, "capped", True, False),
            (stored_only, "context", False, False),
            ("CPx", "context", False, False),
            (None, "context", False, False),
        ):
            user = {"buyeruid": "someone", "consent": consent}
            request = bid_request(regs={"gdpr": 1}, user={k: v for k, v in user.items() if v is not None})
            (bid,) = await worker.bids(request)
            notice = notice_of(worker, bid)
            assert notice.line_item_code == code_of(line)
            assert notice.user_hash == (worker.identity.hash("cookie", "someone") if known else 0)
            assert notice.may_profile == profiled


def notice_of(worker: RunningWorker, bid: dict[str, Any]) -> Notice:
    """What the token in a bid's billing URL says."""
    signer = TokenSigner(load_secrets(Path(worker.settings.secret_file)).notice_key)
    notice = signer.read(parse_qs(urlsplit(bid["burl"]).query)["t"][0])
    assert notice is not None
    return notice
