"""Requests with random damage: every one is answered, and none trips a fault of ours."""

import copy
import json
import logging
import random
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from config.load import load_folder
from loadtest.traffic import TrafficMix, requests
from tests.running import running_worker

MUTANTS = 1_500
JUNK: list[Any] = [
    *(None, True, False, 0, -1, 1, 3, 1e308, -0.5, 10**400, 2**63, 2**64, [300, 250], [None], [{}], [[]]),
    *("", "x", "\u0000", "1", "-1", "1e5", "NaN", "a" * 3_000, "é💥", "IAB1", "${AUCTION_PRICE}", [], {}),
    *(["x"] * 300, [1, 2, 3], [{"id": 1, "banner": {}}], {"w": 300, "h": 250}, [{"w": "300"}], {"id": None}),
]
PLACES = ["id", "imp", "banner", "video", "native", "pmp", "regs", "user", "ext", "bcat", "wseat", "request"]


def places_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from places_in(inner, (*path, step))


def damaged(request: dict[str, Any], chance: random.Random) -> bytes:
    """Replace, remove or add a few values anywhere; now and then garble bytes as well."""
    request = copy.deepcopy(request)
    for _ in range(chance.randint(1, 4)):
        *above, last = chance.choice(list(places_in(request)) or [("id",)])
        holder: Any = request
        for step in above:
            holder = holder[step]
        junk = copy.deepcopy(chance.choice(JUNK))
        kind = chance.random()
        if kind < 0.6:
            holder[last] = junk
        elif kind < 0.8:
            del holder[last]
        elif isinstance(holder, dict):
            holder[chance.choice(PLACES)] = junk
    body = bytearray(json.dumps(request).encode())
    if chance.random() < 0.05:
        for _ in range(3):
            body[chance.randrange(len(body))] = chance.randrange(256)
    return bytes(body)


async def test_damaged_requests_are_answered_and_trip_nothing(
    redis_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(20161108)
    traffic = requests(TrafficMix(), chance)
    originals = [next(traffic) for _ in range(60)]
    statuses: Counter[int] = Counter()
    examples = load_folder(Path(str(resources.files("config"))) / "examples")
    with caplog.at_level(logging.ERROR):
        async with running_worker(redis_url, examples, tmp_path) as worker:
            for _ in range(MUTANTS):
                status, answer = await worker.ask(damaged(chance.choice(originals), chance))
                statuses[status] += 1
                assert (status == 200) == bool(answer)
    assert not caplog.records
    assert set(statuses) == {200, 204, 400}
