"""The log: JSON that is JSON, a flood that is counted, and nobody's id in any line."""

import ast
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bidder import logs
from config.limits import LOG_LINES_MAX, LOG_PLACES_MAX, LOG_WINDOW_SECONDS

ROOT = Path(__file__).resolve().parents[1]
PERSONAL = {
    *(
        "user",
        "user_hash",
        "user_id",
        "users",
        "person",
        "people",
        "uid",
        "partner_uid",
        "buyeruid",
        "cookie",
    ),
    *("ifa", "eids", "request", "query", "body", "token", "remote", "ip", "notice", "url", "link"),
}
"""Names that hold an id of a person, or something that does."""


@pytest.fixture
def root_logger() -> Iterator[None]:
    """Puts the root logger back as pytest has it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    # `force` closes what it removes, and pytest still needs its own.
    for handler in handlers:
        root.removeHandler(handler)
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)


Said = Callable[[], list[str]]


@pytest.fixture
def said(root_logger: None, capsys: pytest.CaptureFixture[str]) -> Said:
    """Returns the lines on stderr since the last look."""
    return lambda: capsys.readouterr().err.splitlines()


def test_a_json_line_says_when_who_and_what(said: Said) -> None:
    logs.configure("json", "worker 1")
    logging.getLogger("a.place").warning("lost %s\nand %d more", "“one”", 2)
    (line,) = said()
    entry = json.loads(line)
    assert entry.pop("time").endswith("Z")
    assert entry.pop("pid") > 0
    assert entry == {
        "level": "warning",
        "process": "worker 1",
        "logger": "a.place",
        "message": "lost “one”\nand 2 more",
    }


def test_a_fault_is_one_line_with_its_stack(said: Said) -> None:
    logs.configure("json", "events")
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("a.place").exception("it failed")
    (line,) = said()
    assert "ValueError: broken" in json.loads(line)["exception"]


def test_what_a_line_quotes_does_not_begin_another(said: Said) -> None:
    logs.configure("text", "admin")
    logging.getLogger("a.place").warning("stopped by %s", "ann\n2026-11-03 ERROR \x1b[31mall is lost\x9b")
    (line,) = said()
    assert line.endswith(r"WARNING a.place stopped by ann\x0a2026-11-03 ERROR \x1b[31mall is lost\x9b")


def test_what_ends_a_process_is_said_in_the_form_of_its_log(said: Said) -> None:
    logs.configure("text", "admin")
    logs.say("no Redis")
    assert said() == ["hustings: no Redis"]
    logs.configure("json", "admin")
    logs.say("no Redis")
    (line,) = said()
    assert json.loads(line)["message"] == "no Redis"


def record(place: str, at_s: float) -> logging.LogRecord:
    made = logging.LogRecord("a.place", logging.WARNING, "", 0, place, ("x",), None)
    made.created = at_s
    return made


def test_a_flood_is_cut_and_counted_and_other_places_are_not_touched() -> None:
    repeats = logs.RepeatFilter()
    passed = [repeats.filter(record("lost %s", 1_000.0 + n / 100)) for n in range(LOG_LINES_MAX + 30)]
    assert passed == [True] * LOG_LINES_MAX + [False] * 30
    assert repeats.filter(record("found %s", 1_001.0))
    later = record("lost %s", 1_000.0 + LOG_WINDOW_SECONDS)
    assert repeats.filter(later)
    assert "30 such lines before" in logs.TextFormatter().format(later)
    assert json.loads(logs.JsonFormatter("x").format(later))["left_out"] == 30
    assert "left out" not in logs.TextFormatter().format(record("lost %s", 2_000.0))


def test_a_clock_that_was_put_back_does_not_silence_a_place() -> None:
    repeats = logs.RepeatFilter()
    for _ in range(LOG_LINES_MAX + 1):
        repeats.filter(record("lost %s", 9_000.0))
    assert repeats.filter(record("lost %s", 5_000.0))


def test_the_places_that_are_counted_have_a_limit() -> None:
    repeats = logs.RepeatFilter()
    for number in range(3 * LOG_PLACES_MAX):
        repeats.filter(record(f"place {number}", 1_000.0))
    assert len(repeats._places) <= LOG_PLACES_MAX


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    for package in ("bidder", "pacing", "segments", "config"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id.lower() in ("logger", "_log")
                ):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_no_line_of_the_log_is_given_what_may_hold_a_persons_id() -> None:
    calls = list(log_calls())
    assert len(calls) > 20
    for place, call in calls:
        for argument in call.args:
            names = {node.id for node in ast.walk(argument) if isinstance(node, ast.Name)}
            names |= {node.attr for node in ast.walk(argument) if isinstance(node, ast.Attribute)}
            assert not names & PERSONAL, f"{place} may log an id of a person: {names & PERSONAL}"


def test_a_sentence_of_the_log_is_fixed_so_that_its_place_can_be_counted() -> None:
    for place, call in log_calls():
        assert not isinstance(call.args[0], ast.JoinedStr | ast.BinOp), f"{place} formats its own sentence"
