"""`bidder.openrtb.person`: which of a request's ids the person is looked up by."""

from typing import Any

import msgspec
import pytest

from bidder.openrtb.decode import decode_request
from bidder.openrtb.person import linked_sources, person_hash
from config.limits import USER_ID_CHARS_MAX
from config.schema import ExchangeProfile

OURS = ExchangeProfile(id="ours", id_source="ours.example")
THEIRS = ExchangeProfile(id="theirs", id_source="theirs.example", id_field="buyeruid")
USER_ID = ExchangeProfile(id="user-id", id_source="user-id.example", id_field="id")
PLAIN = ExchangeProfile(id="plain")
SOURCES = linked_sources((OURS, THEIRS, USER_ID, PLAIN))
IFA = "EA7583CD-A667-48BC-B806-42ECB2B48606"
EIDS = [
    {"source": "first.example", "uids": [{"id": "1"}]},
    {"source": "theirs.example", "uids": [{"id": "2"}, {"id": "3"}]},
    {"source": "ours.example", "uids": [{"id": "4"}]},
]
EVERYTHING = {"user": {"buyeruid": "b", "id": "u", "eids": EIDS}, "device": {"ifa": IFA}}


def chosen(exchange: ExchangeProfile, **fields: Any) -> list[tuple[str, str]]:
    """Return the (source, id) that was hashed; at most one is."""
    hashed: list[tuple[str, str]] = []

    def hash_user(source: str, id_: str) -> int:
        hashed.append((source, id_))
        return 7

    request = decode_request(msgspec.json.encode({"id": "1", "imp": [{"id": "1"}], "device": {}} | fields))
    assert request.device is not None
    found = person_hash(request.user, request.device, exchange, SOURCES, hash_user)
    assert found == 7 * len(hashed)
    return hashed


def test_the_spaces_of_ids_that_are_linked() -> None:
    assert sorted(SOURCES) == ["ours.example", "theirs.example", "user-id.example"]


@pytest.mark.parametrize("exchange", [PLAIN, OURS, USER_ID])
def test_our_cookie_comes_first_where_the_exchange_keeps_the_table(exchange: ExchangeProfile) -> None:
    assert chosen(exchange, **EVERYTHING) == [("cookie", "b")]


@pytest.mark.parametrize(
    "ifa", [IFA, "00000000-0000-0000-0000-000000000000", "", "x" * (USER_ID_CHARS_MAX + 1)]
)
def test_then_the_device_then_the_exchanges_own_id(ifa: str) -> None:
    user = {"buyeruid": "b", "id": "u"}
    expected = [("ifa", IFA.lower())] if ifa == IFA else [("theirs.example", "b")]
    assert chosen(THEIRS, user=user, device={"ifa": ifa}) == expected
    del user["buyeruid"]
    expected = [("ifa", IFA.lower())] if ifa == IFA else [("user-id.example", "u")]
    assert chosen(USER_ID, user=user, device={"ifa": ifa}) == expected


@pytest.mark.parametrize("buyeruid", [IFA, IFA.lower()])
def test_a_buyeruid_that_repeats_the_devices_id_is_that(buyeruid: str) -> None:
    assert chosen(PLAIN, user={"buyeruid": buyeruid}, device={"ifa": IFA}) == [("ifa", IFA.lower())]
    assert chosen(PLAIN, user={"buyeruid": buyeruid}) == [("cookie", buyeruid)]


@pytest.mark.parametrize("home", [{"eids": EIDS}, {"ext": {"eids": EIDS}}])
def test_of_other_ids_one_that_may_be_linked_comes_first(home: dict[str, Any]) -> None:
    assert chosen(PLAIN, user=home) == [("theirs.example", "2")]
    assert chosen(THEIRS, user=home) == [("theirs.example", "2")]
    assert chosen(PLAIN, user={"eids": EIDS[:1]}) == [("first.example", "1")]
    assert chosen(PLAIN, user={"eids": [*EIDS[:1], {"source": "theirs.example", "uids": []}]}) == [
        ("first.example", "1")
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"user": {}},
        {"user": {"id": "u"}},
        {"user": {"buyeruid": ""}},
        {"user": {"buyeruid": "x" * (USER_ID_CHARS_MAX + 1)}},
        {
            "user": {
                "eids": [{"source": "", "uids": [{"id": "1"}]}, {"source": "a.example", "uids": [{"id": ""}]}]
            }
        },
    ],
)
def test_nobody(fields: dict[str, Any]) -> None:
    assert chosen(PLAIN, **fields) == []
