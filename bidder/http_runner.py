"""How the events and the admin port speak HTTP, whatever they serve: what aiohttp is told.

    runner = http_runner(app, shutdown_seconds_max)

A connection on which no request has come to its end for IDLE_SECONDS_MAX is closed, as on the bid port,
however busily somebody sends bytes on it. No body is inflated, as no handler reads one. No access is
logged, and of what aiohttp says of its callers nothing is that could be somebody's: it quotes the header
that it can't read, be it a cookie or the admin port's token.
"""

import logging

from aiohttp import web
from aiohttp.http import HttpProcessingError

from config.limits import IDLE_SECONDS_MAX

_QUOTES_ITS_CALLER = (HttpProcessingError, web.RequestPayloadError)


def http_runner(app: web.Application, shutdown_seconds_max: float) -> web.AppRunner:
    """Return a runner that, when stopped, lets begun requests end for so long."""
    logging.getLogger("aiohttp.server").addFilter(_without_callers)
    return web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=shutdown_seconds_max,
        keepalive_timeout=IDLE_SECONDS_MAX,
        auto_decompress=False,
    )


def _without_callers(record: logging.LogRecord) -> bool:
    """Drop reports of malformed HTTP, and blank the caller's address in others."""
    if isinstance(record.exc_info[1] if record.exc_info else None, _QUOTES_ITS_CALLER):
        return False
    if record.args:
        record.args = tuple("-" for _ in record.args)
    return True
