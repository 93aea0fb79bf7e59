"""`bidder.events.sync`: whose cookie may be set, and what the redirect says."""

from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidder.events.sync import PASSED_ON, may_sync, own_id, redirect_url
from tests.events.factories import ID_TEXT


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"gdpr": "0", "gdpr_consent": "whatever"},
        {"gdpr": ""},
        {"us_privacy": "1YNN"},
        {"us_privacy": "1---"},
        {"gpp": "DBABLA~1YNN", "gpp_sid": "6"},
        {"gpp_sid": "12"},
    ],
)
def test_a_sync_that_nothing_speaks_against(query: dict[str, str]) -> None:
    assert may_sync(query, None)
    assert may_sync(query, "0")
    assert not may_sync(query, "1")


@pytest.mark.parametrize(
    "query",
    [
        {"gdpr": "1"},
        {"gdpr": "1", "gdpr_consent": "CPc"},
        {"gdpr": "${GDPR}"},
        {"us_privacy": "1YYN"},
        {"us_privacy": "1nyn"},
        {"gpp_sid": "2"},
        {"gpp_sid": "7,2"},
        {"gpp_sid": "6_5"},
    ],
)
def test_a_sync_that_may_not_be(query: dict[str, str]) -> None:
    assert not may_sync(query, None)


def test_our_own_cookie_is_kept_and_anything_else_replaced() -> None:
    assert own_id(ID_TEXT, 5) == ID_TEXT
    for foreign in (None, "", "short", ID_TEXT.upper(), ID_TEXT + "0", "<script>"):
        assert own_id(foreign, 5) == "0" * 31 + "5"


@given(st.dictionaries(st.sampled_from((*PASSED_ON, "next", "uid")), st.text(min_size=1, max_size=30)))
def test_the_redirect_stays_at_the_exchange_and_carries_only_the_privacy_parameters(
    query: dict[str, str],
) -> None:
    url = urlsplit(redirect_url("https://match.example/set?dsp=9&uid={uid}#done", ID_TEXT, query))
    assert (url.scheme, url.netloc, url.path, url.fragment) == ("https", "match.example", "/set", "done")
    expected = {"dsp": "9", "uid": ID_TEXT} | {name: query[name] for name in PASSED_ON if name in query}
    assert dict(parse_qsl(url.query, keep_blank_values=True)) == expected


def test_a_template_without_a_query_gets_one_and_its_own_parameters_win() -> None:
    assert redirect_url("https://m.example/{uid}", "ab", {"gdpr": "0"}) == "https://m.example/ab?gdpr=0"
    url = redirect_url("https://m.example/?gdpr=0&uid={uid}", "ab", {"gdpr": "0", "gpp": "x y"})
    assert parse_qs(urlsplit(url).query) == {"gdpr": ["0"], "uid": ["ab"], "gpp": ["x y"]}
