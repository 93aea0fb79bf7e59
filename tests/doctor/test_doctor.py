"""The doctor: each thing it looks for is found, says how it is mended, and a sound host has none of them."""

import json
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio
from typer.testing import CliRunner

from bidder.cli.main import command_line
from bidder.doctor.finding import Finding
from bidder.doctor.host import Facts, facts, host_findings, port_finding
from bidder.doctor.installation import admin_finding, secret_findings
from bidder.doctor.redis_server import ServerFacts, ask, redis_findings
from config.limits import SPOOL_BYTES_MAX
from tests.config.folder import ADVERTISER, write_folder

SOUND = Facts(
    open_files_max=65_536,
    processors=4,
    accept_queue_max=4_096,
    clock_is_synchronised=True,
    disk_bytes_free=100 * 10**9,
    disk_kind="ext4",
    data_is_writable=True,
)
SERVER = ServerFacts(
    name="Redis",
    info={
        "redis_version": "7.2.4",
        "valkey_version": "8.1.1",
        "role": "master",
        "loading": 0,
        "aof_enabled": 1,
        "aof_last_write_status": "ok",
        "used_memory": 10**9,
        "maxmemory": 4 * 10**9,
        "maxmemory_policy": "noeviction",
    },
    settings={
        "appendfsync": "everysec",
        "hash-max-listpack-entries": "1024",
        "hash-max-listpack-value": "1024",
    },
    clock_ahead_s=0.01,
    ping_ms=(0.2, 0.3, 4.0),
)


def host(**changes: Any) -> list[Finding]:
    return list(host_findings(msgspec.structs.replace(SOUND, **changes), 4, Path("/var/lib/hustings")))


def server(**changes: Any) -> list[Finding]:
    info = {**SERVER.info, **changes.pop("info", {})}
    return list(redis_findings(msgspec.structs.replace(SERVER, info=info, **changes)))


def levels(found: list[Finding]) -> set[str]:
    return {finding.level for finding in found}


def bad(found: list[Finding]) -> tuple[str, str]:
    """The check and level of the only finding that is not well; it says how to mend it."""
    (one,) = [finding for finding in found if finding.level not in ("ok", "unknown")]
    assert one.says
    assert one.mend
    return one.check, one.level


def test_a_sound_host_and_server_have_nothing() -> None:
    assert levels(host()) == levels(server()) == {"ok"}


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"open_files_max": 1_024}, ("open files", "fail")),
        ({"open_files_max": 20_000}, ("open files", "warn")),
        ({"processors": 2}, ("processors", "warn")),
        ({"accept_queue_max": 128}, ("accept queue", "warn")),
        ({"clock_is_synchronised": False}, ("clock", "warn")),
        ({"disk_bytes_free": SPOOL_BYTES_MAX - 1}, ("disk", "fail")),
        ({"disk_bytes_free": SPOOL_BYTES_MAX + 1}, ("disk", "warn")),
        ({"disk_kind": "tmpfs"}, ("disk", "warn")),
        ({"data_is_writable": False}, ("disk", "fail")),
    ],
)
def test_what_is_wrong_with_a_host_is_found(changes: dict[str, Any], finding: tuple[str, str]) -> None:
    assert bad(host(**changes)) == finding


def test_what_a_system_does_not_say_is_unknown_and_no_fault() -> None:
    found = host(accept_queue_max=None, clock_is_synchronised=None, disk_kind=None)
    assert levels(found) == {"ok", "unknown"}
    assert levels(server(settings=None)) == {"ok", "unknown"}


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"info": {"valkey_version": "6.0.1"}}, ("Redis: version", "fail")),
        ({"info": {"valkey_version": "6.2.9"}}, ("Redis: version", "warn")),
        ({"info": {"role": "slave"}}, ("Redis: role", "fail")),
        ({"info": {"loading": 1}}, ("Redis: loading", "fail")),
        ({"info": {"aof_enabled": 0}}, ("Redis: persistence", "fail")),
        ({"info": {"aof_last_write_status": "err"}}, ("Redis: persistence", "fail")),
        ({"info": {"maxmemory_policy": "allkeys-lru"}}, ("Redis: memory", "fail")),
        ({"info": {"used_memory": 3_900_000_000}}, ("Redis: memory", "warn")),
        ({"settings": {**(SERVER.settings or {}), "appendfsync": "no"}}, ("Redis: persistence", "warn")),
        (
            {"settings": {"hash-max-listpack-entries": "128", "hash-max-listpack-value": "64"}},
            ("Redis: compact hashes", "warn"),
        ),
        ({"ping_ms": (30.0, 31.0, 32.0)}, ("Redis: latency", "fail")),
        ({"ping_ms": (8.0, 8.0, 9.0)}, ("Redis: latency", "warn")),
        ({"clock_ahead_s": -100.0}, ("Redis: clock", "fail")),
        ({"clock_ahead_s": 2.0}, ("Redis: clock", "warn")),
    ],
)
def test_what_is_wrong_with_a_server_is_found(changes: dict[str, Any], finding: tuple[str, str]) -> None:
    assert bad(server(**changes)) == finding


async def test_a_real_server_is_asked(redis_client: redis.asyncio.Redis) -> None:
    (found,) = await ask(redis_client)
    assert abs(found.clock_ahead_s) < 10
    assert len(found.ping_ms) > 1
    checks = {finding.check: finding for finding in redis_findings(found)}
    assert checks["Redis: version"].level == "ok"
    # The tests' server keeps nothing on disk, and has the settings of the private one.
    assert checks["Redis: persistence"].level == "fail"
    assert checks["Redis: compact hashes"].level == "ok"


def test_the_facts_of_this_host_can_be_read(tmp_path: Path) -> None:
    found = facts(tmp_path / "not" / "there")
    assert found.processors > 0
    assert found.disk_bytes_free > 0
    assert found.data_is_writable


def test_a_port_in_use_is_found() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert bad([port_finding("bid", "127.0.0.1", port)]) == ("bid port", "warn")
    assert port_finding("bid", "127.0.0.1", port).level == "ok"


def test_secrets_and_tokens_are_looked_at(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    assert levels(list(secret_findings(secret, shared=False))) == {"ok"}
    assert bad(list(secret_findings(secret, shared=True))) == ("secret", "warn")
    secret.write_text("s" * 64)
    secret.chmod(0o644)
    assert bad(list(secret_findings(secret, shared=True))) == ("secret", "fail")
    secret.chmod(0o600)
    assert levels(list(secret_findings(secret, shared=True))) == {"ok"}
    (tmp_path / "notice-keys").write_text("{}")
    assert bad(list(secret_findings(secret, shared=True))) == ("notice keys", "fail")
    assert admin_finding("127.0.0.1", "").level == "ok"
    assert bad([admin_finding("0.0.0.0", "")]) == ("admin token", "fail")
    assert bad([admin_finding("0.0.0.0", str(tmp_path / "nowhere"))]) == ("admin token", "fail")


def run(*words: str) -> tuple[int, dict[str, str]]:
    result = CliRunner().invoke(command_line(), ["doctor", "--json", *words])
    found = json.loads(result.stdout)["findings"]
    return result.exit_code, {finding["check"]: finding["level"] for finding in found}


def test_the_command_says_it_all_and_its_status_tells_a_program(tmp_path: Path, redis_url: str) -> None:
    folder = tmp_path / "campaigns"
    write_folder(folder)
    ports = ("--bid-port", "0", "--events-port", "0", "--admin-port", "0")
    status, found = run("--config", str(folder), "--data", str(tmp_path), *ports)
    assert (status, found["config"], found["Redis"]) == (0, "ok", "ok")
    (folder / "advertisers" / "oak.yaml").write_text(ADVERTISER.replace("bid_cpm: 4.50", "bid_cpm: lots"))
    status, found = run("--config", str(folder), "--data", str(tmp_path), *ports)
    assert (status, found["config"]) == (1, "fail")
    _, found = run("--redis", redis_url, "--data", str(tmp_path), *ports)
    assert found["config"] == "warn", "none is published"
    assert found["Redis: latency"] in ("ok", "warn", "fail")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    status, found = run("--redis", f"redis://:pass-word@127.0.0.1:{port}", "--data", str(tmp_path), *ports)
    assert (status, found["Redis"]) == (1, "fail")


def test_the_table_is_for_people(tmp_path: Path) -> None:
    result = CliRunner().invoke(command_line(), ["doctor", "--data", str(tmp_path)])
    assert "how to mend it" in result.stdout
    assert result.exit_code in (0, 1)
