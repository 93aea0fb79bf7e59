"""Cookie sync: how an exchange learns our name for a browser (OpenRTB 2.6, appendix C).

The exchange's page calls `/sync/<exchange>`; we set or renew our cookie and redirect to the
exchange's own URL (`sync_redirect_url` in its profile) with our id in it, and it keeps the pair. An
exchange without such a URL keeps nothing, and gets a pixel.

A sync is the storing of an id on a person's device, so it happens only when nothing speaks against it.
There is no decoder of consent strings here: whenever the GDPR is said to apply, by `gdpr=1` or by
a TCF section in `gpp_sid`, that is treated as no consent, whatever the consent string says. Other
GPP sections are passed on unread. The functions are pure; `bidder.events.app` does the HTTP.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode

COOKIE_NAME = "hustings"
COOKIE_SECONDS = 30 * 24 * 3_600
PASSED_ON = ("gdpr", "gdpr_consent", "us_privacy", "gpp", "gpp_sid")
"""The privacy parameters that travel with a redirect."""

_COOKIE = re.compile(r"[0-9a-f]{32}")
_GPP_SECTIONS_UNDER_TCF = {"2", "5"}
"""GPP section ids of TCF strings: European Union, Canada."""


def own_id(cookie: str | None, random_bits: int) -> str:
    """Return the browser's id: the one its cookie holds, else 32 hex digits of `random_bits`."""
    if cookie is not None and _COOKIE.fullmatch(cookie):
        return cookie
    return f"{random_bits:032x}"


def may_sync(query: Mapping[str, str], global_privacy_control: str | None) -> bool:
    """Say whether a cookie may be set.

    `global_privacy_control` is the `Sec-GPC` header. A `gdpr` that is neither empty nor 0 (an
    unreplaced macro, say) counts as 1.
    """
    if query.get("gdpr", "").strip() not in ("", "0"):
        return False
    if _GPP_SECTIONS_UNDER_TCF & set(re.split(r"[,_\s]+", query.get("gpp_sid", ""))):
        return False
    if query.get("us_privacy", "")[2:3] in ("Y", "y"):
        return False
    return (global_privacy_control or "").strip() != "1"


def redirect_url(template: str, uid: str, query: Mapping[str, str]) -> str:
    """Fill in an exchange's sync URL: `{uid}`, and the privacy parameters that came with the call.

    A parameter that the template itself names is left as the template has it.
    """
    base, _, fragment = template.replace("{uid}", quote(uid, safe="")).partition("#")
    named = set(re.findall(r"[?&]([^=&]+)=", base))
    passed_on = [(name, query[name]) for name in PASSED_ON if query.get(name) and name not in named]
    if passed_on:
        base += ("&" if "?" in base else "?") + urlencode(passed_on, errors="replace")
    return f"{base}#{fragment}" if fragment else base
