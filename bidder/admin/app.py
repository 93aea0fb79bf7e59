"""The admin port: what operators and their machines ask. An aiohttp application.

    GET  /metrics       Prometheus's text format: every process, the ledger, the workers
         /live          200 as long as this process turns
         /ready         200 when bids can be made, else 503 and one line that says what is missing
         /status.json   `bidder.admin.status.Status`
         /stream        the same and the engine's pulse, as server-sent events (`bidder.admin.stream`)
         /              the dashboard, and below /static/ the files it is made of (`bidder.admin.page`)

It listens on loopback unless told otherwise; `bidder.admin.access` says who may ask.
"""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from bidder.admin.collector import exposition
from bidder.admin.page import HEADERS, PageFile, page_files
from bidder.admin.readiness import READY_TEXT
from bidder.admin.snapshot import Watcher
from bidder.admin.status import status
from bidder.admin.stream import Stream

ADMIN_BODY_BYTES_MAX = 1_024
"""Nothing here reads a body."""

_FRESH = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def admin_app(watcher: Watcher, stream: Stream) -> web.Application:
    """Return the application over one watcher and its stream."""
    app = web.Application(client_max_size=ADMIN_BODY_BYTES_MAX)
    encoder = msgspec.json.Encoder()

    async def metrics(request: web.Request) -> web.Response:
        text = exposition(await watcher.snapshot())
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST} | _FRESH)

    async def live(request: web.Request) -> web.Response:
        return web.Response(text="live\n", headers=_FRESH)

    async def ready(request: web.Request) -> web.Response:
        readiness = await watcher.readiness()
        text = READY_TEXT if readiness.ready else readiness.reason
        return web.Response(status=200 if readiness.ready else 503, text=text + "\n", headers=_FRESH)

    async def status_json(request: web.Request) -> web.Response:
        body = encoder.encode(status(await watcher.snapshot()))
        return web.Response(body=body, content_type="application/json", headers=_FRESH)

    app.router.add_get("/metrics", metrics)
    app.router.add_get("/live", live)
    app.router.add_get("/ready", ready)
    app.router.add_get("/status.json", status_json)
    # A HEAD would listen for ever to what it must not be told.
    app.router.add_get("/stream", stream.serve, allow_head=False)
    for path, file in page_files().items():
        app.router.add_get(f"/{path}", _serving(file))
    return app


def _serving(file: PageFile) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=file.body, content_type=file.content_type, charset="utf-8", headers=HEADERS)

    return serve
