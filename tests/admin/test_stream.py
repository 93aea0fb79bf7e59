"""The stream of events that a dashboard hears, over real HTTP."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from bidder.admin import stream
from bidder.admin.pulse import Pulses
from tests.admin.conftest import AdminPort, run_worker
from tests.events.factories import CAMPAIGN
from tests.waiting import SECONDS_MAX

Event = tuple[str, Any]


async def read_event(answer: aiohttp.ClientResponse) -> Event:
    """Return the next event's name and data; comments and the like have the name "" and their text."""
    name, data, other = "", "", ""
    async with asyncio.timeout(SECONDS_MAX):
        while (line := (await answer.content.readline()).decode()) != "\n":
            if not line:
                raise EOFError
            key, _, value = line.rstrip("\n").partition(": ")
            if key == "event":
                name = value
            elif key == "data":
                data = value
            else:
                other += line
    return (name, msgspec.json.decode(data)) if name else ("", other)


async def read_until(answer: aiohttp.ClientResponse, name: str) -> Any:
    while (event := await read_event(answer))[0] != name:
        pass
    return event[1]


async def read_to_the_end(answer: aiohttp.ClientResponse) -> None:
    with contextlib.suppress(EOFError):
        while await read_event(answer):
            pass


async def test_a_listener_hears_what_was_then_what_is(port: AdminPort, metrics_dir: Path) -> None:
    await port.pulses.look()
    await asyncio.to_thread(run_worker, metrics_dir, 'BID_REQUESTS.labels("plain", "bid").inc(4)')
    await port.pulses.look()
    async with port.session.get(port.url + "/stream") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        assert await read_event(answer) == ("", "retry: 2000\n")
        name, pulses = await read_event(answer)
        assert (name, [pulse["requests"] for pulse in pulses]) == ("pulses", [4])
        status = await read_until(answer, "status")
        assert status["campaigns"][0]["id"] == CAMPAIGN
        assert status.keys() == (await port.status()).keys()
        await asyncio.to_thread(run_worker, metrics_dir, 'BID_REQUESTS.labels("plain", "no_bid").inc(2)')
        await port.pulses.look()
        pulse = await read_until(answer, "pulse")
        assert (pulse["requests"], pulse["answers"]) == (2, 0)


async def test_more_than_enough_listeners_are_sent_away(
    port: AdminPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LISTENERS_MAX", 1)
    async with port.session.get(port.url + "/stream") as first:
        assert first.status == 200
        async with port.session.get(port.url + "/stream") as second:
            assert (second.status, second.headers["Retry-After"]) == (503, "10")
        assert port.stream.listeners == 1


async def test_a_head_does_not_listen(port: AdminPort) -> None:
    async with port.session.head(port.url + "/stream") as answer:
        assert answer.status == 405
    assert port.stream.listeners == 0


async def test_somebody_who_reads_too_slowly_is_dropped_and_others_are_not(
    port: AdminPort, monkeypatch: pytest.MonkeyPatch, metrics_dir: Path
) -> None:
    monkeypatch.setattr(stream, "LISTENER_EVENTS_MAX", 1)
    async with port.session.get(port.url + "/stream") as answer:
        await read_until(answer, "status")
        # Two events in one breath: there is room for one.
        await port.pulses.look()
        await port.pulses.look()
        assert port.pulses.recent
        port.stream._on_pulse(port.pulses.recent[-1])
        port.stream._on_pulse(port.pulses.recent[-1])
        assert port.stream.listeners == 0
        await read_to_the_end(answer)
    async with port.session.get(port.url + "/stream") as answer:
        await read_until(answer, "status")


async def test_nothing_to_say_is_said_now_and_then(port: AdminPort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.05)
    async with port.session.get(port.url + "/stream") as answer:
        await read_until(answer, "status")
        while True:
            name, text = await read_event(answer)
            if not name:
                assert text == ":\n"
                break


async def test_a_port_that_closes_lets_its_listeners_go(port: AdminPort) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(port.stream.run(stop))
    async with port.session.get(port.url + "/stream") as answer:
        await read_until(answer, "status")
        stop.set()
        await running
        assert port.stream.listeners == 0
        await read_to_the_end(answer)


async def test_a_listener_that_has_gone_is_forgotten(
    port: AdminPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.02)
    answer = await port.session.get(port.url + "/stream")
    await read_until(answer, "status")
    answer.close()
    async with asyncio.timeout(SECONDS_MAX):
        while port.stream.listeners:  # noqa: ASYNC110 - the port tells nobody
            await asyncio.sleep(0.01)


async def test_pulses_are_looked_for_until_told_to_stop(port: AdminPort) -> None:
    looks = asyncio.Semaphore(0)

    async def metrics() -> list[Any]:
        looks.release()
        return []

    stop = asyncio.Event()
    running = asyncio.create_task(Pulses(metrics).run(stop))
    await looks.acquire()
    stop.set()
    await running
