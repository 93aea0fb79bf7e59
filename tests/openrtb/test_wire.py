"""Reading bid requests: strict about what is used, forgiving about the rest."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bidder.openrtb.decode import BANNER, CODES, MalformedRequest, decode_request
from bidder.openrtb.offers import floor_cpm_micros
from bidder.openrtb.translate import translate
from config.currency import Currencies
from config.schema import ExchangeProfile
from tests.factories import bid_request

PLAIN = ExchangeProfile(id="plain")
DOLLARS = Currencies("USD", {})


def read(**fields: Any) -> Any:
    return translate(
        decode_request(msgspec.json.encode(bid_request(**fields))), PLAIN, DOLLARS, lambda source, id_: 7
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"id":"1"}',
        b'{"id":"1","imp":[]}',
        b'{"id":"1","imp":{}}',
        b'{"id":"1","imp":[{}]}',
        b'{"id":"","imp":[{"id":"1"}]}',
        b'{"id":null,"imp":[{"id":"1"}]}',
        b'{"id":"\\ud800","imp":[{"id":"1"}]}',
        b"\xff\xfe{}",
        b'{"id":"\xcf1","imp":[{"id":"1"}]}',
        b'{"id":"1","imp":[{"id":"1"}],"cur":["\xcf"],"tmax":"x"}',
        b'\xef\xbb\xbf{"id":"\xcf"',
    ],
)
def test_what_is_no_bid_request_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        decode_request(body)


@pytest.mark.parametrize("depth", [5_000, 100_000])
def test_deep_nesting_is_read_past_or_refused(depth: int) -> None:
    """How deep is too deep depends on the Python; either way it is one of the two."""
    body = b'{"id":"1","imp":[{"id":"1"}],"x":' + b"[" * depth + b"]" * depth + b"}"
    with contextlib.suppress(MalformedRequest):
        assert decode_request(body).id == "1"


def test_wrong_types_are_mended_and_the_rest_is_kept() -> None:
    request = decode_request(
        b'{"id":17,"imp":[{"id":1,"bidfloor":"2.5","secure":"1",'
        b'"banner":{"w":300.0,"h":"250","format":[{"w":null},5,{"w":728,"h":90}]}},7],'
        b'"tmax":"120","at":1.0,"test":false,"device":[],"user":null,"bcat":"IAB26",'
        b'"badv":["a.example",null,5],"regs":{"coppa":true}}'
    )
    imp = request.imp[0]
    assert (request.id, len(request.imp), imp.id, imp.bidfloor, imp.secure) == ("17", 1, "1", 2.5, 1)
    banner = BANNER.read(bytes(imp.banner))
    assert banner is not None
    assert (banner.w, banner.h) == (300, 250)
    assert banner.format is not None
    assert [(size.w, size.h) for size in banner.format] == [(None, None), (728, 90)]
    assert (request.tmax, request.at, request.test) == (120, 1, 0)
    assert request.device is None
    assert CODES.read(bytes(request.bcat)) == ["IAB26"], "a block is not lost to a missing bracket"
    assert CODES.read(bytes(request.badv)) == ["a.example", "5"]
    assert request.regs is not None
    assert request.regs.coppa == 1


def test_numbers_too_large_for_their_field_count_as_absent() -> None:
    request = decode_request(b'{"id":"1","imp":[{"id":"1"}],"tmax":' + b"9" * 400 + b"}")
    assert request.tmax is None


def test_a_floor_of_any_size_or_sign_stays_a_floor() -> None:
    def floor(text: bytes) -> float | None:
        return decode_request(b'{"id":"1","imp":[{"id":"1","bidfloor":%b}]}' % text).imp[0].bidfloor

    assert floor(b"9" * 400) == floor(b"1e300") == floor(b'"1e999"') == 1e9
    assert floor(b"-5") == 0.0
    assert floor(b'"NaN"') is None


def test_a_byte_order_mark_is_read_past() -> None:
    assert decode_request(b'\xef\xbb\xbf{"id":"1","imp":[{"id":"1"}]}').id == "1"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=500)
@given(st.data())
def test_any_value_in_any_place_is_read_or_refused(data: st.DataObject) -> None:
    request = bid_request(regs={"coppa": 0}, bcat=["IAB1"], wseat=[])
    path = data.draw(st.sampled_from([("imp",), ("imp", 0), *((key,) for key in request)]))
    at: Any = request
    for step in path[:-1]:
        at = at[step]
    if isinstance(at, dict) and data.draw(st.booleans()) and isinstance(at[path[-1]], dict):
        at, path = at[path[-1]], (data.draw(st.sampled_from(sorted(at[path[-1]]))),)
    at[path[-1]] = data.draw(json_values)
    try:
        wire = decode_request(msgspec.json.encode(request))
    except MalformedRequest:
        return
    opportunity = translate(wire, PLAIN, DOLLARS, lambda source, id_: 7)
    assert opportunity.request_id


@given(st.decimals(min_value=0, max_value=1_000, places=6))
def test_a_floor_with_whole_micros_is_that_many(floor: Any) -> None:
    assert floor_cpm_micros(float(floor), "USD", DOLLARS, "USD") == int(floor * 1_000_000)


def test_a_floor_between_micros_rounds_up() -> None:
    assert floor_cpm_micros(0.0300004, None, DOLLARS, "USD") == 30_001


def test_a_floor_in_another_currency_is_not_biddable() -> None:
    assert floor_cpm_micros(1.0, "EUR", DOLLARS, "USD") is None
    assert floor_cpm_micros(1.0, None, Currencies("EUR", {}), "EUR") is None, "absent means USD"
    assert floor_cpm_micros(0.0, "EUR", DOLLARS, "USD") == 0, "no floor has no currency"


def test_auction_type_absent_is_the_exchanges_default() -> None:
    assert not read(at=None).first_price
    assert not read(at=2).first_price
    assert read(at=1).first_price


def test_places_carry_their_country_and_zip_plus_four_is_its_zip() -> None:
    geo = {"country": "USA", "region": "IA", "metro": "679", "zip": "50309-1234"}
    got = read(device={"geo": geo})
    assert (got.country, got.region, got.metro, got.zip_code) == ("USA", "USA-IA", "679", "USA-50309")
    assert read(device={"geo": {"zip": "50309"}}).zip_code == "", "a ZIP of no country is none of ours"


def test_domain_is_lower_case_without_www_and_falls_back_to_the_page() -> None:
    assert read(site={"domain": "WWW.News.Example"}).domain == "news.example"
    assert read(site={"page": "https://www.news.example:8443/a?b"}).domain == "news.example"
    assert read(site={"page": "http://[::1"}).domain == ""


def test_operating_systems_go_by_one_name() -> None:
    assert {read(device={"os": name}).operating_system for name in ("iOS", "iphone", "iPadOS")} == {"ios"}
