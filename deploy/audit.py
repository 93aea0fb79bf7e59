"""Audit the dependencies: what is locked is what is wanted, hashed, installed, and not known to be bad.

    python deploy/audit.py

First, with no network: every entry of requirements.lock is of one version with SHA-256 hashes, every
dependency of pyproject.toml is locked in a version that it allows, and what is installed here is what is
locked. Then pip-audit asks a service (OSV, or PyPI's) for known vulnerabilities of the locked versions; where
the service can't be reached within seconds this part is skipped, and says so. Exit status 1 when something
is wrong.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
SERVICE_URL = "https://api.osv.dev/v1/query"
REACHED_SECONDS_MAX = 5
AUDIT_SECONDS_MAX = 300
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)(?: *; *([^\\]+?))? *\\?$")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


class Locked:
    """One entry of a lock file."""

    def __init__(self, text: str) -> None:
        first = text.splitlines()[0]
        found = _PIN.match(first)
        if found is None:
            raise ValueError(f"{first}: not one version of one package")
        self.name = canonicalize_name(found[1])
        self.version = found[2]
        self.hashes = len(_HASH.findall(text))
        self.is_for_here = found[3] is None or Marker(found[3]).evaluate()


def entries(lock: str) -> list[Locked]:
    """Read a lock file. Raises ValueError."""
    return [Locked(text) for text in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)[1:]]


def faults(lock: str, pyproject: str) -> Iterator[str]:
    """Yield what is wrong with a lock file, for a project and for this environment."""
    try:
        locked = entries(lock)
    except ValueError as error:
        yield str(error)
        return
    by_name: dict[str, list[Locked]] = {}
    for entry in locked:
        by_name.setdefault(entry.name, []).append(entry)
        if not entry.hashes:
            yield f"{entry.name} {entry.version} is locked without a hash"
    for requirement in _wanted(pyproject):
        found = by_name.get(canonicalize_name(requirement.name), [])
        if not found:
            yield f"{requirement.name} is wanted and not locked; run `make lock`"
        yield from (
            f"{entry.name} is locked in {entry.version}, and {requirement} is wanted; run `make lock`"
            for entry in found
            if not requirement.specifier.contains(entry.version, prereleases=True)
        )
    for entry in locked:
        if not entry.is_for_here:
            continue
        try:
            installed = metadata.version(entry.name)
        except metadata.PackageNotFoundError:
            yield f"{entry.name} {entry.version} is locked and not installed; run `make setup`"
        else:
            if installed != entry.version:
                yield f"{entry.name} is installed in {installed}, locked in {entry.version}; run `make setup`"


def _wanted(pyproject: str) -> Iterator[Requirement]:
    project = tomllib.loads(pyproject)["project"]
    for group in (project["dependencies"], *project.get("optional-dependencies", {}).values()):
        yield from map(Requirement, group)


def why_not_reached(url: str = SERVICE_URL) -> str:
    """Say why the service can't be asked from here; empty when it can."""
    try:
        urllib.request.urlopen(url, timeout=REACHED_SECONDS_MAX)
    except urllib.error.HTTPError:
        return ""  # it answered
    except OSError as error:
        return str(getattr(error, "reason", error))
    return ""


def vulnerabilities() -> int:
    """Run pip-audit over the lock file, in an environment of its own; return its exit status."""
    with tempfile.TemporaryDirectory(prefix="audit-") as folder:
        python = Path(folder) / "bin" / "python"
        steps = (
            [sys.executable, "-m", "venv", folder],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pip-audit"],
        )
        for step in steps:
            if subprocess.run(step, timeout=AUDIT_SECONDS_MAX).returncode:
                sys.stdout.write("audit: vulnerabilities not looked for: pip-audit can't be installed here\n")
                return 0
        words = [str(python), "-m", "pip_audit", "--require-hashes", "--disable-pip"]
        words += ["--requirement", str(ROOT / "requirements.lock"), "--vulnerability-service", "osv"]
        return subprocess.run(
            [*words, "--vulnerability-service", "osv"], timeout=AUDIT_SECONDS_MAX
        ).returncode


def main() -> int:
    found = list(faults((ROOT / "requirements.lock").read_text(), (ROOT / "pyproject.toml").read_text()))
    for fault in found:
        sys.stdout.write(f"audit: {fault}\n")
    if not found:
        sys.stdout.write("audit: the lock file is whole, hashed, allowed by pyproject.toml, and installed\n")
    reason = why_not_reached()
    if reason:
        sys.stdout.write(
            f"audit: vulnerabilities not looked for: {SERVICE_URL} can't be reached ({reason})\n"
        )
        return 1 if found else 0
    try:
        status = vulnerabilities()
    except subprocess.TimeoutExpired:
        sys.stdout.write(f"audit: vulnerabilities not looked for: it took over {AUDIT_SECONDS_MAX} s\n")
        status = 0
    return 1 if status or found else 0


if __name__ == "__main__":
    sys.exit(main())
