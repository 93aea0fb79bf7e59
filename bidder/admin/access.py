"""Who may see the admin port: on loopback whoever is there, elsewhere who has the token.

    app.middlewares.append(only_with(load_admin_token(path)))
    app.middlewares.append(only_by_address())                       # without a token

The token comes as `Authorization: Bearer <token>`, as Prometheus sends it, or as the password of HTTP
Basic (RFC 7617) under any name, which browsers ask for and then send by themselves. `/live` and `/ready`
stay open: load balancers and exchanges ask them, and they say no more than that.

Loopback alone keeps no browser out: a page can give its own name the address 127.0.0.1 (DNS rebinding), and
the browser, which goes by names, then lets it read what the port says. So without a token the port answers
to an address or to localhost, which are nobody's to point elsewhere.
"""

import binascii
from base64 import b64decode
from collections.abc import Awaitable, Callable
from hmac import compare_digest
from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Middleware

OPEN_PATHS = frozenset({"/live", "/ready"})
_REFUSAL = {"Cache-Control": "no-store"}
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="hustings", charset="UTF-8"'} | _REFUSAL


def only_with(token: bytes) -> Middleware:
    """Return a middleware that answers 401 to whoever does not have the token."""

    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path not in OPEN_PATHS and not compare_digest(_given(request), token):
            return web.Response(
                status=401, text="the admin port wants its token (docs/operations.md)\n", headers=_CHALLENGE
            )
        return await handler(request)

    return check


def only_by_address() -> Middleware:
    """Return a middleware that answers 403 to whoever asks for the port by a name."""

    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path not in OPEN_PATHS and not _is_nobodys(request.host):
            return web.Response(
                status=403,
                text="ask for the admin port as 127.0.0.1, or give it a token (docs/operations.md)\n",
                headers=_REFUSAL,
            )
        return await handler(request)

    return check


def _is_nobodys(host: str) -> bool:
    """Tell whether a Host header (`127.0.0.1:8082`, `[::1]`) has nothing in it that a name server knows."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        ip_address(name)
    except ValueError:
        return name.lower() == "localhost"
    return True


def _given(request: web.Request) -> bytes:
    """Return the token of a request; empty when there is none."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value.encode("utf-8", "surrogateescape")
    if scheme.lower() == "basic":
        try:
            return b64decode(value, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""
