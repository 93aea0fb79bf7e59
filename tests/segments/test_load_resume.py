"""Loads that are interrupted, and go on where they were."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import redis.asyncio

from segments import segment_file
from segments.loader import LoadOptions
from segments.rows import Rows
from segments.segment_file import LoadError
from segments.store_sink import StoreSink
from tests.segments.loading import TODAY, Audiences, compressed, json_lines, write_csv, write_parquet


class InterruptedLoadError(Exception):
    """What a test throws into a load."""


class StopsAfter:
    """A sink that gives up after some batches; what it took is taken."""

    def __init__(self, sink: StoreSink, batches: int, error: Exception) -> None:
        self._sink, self._left, self._error = sink, batches, error

    async def take(self, rows: Rows, hashes: np.ndarray[Any, np.dtype[np.uint64]]) -> Any:
        if not self._left:
            raise self._error
        self._left -= 1
        return await self._sink.take(rows, hashes)

    async def finish(self, source: str) -> None:
        raise AssertionError("it does not come this far")


@pytest.mark.parametrize("name", ["people.csv", "people.jsonl.zst", "people.parquet", "folder"])
async def test_an_interrupted_load_goes_on_where_it_was(
    audiences: Audiences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(segment_file, "LOAD_BATCH_ROWS_MAX", 100)
    people = {f"c{number}": {"a"} if number % 7 else {"nowhere"} for number in range(950)}
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
        write_csv(path / "1.csv", dict(list(people.items())[:450]))
        write_csv(path / "2.csv", dict(list(people.items())[450:]))
    elif name == "people.csv":
        write_csv(path, people)
    elif name == "people.parquet":
        lists = pa.array([sorted(members) for members in people.values()], pa.list_(pa.string()))
        table = pa.table({"id": list(people), "segments": lists})
        pyarrow.parquet.write_table(table, path, row_group_size=330)
    else:
        path.write_bytes(compressed(json_lines(people), ".zst"))
    await audiences.registry.define({"a": ""})
    taken = 6
    stopping = StopsAfter(StoreSink(audiences.client, LoadOptions(), TODAY), taken, InterruptedLoadError())
    with pytest.raises(InterruptedLoadError):
        await audiences.load(path, sink=stopping)
    rows_before = audiences.progress[-1][0]
    assert 0 < rows_before < 950
    loaded_before = await audiences.cookies()

    report = await audiences.load(path)
    bad = sum(members == {"nowhere"} for members in people.values())
    assert (report.rows, report.cookies, report.rejected) == (950, 950 - bad, bad)
    assert report.resumed_after == rows_before
    text = (tmp_path / (name + ".rejects.csv")).read_text()
    assert len(text.splitlines()) == 1 + bad == 1 + len(set(text.splitlines()[1:]))
    assert loaded_before < await audiences.cookies() == 950 - bad
    left = {file.name for file in tmp_path.iterdir()}  # noqa: ASYNC240 a test may
    assert left == {name, name + ".rejects.csv"}


async def test_another_load_does_not_go_on_with_a_checkpoint(
    audiences: Audiences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_file, "LOAD_BATCH_ROWS_MAX", 10)
    path = tmp_path / "people.csv"
    write_csv(path, {f"c{number}": {"a"} for number in range(40)})
    await audiences.registry.define({"a": ""})
    stopping = StopsAfter(StoreSink(audiences.client, LoadOptions(), TODAY), 2, InterruptedLoadError())
    with pytest.raises(InterruptedLoadError):
        await audiences.load(path, sink=stopping)
    with pytest.raises(LoadError, match=r"with other files or options than this one.*--restart"):
        await audiences.load(path, mode="add")
    with path.open("a") as file:
        file.write("more,a\n")
    with pytest.raises(LoadError, match="with other files or options"):
        await audiences.load(path)
    report = await audiences.load(path, restart=True)
    assert (report.cookies, report.resumed_after) == (41, 0)


async def test_a_full_redis_is_one_sentence_and_the_load_goes_on(
    audiences: Audiences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_file, "LOAD_BATCH_ROWS_MAX", 20_000)
    names = [f"s{number}" for number in range(64)]
    await audiences.registry.define(dict.fromkeys(names, ""))
    path = tmp_path / "people.parquet"
    write_parquet(path, {f"c{number}": set(names) for number in range(80_000)})
    client = audiences.client
    used = int((await client.info("memory"))["used_memory"])
    await client.config_set("maxmemory", used + (2 << 20))
    try:
        with pytest.raises((LoadError, redis.RedisError)) as raised:
            await audiences.load(path)
    finally:
        await client.config_set("maxmemory", 0)
    assert "memory" in str(raised.value)
    report = await audiences.load(path)
    assert report.cookies == 80_000
    assert await audiences.cookies() == 80_000


async def test_a_rejects_file_that_cannot_be_written_is_one_sentence(
    audiences: Audiences, tmp_path: Path
) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,segments\nann,nowhere\n")
    (tmp_path / "people.csv.rejects.csv").mkdir()
    with pytest.raises(LoadError, match=r"can't replace .*people.csv.rejects.csv: "):
        await audiences.load(path)
