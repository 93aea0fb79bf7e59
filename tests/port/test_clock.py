"""What a worker has promised, when clocks are set."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import redis.asyncio

from bidder.openrtb.notice_token import Notice, TokenReader
from bidder.redis_client import redis_client
from config.embedded_server import EmbeddedServer
from config.notice_keys import KeyFile
from config.settings import load_secrets
from pacing.ledger import Ledger
from tests import factories
from tests.fault_drill.clock import SetClock, faketime_library
from tests.port.test_stop import until_bids
from tests.running import RunningWorker, running_worker
from tests.waiting import SECONDS_MAX

TIMEOUT_S = 10
"""Of the exchange in `factories.bundle`."""


def notice_of(worker: RunningWorker, bid: Mapping[str, Any]) -> Notice:
    """Return what the token of a bid says."""
    file = Path(worker.settings.secret_file)
    ring = KeyFile(file, load_secrets(file).notice_key).read()
    (token,) = parse_qs(urlsplit(bid["burl"]).query)["t"]
    notice = TokenReader(ring).read(token)
    assert notice is not None
    return notice


async def server_s(client: redis.asyncio.Redis) -> int:
    seconds, _ = await client.time()
    return int(seconds)


async def test_a_wall_clock_that_is_set_moves_no_second_of_expiry(
    redis_url: str, redis_client: redis.asyncio.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, true = factories.bundle(), time.time
    async with running_worker(redis_url, bundle, tmp_path) as worker:
        for ahead_s in (0, 3_600, -3_600):
            monkeypatch.setattr(time, "time", lambda ahead_s=ahead_s: true() + ahead_s)
            before_s = await server_s(redis_client)
            (bid,) = await worker.bids(factories.bid_request())
            notice, after_s = notice_of(worker, bid), await server_s(redis_client)
            assert before_s + TIMEOUT_S - 1 <= notice.expiry_s <= after_s + TIMEOUT_S + 1
        assert len(await worker.ledger.heartbeats()) == 1, "nobody had to start afresh"


@pytest.mark.skipif(faketime_library() is None, reason="libfaketime is not installed")
@pytest.mark.parametrize("ahead_s", [120, -120])
async def test_when_redis_tells_another_time_a_worker_starts_afresh(tmp_path: Path, ahead_s: int) -> None:
    library = faketime_library()
    assert library is not None
    clock, bundle = SetClock(library, tmp_path / "clock"), factories.bundle()
    with clock.for_children():
        server = EmbeddedServer.start(tmp_path / "redis")
    with server:
        async with running_worker(server.url, bundle, tmp_path) as worker, redis_client(server.url) as client:
            (bid,) = await worker.bids(factories.bid_request())
            first = notice_of(worker, bid)
            clock.put(ahead_s)
            async with asyncio.timeout(SECONDS_MAX):
                while len(await Ledger(client).heartbeats()) == 1:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.02)
            await until_bids(worker, True)
            before_s = await server_s(client)
            (bid,) = await worker.bids(factories.bid_request())
            second, after_s = notice_of(worker, bid), await server_s(client)
            assert second.owner != first.owner
            assert before_s + TIMEOUT_S - 1 <= second.expiry_s <= after_s + TIMEOUT_S + 1
            account = await worker.account_check("campaign-1")
            promised = account.leases[first.owner]
            assert promised == first.price_max_cpm_micros, "all but what it promised is given back"
