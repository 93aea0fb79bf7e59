"""The private server's files."""

import os
from pathlib import Path

import redis

from config.embedded_server import EmbeddedServer


def test_what_it_writes_is_read_by_nobody_else(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with EmbeddedServer.start(tmp_path) as server, redis.Redis.from_url(server.url) as client:
            client.set("of", "somebody")
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".aof" for path in files)
    assert {path: oct(path.stat().st_mode & 0o077) for path in files} == dict.fromkeys(files, oct(0))
