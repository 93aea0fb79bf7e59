"""Cookie sync: how an exchange and we learn each other's name for a browser (OpenRTB 2.6, appendix C).

Every call of `/sync/<exchange>` sets or renews our cookie. What else it does, its parameters say:

    (none)              we begin: on to the exchange's own URL, `sync_redirect_url` in its profile, with
                        our id in place of {uid}; the exchange keeps the pair. Without such a URL, a pixel.
    partner_uid=88      the exchange begins, or answers: we keep the pair (`bidder.events.links`), and the
                        browser gets a pixel. It is the end of a sync, so two parties can't send a
                        browser to and fro for ever.
    redirect=https://   a Prebid server begins: its /cookie_sync has named our URL with its /setuid in it,
                        and we go there with our id as `uid`. With partner_uid, after keeping the pair.

Nothing in a call can send a browser where the profile does not allow: a `redirect` must be one of the
addresses in `setuid_urls` (scheme, host and path), whose own text begins the Location; of the
call's text only the query is used, taken apart and encoded anew. Privacy parameters that came with the
call travel on, but for those that the target's query already has.

A sync is the storing of an id on a person's device, so it happens only when nothing speaks against it
(`bidder.openrtb.privacy`). The functions are pure; `bidder.events.app` does the HTTP.
"""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from config.limits import SYNC_REDIRECT_FIELDS_MAX, USER_ID_CHARS_MAX

COOKIE_NAME = "hustings"
COOKIE_SECONDS = 30 * 24 * 3_600
PARTNER_UID, REDIRECT = "partner_uid", "redirect"
"""The parameters of a sync URL, besides the privacy parameters."""
PASSED_ON = ("gdpr", "gdpr_consent", "us_privacy", "gpp", "gpp_sid")
"""The privacy parameters that travel with a redirect."""

_COOKIE = re.compile(r"[0-9a-f]{32}")
_MACRO = re.compile(r"\$|[{\[%<].*[}\]%>]", re.DOTALL)
"""What an exchange replaces by an id, where it did not, like $UID, ${UID}, {uid}, [UID], %UID%."""
_NOBODY = frozenset("0-")


def own_id(cookie: str | None, random_bits: int) -> str:
    """Return the browser's id: the one its cookie holds, else 32 hex digits of `random_bits`."""
    if cookie is not None and _COOKIE.fullmatch(cookie):
        return cookie
    return f"{random_bits:032x}"


def partner_id(text: str) -> str | None:
    """Return a partner's id for a browser; None for what is none: empty, too long, zeros, a macro."""
    text = text.strip()
    if not text or len(text) > USER_ID_CHARS_MAX or _NOBODY.issuperset(text) or _MACRO.match(text):
        return None
    return text


def redirect_url(template: str, uid: str, query: Mapping[str, str]) -> str:
    """Fill in an exchange's sync URL: `{uid}`, and the privacy parameters that came with the call.

    A parameter that the template itself names is left as the template has it.
    """
    base, _, fragment = template.replace("{uid}", quote(uid, safe="")).partition("#")
    named = {unquote(name) for name in re.findall(r"[?&]([^=&]+)=", base)}
    passed_on = _passed_on(query, named)
    if passed_on:
        base += ("&" if "?" in base else "?") + urlencode(passed_on, errors="replace")
    return f"{base}#{fragment}" if fragment else base


def setuid_url(asked: str, allowed: Sequence[str], uid: str, query: Mapping[str, str]) -> str | None:
    """Return where a call may send the browser: `asked`, a Prebid server's /setuid, with our id in it.

    None when `asked` is not at one of the `allowed` addresses, or is no URL at all.
    """
    try:
        parts = urlsplit(asked)
        fields = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=SYNC_REDIRECT_FIELDS_MAX)
    except ValueError:
        return None
    address = f"{parts.scheme}://{parts.netloc}{parts.path}"
    if address not in allowed:
        return None
    # Prebid leaves the value empty or puts a macro there, by how it was told of us; both mean our id.
    filled = [(name, value) for name, value in fields if name != "uid" and (value or name not in PASSED_ON)]
    filled += _passed_on(query, {name for name, _ in filled})
    return f"{address}?{urlencode([*filled, ('uid', uid)], errors='replace')}"


def _passed_on(query: Mapping[str, str], named: set[str]) -> list[tuple[str, str]]:
    return [(name, query[name]) for name in PASSED_ON if query.get(name) and name not in named]
