"""Captured and published bid requests through a real worker with the example campaigns."""

import json
from collections import Counter
from importlib import resources
from pathlib import Path

from config.load import load_folder
from loadtest.validate import problems
from tests.running import running_worker
from tests.shared_data import shared_data

BIDS_MIN = 100


def example_config() -> Path:
    return Path(str(resources.files("config"))) / "examples"


async def test_captured_requests_are_all_answered_and_a_tenth_is_bid_on(
    redis_url: str, tmp_path: Path
) -> None:
    bodies = shared_data("requests", "adx.jsonl").read_bytes().splitlines()
    assert len(bodies) == 1_000
    statuses: Counter[int] = Counter()
    async with running_worker(redis_url, load_folder(example_config()), tmp_path) as worker:
        for body in bodies:
            status, answer = await worker.ask(body)
            statuses[status] += 1
            if status == 200:
                assert problems(json.loads(body), json.loads(answer)) == []
    assert set(statuses) <= {200, 204}
    assert statuses[200] >= BIDS_MIN


async def test_the_published_examples_are_all_answered(redis_url: str, tmp_path: Path) -> None:
    examples = sorted((shared_data().parent / "openrtb" / "examples").glob("request-*.json"))
    assert examples
    async with running_worker(redis_url, load_folder(example_config()), tmp_path) as worker:
        for path in examples:
            status, answer = await worker.ask(path.read_bytes())
            assert status in (200, 204), path.name
            if status == 200:
                assert problems(json.loads(path.read_bytes()), json.loads(answer)) == [], path.name
