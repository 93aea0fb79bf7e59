"""The privacy signals of the United States: what speaks against, and that nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidder.openrtb.consent.permissions import Cause
from bidder.openrtb.consent.united_states import US_SECTIONS, section_objection, us_privacy_objection
from tests.openrtb.consent.steps import lines_run
from tests.openrtb.consent.strings import text_of, uint, us_section

FIELDS: dict[int, tuple[str, ...]] = {
    # Field names of each section as published, runs written as name*count (IAB Tech Lab, GPP "Sections").
    7: (
        *("SharingNotice", "SaleOptOutNotice", "SharingOptOutNotice", "TargetedAdvertisingOptOutNotice"),
        *("SensitiveDataProcessingOptOutNotice", "SensitiveDataLimitUseNotice"),
        *("SaleOptOut", "SharingOptOut", "TargetedAdvertisingOptOut"),
        *("SensitiveDataProcessing",) * 16,
        *("KnownChildSensitiveDataConsents",) * 3,
        *(
            "PersonalDataConsents",
            "MspaCoveredTransaction",
            "MspaOptOutOptionMode",
            "MspaServiceProviderMode",
        ),
    ),
    8: (
        *("SaleOptOutNotice", "SharingOptOutNotice", "SensitiveDataLimitUseNotice"),
        *("SaleOptOut", "SharingOptOut"),
        *("SensitiveDataProcessing",) * 9,
        *("KnownChildSensitiveDataConsents",) * 2,
        *(
            "PersonalDataConsents",
            "MspaCoveredTransaction",
            "MspaOptOutOptionMode",
            "MspaServiceProviderMode",
        ),
    ),
    11: (
        *("SharingNotice", "SaleOptOutNotice", "TargetedAdvertisingOptOutNotice"),
        *("SensitiveDataProcessingOptOutNotice", "SaleOptOut", "TargetedAdvertisingOptOut"),
        *("SensitiveDataProcessing",) * 8,
        "KnownChildSensitiveDataConsents",
        *("MspaCoveredTransaction", "MspaOptOutOptionMode", "MspaServiceProviderMode"),
    ),
}
_SHAPES = (
    # Sections of the common form: categories of sensitive data, kinds of children, and whether there is
    # AdditionalDataProcessingConsent.
    *((9, 8, 1, False), (10, 7, 1, False), (12, 8, 3, False), (13, 8, 3, True), (14, 8, 3, True)),
    *((15, 11, 3, True), (16, 8, 1, True), (17, 9, 5, True), (19, 8, 1, True), (20, 8, 3, True)),
    *((21, 10, 5, True), (22, 8, 1, True), (23, 8, 1, True)),
)
for id_, sensitive, children, additional in _SHAPES:
    FIELDS[id_] = (
        *("ProcessingNotice", "SaleOptOutNotice", "TargetedAdvertisingOptOutNotice"),
        *("SaleOptOut", "TargetedAdvertisingOptOut"),
        *("SensitiveDataProcessing",) * sensitive,
        *("KnownChildSensitiveDataConsents",) * children,
        *("AdditionalDataProcessingConsent",) * additional,
        *("MspaCoveredTransaction", "MspaOptOutOptionMode", "MspaServiceProviderMode"),
    )
FIELDS[18] = FIELDS[11]
_WITH_HEADER = (
    *("MspaCoveredTransaction", "MspaMode", "ProcessingNotice"),
    *("SaleOptOutNotice", "TargetedAdvertisingOptOutNotice", "SaleOptOut", "TargetedAdvertisingOptOut"),
)
FIELDS[24] = (*_WITH_HEADER, "AdditionalDataProcessingConsent")
for id_ in (25, 26, 27):
    FIELDS[id_] = (*_WITH_HEADER, "KnownChildSensitiveDataConsents", "AdditionalDataProcessingConsent")

OBJECTIONS = {
    ("SaleOptOut", "1"): Cause.GPP_SALE,
    ("SharingOptOut", "1"): Cause.GPP_SHARING,
    ("TargetedAdvertisingOptOut", "1"): Cause.GPP_TARGETED_ADVERTISING,
    ("KnownChildSensitiveDataConsents", "1"): Cause.GPP_CHILD,
    ("SaleOptOutNotice", "2"): Cause.GPP_NO_NOTICE,
    ("SharingOptOutNotice", "2"): Cause.GPP_NO_NOTICE,
    ("TargetedAdvertisingOptOutNotice", "2"): Cause.GPP_NO_NOTICE,
}
WITH_GPC = {7, 8, 10, 12, *range(14, 25)}


def section(id_: int, digits: str, *, gpc: bool | None = None) -> str:
    core = us_section(digits)
    header = text_of(uint(id_, 6) + uint(1, 6) + uint(0, 12)) + "." if id_ >= 24 else ""
    return header + core + ("" if gpc is None else "." + text_of("01" + ("1" if gpc else "0")))


def test_every_section_that_is_published_has_a_reader() -> None:
    assert set(FIELDS) == US_SECTIONS == set(range(7, 28))


@pytest.mark.parametrize("id_", sorted(FIELDS))
def test_each_field_of_each_section_speaks_against_as_published_and_no_other(id_: int) -> None:
    fields = FIELDS[id_]
    assert section_objection(id_, section(id_, "0" * len(fields))) is None
    for index, field in enumerate(fields):
        for value in "123":
            digits = "0" * index + value + "0" * (len(fields) - index - 1)
            expected = OBJECTIONS.get((field, value)) if value != "3" else Cause.GPP_SECTION_UNREADABLE
            assert section_objection(id_, section(id_, digits)) is expected, (field, value)


@pytest.mark.parametrize("id_", sorted(FIELDS))
def test_global_privacy_control_counts_in_the_sections_that_have_it(id_: int) -> None:
    quiet = "0" * len(FIELDS[id_])
    expected = Cause.GPP_GLOBAL_PRIVACY_CONTROL if id_ in WITH_GPC else None
    assert section_objection(id_, section(id_, quiet, gpc=True)) is expected
    assert section_objection(id_, section(id_, quiet, gpc=False)) is None


def test_the_national_section_is_read_as_it_was_first_published_too() -> None:
    at_first = "0" * 9 + "0" * 12 + "00" + "0" * 4
    assert section_objection(7, us_section(at_first)) is None
    assert section_objection(7, us_section(at_first[:6] + "1" + at_first[7:])) is Cause.GPP_SALE
    assert section_objection(7, us_section(at_first[:22] + "1" + at_first[23:])) is Cause.GPP_CHILD
    assert section_objection(7, us_section("0" * len(FIELDS[7]), version=2)) is None
    assert section_objection(7, us_section("0" * len(FIELDS[7]), version=3)) is Cause.GPP_SECTION_UNREADABLE


def test_strings_of_the_iabs_own_encoders() -> None:
    # Of IABTechLab/iabgpp-java: UsNatTest, of two ages, and UsRiTest.
    assert section_objection(7, "BAAAAAAAAABA.QA") is None
    assert section_objection(7, "BAAAAAAAAQA.QA") is None
    assert section_objection(7, "BVVVkkkkkpFY.YA") is Cause.GPP_SALE
    assert section_objection(7, "BVVVkkkklWA.YA") is Cause.GPP_SALE
    assert section_objection(27, "bBAA.AQAA") is None
    assert section_objection(27, "bBABYA.BVVV.kkk") is Cause.GPP_SALE
    # Without the header that the section must begin with.
    assert section_objection(27, "BVVVkkk.YA") is Cause.GPP_SECTION_UNREADABLE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "B",
        ".",
        "CAAAAAAAAABA",  # version 2, of a state
        "BAAAAAAAAAAAAAAAAAAAAAAA",
        "BAAAAA+",
        us_section("0" * len(FIELDS[9])) + "A" * 9,
        us_section("0" * (len(FIELDS[9]) - 4)),
    ],
)
def test_what_is_no_such_section_speaks_against(text: str) -> None:
    assert section_objection(9, text) is Cause.GPP_SECTION_UNREADABLE


@pytest.mark.parametrize("text", ["1YNN", "1---", "1NNN", "1Y-Y", "1ynn"])
def test_a_us_privacy_string_that_permits(text: str) -> None:
    assert us_privacy_objection(text) is None


@pytest.mark.parametrize("text", ["1YYN", "1nyn", "1-Y-"])
def test_a_us_privacy_string_that_opts_out(text: str) -> None:
    assert us_privacy_objection(text) is Cause.US_PRIVACY_SALE


@pytest.mark.parametrize("text", ["1", "1YN", "1YNNN", "2YNN", "1YXN", "null", "${US_PRIVACY}", "1YNN\n"])
def test_a_us_privacy_string_that_is_none_speaks_against(text: str) -> None:
    assert us_privacy_objection(text) is Cause.US_PRIVACY_UNREADABLE


@given(
    st.sampled_from(sorted(US_SECTIONS)),
    st.text(max_size=60) | st.text(alphabet="ABCQYZabcxyz01-_.", max_size=6_000),
)
def test_any_text_has_an_answer_and_is_little_work(id_: int, text: str) -> None:
    assert lines_run(lambda: section_objection(id_, text)) < 300
    assert lines_run(lambda: us_privacy_objection(text)) < 300
