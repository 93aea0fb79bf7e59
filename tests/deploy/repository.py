"""The files under test, and what the tests of them share."""

import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import typer.main
import yaml

from bidder.cli.main import command_line

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCS = ROOT / "docs"


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@cache
def _whole_command() -> Any:
    return typer.main.get_command(command_line())


def parse_command(words: Sequence[str]) -> dict[str, Any]:
    """Parse a command line as the program does, without running it; unknown words and options raise.

    A command named without a word after it may lack what it needs to run.
    """
    command = _whole_command()
    name, *words = words
    assert name == "hustings"
    while hasattr(command, "commands") and words:
        name, *words = words
        command = command.commands[name]
    context = command.make_context(name, list(words), resilient_parsing=not words)
    params: dict[str, Any] = context.params
    return params


def parse_command_line(line: str) -> dict[str, Any]:
    return parse_command(shlex.split(line))


def known_options() -> set[str]:
    """Every long option of every command."""
    options: set[str] = set()
    waiting: list[Any] = [_whole_command()]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        options |= {option for param in command.params for option in param.opts if option.startswith("--")}
    return options
