"""The floor that the engine is held against: the least an aiohttp server can do with a bid request.

One route on uvloop that decodes the body with orjson and answers a constant. It starts, announces its
port and ends as a bid worker does (`bidder.child`), and its garbage collector is as tame.
"""

import asyncio
import gc
from collections.abc import Callable

import orjson
from aiohttp import web

from bidder.child import run
from config.settings import Settings

_ANSWER = b'{"id":"1","seatbid":[]}'


async def _answer(request: web.Request) -> web.Response:
    orjson.loads(await request.read())
    return web.Response(body=_ANSWER, content_type="application/json")


async def serve(settings: Settings, announce_ready: Callable[[int], None], stop: asyncio.Event) -> None:
    """Answer on any free port of the bid host until told to stop."""
    application = web.Application()
    application.router.add_post("/bid/{exchange}", _answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.bid_host, 0).start()
        gc.collect()
        gc.freeze()
        announce_ready(runner.addresses[0][1])
        await stop.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    run(serve)
