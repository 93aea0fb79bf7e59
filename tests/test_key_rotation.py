"""A rotation while the engine runs: the worker signs with the new key, and both keys' notices are booked."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
from typer.testing import CliRunner

from bidder.cli.main import command_line
from bidder.openrtb.notice_token import TOKEN_CHARS
from config.settings import Settings
from pacing.ledger import Ledger
from tests.events.processes import child
from tests.factories import bid_request, bundle
from tests.running import RunningWorker, running_worker
from tests.waiting import SECONDS_MAX


def key_id(burl: str) -> int:
    token = burl.partition("t=")[2][:TOKEN_CHARS]
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(token[0]) >> 2


def hustings(*words: str) -> dict[str, list[dict[str, object]]]:
    result = CliRunner().invoke(command_line(), list(words))
    assert result.exit_code == 0, result.output
    found: dict[str, list[dict[str, object]]] = json.loads(result.stdout.splitlines()[0])
    return found


async def a_bid(worker: RunningWorker) -> dict[str, Any]:
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            bids = await worker.bids(bid_request())
            if bids:
                return bids[0]


async def test_a_rotation_loses_no_notice_and_a_dropped_key_is_refused(
    redis_url: str, tmp_path: Path
) -> None:
    data = ("--data", str(tmp_path))
    async with running_worker(redis_url, bundle(), tmp_path) as worker, aiohttp.ClientSession() as http:
        old = await a_bid(worker)
        assert key_id(old["burl"]) == 0

        assert len(hustings("keys", "rotate", "--wait", "0", "--json", *data)["keys"]) == 2
        async with asyncio.timeout(SECONDS_MAX):
            while key_id((new := await a_bid(worker))["burl"]) == 0:
                pass

        settings: Settings = worker.settings
        (tmp_path / "metrics").mkdir(exist_ok=True)
        with child("bidder.events.main", settings) as events:
            port = await asyncio.to_thread(events.wait_until_ready)

            async def bill(bid: dict[str, object]) -> None:
                path = str(bid["burl"]).replace("${AUCTION_PRICE}", str(bid["price"])).partition("/bill")[2]
                async with http.get(f"http://127.0.0.1:{port}/bill{path}") as response:
                    assert response.status == 204

            async def spent() -> int:
                (code,) = bundle().campaigns_by_code()
                account = await Ledger(worker.redis).account(code)
                assert account is not None
                return int(account.spent)

            async def billed_beyond(before: int) -> int:
                # A process that Redis did not answer in time keeps the notice, and books it soon.
                async with asyncio.timeout(SECONDS_MAX):
                    while (now := await spent()) <= before:  # noqa: ASYNC110 - the ledger tells nobody
                        await asyncio.sleep(0.01)
                return now

            await bill(old)
            first = await billed_beyond(0)
            await bill(new)
            await billed_beyond(first)

            # A key that became known: nothing of it counts any more.
            hustings("keys", "rotate", "--wait", "0", "--json", *data)
            hustings("keys", "drop", "1", "--json", *data)
            click = new["burl"].partition("/bill")[2]
            async with asyncio.timeout(SECONDS_MAX):
                while True:
                    url = f"http://127.0.0.1:{port}/click{click}"
                    async with http.get(url, allow_redirects=False) as response:
                        if response.status == 404:
                            break
