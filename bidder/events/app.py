"""The events port: what exchanges and browsers call after a bid. An aiohttp application.

    GET or POST  /win?t&p&m   /bill?t&p   /loss?t&l&m     204
                 /imp?t&p     /conv?t       /complete?t   a transparent pixel
                 /click?t                                 302 to the creative's landing page, or 404
                 /sync/{exchange}                         302 to the exchange, a pixel, or 204
                 /visit?u                                 a transparent pixel

`t` is the token of `bidder.openrtb.notice_token`, `p` holds ${AUCTION_PRICE}, `q` ${AUCTION_MULTIPLIER},
`m` ${AUCTION_MIN_TO_WIN}, `l` ${AUCTION_LOSS}; `bidder.events.sync` has the parameters of /sync. A forged
token gets the answer of a genuine one, so that a forger learns nothing; on /click, where a genuine
answer needs a creative, it gets the answer of one that is gone. 503 means that neither Redis nor the spool
on disk took the notice, and that it should be sent again (`bidder.events.intake`). Where a click goes is
decided by the config alone, and so is where a sync may go.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final

import redis
from aiohttp import web

from bidder.events import sync
from bidder.events.directory import LiveDirectory
from bidder.events.intake import Intake
from bidder.events.links import Linker
from bidder.events.notices import NoticeDesk
from bidder.events.outcome import Kind
from bidder.events.segment_rules import RuleBook
from bidder.events.spool import SpoolError
from bidder.metrics import LINKS, SYNCS
from bidder.openrtb.privacy import sync_permissions
from config.limits import NOTICE_BODY_BYTES_MAX, NOTICE_URL_CHARS_MAX, SYNC_URL_CHARS_MAX
from config.schema import ExchangeProfile

GIF: Final = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c000000000100010000020144003b"
)
"""A transparent image of one pixel by one."""
SHUTDOWN_SECONDS_MAX = 10.0
"""How long requests already begun may take to end when the process stops."""
_LEAVE_CHECK_SECONDS = 0.02

_LEAVING: Final = web.AppKey("leaving", asyncio.Event)
"""Set when the process stops."""
_NO_STORE = {"Cache-Control": "no-store"}


def events_app(
    desk: NoticeDesk, intake: Intake, directory: LiveDirectory, linker: Linker, rules: RuleBook
) -> web.Application:
    """Return the application; `bidder.http_runner` serves it."""
    app = web.Application(middlewares=[_or_goodbye, _within_limits], client_max_size=NOTICE_BODY_BYTES_MAX)
    app[_LEAVING] = asyncio.Event()
    routes = _Routes(desk, intake, directory, linker, rules)
    for path, handler in (
        ("/win", routes.win),
        ("/bill", routes.bill),
        ("/loss", routes.loss),
        ("/imp", routes.impression),
        ("/click", routes.click),
        ("/conv", routes.conversion),
        ("/complete", routes.completion),
        ("/sync/{exchange}", routes.sync),
        ("/visit", routes.visit),
    ):
        # Not `add_get`, which answers HEAD too: a HEAD must not book money.
        for method in ("GET", "POST"):
            app.router.add_route(method, path, handler)
    return app


async def take_leave(runner: web.AppRunner, idle_s: float) -> None:
    """Let every connection end with the next answer on it, and wait until none is idle any more.

    Whoever calls may be sending on an idle connection at this moment, so these are kept for `idle_s`. The
    runner's own cleanup ends what is left.
    """
    runner.app[_LEAVING].set()
    assert runner.server is not None
    end_s = time.monotonic() + idle_s
    while runner.server.connections and time.monotonic() < end_s:  # noqa: ASYNC110 - aiohttp tells nobody
        await asyncio.sleep(_LEAVE_CHECK_SECONDS)


@web.middleware
async def _or_goodbye(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer, and when the process stops, say that it was the last answer on this connection."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        if request.app[_LEAVING].is_set():
            error.force_close()
        raise
    if request.app[_LEAVING].is_set():
        response.force_close()
    return response


@web.middleware
async def _within_limits(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    chars_max = SYNC_URL_CHARS_MAX if request.path.startswith(("/sync/", "/visit")) else NOTICE_URL_CHARS_MAX
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

    def __init__(
        self, desk: NoticeDesk, intake: Intake, directory: LiveDirectory, linker: Linker, rules: RuleBook
    ) -> None:
        self._desk = desk
        self._intake = intake
        self._directory = directory
        self._linker = linker
        self._rules = rules

    async def win(self, request: web.Request) -> web.Response:
        return await self._take("win", request, _no_content)

    async def bill(self, request: web.Request) -> web.Response:
        return await self._take("bill", request, _no_content)

    async def loss(self, request: web.Request) -> web.Response:
        return await self._take("loss", request, _no_content)

    async def impression(self, request: web.Request) -> web.Response:
        return await self._take("impression", request, _pixel)

    async def conversion(self, request: web.Request) -> web.Response:
        return await self._take("conversion", request, _pixel)

    async def completion(self, request: web.Request) -> web.Response:
        return await self._take("completion", request, _pixel)

    async def click(self, request: web.Request) -> web.Response:
        url = self._desk.landing_url(request.query)
        # The person is on the way to the landing page, whatever becomes of our books.
        with contextlib.suppress(SpoolError):
            await self._intake.take("click", request.query)
        if url is None:
            return web.Response(status=404, text="this ad is no longer known\n", headers=_NO_STORE)
        return _redirect(url)

    async def sync(self, request: web.Request) -> web.Response:
        query = request.query
        directory = self._directory.current
        profile = directory.profile(request.match_info["exchange"])
        if profile is None:
            SYNCS.labels("unknown_exchange").inc()
            return web.Response(status=404, text="no such exchange\n", headers=_NO_STORE)
        if not sync_permissions(query, request.headers, directory.vendor).sync:
            SYNCS.labels("no_consent").inc()
            return _no_content()
        cookie = request.cookies.get(sync.COOKIE_NAME)
        uid = sync.own_id(cookie, secrets.randbits(128))
        partner_uid = sync.partner_id(query.get(sync.PARTNER_UID, ""))
        location = None
        if query.get(sync.REDIRECT):
            location = sync.setuid_url(query[sync.REDIRECT], profile.setuid_urls, uid, query)
            if location is None:
                SYNCS.labels("foreign_redirect").inc()
                return web.Response(status=400, text="no place to redirect to\n", headers=_NO_STORE)
        elif profile.sync_redirect_url and sync.PARTNER_UID not in query:
            location = sync.redirect_url(profile.sync_redirect_url, uid, query)
        if partner_uid is not None and profile.id_source is not None:
            await self._link(profile, partner_uid, uid, returning=uid == cookie)
        SYNCS.labels("pixel" if location is None else "redirected").inc()
        response = _pixel() if location is None else _redirect(location)
        _set_cookie(response, request, uid)
        return response

    async def visit(self, request: web.Request) -> web.Response:
        allowed = sync_permissions(request.query, request.headers, self._directory.current.vendor)
        if allowed.identify and allowed.profile:
            page = request.query.get("u", "") or request.headers.get("Referer", "")
            # Without Redis the page gets its pixel all the same: nobody would ask again.
            with contextlib.suppress(redis.RedisError):
                await self._rules.visit(page, request.cookies.get(sync.COOKIE_NAME))
        return _pixel()

    async def _take(
        self, kind: Kind, request: web.Request, response: Callable[[], web.Response]
    ) -> web.Response:
        try:
            await self._intake.take(kind, request.query)
        except SpoolError:
            return web.Response(
                status=503, text="the notice was not stored; send it again\n", headers=_NO_STORE
            )
        return response()

    async def _link(self, profile: ExchangeProfile, partner_uid: str, uid: str, *, returning: bool) -> None:
        """Keep the pair. Without Redis the browser gets its answer all the same: it will sync again."""
        assert profile.id_source is not None
        now_s = int(time.time())
        try:
            news = await self._linker.link(
                profile.id_source, partner_uid, uid, profile.link_days, now_s, returning=returning
            )
        except redis.RedisError:
            LINKS.labels("unavailable").inc()
        else:
            LINKS.labels("linked" if news else "known").inc()


def _set_cookie(response: web.Response, request: web.Request, uid: str) -> None:
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


def _redirect(location: str) -> web.Response:
    return web.Response(status=302, headers={"Location": location} | _NO_STORE)


def _no_content() -> web.Response:
    return web.Response(status=204, headers=_NO_STORE)


def _pixel() -> web.Response:
    return web.Response(body=GIF, content_type="image/gif", headers=_NO_STORE)
