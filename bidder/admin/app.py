"""The admin port: what operators and their machines ask. An aiohttp application.

    GET  /metrics       Prometheus's text format: every process, the ledger, the workers
         /live          200 as long as this process turns
         /ready         200 when bids can be made, else 503 and one line that says what is missing
         /status.json   `bidder.admin.status.Status`
         /              the dashboard, one page that polls /status.json

It listens on loopback unless told otherwise, and asks nobody who they are.
"""

import base64
import hashlib
import re
from importlib.resources import files

import msgspec
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from bidder.admin.collector import exposition
from bidder.admin.readiness import READY_TEXT
from bidder.admin.snapshot import Watcher
from bidder.admin.status import status

ADMIN_BODY_BYTES_MAX = 1_024
"""Nothing here reads a body."""

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def admin_app(watcher: Watcher) -> web.Application:
    """Return the application over one watcher."""
    app = web.Application(client_max_size=ADMIN_BODY_BYTES_MAX)
    page = (files("bidder.admin") / "dashboard.html").read_text("utf-8")
    page_headers = _HEADERS | {"Content-Security-Policy": content_security_policy(page)}
    encoder = msgspec.json.Encoder()

    async def metrics(request: web.Request) -> web.Response:
        text = exposition(await watcher.snapshot())
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST} | _HEADERS)

    async def live(request: web.Request) -> web.Response:
        return web.Response(text="live\n", headers=_HEADERS)

    async def ready(request: web.Request) -> web.Response:
        readiness = await watcher.readiness()
        text = READY_TEXT if readiness.ready else readiness.reason
        return web.Response(status=200 if readiness.ready else 503, text=text + "\n", headers=_HEADERS)

    async def status_json(request: web.Request) -> web.Response:
        body = encoder.encode(status(await watcher.snapshot()))
        return web.Response(body=body, content_type="application/json", headers=_HEADERS)

    async def dashboard(request: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html", headers=page_headers)

    app.router.add_get("/metrics", metrics)
    app.router.add_get("/live", live)
    app.router.add_get("/ready", ready)
    app.router.add_get("/status.json", status_json)
    app.router.add_get("/", dashboard)
    return app


def content_security_policy(page: str) -> str:
    """Return a policy under which a page runs its own inline script and style, and nothing else."""

    def hashes(pattern: re.Pattern[str]) -> str:
        digests = (hashlib.sha256(text.encode()).digest() for text in pattern.findall(page))
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes(_SCRIPT)}; style-src {hashes(_STYLE)}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
