"""Whose id may be used: without permission nothing of the person reaches the decision."""

from typing import Any

import msgspec
import pytest

from bidder.openrtb.translate import translate
from bidder.openrtb.wire import decode_request
from config.schema import ExchangeProfile
from tests.factories import bid_request

HASHES = {("cookie", "demo-1"): 1, ("ifa", "aaaa-1"): 2, ("eids.example", "e-1"): 3}


def person(**fields: Any) -> int:
    asked: list[tuple[str, str]] = []

    def hash_user(source: str, id_: str) -> int:
        asked.append((source, id_))
        return HASHES[source, id_]

    request = decode_request(msgspec.json.encode(bid_request(**fields)))
    found = translate(request, ExchangeProfile(id="plain"), "USD", hash_user).user_hash
    assert len(asked) == (found != 0), "an id that may not be used is not even hashed"
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
    "signal",
    [
        {"regs": {"coppa": 1}},
        {"regs": {"gdpr": 1}},
        {"regs": {"ext": {"gdpr": 1}}},
        {"regs": {"gpp_sid": [7]}},
        {"regs": {"ext": {"gpp_sid": [2]}}},
        {"regs": {"gpp_sid": [-1, 7]}},
        {"regs": {"gpp": "DBAA"}},
        {"regs": {"ext": {"gpp": "DBAA"}}},
        {"regs": {"us_privacy": "1YYN"}},
        {"regs": {"ext": {"us_privacy": "1nyn"}}},
        {"regs": {"ext": {"gpc": "1"}}},
        {"regs": {"ext": {"gpc": 1}}},
        {"device": {"lmt": 1}},
        {"device": {"dnt": 1}},
    ],
)
def test_each_signal_alone_switches_the_person_off(signal: dict[str, Any]) -> None:
    assert person(user={"buyeruid": "demo-1"}) == 1
    assert person(user={"buyeruid": "demo-1"}, **signal) == 0


@pytest.mark.parametrize(
    "signal",
    [
        {"regs": {"gdpr": 0, "us_privacy": "1YNN", "coppa": 0}},
        {"regs": {"gpp": "DBAA", "gpp_sid": [-1]}},
        {"device": {"lmt": 0, "dnt": 0}},
    ],
)
def test_signals_that_permit_do(signal: dict[str, Any]) -> None:
    assert person(user={"buyeruid": "demo-1"}, **signal) == 1
