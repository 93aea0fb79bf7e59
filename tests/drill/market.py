"""An exchange that replays auctions over HTTP, and bills as badly as is allowed.

A bid wins where it reaches the market price, and pays that. Its bill comes after a while, in any order,
some twice and some never; one that is not acknowledged is sent again, as exchanges do. What was
acknowledged is in the exchange's books, once. A request or a bill that meets a dead process counts as
nothing but that. Requests come over one kept-alive connection or several: the workers share a port, and a
connection is one worker's until either of them is gone.
"""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from config.money import CpmMicros, cpm_micros_from_text, cpm_text
from tests.factories import bid_request

BILL_AFTER_S_MAX = 3.0
DROPPED_SHARE = 0.01
REPEATED_SHARE = 0.2
RETRY_S = 0.3
RETRIES_MAX = 15
"""Billed or given up well before the notice timeout of ten seconds."""
UNREACHABLE = (aiohttp.ClientError, TimeoutError)


@dataclass
class Market:
    """One run of traffic; its books in billionths, by campaign."""

    http: aiohttp.ClientSession
    """For bills."""
    connections: Sequence[aiohttp.ClientSession]
    """For requests."""
    bid_url: str
    prices: Iterator[CpmMicros]
    chance: random.Random
    requests: int = 0
    bids: int = 0
    bills: int = 0
    unanswered: int = 0
    undelivered: int = 0
    spent: Counter[str] = field(default_factory=Counter)

    async def run(self, rate: float, seconds: float, stop: asyncio.Event | None = None) -> None:
        """Send `rate` requests a second on schedule, until told to stop; returns when the last bill is in."""
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number in itertools.count():
                if number >= rate * seconds or (stop is not None and stop.is_set()):
                    break
                await asyncio.sleep(max(0.0, start_s + number / rate - loop.time()))
                tasks.create_task(
                    self._auction(next(self.prices), random.Random(self.chance.getrandbits(64)))
                )

    async def _auction(self, market_price: CpmMicros, chance: random.Random) -> None:
        self.requests += 1
        request = bid_request(id=f"auction-{self.requests}", at=2, user={})
        request["imp"][0]["bidfloor"] = 0.0
        try:
            async with chance.choice(self.connections).post(self.bid_url, json=request) as response:
                answer = await response.json() if response.status == 200 else None
        except UNREACHABLE:
            self.unanswered += 1
            return
        if answer is None:
            return
        (bid,) = (bid for seat in answer["seatbid"] for bid in seat["bid"])
        self.bids += 1
        if cpm_micros_from_text(str(bid["price"])) >= market_price and chance.random() >= DROPPED_SHARE:
            await self._bill(bid, market_price, chance)

    async def _bill(self, bid: dict[str, Any], price: CpmMicros, chance: random.Random) -> None:
        url = bid["burl"].replace("${AUCTION_PRICE}", cpm_text(price))
        await asyncio.sleep(chance.uniform(0, BILL_AFTER_S_MAX))
        sends = [self._send(url)]
        if chance.random() < REPEATED_SHARE:
            sends.append(self._send(url))
        if any(await asyncio.gather(*sends)):
            self.bills += 1
            self.spent[bid["cid"]] += price
        else:
            self.undelivered += 1

    async def _send(self, url: str) -> bool:
        for _ in range(RETRIES_MAX):
            try:
                async with self.http.get(url) as response:
                    if response.status < 300:
                        return True
            except UNREACHABLE:
                pass
            await asyncio.sleep(RETRY_S)
        return False
