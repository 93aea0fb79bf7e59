"""TC strings: read as a published decoder reads them, for one vendor, and in bounded time."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iab_tcf import decode

from bidder.openrtb.consent.bits import Unreadable
from bidder.openrtb.consent.tcf import (
    PURPOSES,
    SPECIAL_FEATURES,
    TcString,
    purpose_bit,
    read_canada,
    read_europe,
)
from config.limits import TC_STRING_CHARS_MAX, TC_STRING_ENTRIES_MAX, TC_STRING_RESTRICTIONS_MAX
from tests.openrtb.consent.steps import lines_run
from tests.openrtb.consent.strings import (
    ON_2026_03_01,
    bit_field,
    canada_string,
    disclosed_segment,
    range_list,
    ranges,
    tc_core,
    tc_string,
    text_of,
    uint,
)

LINES_MAX = 6_000
"""What a string may cost, hostile or not. A line takes 30 to 90 ns: this is well under a millisecond."""

vendor_ids = st.integers(1, 300)
id_sets = st.lists(vendor_ids, unique=True, max_size=20).map(sorted)
pairs = st.tuples(vendor_ids, st.integers(0, 40)).map(lambda pair: (pair[0], pair[0] + pair[1]))
vendor_lists = id_sets.map(bit_field) | st.lists(pairs, max_size=6).map(range_list)
purpose_sets = st.lists(st.integers(1, PURPOSES), unique=True)
moments = st.integers(0, 2**36 - 1).map(lambda tenths: tenths // 10 * 10)
cores = st.builds(
    tc_core,
    vendors=vendor_lists,
    legitimate_vendors=vendor_lists,
    purposes=purpose_sets,
    legitimate_purposes=purpose_sets,
    special_features=st.lists(st.integers(1, SPECIAL_FEATURES), unique=True),
    restrictions=st.lists(
        st.tuples(st.integers(1, PURPOSES), st.integers(0, 3), st.lists(pairs, max_size=3)), max_size=4
    ),
    created=st.integers(15_000_000_000, 20_000_000_000),
    updated=st.none() | st.integers(15_000_000_000, 20_000_000_000),
    policy_version=st.integers(2, 5),
    purpose_one_treatment=st.booleans(),
)


def purposes_of(mask: int) -> set[int]:
    return {purpose for purpose in range(1, PURPOSES + 1) if mask & purpose_bit(purpose)}


def ids_of(field: dict[int, bool]) -> set[int]:
    return {id_ for id_, is_set in field.items() if is_set}


@settings(max_examples=200, deadline=None)
@given(core=cores, disclosed=st.none() | id_sets, vendor_id=vendor_ids)
def test_a_string_says_of_a_vendor_what_a_published_decoder_says(
    core: str, disclosed: list[int] | None, vendor_id: int
) -> None:
    text = text_of(core) + (f".{disclosed_segment(disclosed)}" if disclosed is not None else "")
    ours, theirs = read_europe(text, vendor_id), decode(text)
    assert ours.updated_s == int(max(theirs.created, theirs.last_updated).timestamp())
    assert purposes_of(ours.purposes_consent) == ids_of(theirs.purposes_consent)
    assert purposes_of(ours.purposes_legitimate) == ids_of(theirs.purposes_legitimate_interests)
    features = {id_ for id_ in range(1, 13) if ours.special_features >> (SPECIAL_FEATURES - id_) & 1}
    assert features == ids_of(theirs.special_features_optin)
    assert ours.vendor_consent == theirs.is_vendor_allowed(vendor_id)
    assert ours.vendor_legitimate == theirs.is_interest_allowed(vendor_id)
    restricted: list[set[int]] = [set(), set(), set(), set()]
    for entry in theirs.pub_restriction_entries:
        if any(first <= vendor_id <= last for first, last in entry.restrictions_range):
            restricted[entry.restriction_type].add(entry.purpose_id)
    assert purposes_of(ours.not_allowed) == restricted[0]
    assert purposes_of(ours.require_consent) == restricted[1]
    assert purposes_of(ours.require_legitimate) == restricted[2]
    if disclosed is None:
        assert ours.disclosed is None
    else:
        assert ours.disclosed == (vendor_id in ids_of(theirs.oob_disclosed_vendors))


def test_strings_of_the_specifications_and_of_the_iabs_own_encoders_are_read() -> None:
    # Of a page on TCF 2.3: its second segment is of another type, so nobody is disclosed.
    verve = read_europe("COsbk4AOSbk4AnWAAAENAwCgAAAAAAAAAAYgACPAAAAA.TDKO4AAqAKAGQAyqAAA.YAAAAAAAAAA", 2)
    assert (verve.vendor_consent, verve.purposes_consent, verve.disclosed) == (True, 0, None)
    # Of IABTechLab/iabgpp-java, TcfCaV1Test.
    canada = "BPSG_8APSG_8AAyACAENGdCgf_gfgAfgfgBgABABAAABAB4AACACAAA.fHHHA4444ao"
    for vendor_id in (12, 24, 48):
        assert read_canada(canada, vendor_id).vendor_consent
    for vendor_id in (18, 30):
        assert read_canada(canada, vendor_id).vendor_legitimate
        assert not read_canada(canada, vendor_id).vendor_consent
    tc = read_canada(canada, 12)
    assert purposes_of(tc.purposes_consent) == {*range(1, 7), *range(13, 19)}
    assert purposes_of(tc.purposes_legitimate) == {*range(7, 13), *range(19, 25)}
    assert tc.updated_s == 1_640_995_200
    restricting = "BPSG_8APSG_8AAAAAAENAACAAAAAAAAAAAAAAAAACCgAS7o.YAAAAAAAAAA"
    for vendor_id in range(1, 11):
        expected = {1} if vendor_id in (1, 2, 3, 5, 6, 7, 9) else set()
        assert purposes_of(read_canada(restricting, vendor_id).require_consent) == expected
    disclosing = "BPSG_8APSG_8AAAAAAENAACAAAAAAAAAAAAAAAAA.YAAAAAAAAAA.IAGO5w"
    assert [id_ for id_ in range(1, 14) if read_canada(disclosing, id_).disclosed] == [
        *(1, 2, 3, 5, 6, 7, 10, 11, 12)
    ]


def test_canadas_consents_are_read_for_one_vendor() -> None:
    text = canada_string((5, 9), (2, 3), implied_vendors=(7,), implied_purposes=(4,), not_allowed=[(3, (5,))])
    tc = read_canada(text, 5)
    assert (tc.vendor_consent, tc.vendor_legitimate, purposes_of(tc.not_allowed)) == (True, False, {3})
    assert (purposes_of(tc.purposes_consent), purposes_of(tc.purposes_legitimate)) == ({2, 3}, {4})
    assert read_canada(text, 7).vendor_legitimate
    assert read_canada(text, 7).not_allowed == 0


CONSENTING = tc_string((5, 123), (1, 2, 3, 4))


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "C",
        "no string at all",
        CONSENTING.replace("C", "B", 1),  # TCF 1
        tc_string((123,), (1,), version=3),
        tc_string((123,), (1,), service_specific=False),
        CONSENTING + "=",
        CONSENTING.replace("A", "+", 1),
        CONSENTING.replace("A", "é", 1),
        CONSENTING + "." + CONSENTING.partition(".")[2],  # disclosed twice
        CONSENTING + "A" * TC_STRING_CHARS_MAX,
        text_of(tc_core(vendors=bit_field([]), legitimate_vendors=uint(0xFFFF, 16) + "0")),
        text_of(tc_core(vendors=bit_field([]), legitimate_vendors=bit_field([])) + "0" * 48),
        text_of(tc_core(vendors=bit_field([]), legitimate_vendors=bit_field([])) + "1"),
    ],
)
def test_what_is_no_such_string_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        read_europe(text, 123)


@settings(max_examples=200, deadline=None)
@given(core=cores, vendor_id=vendor_ids, data=st.data())
def test_a_string_cut_short_is_unreadable_or_lacks_nothing(core: str, vendor_id: int, data: Any) -> None:
    """Nothing but its restrictions: a string may end where their count would begin."""
    whole = text_of(core)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        short = read_europe(cut, vendor_id)
    except Unreadable:
        return
    full = read_europe(whole, vendor_id)
    if (short.not_allowed, short.require_consent, short.require_legitimate) == (0, 0, 0):
        full = msgspec.structs.replace(full, not_allowed=0, require_consent=0, require_legitimate=0)
    assert short == full


HEAD = tc_core(vendors="", legitimate_vendors="")[:-12]


def _entries(count: int) -> str:
    return text_of(HEAD + range_list([(n, n) for n in range(1, count + 1)]) + bit_field([]) + uint(0, 12))


def _restrictions(count: int) -> str:
    restriction = uint(2, 6) + "00" + ranges([(1, 2)])
    return text_of(HEAD + bit_field([]) * 2 + uint(count, 12) + restriction * count)


def test_as_many_ranges_and_restrictions_as_the_limits_allow_are_read_and_no_more() -> None:
    assert read_europe(_entries(TC_STRING_ENTRIES_MAX), TC_STRING_ENTRIES_MAX).vendor_consent
    assert read_europe(_restrictions(TC_STRING_RESTRICTIONS_MAX), 1).not_allowed == purpose_bit(2)
    for text in (_entries(TC_STRING_ENTRIES_MAX + 1), _restrictions(TC_STRING_RESTRICTIONS_MAX + 1)):
        with pytest.raises(Unreadable):
            read_europe(text, 1)


def _read_or_not(text: str) -> TcString | None:
    found = None
    for read in (read_europe, read_canada):
        try:
            found = read(text, 123)
        except Unreadable:
            continue
    return found


@pytest.mark.parametrize(
    "text",
    [
        "C" * TC_STRING_CHARS_MAX,
        "." * TC_STRING_CHARS_MAX,
        CONSENTING + ".I" * 1_000,
        CONSENTING.partition(".")[0] + ("." + disclosed_segment([1])) * 7,
        _entries(TC_STRING_ENTRIES_MAX),
        _entries(1_400),
        _restrictions(TC_STRING_RESTRICTIONS_MAX),
        _restrictions(400),
        text_of(HEAD + "1" * 20_000),
        text_of(HEAD + (uint(0xFFFF, 16) + "1" + uint(511, 12)).ljust(20_000, "0")),
        text_of(
            HEAD
            + bit_field([]) * 2
            + uint(TC_STRING_RESTRICTIONS_MAX, 12)
            + (uint(1, 6) + "00" + ranges([(1, 1)] * 7)) * TC_STRING_RESTRICTIONS_MAX
        ),
        text_of(HEAD + range_list([(n, n + 1) for n in range(1, 257)]) + bit_field([]) + uint(0, 12))
        + "."
        + text_of(uint(1, 3) + range_list([(n, n) for n in range(1, 257)])),
    ],
)
def test_a_hostile_string_is_little_work(text: str) -> None:
    assert lines_run(lambda: _read_or_not(text)) < LINES_MAX


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=400)
    | st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.", max_size=5_000)
    | st.binary(max_size=3_000).map(lambda raw: text_of(HEAD + "".join(f"{byte:08b}" for byte in raw)))
)
def test_any_text_is_read_or_unreadable_and_little_work(text: str) -> None:
    assert lines_run(lambda: _read_or_not(text)) < LINES_MAX


def test_the_first_of_march_is_where_it_should_be() -> None:
    assert read_europe(tc_string((1,), (1,), created=ON_2026_03_01), 1).updated_s == 1_772_323_200
