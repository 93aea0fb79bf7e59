"""`deploy/locked.py`: the image gets what the engine runs on, and no tool of development."""

import re
import runpy
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.repository import DEPLOY, ROOT

_SCRIPT = runpy.run_path(str(DEPLOY / "locked.py"))
LOCK = (ROOT / "requirements.lock").read_text()


def names_in(lock: str) -> set[str]:
    return {canonicalize_name(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)}


@pytest.fixture(scope="module")
def runtime_part() -> str:
    names = _SCRIPT["runtime_names"]((ROOT / "pyproject.toml").read_text())
    part: str = _SCRIPT["locked_part"](LOCK, names)
    return part


def test_everything_that_is_installed_here_for_the_engine_is_in_the_part(runtime_part: str) -> None:
    needed: set[str] = set()
    waiting = ["hustings"]
    while waiting:
        for text in metadata.requires(waiting.pop()) or ():
            requirement = Requirement(text)
            name = canonicalize_name(requirement.name)
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if wanted and name not in needed:
                needed.add(name)
                waiting.append(name)
    assert "numba" in needed
    assert needed <= names_in(runtime_part)


def test_no_tool_of_development_is_in_it(runtime_part: str) -> None:
    tools = {"pytest", "mypy", "ruff", "hypothesis", "import-linter", "setuptools"}
    assert tools <= names_in(LOCK)
    assert not tools & names_in(runtime_part)


def test_the_entries_are_those_of_the_lock_file_with_every_hash(runtime_part: str) -> None:
    entries = re.split(r"^(?=[A-Za-z0-9])", runtime_part, flags=re.MULTILINE)[1:]
    assert len(entries) > 20
    for entry in entries:
        assert entry in LOCK
        assert "--hash=sha256:" in entry


def test_the_builder_can_be_asked_for_alone() -> None:
    assert names_in(_SCRIPT["locked_part"](LOCK, ["setuptools"])) == {"setuptools"}


def test_a_name_that_is_not_locked_ends_with_a_sentence() -> None:
    with pytest.raises(SystemExit, match=r"no nonesuch; make it anew"):
        _SCRIPT["locked_part"](LOCK, ["nonesuch"])
