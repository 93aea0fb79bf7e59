"""`bidder.events.sync`: our name for a browser, and what the redirect says."""

from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bidder.events.sync import PASSED_ON, own_id, partner_id, redirect_url, setuid_url
from config.limits import SYNC_REDIRECT_FIELDS_MAX, USER_ID_CHARS_MAX
from tests.events.factories import ID_TEXT


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


SETUID = ("https://prebid.example/setuid", "https://pbs.example:8443/setuid")


@pytest.mark.parametrize(
    "asked",
    [
        "https://prebid.example/setuid?bidder=hustings&gdpr=1&gdpr_consent=CPx&f=i&uid=",
        "https://prebid.example/setuid?bidder=hustings&gdpr=1&gdpr_consent=CPx&uid=$UID&f=i",
        "https://prebid.example/setuid?uid={uid}&uid=somebody-else&bidder=hustings&gdpr=1&gdpr_consent=CPx&f=i",
        "https://prebid.example/setuid?bidder=hustings&gdpr=1&gdpr_consent=CPx&f=i#uid=x",
    ],
)
def test_a_prebid_server_gets_our_id_and_what_it_said_itself(asked: str) -> None:
    query = {"gdpr": "0", "gpp": "DBABTA~1YNN", "gpp_sid": "6", "redirect": asked}
    url = urlsplit(setuid_url(asked, SETUID, ID_TEXT, query) or "")
    assert f"{url.scheme}://{url.netloc}{url.path}" == SETUID[0]
    assert sorted(parse_qsl(url.query)) == sorted(
        {
            "bidder": "hustings",
            "gdpr": "1",
            "gdpr_consent": "CPx",
            "f": "i",
            "gpp": "DBABTA~1YNN",
            "gpp_sid": "6",
            "uid": ID_TEXT,
        }.items()
    )


def test_consent_that_the_target_left_empty_is_filled_in() -> None:
    asked = "https://prebid.example/setuid?bidder=h&gdpr=&gdpr_consent=&uid="
    url = urlsplit(setuid_url(asked, SETUID, ID_TEXT, {"gdpr": "1", "gdpr_consent": "CPx"}) or "")
    filled = parse_qsl(url.query, keep_blank_values=True)
    assert filled == [("bidder", "h"), ("gdpr", "1"), ("gdpr_consent", "CPx"), ("uid", ID_TEXT)]


@given(st.text(max_size=80) | st.builds("https://{}/setuid".format, st.text(max_size=40)))
@example("https://prebid.example.evil.example/setuid")
@example("https://prebid.example@evil.example/setuid")
@example("https://evil.example\\@prebid.example/setuid")
@example("https://prebid.example:443/setuid")
@example("https://prebid.example/setuid/../open?to=https://evil.example")
@example("https://prebid.example/setuid/")
@example("http://prebid.example/setuid")
@example("//prebid.example/setuid")
@example("https:prebid.example/setuid")
@example("javascript:alert(1)//prebid.example/setuid")
@example("https://prebid.example\t.evil.example/setuid")
@example("https://[prebid.example/setuid")
@example("https://prebid.example/setuid?a=1" + "&b=2" * SYNC_REDIRECT_FIELDS_MAX)
def test_nowhere_else_can_a_call_send_a_browser(asked: str) -> None:
    url = setuid_url(asked, SETUID, ID_TEXT, {})
    assert url is None or any(url.startswith(f"{allowed}?") for allowed in SETUID)
    assert setuid_url(asked, (), ID_TEXT, {}) is None


@given(st.text(max_size=60))
def test_what_the_query_of_a_target_holds_stays_in_the_query(query: str) -> None:
    url = setuid_url(f"https://prebid.example/setuid?{query}", SETUID, ID_TEXT, {})
    if url is not None:
        assert url.isascii()
        assert url.count("?") == 1
        assert not set(url) & set('#\\\r\n\t "<>')
        assert dict(parse_qsl(urlsplit(url).query))["uid"] == ID_TEXT


@pytest.mark.parametrize("text", ["88", "x" * USER_ID_CHARS_MAX, "CAESEG-_w", "0a0", "a$b", "00000001"])
def test_a_partners_id(text: str) -> None:
    assert partner_id(text) == partner_id(f" {text} ") == text


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "0", "00000000-0000-0000-0000-000000000000", "x" * (USER_ID_CHARS_MAX + 1)),
        *("$UID", "${UID}", "{uid}", "[UID]", "%UID%", "%%GOOGLE_GID%%", "<id>"),
    ],
)
def test_what_is_no_id_of_a_partner(text: str) -> None:
    assert partner_id(text) is None
