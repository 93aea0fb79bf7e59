"""The private server's files."""

import os
from pathlib import Path

import pytest
import redis

from config.embedded_server import SERVER_ENV, EmbeddedServer, EmbeddedServerError


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


def test_a_server_that_the_system_can_not_start_again_is_tried_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_program = tmp_path / "no-program"
    no_program.write_bytes(b"\0")
    no_program.chmod(0o700)
    with EmbeddedServer.start(tmp_path / "data", durable=False) as server:
        server.kill()
        with monkeypatch.context() as broken:
            broken.setenv(SERVER_ENV, str(no_program))
            with pytest.raises(EmbeddedServerError, match="no-program can't be run: Exec format error"):
                server.revive()
        assert server.has_died()
        server.revive()
        assert not server.has_died()
