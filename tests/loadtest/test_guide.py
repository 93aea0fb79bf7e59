"""`docs/load-testing.md` names every option with its default, every field, kind of error and limit."""

import inspect
import re
from typing import get_args

import msgspec
import pytest
import typer.main

from bidder.cli.main import command_line
from config.money import format_money
from loadtest import limits, result, tally
from loadtest.exchange import Ending
from loadtest.landscape import Landscapes, LogNormal
from loadtest.report import ERROR_MEANINGS
from loadtest.traffic import FORMATS
from tests.deploy.repository import DOCS

TEXT = (DOCS / "load-testing.md").read_text()
CODE = set(re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`\n]+)`", TEXT))))
UNLISTED = {"--target", "--report", "--result", "--json", "--i-own-this-target", "--help"}
"""Options that the text introduces without a table."""


def options() -> dict[str, object]:
    """Every option of the command, with its default."""
    command = typer.main.get_command(command_line(["loadtest"])).commands["loadtest"]  # type: ignore[attr-defined]
    return {option: parameter.default for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("option", sorted(options()))
def test_every_option_is_explained_with_its_default(option: str) -> None:
    if option in UNLISTED:
        assert f"`{option}" in TEXT or f" {option} " in TEXT
        return
    (said,) = re.findall(rf"^\| `{option}` \| (.*?) \|", TEXT, re.MULTILINE)
    default = options()[option]
    if isinstance(default, (int, float)) and not isinstance(default, bool):
        assert float(said.replace(",", "")) == default


@pytest.mark.parametrize(
    "struct",
    [
        value
        for module in (result, tally)
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, msgspec.Struct) and value.__module__ == module.__name__
        if value is not tally.Summary
    ],
    ids=lambda struct: struct.__name__,
)
def test_every_field_of_the_result_is_named(struct: type[msgspec.Struct]) -> None:
    assert set(struct.__struct_fields__) <= CODE


def test_every_kind_of_error_format_and_ending_is_named() -> None:
    assert {*ERROR_MEANINGS, *FORMATS, *get_args(Ending)} <= CODE
    for kind, meaning in ERROR_MEANINGS.items():
        assert f"| `{kind}` | {meaning} |" in TEXT


def test_the_medians_are_those_of_the_code() -> None:
    landscapes = Landscapes()
    for name, words in (("banner", "{} for banners"), ("native", "{} native"), ("video", "{} video")):
        landscape = getattr(landscapes, name)
        assert isinstance(landscape, LogNormal)
        assert words.format(format_money(landscape.median_cpm_micros * 1_000)) in TEXT


@pytest.mark.parametrize(
    "text",
    [
        f"up to {limits.RATE_MAX:,}",
        f"{limits.CONNECTIONS_MAX:,} in all",
        f"up to {limits.REPLAY_REQUESTS_MAX:,} requests or {limits.REPLAY_BYTES_MAX // 2**20} MiB",
        f"After {limits.ANSWER_SECONDS_MAX:g} s it is given up on",
        f"{limits.LATE_MS_MAX:g} ms at p99",
        f"{limits.CPU_SHARE_MAX:.0%}".replace("%", " % of a core"),
        f"because {limits.OPEN_REQUESTS_MAX:,} were still open",
        f"`version` is {result.VERSION}",
    ],
)
def test_a_figure_is_that_of_the_code(text: str) -> None:
    assert text in TEXT
