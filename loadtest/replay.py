"""Captured bid requests from a JSON Lines file, plain or packed with gzip.

An exchange never auctions one id twice, so by default each request gets a fresh id, from the run's seed.
With the captured ids it is what it was; a bidder that remembers ids may then answer a repetition in its
own way.
"""

import gzip
import random
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Protocol

import orjson

from loadtest.limits import REPLAY_BYTES_MAX, REPLAY_LINE_BYTES_MAX, REPLAY_REQUESTS_MAX

Object = dict[str, Any]
_GZIP_MAGIC = b"\x1f\x8b"


class _Lines(Protocol):
    def readline(self, size: int, /) -> bytes: ...


class ReplayError(Exception):
    """The file can't be replayed; the message says which line, why, and how to mend it."""


def read_requests(path: Path) -> list[bytes]:
    """Return the lines that hold a request, as they are; raises ReplayError on the first bad one."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(_GZIP_MAGIC))
            file.seek(0)
            if magic != _GZIP_MAGIC:
                return _lines(path, file)
            with gzip.open(file) as unpacked:
                return _lines(path, unpacked)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ReplayError(f"can't unpack {path}: {error}") from None
    except OSError as error:
        raise ReplayError(f"can't read {path}: {error.strerror}") from None


def _lines(path: Path, file: _Lines) -> list[bytes]:
    found: list[bytes] = []
    size = 0
    for number, line in enumerate(iter(lambda: file.readline(REPLAY_LINE_BYTES_MAX + 1), b""), 1):
        if len(line) > REPLAY_LINE_BYTES_MAX:
            raise ReplayError(f"{path}, line {number}: longer than {REPLAY_LINE_BYTES_MAX} bytes")
        if line.strip():
            _check(path, number, line)
            found.append(line)
            size += len(line)
        if len(found) > REPLAY_REQUESTS_MAX or size > REPLAY_BYTES_MAX:
            raise ReplayError(
                f"{path} holds more than {REPLAY_REQUESTS_MAX} requests or {REPLAY_BYTES_MAX} bytes; "
                "replay a part of it"
            )
    if not found:
        raise ReplayError(f"{path} holds no requests; write one JSON object a line")
    return found


def _check(path: Path, number: int, line: bytes) -> None:
    try:
        request = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ReplayError(f"{path}, line {number}: not JSON ({error})") from None
    if not isinstance(request, dict):
        raise ReplayError(f"{path}, line {number}: not a JSON object; write one bid request a line")


def replayed(
    lines: Sequence[bytes], rng: random.Random, *, loop: bool = True, fresh_ids: bool = True
) -> Iterator[Object]:
    """Yield the requests in their order, once or without end, under fresh ids from `rng` or their own."""
    for line in chain.from_iterable(repeat(lines) if loop else (lines,)):
        request = orjson.loads(line)
        if fresh_ids:
            request["id"] = f"{rng.getrandbits(128):032x}"
        yield request
