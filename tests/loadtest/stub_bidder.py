"""A bidder of thirty lines: bids on everything, and keeps the notices it was sent.

It stands at the other end of the wire, so the exchange under test is the real one. Its bill is its
own: the first price it was told for each bid.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from zlib import crc32

import orjson
from aiohttp import web

from tests.loadtest.answers import CAMPAIGNS, bid, response

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class StubBidder:
    """Price and campaign depend on the request's id alone.

    `answer` may be replaced to answer differently; `refuse_bills` fails that many first.
    """

    def __init__(self) -> None:
        self.base = ""
        self.asked = 0
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.billed: dict[str, tuple[str, Decimal]] = {}
        self.refuse_bills = 0
        self.answer: Handler = self.bid_on_everything

    @property
    def target(self) -> str:
        return f"{self.base}/bid/plain"

    def counts(self) -> Counter[str]:
        return Counter(kind for kind, _ in self.calls)

    def bids_told(self, kind: str) -> set[str]:
        return {query["b"] for name, query in self.calls if name == kind}

    def spent_by_campaign(self) -> dict[str, int]:
        spent: Counter[str] = Counter()
        for campaign_id, price in self.billed.values():
            spent[campaign_id] += int(price * 1_000_000)
        return dict(spent)

    async def bid_on_everything(self, http: web.Request) -> web.StreamResponse:
        self.asked += 1
        asked = orjson.loads(await http.read())
        draw = crc32(asked["id"].encode())
        bids = [
            bid(
                imp,
                self.base,
                price=6.123456 + draw % 7,
                bid_id=f"{asked['id']}-{imp['id']}",
                cid=CAMPAIGNS[draw % len(CAMPAIGNS)],
            )
            for imp in asked["imp"]
        ]
        return web.Response(body=orjson.dumps(response(asked, *bids)), content_type="application/json")

    async def _answer(self, http: web.Request) -> web.StreamResponse:
        return await self.answer(http)

    async def _notice(self, http: web.Request) -> web.StreamResponse:
        kind = http.path.strip("/")
        if kind == "bill" and self.refuse_bills:
            self.refuse_bills -= 1
            return web.Response(status=503)
        query = dict(http.query)
        self.calls.append((kind, query))
        if kind == "bill":
            self.billed.setdefault(query["b"], (query["c"], Decimal(query["p"])))
        if kind == "click":
            return web.Response(status=302, headers={"Location": "https://landing.example/"})
        return web.Response(status=204)


@asynccontextmanager
async def running_stub() -> AsyncIterator[StubBidder]:
    """Serve a stub on a free loopback port."""
    stub = StubBidder()
    app = web.Application()
    app.router.add_post("/bid/plain", stub._answer)
    app.router.add_get("/{kind}", stub._notice)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stub.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield stub
    finally:
        await runner.cleanup()
