"""Stopping and replacing processes under load: whoever was listened to is answered."""

import asyncio
import json
import signal
import socket
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import redis.asyncio

from bidder.listener import Listener, limited
from bidder.port.main import warm_up
from config.money import BILLION
from config.schema import code_of
from pacing.ledger import Ledger
from tests.callers import Callers, calling
from tests.factories import bid_request
from tests.running import running_events
from tests.test_engine import Engine, a_bid, children_of, started_engine
from tests.waiting import SECONDS_MAX

APP = {"device": {"devicetype": 4, "os": "iOS"}, "app": {"bundle": "com.example.any"}}


def requests() -> list[bytes]:
    request: dict[str, Any] = bid_request(
        imp=[{"id": "1", "banner": {"format": [{"w": 300, "h": 250}]}}], user={}
    )
    del request["site"]
    return [msgspec.json.encode(request | APP)]


async def pids(engine: Engine) -> dict[int, str]:
    found = await asyncio.to_thread(children_of, engine.process.pid)
    return {pid: module for pid, module in found if module}


async def books(redis_client: redis.asyncio.Redis, callers: Callers) -> None:
    """The ledger has what the callers were told is booked, or gets it."""
    ledger = Ledger(redis_client)
    for campaign_id, spent in callers.spent.items():
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                account = await ledger.account(code_of(campaign_id))
                assert account is not None
                if account.spent / BILLION == pytest.approx(spent):
                    break
                await asyncio.sleep(0.05)


async def test_replaced_and_stopped_under_load_an_engine_answers_whatever_was_sent(
    tmp_path: Path, redis_url: str, redis_client: redis.asyncio.Redis
) -> None:
    # A start that has to compile the kernels is another test's.
    await asyncio.to_thread(warm_up)
    data = tmp_path / "data"
    options = ("--redis", redis_url, "--workers", "1", "--drain-seconds", "1", "--log-format", "json")
    async with started_engine(data, *options) as engine, aiohttp.ClientSession() as http:
        await a_bid(http, engine)
        before = await pids(engine)
        modules = [f"bidder.{part}.main" for part in ("admin", "events", "port", "training")]
        assert sorted(before.values()) == modules

        # A release that does not start: every new process refuses this secret.
        (data / "secret").chmod(0o644)
        engine.process.send_signal(signal.SIGUSR2)
        assert engine.process.stderr is not None
        async with asyncio.timeout(SECONDS_MAX):
            while "the old one stays" not in json.loads(await engine.process.stderr.readline())["message"]:
                pass
        assert await pids(engine) == before
        (data / "secret").chmod(0o600)

        callers = Callers(engine.bid_url, requests(), pause_s=0.05)
        async with calling(callers, 12), asyncio.timeout(len(before) * SECONDS_MAX):
            engine.process.send_signal(signal.SIGUSR2)
            while set(before) & set(now := await pids(engine)) or len(now) != len(before):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        assert sorted(now.values()) == sorted(before.values())
        assert callers.lost == []
        assert callers.refused == 0

        async with calling(callers, 12):
            while callers.bills < 50:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
            assert await engine.stop() == 0
        assert callers.lost == []
        assert callers.refused == 12
        # A process that Redis did not answer in time kept a notice on its disk, and the next one books it.
        async with running_events(redis_url, data):
            await books(redis_client, callers)
        said = [json.loads(line) for line in (await engine.process.stderr.read()).splitlines()]
        assert "every process was replaced" in {line["message"] for line in said}
        assert {line["process"] for line in said} >= {"supervisor"}


class Greeter(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


async def test_an_answer_does_not_wait_for_the_one_before_to_be_acknowledged() -> None:
    made: asyncio.Future[asyncio.BaseTransport] = asyncio.get_running_loop().create_future()

    class Taker(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.set_result(transport)

    listener = await Listener.open("127.0.0.1", 0, Taker)
    _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    accepted = (await made).get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    writer.close()
    await listener.close()


async def test_who_connected_before_the_listener_closed_is_served() -> None:
    listener = await Listener.open("127.0.0.1", 0, Greeter)
    # The event loop does not turn in between: these wait in the kernel's queue.
    waiting = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(20)]
    await listener.close()
    await asyncio.sleep(0)
    for connection in waiting:
        with connection:
            connection.settimeout(10)
            assert await asyncio.to_thread(connection.recv, 5) == b"hello"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", listener.port))


async def test_a_connection_more_than_the_limit_is_closed_at_once() -> None:
    served: list[asyncio.Protocol] = []

    class Silent(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            served.append(self)

    listener = await Listener.open("127.0.0.1", 0, limited(Silent, lambda: len(served), 2))
    streams = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(2)]
    async with asyncio.timeout(SECONDS_MAX):
        while len(served) < 2:  # noqa: ASYNC110 - the kernel tells the client first
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        assert await reader.read() == b""
    writer.close()
    assert len(served) == 2
    for _, open_writer in streams:
        open_writer.close()
    await listener.close()


async def test_two_processes_may_serve_a_port_one_after_the_other() -> None:
    first = await Listener.open("127.0.0.1", 0, Greeter)
    second = await Listener.open("127.0.0.1", first.port, Greeter)
    await first.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", second.port)
    assert await reader.read() == b"hello"
    writer.close()
    await second.close()
