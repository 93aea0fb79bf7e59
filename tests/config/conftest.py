"""Fixtures of the tests of configs."""

from pathlib import Path

import pytest

from config.settings import SECRET_ENV


@pytest.fixture
def secret_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The installation's secret, at hand for every command of the test."""
    path = tmp_path / "the-secret"
    path.write_text("0123456789abcdef" * 3)
    path.chmod(0o600)
    monkeypatch.setenv(SECRET_ENV, str(path))
    return path
