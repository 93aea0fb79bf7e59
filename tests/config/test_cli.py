"""`hustings config` as a manager and a program use it."""

import json
import socket
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner, Result

from bidder.cli.config import app
from config.embedded_server import EmbeddedServer
from config.load import load_folder
from config.money import BILLION
from config.redis_keys import BUNDLE, BUNDLE_VERSION
from config.schema import decode_bundle
from config.settings import SECRET_ENV, ensure_secret_file
from tests.config.folder import edited, write_folder


def hustings_config(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refusal(result: Result) -> str:
    """The one sentence of a command that gave up."""
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "campaigns")


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "spoilt", edited("even", "evn", "12.50", "lots"))


def test_check_sums_up_a_sound_folder_in_one_line(folder: Path) -> None:
    result = hustings_config("check", folder)
    assert result.exit_code == 0
    assert result.stdout == (
        f"{folder} is sound: 1 advertisers, 1 campaigns, 2 line items, 4 creatives, 3 segments "
        f"(version {load_folder(folder).version})\n"
    )


def test_check_prints_every_fault_to_stderr(spoilt: Path) -> None:
    result = hustings_config("check", spoilt)
    assert result.exit_code == 2
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert first.startswith(f"{spoilt}/advertisers/oak.yaml:8:38: `daily`: 'lots' is not an amount of money")
    assert second.startswith(f"{spoilt}/advertisers/oak.yaml:9:13: `pacing` is `evn`")


def test_check_for_a_program(folder: Path, spoilt: Path) -> None:
    result = hustings_config("check", folder, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["line_items"] == 2
    result = hustings_config("check", spoilt, "--json")
    assert result.exit_code == 2
    faults = json.loads(result.stdout)["faults"]
    assert [(fault["line"], fault["column"]) for fault in faults] == [(8, 38), (9, 13)]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "there is no such folder" in refusal(hustings_config("check", tmp_path / "nowhere"))


@pytest.mark.usefixtures("secret_file")
def test_apply_makes_a_folder_live_and_diff_shows_what_would_change(
    folder: Path, tmp_path: Path, redis_url: str
) -> None:
    result = hustings_config("diff", folder, "--redis", redis_url)
    assert result.exit_code == 0
    assert "added campaign `spring`" in result.stdout
    with redis.Redis.from_url(redis_url) as client:
        assert client.get(BUNDLE) is None
        result = hustings_config("apply", folder, "--redis", redis_url)
        assert result.exit_code == 0
        assert result.stdout.endswith(f"version {load_folder(folder).version} is live\n")
        data = client.get(BUNDLE)
        assert isinstance(data, bytes)
        assert decode_bundle(data) == load_folder(folder)
    assert hustings_config("diff", folder, "--redis", redis_url).stdout == "nothing would change\n"
    edited_folder = write_folder(tmp_path / "edited", edited("12.50", "15"))
    result = hustings_config("diff", edited_folder, "--redis", redis_url)
    assert result.stdout == "changed campaign `spring`: budget.daily $12.50 -> $15.00\n"
    result = hustings_config("apply", edited_folder, "--redis", redis_url, "--json")
    told = json.loads(result.stdout)
    assert told["version_before"] == load_folder(folder).version
    assert told["version"] == load_folder(edited_folder).version
    assert told["changes"] == [
        {
            "action": "changed",
            "kind": "campaign",
            "id": "spring",
            "field": "budget.daily",
            "before": "$12.50",
            "after": "$15.00",
        }
    ]


def test_apply_refuses_a_spoilt_folder_and_changes_nothing(spoilt: Path, redis_url: str) -> None:
    assert hustings_config("apply", spoilt, "--redis", redis_url).exit_code == 2
    with redis.Redis.from_url(redis_url) as client:
        assert client.get(BUNDLE) is None


def test_the_private_server_of_a_data_folder_is_found(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with EmbeddedServer.start(data, durable=False):
        assert f"there is none at {data}/secret" in refusal(hustings_config("apply", folder, "--data", data))
        ensure_secret_file(data)
        assert hustings_config("apply", folder, "--data", data).exit_code == 0
        assert hustings_config("diff", folder, "--data", data).stdout == "nothing would change\n"
    assert "no engine is running" in refusal(hustings_config("diff", folder, "--data", data))


@pytest.mark.usefixtures("secret_file")
def test_a_bundle_of_another_release_is_refused_by_diff_and_replaced_by_apply(
    folder: Path, redis_url: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.mset({BUNDLE: b"\x80", BUNDLE_VERSION: b"x"})
    assert "publish the folder again" in refusal(hustings_config("diff", folder, "--redis", redis_url))
    assert hustings_config("apply", folder, "--redis", redis_url).exit_code == 0
    assert hustings_config("diff", folder, "--redis", redis_url).stdout == "nothing would change\n"


@pytest.mark.usefixtures("secret_file")
@pytest.mark.parametrize("command", ["diff", "apply"])
def test_a_redis_that_is_not_there(folder: Path, command: str) -> None:
    with socket.socket() as probe:
        # Bound and not listening: nobody else can take the port, and nothing answers on it.
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        said = refusal(hustings_config(command, folder, "--redis", f"redis://:hunter2@127.0.0.1:{port}/0"))
    assert f"can't use the Redis at redis://127.0.0.1:{port}/0" in said
    assert "hunter2" not in said


def test_a_redis_address_of_another_kind(folder: Path) -> None:
    assert "redis://" in refusal(hustings_config("diff", folder, "--redis", "http://127.0.0.1:6379"))
    assert "can't be read" in refusal(hustings_config("diff", folder, "--redis", "redis://127.0.0.1:port/0"))


def test_schema_prints_json() -> None:
    result = hustings_config("schema")
    assert result.exit_code == 0
    assert set(json.loads(result.stdout)["$defs"]) >= {
        "Advertiser",
        "Engine",
        "ExchangeProfile",
        "SegmentList",
    }


@pytest.mark.usefixtures("secret_file")
def test_what_is_legal_and_hardly_meant_is_told_before_it_goes_live_and_as_it_does(
    folder: Path, redis_url: str
) -> None:
    assert hustings_config("apply", folder, "--redis", redis_url).stderr == ""
    write_folder(folder, edited("id: spring\n", "id: summer\n"))
    expected = f"{folder}/advertisers/oak.yaml:6:9: warning: this looks like the campaign `spring` under"
    for command in (("check", folder), ("diff", folder), ("apply", folder)):
        result = hustings_config(*command, "--redis", redis_url)
        assert result.exit_code == 0
        assert expected in result.stderr
    told = json.loads(hustings_config("diff", folder, "--json", "--redis", redis_url).stdout)
    assert told["warnings"] == []


def spring_daily(redis_url: str) -> int | None:
    """The live daily budget, in whole units."""
    with redis.Redis.from_url(redis_url) as client:
        data = client.get(BUNDLE)
    assert isinstance(data, bytes)
    daily = decode_bundle(data).advertisers[0].campaigns[0].budget.daily
    return None if daily is None else daily // BILLION


@pytest.mark.usefixtures("secret_file")
def test_what_was_applied_is_listed_and_can_be_gone_back_to(folder: Path, redis_url: str) -> None:
    assert "never a config here" in refusal(hustings_config("rollback", "--redis", redis_url))
    for daily in (15, 20, 25):
        write_folder(folder, edited("12.50", str(daily)))
        assert hustings_config("apply", folder, "--by", f"dana{daily}", "--redis", redis_url).exit_code == 0
    lines = hustings_config("history", "--redis", redis_url).stdout.splitlines()
    assert [(line.split()[0], line.split()[-1]) for line in lines] == [
        ("#3", "live"),
        ("#2", "dana20"),
        ("#1", "dana15"),
    ]
    result = hustings_config("rollback", "--redis", redis_url)
    assert "changed campaign `spring`: budget.daily $25.00 -> $20.00\n" in result.stdout
    assert spring_daily(redis_url) == 20
    for version, daily in (("1", 15), ("#3", 25), (lines[2].split()[1], 15), (lines[1].split()[1][:8], 20)):
        assert hustings_config("rollback", version, "--redis", redis_url).exit_code == 0
        assert spring_daily(redis_url) == daily
    told = json.loads(hustings_config("history", "--json", "--redis", redis_url).stdout)
    assert [entry["live"] for entry in told] == [True] + [False] * 7
    assert told[0]["note"] == "rollback to #4"
    assert "no config that is kept begins" in refusal(hustings_config("rollback", "zz", "--redis", redis_url))
    assert "several configs begin" in refusal(hustings_config("rollback", "", "--redis", redis_url))
    # The folder is not touched.
    assert "daily: 25" in (folder / "advertisers" / "oak.yaml").read_text()


def test_a_config_is_signed_with_the_secret_and_not_replaced_by_whoever_has_another(
    folder: Path, tmp_path: Path, redis_url: str, secret_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hustings_config("apply", folder, "--redis", redis_url).exit_code == 0
    monkeypatch.delenv(SECRET_ENV)
    other = ensure_secret_file(tmp_path / "other")
    assert other != secret_file
    write_folder(folder, edited("12.50", "99"))
    with_other = ("--redis", redis_url, "--data", other.parent)
    said = refusal(hustings_config("apply", folder, *with_other))
    assert "nothing was applied: the bundle in Redis is not signed with this installation's secret" in said
    assert "can't be made live again" in refusal(hustings_config("rollback", "1", *with_other))
    assert spring_daily(redis_url) == 12
    assert hustings_config("apply", folder, *with_other, "--sign-anew").exit_code == 0
    assert spring_daily(redis_url) == 99
