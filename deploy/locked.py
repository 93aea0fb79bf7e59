"""Print the part of requirements.lock that a list of packages needs, with its hashes.

    python deploy/locked.py                 what the engine runs on: the dependencies of pyproject.toml
    python deploy/locked.py setuptools      what these packages run on

The lock file holds the tools of development too. Under each package it says `# via`, the packages
that need it; so the wanted part is all that can be reached from the wanted names against those arrows.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def locked_part(lock: str, wanted: Iterable[str]) -> str:
    """Return the entries of a lock file that `wanted` packages need, themselves included.

    Raises SystemExit when one of them is not in the lock file.
    """
    entries = list(_entries(lock))
    needed = {_normal(name) for name in wanted}
    missing = needed - {name for name, _, _ in entries}
    if missing:
        sys.exit(f"requirements.lock has no {', '.join(sorted(missing))}; make it anew with `make lock`")
    before = 0
    while len(needed) > before:
        before = len(needed)
        needed |= {name for name, _, needed_by in entries if needed_by & needed}
    return "".join(text for name, text, _ in entries if name in needed)


def runtime_names(pyproject: str) -> list[str]:
    """Return the names of a project's dependencies, extras left out."""
    found = (_NAME.match(dependency) for dependency in tomllib.loads(pyproject)["project"]["dependencies"])
    return [match[0] for match in found if match]


def _entries(lock: str) -> Iterator[tuple[str, str, set[str]]]:
    """Yield each entry as (name, its lines, names of the packages that need it)."""
    for text in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)[1:]:
        comments = re.findall(r"^ +# +(?:via +)?(.+)$", text, flags=re.MULTILINE)
        yield _normal(text), text, {_normal(comment) for comment in comments if comment != "via"}


def _normal(text: str) -> str:
    """The name a text begins with, as the index compares names."""
    match = _NAME.match(text)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""


if __name__ == "__main__":
    names = sys.argv[1:] or runtime_names((ROOT / "pyproject.toml").read_text())
    sys.stdout.write(locked_part((ROOT / "requirements.lock").read_text(), names))
