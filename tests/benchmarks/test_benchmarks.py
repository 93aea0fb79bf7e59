"""Each benchmark at a small size: it runs, says what it promises, and computes the same every time."""

from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from benchmarks import latency, matching, overload, scaling, segments, stages, startup, throughput
from benchmarks.command import as_json
from benchmarks.config_folder import write_folder
from benchmarks.figures import spread
from benchmarks.latency import CapacitySize
from benchmarks.rig import PressSize, RigSize
from benchmarks.sample_config import sample_bundle
from benchmarks.sample_traffic import sample_bodies
from config.check import check
from config.load import load_folder

SPREAD_KEYS = {"median", "min", "max"}
TINY = RigSize(bodies=128, people=256, line_items=100)
QUICK = CapacitySize(looks=1, seconds=0.3)


@pytest.fixture
def own_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load with the client of our own, which can stop sooner than after wrk's whole second."""
    monkeypatch.setattr("shutil.which", lambda program: None)


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
    for figures in (found["us_per_request"], found["us_per_request_predicting"]):
        assert list(figures) == list(found["us_per_request"])
        assert all(set(figure) == SPREAD_KEYS for figure in figures.values())
        assert all(figure["min"] > 0 for figure in figures.values())
    stages.show(report)
    # The clock is gone: what was wrapped is the engine's own again.
    assert all(getattr(owner, name).__name__ != "run" for _, owner, name in stages._TIMED)


async def test_the_throughput_benchmark_reports_both_servers_and_their_ratios(redis_url: str) -> None:
    report = await throughput.measure(PressSize(TINY, rounds=1, seconds=1), redis_url)
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


async def test_the_scaling_benchmark_compares_line_items_and_workers(own_client: None) -> None:
    few = msgspec.structs.replace(TINY, line_items=20)
    report = await scaling.measure(PressSize(few, rounds=1, seconds=0.3))
    found = printed(report)
    assert (found["line_items"]["few"], found["line_items"]["many"]) == (20, 200)
    assert found["workers"]["on"] in ("own cores", "one core")
    for figure in (
        *(found["line_items"][key] for key in ("rps_few", "rps_many", "rps_ratio", "cpu_ratio")),
        *(found["workers"][key] for key in ("rps_one", "rps_two", "rps_ratio", "cpu_ratio")),
    ):
        assert set(figure) == SPREAD_KEYS
        assert figure["min"] > 0
    scaling.show(report)


async def test_the_latency_benchmark_reports_each_level_and_writes_the_curves(
    redis_url: str, tmp_path: Path, own_client: None
) -> None:
    size = latency.Size(TINY, rounds=1, seconds=0.5, settle_seconds=0.1, capacity=QUICK)
    curves = tmp_path / "curves.tsv"
    report = await latency.measure(size, redis_url, curves)
    found = printed(report)
    assert [level["load"] for level in found["levels"]] == [0.25, 0.5, 0.75]
    for level in found["levels"]:
        assert 0 < level["p50_ms"] <= level["p90_ms"] <= level["p99_ms"] <= level["p999_ms"]
        assert 0 <= level["late_share"] <= 1
        assert level["failed"] == 0
        assert 0 < level["bid_rate"] < 1
    assert found["worker"]["loop_lag_p99_ms"] > 0
    head, *lines = curves.read_text().splitlines()
    assert head.split("\t") == ["load", "ms", "percent"]
    last = {line.split("\t")[0]: float(line.split("\t")[2]) for line in lines}
    assert last == {"0.25": 100, "0.5": 100, "0.75": 100}
    latency.show(report)


async def test_the_overload_benchmark_tells_what_became_of_the_surplus(
    redis_url: str, own_client: None
) -> None:
    rig = msgspec.structs.replace(TINY, tmax_ms=overload.TMAX_MS)
    size = overload.Size(rig, surge_seconds=0.5, calm_seconds=0.5, capacity=QUICK)
    report = await overload.measure(size, redis_url)
    found = printed(report)
    assert found["offered_rps"] > found["capacity_rps"]["median"]
    for share in ("late_share", "shed_share", "unsent_share", "calm_bid_rate"):
        assert 0 <= found[share] <= 1
    assert found["resets"] == 0
    assert found["rss_after_mb"] > 0
    assert 0 <= found["recovery_seconds"] <= size.calm_seconds
    overload.show(report)


async def test_the_startup_benchmark_starts_the_engine_and_weighs_a_worker() -> None:
    rig = msgspec.structs.replace(TINY, line_items=20)
    report = await startup.measure(startup.Size(rig, more_line_items=100, rounds=1, workers=1, cold=False))
    found = printed(report)
    for kind in ("new", "warm"):
        assert 0 < found[f"{kind}_first_answer_s"]["min"] <= found[f"{kind}_s"]["min"]
    assert found["worker"]["rss_mb"] > 0
    assert "growth_mb_per_10_000_line_items" in found
    startup.show(report)


async def test_the_segments_benchmark_measures_memory_look_ups_and_loads() -> None:
    size = segments.Size(cookies=3_000, lookup_batches=3, load_rows=600, delta_rows=50)
    report = await segments.measure(size)
    found = printed(report)
    assert set(found["bytes_per_cookie"]) == {"256", "512"}
    assert set(found["lookup_us_per_key_batch64"]) == SPREAD_KEYS
    rates = ("write_cookies_per_s", "scan_cookies_per_s", "load_rows_per_s")
    assert all(found[key] > 0 for key in (*rates, "load_peak_mb", "delta_visible_s"))
    assert found["size"]["load_rows"] == 600
    segments.show(report)


def test_a_config_folder_says_what_the_config_says(tmp_path: Path) -> None:
    config = sample_bundle(30, 64, seed=3)
    write_folder(config, tmp_path / "campaigns")
    read = load_folder(tmp_path / "campaigns")
    assert (read.engine, read.exchanges, read.segments) == (config.engine, config.exchanges, config.segments)
    assert read.advertisers == config.advertisers


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
