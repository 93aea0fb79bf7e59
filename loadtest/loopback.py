"""Which addresses are this machine's own.

A load test makes requests to whatever a bidder's answer names, so unless its operator vouches for
the target it calls nothing but loopback. Names are not resolved: `localhost` and literal
addresses count, any other name does not.
"""

import re
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

_URL = re.compile(r"(https?://[^/?#\\\x00-\x20\x7f]+)[^\x00-\x20\x7f]*", re.IGNORECASE)


@lru_cache(maxsize=1_024)
def is_loopback(host: str) -> bool:
    """Tell whether a host is `localhost` or a literal loopback address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(url: str) -> str:
    """Return the lower-case host of an http or https URL, or "" when it is no such URL.

    White space and control characters make it none: they could end the request line early.
    """
    found = _URL.fullmatch(url)
    return _host_of_origin(found[1]) if found else ""


@lru_cache(maxsize=1_024)
def _host_of_origin(origin: str) -> str:
    try:
        parts = urlsplit(origin)
        parts.port  # noqa: B018 - reading it is what checks it
        return parts.hostname or ""
    except ValueError:
        return ""
