"""Who may see the admin port: on loopback whoever is there, elsewhere who has the token.

    app.middlewares.append(only_with(load_admin_token(path)))

The token comes as `Authorization: Bearer <token>`, as Prometheus sends it, or as the password of HTTP
Basic (RFC 7617) under any name, which browsers ask for and then send by themselves. `/live` and `/ready`
stay open: load balancers and exchanges ask them, and they say no more than that.
"""

import binascii
from base64 import b64decode
from collections.abc import Awaitable, Callable
from hmac import compare_digest

from aiohttp import web
from aiohttp.typedefs import Middleware

OPEN_PATHS = frozenset({"/live", "/ready"})
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="hustings", charset="UTF-8"', "Cache-Control": "no-store"}


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
