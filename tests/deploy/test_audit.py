"""`deploy/audit.py`: a lock file that is stale, unhashed or not what is installed does not pass."""

import runpy
from importlib import metadata

import pytest

from tests.deploy.repository import DEPLOY, ROOT

_SCRIPT = runpy.run_path(str(DEPLOY / "audit.py"))
HASH = f" \\\n    --hash=sha256:{'ab' * 32}\n"
MSGSPEC = metadata.version("msgspec")


def faults(lock: str, *wanted: str) -> list[str]:
    names = ", ".join(f'"{name}"' for name in wanted)
    return list(_SCRIPT["faults"](lock, f'[project]\nname = "x"\ndependencies = [{names}]\n'))


def test_the_lock_file_of_this_project_is_fresh_hashed_and_installed() -> None:
    lock, pyproject = (ROOT / "requirements.lock").read_text(), (ROOT / "pyproject.toml").read_text()
    assert list(_SCRIPT["faults"](lock, pyproject)) == []
    assert len(_SCRIPT["entries"](lock)) > 30


@pytest.mark.parametrize(
    ("lock", "wanted", "words"),
    [
        (f"msgspec=={MSGSPEC}{HASH}", "msgspec>=0.1", ""),
        (f"msgspec=={MSGSPEC} ; python_full_version >= '3.9'{HASH}", "msgspec>=0.1", ""),
        (f"msgspec=={MSGSPEC}\n", "msgspec>=0.1", "without a hash"),
        (f"msgspec=={MSGSPEC}{HASH}", "msgspec>=99", "is wanted; run `make lock`"),
        ("", "msgspec", "wanted and not locked"),
        (f"msgspec==0.0.1{HASH}", "msgspec", "run `make setup`"),
        (f"no-such-package-here==1.0{HASH}", "no-such-package-here", "locked and not installed"),
        (f"no-such-package-here==1.0 ; sys_platform == 'win32'{HASH}", "no-such-package-here", ""),
        (f"msgspec>=1{HASH}", "msgspec", "not one version"),
    ],
)
def test_what_is_wrong_with_a_lock_file_is_told(lock: str, wanted: str, words: str) -> None:
    found = faults(lock, wanted)
    assert len(found) == bool(words), found
    assert all(words in fault for fault in found)


def test_a_service_that_can_not_be_reached_is_said_to_be() -> None:
    assert _SCRIPT["why_not_reached"]("http://127.0.0.1:9/") != ""
