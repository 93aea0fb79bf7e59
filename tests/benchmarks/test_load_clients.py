"""The clients that load a server: every body is sent, nothing is lost, and lateness is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
from aiohttp import web

from benchmarks import load
from benchmarks.load import LoadClient
from benchmarks.open_loop import ARRIVAL, NEVER, RESET, Phase, arrive, is_complete, moments_ns
from benchmarks.overload import WINDOW_SECONDS, recovery_seconds

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """Serve on the bid path with a handler; yield the port."""
    application = web.Application()
    application.router.add_post(load.PATH, handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("wrk_installed", [True, False])
async def test_both_load_clients_send_every_body_in_turn(
    wrk_installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not wrk_installed:
        monkeypatch.setattr("shutil.which", lambda program: None)
    bodies = [orjson.dumps({"id": str(number)}) for number in range(100)]
    taken: dict[bytes, int] = {}

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        taken[body] = taken.get(body, 0) + 1
        return web.Response(status=204)

    async with serving(take) as port:
        sent = await LoadClient(bodies, tmp_path).press(port, seconds=1)
    assert set(taken) == set(bodies)
    assert max(taken.values()) - min(taken.values()) <= 2
    # What was under way when the client stopped counting was taken all the same.
    assert 0 <= sum(taken.values()) - sent.requests <= load.CONNECTIONS


def bodies_of(count: int) -> list[bytes]:
    return [orjson.dumps({"id": str(number)}) for number in range(count)]


async def test_the_open_loop_sends_each_request_once_and_reads_every_kind_of_answer(tmp_path: Path) -> None:
    taken: list[int] = []

    async def take(request: web.Request) -> web.Response:
        number = int((await request.json())["id"])
        taken.append(number)
        return web.Response(status=204) if number % 2 else web.Response(body=b"x" * 100_000)

    async with serving(take) as port:
        arrivals = await arrive(
            *(port, bodies_of(10), [Phase(400, 0.5)], tmp_path),
            connections=8,
            give_up_ms=50_000,
            answer_seconds_max=50.0,
        )
    assert arrivals.dtype == ARRIVAL
    assert len(taken) == len(arrivals)
    assert [taken.count(number) for number in range(10)] == np.bincount(
        np.arange(len(arrivals)) % 10, minlength=10
    ).tolist()
    assert np.array_equal(arrivals["status"], np.where(np.arange(len(arrivals)) % 2, 204, 200))
    assert (arrivals["planned_ns"] <= arrivals["sent_ns"]).all()
    assert (arrivals["sent_ns"] < arrivals["done_ns"]).all()


async def test_a_server_that_stands_still_is_charged_from_the_planned_moments(tmp_path: Path) -> None:
    long_enough = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        # The first request keeps the only connection busy while the others fall due.
        if not long_enough.is_set():
            asyncio.get_running_loop().call_later(0.8, long_enough.set)
        await long_enough.wait()
        return web.Response(status=204)

    async with serving(take) as port:
        arrivals = await arrive(port, bodies_of(3), [Phase(100, 0.4)], tmp_path, connections=1)
    assert arrivals["waited"][1:].all()
    took_ns = arrivals["done_ns"] - arrivals["planned_ns"]
    # Those that came right after it waited as long, though each was answered at once when it was sent.
    assert took_ns[1] > 2 * (arrivals["done_ns"] - arrivals["sent_ns"])[1]
    assert (np.diff(arrivals["sent_ns"]) > 0).all()


async def test_a_request_without_a_connection_in_time_is_not_sent(tmp_path: Path) -> None:
    taken = 0

    async def never_answer(request: web.Request) -> web.Response:
        nonlocal taken
        taken += 1
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(never_answer) as port:
        arrivals = await arrive(
            *(port, bodies_of(3), [Phase(100, 0.3)], tmp_path),
            connections=2,
            give_up_ms=50,
            answer_seconds_max=0.3,
        )
    assert taken == 2
    assert np.count_nonzero(arrivals["sent_ns"] != NEVER) == 2
    assert (arrivals["done_ns"] == NEVER).all()
    assert (arrivals["status"] == 0).all()


async def test_a_closed_connection_is_a_reset_and_is_replaced(tmp_path: Path) -> None:
    async def close_on_every_third(request: web.Request) -> web.Response:
        if int((await request.json())["id"]) == 0:
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=204)

    async with serving(close_on_every_third) as port:
        arrivals = await arrive(port, bodies_of(3), [Phase(200, 0.3)], tmp_path, connections=1)
    turns = np.arange(len(arrivals)) % 3
    assert np.array_equal(arrivals["status"], np.where(turns == 0, RESET, 204))


def test_moments_are_a_poisson_process_of_each_phase() -> None:
    moments = moments_ns([Phase(1_000, 2), Phase(100, 3)], seed=1)
    assert (np.diff(moments) >= 0).all()
    first = np.count_nonzero(moments < 2e9)
    assert abs(first - 2_000) < 5 * 2_000**0.5
    assert abs(len(moments) - first - 300) < 5 * 300**0.5
    assert moments[-1] < 5e9
    assert np.array_equal(moments, moments_ns([Phase(1_000, 2), Phase(100, 3)], seed=1))


@pytest.mark.parametrize(
    ("answer", "complete"),
    [
        (b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\nx: y\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", True),
        (b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 3\r\n\r\nab", False),
    ],
)
def test_an_answer_is_complete_when_its_body_is(answer: bytes, complete: bool) -> None:
    assert is_complete(answer) is complete


def after_a_surge(answers_per_window: list[tuple[int, float]]) -> "np.ndarray[tuple[int], np.dtype[np.void]]":
    """Arrivals from second 7 on, a hundred in each window, of which so many get a bid after so many ms."""
    arrivals = np.zeros(100 * len(answers_per_window), ARRIVAL)
    arrivals["planned_ns"] = 7e9 + (np.arange(len(arrivals)) + 0.5) * WINDOW_SECONDS * 1e7
    for window, (bids, took_ms) in enumerate(answers_per_window):
        part = arrivals[100 * window : 100 * (window + 1)]
        part["status"] = np.where(np.arange(100) < bids, 200, 204)
        part["done_ns"] = part["planned_ns"] + int(took_ms * 1e6)
    return arrivals


def test_service_is_normal_after_the_last_window_that_is_not() -> None:
    normal = (60, 2.0)
    assert recovery_seconds(after_a_surge([normal] * 4), 7, usual_bid_rate=0.6) == 0
    late = after_a_surge([(60, 80.0), normal, normal])
    assert recovery_seconds(late, 7, usual_bid_rate=0.6) == 0.1
    refusing = after_a_surge([normal, normal, (30, 1.0), normal])
    assert recovery_seconds(refusing, 7, usual_bid_rate=0.6) == 0.3
    unanswered = after_a_surge([normal, normal])
    unanswered["status"][-5:] = 0
    assert recovery_seconds(unanswered, 7, usual_bid_rate=0.6) == 0.2
