"""GPP strings: which section stands where."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bidder.openrtb.consent.bits import Unreadable
from bidder.openrtb.consent.gpp import GppString
from config.limits import GPP_SECTIONS_MAX, GPP_STRING_CHARS_MAX
from tests.openrtb.consent.steps import lines_run
from tests.openrtb.consent.strings import gpp_string, text_of, uint

LINES_MAX = 1_500


@pytest.mark.parametrize(
    ("header", "ids"),
    [
        ("DBAA", ()),
        ("DBABM", (2,)),
        ("DBABMA", (2,)),
        ("DBACNY", (2, 6)),
        ("DBACNYA", (2, 6)),
        ("DBABjw", (5, 6)),
        ("DBABTA", (6,)),
        ("DBABLA", (7,)),
    ],
)
def test_the_headers_of_the_specification_and_of_the_iabs_own_encoders(
    header: str, ids: tuple[int, ...]
) -> None:
    gpp = GppString("~".join([header, *(f"section-{id_}" for id_ in ids)]))
    for id_ in range(1, 30):
        assert gpp.section(id_) == (f"section-{id_}" if id_ in ids else None)


@given(st.dictionaries(st.integers(1, 200), st.text(alphabet="AZaz09-_.", max_size=8), max_size=16))
def test_every_section_is_found_where_it_is(sections: dict[int, str]) -> None:
    gpp = GppString(gpp_string(sections))
    for id_ in range(1, 202):
        assert gpp.section(id_) == sections.get(id_)


def test_a_section_that_is_promised_and_not_there_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        GppString("DBACNYA~only-one").section(6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "~",
        "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA",  # a TC string
        "DCAA",  # version 2
        "DBAB",  # an entry that is not there
        "DBA/",
        text_of(uint(3, 6) + uint(1, 6) + uint(1, 12) + "0" + "0" * 40 + "11"),  # an id of billions
        text_of(uint(3, 6) + uint(1, 6) + uint(GPP_SECTIONS_MAX + 1, 12) + "011" * 33),
        "DBAA" + "A" * 100,
        "DBAA~" + "A" * GPP_STRING_CHARS_MAX,
    ],
)
def test_what_is_no_such_string_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        GppString(text)


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=200)
    | st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~.", max_size=6_000)
    | st.binary(max_size=45).map(
        lambda raw: text_of(uint(3, 6) + uint(1, 6) + "".join(f"{byte:08b}" for byte in raw)) + "~A~B"
    )
)
def test_any_text_is_read_or_unreadable_and_little_work(text: str) -> None:
    def read() -> None:
        try:
            gpp = GppString(text)
            for id_ in range(-1, 30):
                gpp.section(id_)
        except Unreadable:
            pass

    assert lines_run(read) < 10 * LINES_MAX
