"""`hustings segments`, run as a person runs it."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from typer.testing import CliRunner, Result

from bidder.cli.segments import app
from config.redis_keys import BUNDLE
from config.schema import encode_bundle
from config.settings import ensure_secret_file
from tests.factories import bundle


class CommandLine:
    def __init__(self, redis_url: str, data: Path) -> None:
        self.where = ["--redis", redis_url, "--data", str(data)]

    def __call__(self, *arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(app, [*arguments, *self.where])
        assert result.exit_code == status, result.output
        return result


@pytest.fixture
def segments(redis_url: str, tmp_path: Path) -> CommandLine:
    """With the secret of an engine that is there."""
    ensure_secret_file(tmp_path / "data")
    return CommandLine(redis_url, tmp_path / "data")


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    rows = ["id,segments", "ann,gardeners|hikers", "bob,hikers", "cid,", "dee,hickers"]
    path.write_text("\n".join(rows))
    return path


def test_without_the_engines_secret_nobody_is_loaded_under_another(
    redis_url: str, tmp_path: Path, people: Path
) -> None:
    elsewhere = CommandLine(redis_url, tmp_path / "elsewhere")
    elsewhere("define", "gardeners", "hikers")
    for command in (
        ("load", str(people)),
        ("show", "ann"),
        ("forget", "ann"),
        ("acl", "oak", "--key-file", str(tmp_path / "oak.key")),
    ):
        said = elsewhere(*command, status=2).stderr
        assert f"ids are hashed with the engine's secret, and there is none at {tmp_path}/elsewhere" in said
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "oak.key").exists()


def test_an_audience_from_file_to_count_to_oblivion(segments: CommandLine, people: Path) -> None:
    segments("define", "gardeners", "--description", "Grow things")
    assert "2 segments are defined" in segments("define", "gardeners", "hikers").stdout
    listed = segments("list").stdout
    assert "Grow things" in listed
    as_json = json.loads(segments("list", "--json").stdout)
    assert [(one["name"], one["index"], one["description"], one["size"]) for one in as_json] == [
        ("gardeners", 0, "Grow things", None),
        ("hikers", 1, "", None),
    ]

    loaded = segments("load", str(people))
    assert loaded.stdout.startswith("3 cookies loaded in ")
    assert loaded.stderr == f"1 row rejected; the reasons are in {people}.rejects.csv\n"

    shown = json.loads(segments("show", "ann", "--json").stdout)
    assert shown["segments"] == ["gardeners", "hikers"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", shown["expires"])
    assert segments("show", "bob").stdout == "hikers\n"
    assert segments("show", "ann", "--source", "rival.example", status=1).stdout == ""

    assert segments("forget", "bob").stdout == "forgotten: segments; a second look found nothing\n"
    assert segments("forget", "bob").stdout == "nothing was held under this id\n"
    assert "in no segment" in segments("show", "bob", status=1).stderr
    assert segments("sweep").stdout == "0 expired cookies deleted\n"
    assert segments("count", "hikers").stdout == "1 of 2 cookies (50.0 %)\n"


def test_load_can_define_and_reports_as_json(segments: CommandLine, people: Path) -> None:
    report = json.loads(segments("load", str(people), "--define", "--ttl-days", "1", "--json").stdout)
    assert (report["rows"], report["cookies"], report["rejected"], report["rejects_file"]) == (4, 4, 0, None)
    assert [segment["name"] for segment in json.loads(segments("list", "--json").stdout)] == [
        "gardeners",
        "hikers",
        "hickers",
    ]
    counted = segments("count", "hikers and not gardeners", "--json").stdout
    assert (json.loads(counted)["cookies"], json.loads(counted)["of"]) == (1, 4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["load", "absent.csv"], "absent.csv can't be read: No such file or directory"),
        (["define", "two words"], "'two words' can't be a segment's name"),
        (["count", "a and"], "expected a segment name, `not` or `(`"),
        (["count", "nobody"], "segment nobody is not defined"),
        (["count", "nobody or not nobody"], "segment nobody is not defined"),
    ],
)
def test_a_mistake_is_one_sentence(segments: CommandLine, arguments: list[str], sentence: str) -> None:
    result = segments(*arguments, status=2)
    assert result.stdout == ""
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_file_of_which_nothing_loads_is_a_failure(segments: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,segments\nann,nowhere\n")
    result = segments("load", str(path), status=2)
    assert f"no row of {path} could be loaded" in result.stderr


def test_a_secret_others_can_read_is_refused(segments: CommandLine, people: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "secret").chmod(0o644)
    assert "open to other users" in segments("load", str(people), status=2).stderr


def test_renaming_giving_and_retiring(segments: CommandLine, people: Path) -> None:
    segments("load", str(people), "--define")
    assert "configs and files may go on saying hikers" in segments("rename", "hikers", "walkers").stdout
    assert segments("show", "bob").stdout == "walkers\n"
    assert segments("count", "hikers", "--json").stdout == segments("count", "walkers", "--json").stdout
    assert "walkers" in segments("list").stdout
    assert segments("give", "walkers", "oak").stdout == "walkers is oak’s\n"
    assert "belongs to oak" in segments("define", "walkers", "--owner", "elm", status=2).stderr
    assert segments("give", "walkers", "shared").stdout == "walkers is everybody’s\n"
    assert segments("retire", "hikers").stdout == "hikers means nothing any more\n"
    assert segments("retire", "walkers").stdout == "walkers is gone\n"
    assert segments("show", "bob").stdout == ""
    # It was retired a moment ago: a loader may still know it.
    assert "places" not in segments("sweep").stdout


def test_a_segment_of_the_live_config_is_not_retired(segments: CommandLine, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(BUNDLE, encode_bundle(bundle(segments=["hikers"])))
    segments("define", "hikers")
    assert "take it out of segments.yaml" in segments("retire", "hikers", status=2).stderr


def test_a_dry_run_changes_nothing(segments: CommandLine, people: Path) -> None:
    told = segments("load", str(people), "--dry-run", "--define").stdout
    assert "a load would add 4 cookies, change 0 and leave 0" in told
    assert "it would define gardeners, hikers, hickers" in told
    assert "hikers: +2 -0" in told
    assert segments("list", "--json").stdout.strip() == "[]"
    report = json.loads(segments("load", str(people), "--dry-run", "--define", "--json").stdout)
    assert (report["new"], report["segments"]["hikers"]) == (4, {"added": 2, "removed": 0})


def test_modes_columns_and_advertisers(segments: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "people.tsv"
    path.write_text("user\taudience\nann\ta\n")
    columns = ["--column", "id=user", "--column", "segments=audience"]
    segments("load", str(path), *columns, "--define", "--advertiser", "oak")
    path.write_text("user\taudience\nann\tb|-a\n")
    segments("define", "b", "--owner", "oak")
    segments("load", str(path), *columns, "--mode", "add", "--advertiser", "oak")
    assert segments("show", "ann").stdout == "b\n"
    assert "no row of" in segments("load", str(path), *columns, "--advertiser", "elm", status=2).stderr
    assert "--mode is one of" in segments("load", str(path), "--mode", "merge", status=2).stderr
    assert "--column takes" in segments("load", str(path), "--column", "name=x", status=2).stderr
    assert "--inbox goes with --advertiser" in segments("load", str(path), "--inbox", status=2).stderr


def test_forgetting_says_what_there_was(segments: CommandLine, people: Path) -> None:
    segments("load", str(people), "--define")
    forgotten = json.loads(segments("forget", "ann", "--json").stdout)
    assert forgotten == {
        "ids": 1,
        "segments": True,
        "caps": False,
        "links": False,
        "frequencies": False,
        "left": [],
    }


def test_an_advertisers_user_is_made(segments: CommandLine, redis_url: str, tmp_path: Path) -> None:
    key_file = tmp_path / "oak.key"
    made = segments("acl", "oak", "--apply", "--key-file", str(key_file)).stdout.splitlines()
    assert made[0].startswith("ACL SETUSER hustings-oak reset on #")
    parts = urlsplit(made[1])
    assert (parts.username, parts.port) == ("hustings-oak", urlsplit(redis_url).port)
    assert parts.password
    assert parts.password not in made[0]
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(key_file.read_text())) == 32
    assert "can't write" in segments("acl", "oak", "--key-file", str(key_file), status=2).stderr
    with redis.Redis.from_url(made[1]) as loader, redis.Redis.from_url(redis_url) as operator:
        try:
            assert loader.xlen("hustings:inbox:oak") == 0
            with pytest.raises(redis.exceptions.NoPermissionError):
                loader.hgetall("{hustings:segments}:indices")
        finally:
            operator.acl_deluser("hustings-oak")
    assert "is no advertiser's id" in segments("acl", "o k", status=2).stderr


def test_a_key_of_ids_that_others_can_read_is_refused(
    segments: CommandLine, people: Path, tmp_path: Path
) -> None:
    key_file = tmp_path / "oak.key"
    arguments = ("load", str(people), "--define", "--identity-key", str(key_file))
    assert "can't read" in segments(*arguments, status=2).stderr
    key_file.write_text("00" * 32)
    key_file.chmod(0o644)
    assert "open to other users" in segments(*arguments, status=2).stderr
    key_file.chmod(0o600)
    assert "4 cookies loaded" in segments(*arguments).stdout
    key_file.write_text("no key")
    assert "holds no key of ids" in segments(*arguments, status=2).stderr


@pytest.mark.parametrize("command", ["load", "show", "count", "list", "forget", "define", "sweep"])
def test_a_dead_redis_is_one_sentence(people: Path, tmp_path: Path, command: str) -> None:
    ensure_secret_file(tmp_path / "data")
    line = CommandLine("redis://:hush@127.0.0.1:1/0", tmp_path / "data")
    arguments = {"load": [str(people)], "list": [], "sweep": []}.get(command, ["x"])
    result = line(command, *arguments, status=2)
    assert "can't use the Redis at redis://127.0.0.1:1/0" in result.stderr
    assert "hush" not in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_wrong_password_is_one_sentence(redis_url: str, tmp_path: Path) -> None:
    parts = urlsplit(redis_url)
    if not parts.password:
        pytest.skip("the server given by --redis has no password")
    line = CommandLine(f"redis://:hush@{parts.hostname}:{parts.port}/0", tmp_path / "data")
    result = line("list", status=2)
    assert result.stderr.count("\n") == 1
    assert "hush" not in result.stderr
