"""The events port as a target of hostile notice URLs (`tests.fuzz`)."""

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio
from yarl import URL

from config.schema import code_of
from tests.events.conftest import DAY, events_port
from tests.events.factories import CAMPAIGN, OWNER, PRICE_MAX_CPM_MICROS, bundle, token
from tests.fuzz.targets import ANSWER_SECONDS_MAX, Target, notice_url

LEASE = 10**12
ALLOWED = {200, 204, 302, 400, 404, 405, 413, 414}


@asynccontextmanager
async def events_target(client: redis.asyncio.Redis) -> AsyncIterator[Target]:
    """Serve the events port with money to spend, over an empty Redis, and yield the target `notice`."""
    async with events_port(client, bundle()) as port:
        code = code_of(CAMPAIGN)
        await port.ledger.register(code, CAMPAIGN, LEASE, None, "UTC")
        owner = await port.ledger.new_owner()
        while owner < OWNER:
            owner = await port.ledger.new_owner()
        await port.ledger.grant(code, OWNER, LEASE, DAY, PRICE_MAX_CPM_MICROS, 1)
        sequence = 0

        async def check(chance: random.Random) -> None:
            nonlocal sequence
            sequence += 1
            genuine = token(sequence, billed_on_impression=chance.random() < 0.5)
            url = notice_url(genuine, chance)
            method = chance.choice(("GET", "GET", "POST", "HEAD", "PUT"))
            headers = {"Sec-GPC": "1", "Cookie": chance.choice(("x=1", "uid=" + "f" * 3_000, "uid=é"))}
            started_s = time.process_time()
            async with port.session.request(
                method,
                URL(port.url + url, encoded=True),
                headers=headers if chance.random() < 0.3 else None,
                data=b"x" * chance.choice((1, 100_000)) if method == "POST" else None,
                allow_redirects=False,
            ) as response:
                await response.read()
            assert response.status in ALLOWED, (response.status, method, url)
            assert time.process_time() - started_s < ANSWER_SECONDS_MAX, url
            found = await port.ledger.account(code)
            assert found is not None
            found.check()
            assert found.spent <= sequence * PRICE_MAX_CPM_MICROS, url

        yield Target("notice", check)
