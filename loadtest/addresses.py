"""Where a URL leads, and whether that is this machine.

A load test makes requests to whatever a bidder's answer names, so unless its operator vouches for
the target it calls nothing but loopback. What counts is where a name leads, not what it is called:
a host is this machine when every address it resolves to is a loopback address. Who connects uses the
addresses that were judged, so a name that leads elsewhere a moment later changes nothing.
"""

import asyncio
import re
import socket
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

import msgspec

_URL = re.compile(r"(https?://[^/?#\\\x00-\x20\x7f]+)[^\x00-\x20\x7f]*", re.IGNORECASE)


class Origin(msgspec.Struct, frozen=True):
    """Who answers an http or https URL. `host` is lower-case and has no brackets."""

    is_tls: bool
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def origin_of(url: str) -> Origin | None:
    """Return the origin of an http or https URL, None when it is no such URL or carries a user name.

    White space and control characters make it none: they could end the request line early.
    """
    found = _URL.fullmatch(url)
    return _origin(found[1]) if found else None


@lru_cache(maxsize=1_024)
def _origin(text: str) -> Origin | None:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname
    if not host or not host.isascii() or "@" in parts.netloc:
        return None
    is_tls = parts.scheme == "https"
    return Origin(is_tls, host, (443 if is_tls else 80) if port is None else port)


def host_of(url: str) -> str:
    """Return the lower-case host of an http or https URL, "" when `origin_of` finds none."""
    origin = origin_of(url)
    return origin.host if origin else ""


def names_loopback(host: str) -> bool:
    """Tell whether a host is `localhost` or a literal loopback address, without asking anybody."""
    try:
        return host == "localhost" or is_loopback(host)
    except ValueError:
        return False


def request_target(url: str) -> bytes:
    """Return what a request line asks for: the URL's path and query, byte for byte as they were written."""
    rest = url.partition("://")[2].partition("#")[0]
    at = re.search(r"[/?\\]", rest)
    path = rest[at.start() :] if at else "/"
    return (path if path.startswith("/") else "/" + path).encode()


@lru_cache(maxsize=1_024)
def is_loopback(address: str) -> bool:
    """Tell whether a literal address is one of this machine's own; raises ValueError when it is none."""
    literal = ip_address(address.partition("%")[0])
    if isinstance(literal, IPv6Address) and literal.ipv4_mapped is not None:
        return literal.ipv4_mapped.is_loopback
    return literal.is_loopback


async def addresses_of(origin: Origin) -> tuple[str, ...]:
    """Resolve an origin's host; raises OSError when it has no address."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(f"{origin.host} is no name of a host") from None
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
