"""A replay sends what was captured, plain or packed, once or round and round, under ids as asked."""

import gzip
import random
from itertools import islice
from pathlib import Path

import orjson
import pytest

from loadtest.replay import ReplayError, read_requests, replayed
from tests.shared_data import shared_data

TEXT = b'{"id": "a", "imp": []}\n\n{"id": "b", "imp": []}\n'


def captured(folder: Path, data: bytes = TEXT) -> Path:
    file = folder / "captured.jsonl"
    file.write_bytes(data)
    return file


def test_captured_ids_are_sent_as_they_were_again_and_again(tmp_path: Path) -> None:
    lines = read_requests(captured(tmp_path))
    sent = replayed(lines, random.Random(1), fresh_ids=False)
    assert [request["id"] for request in islice(sent, 5)] == ["a", "b", "a", "b", "a"]


def test_fresh_ids_never_repeat_and_come_from_the_seed(tmp_path: Path) -> None:
    lines = read_requests(captured(tmp_path))
    ids = [request["id"] for request in islice(replayed(lines, random.Random(1)), 100)]
    assert len(set(ids)) == 100
    assert ids == [request["id"] for request in islice(replayed(lines, random.Random(1)), 100)]
    assert ids != [request["id"] for request in islice(replayed(lines, random.Random(2)), 100)]


def test_once_ends_with_the_file(tmp_path: Path) -> None:
    lines = read_requests(captured(tmp_path))
    assert len(list(replayed(lines, random.Random(1), loop=False))) == 2


def test_a_packed_file_is_the_same_whatever_its_name(tmp_path: Path) -> None:
    assert read_requests(captured(tmp_path, gzip.compress(TEXT))) == TEXT.splitlines(keepends=True)[::2]


def test_real_captured_requests_are_replayed_as_they_are() -> None:
    file = shared_data("requests", "adx.jsonl")
    lines = read_requests(file)
    sent = list(replayed(lines, random.Random(1), loop=False, fresh_ids=False))
    assert sent == [orjson.loads(line) for line in file.read_bytes().splitlines()]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"id": "a"}\n{"id"\n', "line 2: not JSON"),
        (b"[1]\n", "line 1: not a JSON object"),
        (b"\n", "holds no requests"),
        (gzip.compress(TEXT)[:-9], "can't unpack"),
        (gzip.compress(TEXT)[:12] + b"\xff\xff\xff", "can't unpack"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(ReplayError, match=message):
        read_requests(captured(tmp_path, data))


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("REPLAY_LINE_BYTES_MAX", 10, "line 1: longer than 10 bytes"),
        ("REPLAY_REQUESTS_MAX", 1, "more than 1 requests"),
        ("REPLAY_BYTES_MAX", 30, "or 30 bytes"),
    ],
)
def test_a_large_file_is_refused_before_it_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, message: str
) -> None:
    monkeypatch.setattr(f"loadtest.replay.{limit}", value)
    with pytest.raises(ReplayError, match=message):
        read_requests(captured(tmp_path, gzip.compress(TEXT * 100)))
