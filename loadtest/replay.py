"""Captured bid requests from a JSON Lines file, sent over and over.

The first pass sends the requests as they were; later passes give each a new id, because an exchange
never auctions one id twice.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from loadtest.limits import REPLAY_LINE_BYTES_MAX, REPLAY_REQUESTS_MAX

Object = dict[str, Any]


class ReplayError(Exception):
    """The file can't be replayed; the message says which line, why, and how to mend it."""


def read_requests(path: Path) -> list[Object]:
    """Read one request a line, skipping empty lines; raises ReplayError on the first bad one."""
    found: list[Object] = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(REPLAY_LINE_BYTES_MAX + 1), b""), 1):
                if len(line) > REPLAY_LINE_BYTES_MAX:
                    raise ReplayError(f"{path}, line {number}: longer than {REPLAY_LINE_BYTES_MAX} bytes")
                if line.strip():
                    found.append(_request(path, number, line))
                if len(found) > REPLAY_REQUESTS_MAX:
                    raise ReplayError(
                        f"{path} holds more than {REPLAY_REQUESTS_MAX} requests; replay a part of it"
                    )
    except OSError as error:
        raise ReplayError(f"can't read {path}: {error.strerror}") from None
    if not found:
        raise ReplayError(f"{path} holds no requests; write one JSON object a line")
    return found


def _request(path: Path, number: int, line: bytes) -> Object:
    try:
        request = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ReplayError(f"{path}, line {number}: not JSON ({error})") from None
    if not isinstance(request, dict):
        raise ReplayError(f"{path}, line {number}: not a JSON object; write one bid request a line")
    return request


def replayed(requests: Sequence[Object]) -> Iterator[Object]:
    """Yield the requests without end, with fresh ids from the second pass on."""
    yield from requests
    number = 2
    while True:
        for request in requests:
            yield {**request, "id": f"{request.get('id', '')}-{number}"}
        number += 1
