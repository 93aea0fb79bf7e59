"""Each benchmark at a small size: it runs, says what it promises, and computes the same every time."""

from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from aiohttp import web

from benchmarks import load, matching, stages, throughput
from benchmarks.command import as_json
from benchmarks.figures import spread
from benchmarks.load import LoadClient
from benchmarks.sample_config import sample_bundle
from benchmarks.sample_traffic import sample_bodies
from config.check import check

SPREAD_KEYS = {"median", "min", "max"}


def printed(report: object) -> dict[str, Any]:
    """What a program would read of a report."""
    found: dict[str, Any] = orjson.loads(as_json(report))
    return found


def test_the_matching_benchmark_reports_each_size_and_decides_the_same_each_time() -> None:
    reports = [matching.measure((20, 100), (64, 256), requests=64, people=256, rounds=2) for _ in range(2)]
    first, second = map(printed, reports)
    assert [(r["line_items"], r["segments"]) for r in first["results"]] == [
        (20, 64),
        (20, 256),
        (100, 64),
        (100, 256),
    ]
    assert all(result["us_per_candidate"] > 0 for result in first["results"])
    assert first["hash"] == second["hash"]
    matching.show(reports[0])


def test_another_config_decides_otherwise() -> None:
    sizes = [
        matching.measure((count,), (64,), requests=64, people=256, rounds=1).hash for count in (100, 101)
    ]
    assert sizes[0] != sizes[1]


async def test_the_stages_benchmark_times_every_stage_and_answers_the_same_each_time(redis_url: str) -> None:
    size = stages.Size(bodies=128, people=256, rounds=2, line_items=100)
    report = await stages.measure(size, redis_url)
    found = printed(report)
    assert (await stages.measure(size, redis_url)).hash == found["hash"]
    assert list(found["us_per_request"]) == [
        "parse",
        "decode",
        "translate",
        "look_up",
        "columns",
        "kernel",
        "render",
        "write",
        "rest",
    ]
    assert all(set(figure) == SPREAD_KEYS for figure in found["us_per_request"].values())
    assert all(figure["min"] > 0 for figure in found["us_per_request"].values())
    stages.show(report)
    # The clock is gone: what was wrapped is the engine's own again.
    assert all(getattr(owner, name).__name__ != "run" for _, owner, name in stages._TIMED)


async def test_the_throughput_benchmark_reports_both_servers_and_their_ratios(redis_url: str) -> None:
    size = throughput.Size(bodies=128, people=256, rounds=1, seconds=1, line_items=100)
    report = await throughput.measure(size, redis_url)
    found = printed(report)
    for key in (
        *("floor_rps", "bid_rps", "rps_ratio"),
        *("cpu_us_floor", "cpu_us_bid", "cpu_ratio"),
        *("bid_rate", "batch_requests", "busy"),
    ):
        assert set(found[key]) == SPREAD_KEYS
        assert 0 < found[key]["min"] <= found[key]["median"] <= found[key]["max"]
    assert found["bid_rate"]["max"] <= 1
    throughput.show(report)


@pytest.mark.parametrize("wrk_installed", [True, False])
async def test_both_load_clients_send_every_body_in_turn(
    wrk_installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not wrk_installed:
        monkeypatch.setattr("shutil.which", lambda program: None)
    bodies = [orjson.dumps({"id": str(number)}) for number in range(300)]
    taken: dict[bytes, int] = {}

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        taken[body] = taken.get(body, 0) + 1
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post(load.PATH, take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        sent = await LoadClient(bodies, tmp_path).press(runner.addresses[0][1], seconds=1)
    finally:
        await runner.cleanup()
    assert set(taken) == set(bodies)
    assert max(taken.values()) - min(taken.values()) <= 2
    # What was under way when the client stopped counting was taken all the same.
    assert 0 <= sum(taken.values()) - sent.requests <= load.CONNECTIONS


def test_the_sample_config_is_one_that_the_engine_accepts() -> None:
    config = sample_bundle(130, 256, seed=1)
    assert check(config) == ()
    assert sum(len(c.line_items) for a in config.advertisers for c in a.campaigns) == 130
    assert config == sample_bundle(130, 256, seed=1)
    assert config != sample_bundle(130, 256, seed=2)


def test_the_sample_bodies_are_a_mix_of_everything_an_exchange_sells() -> None:
    bodies = [orjson.loads(body) for body in sample_bodies(500, 100)]
    imps = [imp for body in bodies for imp in body["imp"]]
    for kind in ("banner", "video", "audio", "native"):
        assert any(kind in imp for imp in imps)
    assert any("site" in body for body in bodies)
    assert any("app" in body for body in bodies)
    assert any(len(body["imp"]) > 1 for body in bodies)
    known = sum("user" in body for body in bodies)
    assert 0.7 < known / len(bodies) < 0.9


def test_a_spread_is_median_least_and_most() -> None:
    assert msgspec.to_builtins(spread([3, 1, 2])) == {"median": 2, "min": 1, "max": 3}
