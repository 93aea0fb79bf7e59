"""`hustings segments count`, `overlap` and `report`, run as a person runs them."""

import asyncio
import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from bidder.cli.segments import app
from bidder.redis_client import redis_client
from segments.bitsets import bits_from_indices
from segments.registry import SegmentRegistry
from segments.store import SegmentStore

MEMBERS = [["gardeners", "hikers"], ["gardeners"], ["gardeners", "hikers"], ["renters"], []]
FAR_DAY = 60_000


@pytest.fixture
def url(redis_url: str) -> str:
    async def fill() -> None:
        async with redis_client(redis_url) as client:
            registry = SegmentRegistry(client)
            indices = await registry.define(dict.fromkeys(["gardeners", "hikers", "renters"], ""))
            await registry.rename("gardeners", "growers")
            bits = np.array([bits_from_indices([indices[name] for name in names], 1) for names in MEMBERS])
            hashes = np.random.default_rng(2).integers(1, 2**64 - 1, len(MEMBERS), np.uint64)
            await SegmentStore(client).write(hashes, bits, FAR_DAY)

    asyncio.run(fill())
    return redis_url


def run(url: str, *arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(app, [*arguments, "--redis", url])
    assert result.exit_code == status, result.output
    return result


def test_an_expression_is_counted_and_estimated(url: str) -> None:
    assert run(url, "count", "growers and not renters").stdout == "3 of 5 cookies (60.0 %)\n"
    counted = json.loads(run(url, "count", "gardeners and hikers", "--estimate", "--json").stdout)
    assert counted == {"cookies": 2, "of": 5, "low": 2, "high": 2, "exact": True}


def test_the_largest_of_the_last_counting_are_compared(url: str) -> None:
    assert "nothing was counted yet" in run(url, "overlap", status=2).stderr
    sizes = json.loads(run(url, "count", "--json").stdout)
    assert sizes == {"growers": 3, "hikers": 2, "renters": 1}
    overlap = json.loads(run(url, "overlap", "--json").stdout)
    assert overlap == {
        "segments": ["growers", "hikers", "renters"],
        "cookies": [[3, 2, 0], [2, 2, 0], [0, 0, 1]],
        "shares": [[1.0, 0.666667, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        "jaccard": [[1.0, 0.666667, 0.0], [0.666667, 1.0, 0.0], [0.0, 0.0, 1.0]],
    }


def test_overlaps_as_a_table_and_as_lines(url: str) -> None:
    table = run(url, "overlap", "hikers", "gardeners", "--measure", "share").stdout
    assert "1 hikers" in table
    assert "2 growers" in table
    assert "66.7" in table
    rows = list(csv.DictReader(io.StringIO(run(url, "overlap", "hikers", "growers", "--csv").stdout)))
    assert rows[1] == {
        "segment": "hikers",
        "other": "growers",
        "cookies": "2",
        "share": "1.0",
        "jaccard": "0.666667",
    }
    assert [row["cookies"] for row in rows] == ["2", "2", "2", "3"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["count", "--estimate"], "--estimate needs an expression"),
        (["count", "hikers or not anglers"], "segment anglers is not defined"),
        (["overlap", "hikers", "anglers"], "segment anglers is not defined"),
        (["count", "hiker"], "segment hiker is not defined; did you mean `hikers`?"),
        (["overlap", "hiker"], "segment hiker is not defined; did you mean `hikers`?"),
        # Two names of one segment are not two segments.
        (["overlap", "gardeners", "growers"], "2 to 40 segments can be compared at once, not 1"),
        (["overlap", "hikers", "growers", "--csv", "--json"], "either --csv or --json, not both"),
        (["report", "--out", "nowhere/page.html"], "there is no folder nowhere"),
        (["report", "--out", "."], "can't write .: it is a folder"),
    ],
)
def test_a_mistake_is_one_sentence(url: str, arguments: list[str], sentence: str) -> None:
    result = run(url, *arguments, status=2)
    assert result.stdout == ""
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_report_is_a_page_and_its_counting_is_remembered(url: str, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert run(url, "report", "--out", str(path)).stdout == f"{path} is written\n"
    assert "first time that everybody was counted" in path.read_text()
    assert json.loads(run(url, "list", "--json").stdout)[0]["size"] == 3
