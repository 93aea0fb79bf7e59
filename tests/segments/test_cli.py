"""`hustings segments`, run as a person runs it."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from bidder.cli.segments import app


class CommandLine:
    def __init__(self, redis_url: str, data: Path) -> None:
        self.where = ["--redis", redis_url, "--data", str(data)]

    def __call__(self, *arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(app, [*arguments, *self.where])
        assert result.exit_code == status, result.output
        return result


@pytest.fixture
def segments(redis_url: str, tmp_path: Path) -> CommandLine:
    return CommandLine(redis_url, tmp_path / "data")


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    rows = ["id,segments", "ann,gardeners|hikers", "bob,hikers", "cid,", "dee,hickers"]
    path.write_text("\n".join(rows))
    return path


def test_an_audience_from_file_to_count_to_oblivion(segments: CommandLine, people: Path) -> None:
    segments("define", "gardeners", "--description", "Grow things")
    assert "2 segments are defined" in segments("define", "gardeners", "hikers").stdout
    listed = segments("list").stdout
    assert "Grow things" in listed
    assert json.loads(segments("list", "--json").stdout) == [
        {"name": "gardeners", "index": 0, "description": "Grow things"},
        {"name": "hikers", "index": 1, "description": ""},
    ]

    loaded = segments("load", str(people))
    assert loaded.stdout.startswith("3 cookies loaded in ")
    assert loaded.stderr == f"1 row rejected; the reasons are in {people}.rejects.csv\n"

    shown = json.loads(segments("show", "ann", "--json").stdout)
    assert shown["segments"] == ["gardeners", "hikers"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", shown["expires"])
    assert segments("show", "bob").stdout == "hikers\n"
    assert segments("show", "ann", "--source", "rival.example", status=1).stdout == ""

    assert segments("forget", "bob").stdout == "forgotten\n"
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
    assert json.loads(counted) == {"cookies": 1, "of": 4}


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
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret").write_text("x" * 64)
    (tmp_path / "data" / "secret").chmod(0o644)
    assert "open to other users" in segments("load", str(people), status=2).stderr


@pytest.mark.parametrize("command", ["load", "show", "count", "list", "forget", "define", "sweep"])
def test_a_dead_redis_is_one_sentence(people: Path, tmp_path: Path, command: str) -> None:
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
