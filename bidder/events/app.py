"""The events port: what exchanges and browsers call after a bid. An aiohttp application.

    GET or POST  /win?t&p&m   /bill?t&p   /loss?t&l&m     204
                 /imp?t&p     /conv?t                     a transparent pixel
                 /click?t                                 302 to the creative's landing page, or 404
                 /sync/{exchange}                         302 to the exchange, a pixel, or 204

`t` is the token of `bidder.openrtb.notice_token`, `p` holds ${AUCTION_PRICE}, `m` ${AUCTION_MIN_TO_WIN},
`l` ${AUCTION_LOSS}. A forged token gets the answer of a genuine one, so that a forger learns nothing;
on /click, where a genuine answer needs a creative, it gets the answer of one that is gone. 503 means
that Redis did not answer and the notice should be sent again. Where a click goes is decided by the
config alone: nothing in a URL can redirect a browser.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import redis
from aiohttp import web
from aiohttp.http import HttpProcessingError

from bidder.events import sync
from bidder.events.directory import LiveDirectory
from bidder.events.notices import Kind, NoticeDesk, Outcome, count
from bidder.metrics import SYNCS
from config.limits import NOTICE_BODY_BYTES_MAX, NOTICE_URL_CHARS_MAX, SYNC_URL_CHARS_MAX

GIF: Final = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c000000000100010000020144003b"
)
"""A transparent image of one pixel by one."""
SHUTDOWN_SECONDS_MAX = 10.0
"""How long requests already begun may take to end when the process stops."""

_NO_STORE = {"Cache-Control": "no-store"}


def events_app(desk: NoticeDesk, directory: LiveDirectory) -> web.Application:
    """Return the application; `web_runner` serves it."""
    app = web.Application(middlewares=[_within_limits], client_max_size=NOTICE_BODY_BYTES_MAX)
    routes = _Routes(desk, directory)
    for path, handler in (
        ("/win", routes.win),
        ("/bill", routes.bill),
        ("/loss", routes.loss),
        ("/imp", routes.impression),
        ("/click", routes.click),
        ("/conv", routes.conversion),
        ("/sync/{exchange}", routes.sync),
    ):
        # Not `add_get`, which answers HEAD too: a HEAD must not book money.
        for method in ("GET", "POST"):
            app.router.add_route(method, path, handler)
    return app


def web_runner(app: web.Application) -> web.AppRunner:
    """Return a runner that logs no access and, when stopped, lets begun requests end."""
    logging.getLogger("aiohttp.server").addFilter(_without_visitors)
    return web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS_MAX)


def _without_visitors(record: logging.LogRecord) -> bool:
    """Drop the server's reports of malformed HTTP, which quote it, and blank the caller's address."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        return False
    if record.args:
        record.args = tuple("-" for _ in record.args)
    return True


@web.middleware
async def _within_limits(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    chars_max = SYNC_URL_CHARS_MAX if request.path.startswith("/sync/") else NOTICE_URL_CHARS_MAX
    if len(request.path_qs) > chars_max:
        raise web.HTTPRequestURITooLong(text=f"the URL is longer than {chars_max} characters\n")
    if (request.content_length or 0) > NOTICE_BODY_BYTES_MAX:
        raise web.HTTPRequestEntityTooLarge(
            NOTICE_BODY_BYTES_MAX,
            request.content_length or 0,
            text=f"the body is larger than {NOTICE_BODY_BYTES_MAX} bytes\n",
        )
    return await handler(request)


class _Routes:
    """From a URL's parameters to the desk, and from an outcome to an HTTP answer."""

    def __init__(self, desk: NoticeDesk, directory: LiveDirectory) -> None:
        self._desk = desk
        self._directory = directory

    async def win(self, request: web.Request) -> web.Response:
        query = request.query
        noticed = self._desk.win(query.get("t", ""), query.get("p", ""), query.get("m", ""))
        return await _answer("win", noticed, _no_content)

    async def bill(self, request: web.Request) -> web.Response:
        query = request.query
        return await _answer("bill", self._desk.bill(query.get("t", ""), query.get("p", "")), _no_content)

    async def loss(self, request: web.Request) -> web.Response:
        query = request.query
        noticed = self._desk.loss(query.get("t", ""), query.get("l", ""), query.get("m", ""))
        return await _answer("loss", noticed, _no_content)

    async def impression(self, request: web.Request) -> web.Response:
        query = request.query
        return await _answer(
            "impression", self._desk.impression(query.get("t", ""), query.get("p", "")), _pixel
        )

    async def conversion(self, request: web.Request) -> web.Response:
        return await _answer("conversion", self._desk.conversion(request.query.get("t", "")), _pixel)

    async def click(self, request: web.Request) -> web.Response:
        _, url = await self._desk.click(request.query.get("t", ""))
        if url is None:
            return web.Response(status=404, text="this ad is no longer known\n", headers=_NO_STORE)
        return web.Response(status=302, headers={"Location": url} | _NO_STORE)

    async def sync(self, request: web.Request) -> web.Response:
        directory = self._directory.current
        exchange_id = request.match_info["exchange"]
        if not directory.knows_exchange(exchange_id):
            SYNCS.labels("unknown_exchange").inc()
            return web.Response(status=404, text="no such exchange\n", headers=_NO_STORE)
        if not sync.may_sync(request.query, request.headers.get("Sec-GPC")):
            SYNCS.labels("no_consent").inc()
            return _no_content()
        uid = sync.own_id(request.cookies.get(sync.COOKIE_NAME), secrets.randbits(128))
        template = directory.sync_redirect_url(exchange_id)
        if template is None:
            SYNCS.labels("pixel").inc()
            response = _pixel()
        else:
            SYNCS.labels("redirected").inc()
            location = sync.redirect_url(template, uid, request.query)
            response = web.Response(status=302, headers={"Location": location} | _NO_STORE)
        forwarded = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
        https = request.secure or forwarded == "https"
        # Browsers refuse SameSite=None on a cookie that is not Secure, and Secure over plain HTTP.
        response.set_cookie(
            sync.COOKIE_NAME,
            uid,
            max_age=sync.COOKIE_SECONDS,
            httponly=True,
            secure=https,
            samesite="None" if https else "Lax",
        )
        return response


async def _answer(
    kind: Kind, noticed: Awaitable[Outcome], response: Callable[[], web.Response]
) -> web.Response:
    try:
        await noticed
    except redis.RedisError:
        count(kind, Outcome.UNAVAILABLE)
        return web.Response(status=503, text="the notice was not stored; send it again\n", headers=_NO_STORE)
    return response()


def _no_content() -> web.Response:
    return web.Response(status=204, headers=_NO_STORE)


def _pixel() -> web.Response:
    return web.Response(body=GIF, content_type="image/gif", headers=_NO_STORE)
