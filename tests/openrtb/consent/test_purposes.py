"""What purposes, restrictions and legitimate interests permit, in Europe and in Canada."""

from typing import Any

import msgspec
import pytest

from bidder.openrtb.consent.permissions import Cause, Permissions, Use, sentences
from bidder.openrtb.privacy import (
    NO_VENDOR,
    Signals,
    Vendor,
    permissions,
)
from tests.openrtb.consent.strings import (
    ON_2026_03_01,
    Restriction,
    canada_string,
    gpp_string,
    tc_string,
    us_section,
)

OURS = 123
VENDOR = Vendor(OURS)
CONSENT = tc_string((OURS,), (1, 2, 3, 4), special_features=(1,))


def europe(vendor: Vendor = VENDOR, **fields: Any) -> Permissions:
    return permissions(Signals(gdpr=True, tc_string=tc_string(**fields)), vendor)


def uses(found: Permissions) -> str:
    """Permissions as letters: i(dentify), p(rofile), g(eo), s(ync)."""
    flags = (found.identify, found.profile, found.precise_geo, found.sync)
    return "".join(letter for letter, permitted in zip("ipgs", flags, strict=True) if permitted)


@pytest.mark.parametrize(
    ("purposes", "features", "permitted"),
    [
        ((1, 2, 3, 4), (1,), "ipgs"),
        ((1, 2, 3, 4), (2,), "ips"),
        ((1, 2, 3), (1,), "igs"),
        ((1, 2, 4), (1,), "igs"),
        ((1, 3, 4), (1,), "gs"),
        ((1,), (), "s"),
        ((2, 3, 4), (1,), "g"),
        ((), (1,), "g"),
        ((2, 3, 4, 5, 6, 7, 8, 9, 10), (), ""),
    ],
)
def test_each_purpose_permits_its_uses(
    purposes: tuple[int, ...], features: tuple[int, ...], permitted: str
) -> None:
    assert uses(europe(vendors=(OURS,), purposes=purposes, special_features=features)) == permitted


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"vendors": (OURS - 1, OURS + 1), "disclosed": (OURS,)}, Cause.TCF_NO_VENDOR_CONSENT),
        ({"vendors": (OURS,), "disclosed": (OURS - 1,)}, Cause.TCF_NOT_DISCLOSED),
        ({"vendors": (OURS,), "disclosed": ()}, Cause.TCF_NO_DISCLOSURE),
        ({"vendors": (OURS,), "disclosed": (), "created": ON_2026_03_01}, Cause.TCF_NO_DISCLOSURE),
        ({"vendors": (OURS,), "version": 1}, Cause.TCF_UNREADABLE),
        ({"vendors": (OURS,), "service_specific": False}, Cause.TCF_UNREADABLE),
    ],
)
def test_without_any_basis_nothing_is_permitted(fields: dict[str, Any], cause: Cause) -> None:
    found = europe(purposes=(1, 2, 3, 4), special_features=(1,), **fields)
    assert uses(found) == ""
    assert [refusal.cause for refusal in found.refusals] == [cause]


def test_an_older_string_need_not_say_whom_it_disclosed() -> None:
    found = europe(
        vendors=(OURS,),
        purposes=(1, 2, 3, 4),
        special_features=(1,),
        disclosed=(),
        created=ON_2026_03_01 - 1,
    )
    assert uses(found) == "ipgs"


def test_an_installation_that_is_no_vendor_has_no_consent() -> None:
    found = permissions(Signals(gdpr=True, tc_string=CONSENT), NO_VENDOR)
    assert (uses(found), found.refusals[0].cause) == ("", Cause.TCF_NO_VENDOR_ID)
    assert uses(permissions(Signals(gdpr=False, tc_string=CONSENT), NO_VENDOR)) == "ipgs"


BY_CONSENT, BY_INTEREST = Vendor(OURS), Vendor(OURS, legitimate_interests=(2,))
FLEXIBLE, FLEXIBLE_INTEREST = Vendor(OURS, flexible_purposes=(2,)), Vendor(OURS, (2,), (2,))
ELSEWHERE: Restriction = (2, 0, ((OURS + 1, OURS + 9),))


@pytest.mark.parametrize(
    ("vendor", "restriction", "basis", "cause"),
    [
        # TCF, "Publisher Restrictions Section": 0 not allowed, 1 require consent, 2 require legitimate
        # interest; a vendor that is not flexible may ignore what it does anyway, and may not do the other.
        (BY_CONSENT, None, "consent", None),
        (BY_CONSENT, None, "interest", Cause.TCF_NO_CONSENT),
        (BY_INTEREST, None, "interest", None),
        (BY_INTEREST, None, "consent", Cause.TCF_NO_LEGITIMATE_INTEREST),
        (BY_CONSENT, 0, "consent", Cause.TCF_PUBLISHER),
        (FLEXIBLE_INTEREST, 0, "interest", Cause.TCF_PUBLISHER),
        (BY_CONSENT, 1, "consent", None),
        (BY_INTEREST, 1, "interest", Cause.TCF_PUBLISHER),
        (BY_INTEREST, 1, "consent", Cause.TCF_PUBLISHER),
        (FLEXIBLE_INTEREST, 1, "consent", None),
        (FLEXIBLE_INTEREST, 1, "interest", Cause.TCF_NO_CONSENT),
        (BY_CONSENT, 2, "consent", Cause.TCF_PUBLISHER),
        (FLEXIBLE, 2, "interest", None),
        (FLEXIBLE, 2, "consent", Cause.TCF_NO_LEGITIMATE_INTEREST),
        (BY_INTEREST, 2, "interest", None),
        (BY_CONSENT, 3, "consent", None),
    ],
)
def test_a_publishers_restrictions_come_first(
    vendor: Vendor, restriction: int | None, basis: str, cause: Cause | None
) -> None:
    restrictions = [ELSEWHERE] + ([(2, restriction, ((1, OURS),))] if restriction is not None else [])
    found = europe(
        vendor,
        vendors=(OURS,),
        legitimate_vendors=(OURS,),
        purposes=(1, 3, 4) + ((2,) if basis == "consent" else ()),
        legitimate_purposes=(2,) if basis == "interest" else (),
        special_features=(1,),
        restrictions=restrictions,
    )
    assert uses(found) == ("ipgs" if cause is None else "gs")
    assert [(refusal.cause, refusal.number) for refusal in found.refusals] == ([(cause, 2)] if cause else [])


def test_legitimate_interest_is_no_basis_for_storing_or_profiling() -> None:
    everything = tuple(range(1, 11))
    found = europe(
        Vendor(OURS, legitimate_interests=(2, 7)),
        legitimate_vendors=(OURS,),
        legitimate_purposes=everything,
        restrictions=[(purpose, 2, ((OURS, OURS),)) for purpose in everything],
        special_features=(1,),
    )
    assert uses(found) == "g"


def test_two_strings_must_both_permit() -> None:
    no = tc_string((OURS,), ())
    for one, other in ((CONSENT, no), (no, CONSENT)):
        signals = Signals(tc_string=one, gpp=gpp_string({2: other}), gpp_sections=(2,))
        assert uses(permissions(signals, VENDOR)) == ""


@pytest.mark.parametrize(
    ("fields", "permitted"),
    [
        ({"vendors": (OURS,), "purposes": (2, 3, 4), "special_features": (1,)}, "ipgs"),
        ({"vendors": (OURS,), "purposes": (2,)}, "is"),
        ({"vendors": (OURS,), "purposes": (1, 3, 4)}, ""),
        ({"vendors": (OURS,), "purposes": (2, 3, 4), "not_allowed": [(3, (OURS,))]}, "is"),
        ({"vendors": (OURS + 1,), "purposes": (2, 3, 4)}, ""),
        ({"implied_vendors": (OURS,), "implied_purposes": (2, 3, 4)}, ""),
    ],
)
def test_canada_is_read_alike_but_for_purpose_1(fields: dict[str, Any], permitted: str) -> None:
    signals = Signals(gpp=gpp_string({5: canada_string(**fields)}), gpp_sections=(5,))
    assert uses(permissions(signals, VENDOR)) == permitted


def test_implied_consent_counts_in_canada_for_what_is_registered_so() -> None:
    text = canada_string(implied_vendors=(OURS,), implied_purposes=(2,))
    signals = Signals(gpp=gpp_string({5: text}), gpp_sections=(5,))
    assert uses(permissions(signals, BY_INTEREST)) == "is"


def test_what_is_refused_is_said_with_its_cause() -> None:
    found = europe(vendors=(OURS,), purposes=(2, 3, 4), special_features=(1,))
    assert sentences(found, OURS) == [
        "no id is read, segments are not used, no ids are synced: "
        "gdpr: vendor 123 has no consent for purpose 1"
    ]
    found = europe(vendors=(OURS,), purposes=(1, 2), restrictions=[(3, 0, ((OURS, OURS),))])
    assert sentences(found, OURS) == [
        "segments are not used: gdpr: the publisher allows vendor 123 no purpose 3",
        "the ZIP is not used: gdpr: no opt-in to special feature 1, precise location",
    ]
    assert sentences(found, OURS, Use.PROFILE) == sentences(found, OURS)[:1]
    opted_out = us_section("100100" + "0" * 26, version=1)
    found = permissions(Signals(gpp=gpp_string({8: opted_out}), gpp_sections=(8,)), VENDOR)
    assert "section 8" in sentences(found, OURS)[0]
    for cause in Cause:
        refusal = msgspec.structs.replace(found.refusals[0], cause=cause)
        (sentence,) = sentences(msgspec.structs.replace(found, refusals=(refusal,)), OURS)
        assert "{" not in sentence
