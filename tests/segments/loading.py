"""Segment files written, and loaded into a real server, for the tests of loading."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import redis.asyncio

from segments.bitsets import indices_from_bits
from segments.identity import COOKIE, Identity
from segments.loader import LoadOptions, LoadReport, Sink, load
from segments.registry import SegmentRegistry, words_of
from segments.store import SegmentStore
from segments.store_sink import StoreSink

TODAY = 20_000
IDENTITY = Identity(b"k" * 32)


class Audiences:
    """One server, as a test sees it."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client
        self.store = SegmentStore(client)
        self.registry = SegmentRegistry(client)
        self.progress: list[tuple[int, int]] = []

    async def load(
        self, path: Path, *, sink: Sink | None = None, restart: bool = False, **options: Any
    ) -> LoadReport:
        load_options = LoadOptions(**options)
        return await load(
            path,
            sink or StoreSink(self.client, load_options, TODAY, clock=lambda: TODAY * 86_400),
            IDENTITY,
            load_options,
            lambda rows, bytes_done: self.progress.append((rows, bytes_done)),
            restart=restart,
        )

    async def cookies(self) -> int:
        """How many are stored in all."""
        words = words_of(await self.registry.indices())
        return sum([len(users) async for users in self.store.scan(words, TODAY)])

    async def members(self, user_id: str, source: str = COOKIE, today: int = TODAY) -> set[str] | None:
        indices = await self.registry.indices()
        names = {index: name for name, index in indices.items()}
        found = await self.store.read(IDENTITY.hash(source, user_id), words_of(indices), today)
        return None if found is None else {names[index] for index in indices_from_bits(found[0])}


def rejects(path: Path) -> list[tuple[int, str]]:
    with path.with_name(path.name + ".rejects.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "line", "reason"]
    assert {file for file, _, _ in rows} == {path.name}
    return [(int(line), reason) for _, line, reason in rows]


def write_csv(path: Path, people: dict[str, set[str]]) -> None:
    open_text: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with open_text(path, "wt", encoding="utf-8") as file:
        file.write("id,segments\n")
        for number, (user_id, members) in enumerate(people.items()):
            file.write(f"{user_id},{'|; '[number % 3].join(sorted(members))}\n")


def write_parquet(path: Path, people: dict[str, set[str]]) -> None:
    lists = pa.array([sorted(members) for members in people.values()], pa.list_(pa.string()))
    pyarrow.parquet.write_table(pa.table({"id": list(people), "segments": lists}), path)


def json_lines(people: dict[str, set[str]]) -> str:
    lines = []
    for number, (user_id, members) in enumerate(people.items()):
        names = sorted(members)
        lines.append({"id": user_id, "segments": names if number % 2 else "|".join(names), "more": [1]})
    return "".join(json.dumps(line) + "\n" for line in lines)


def compressed(text: str, suffix: str) -> bytes:
    codecs = {".gz": "gzip", ".zst": "zstd"}
    octets = text.encode()
    if suffix not in codecs:
        return octets
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codecs[suffix]) as stream:
        stream.write(octets)
    return bytes(sink.getvalue())
