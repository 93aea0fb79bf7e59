"""Real inputs that live beside the project: used where they are, skipped where they are not."""

import os
from pathlib import Path

import pytest

DATA_ENV = "HUSTINGS_SHARED_DATA"


def shared_data(*parts: str) -> Path:
    """Return a path below the shared data folder; skips the test when it is not there."""
    named = os.environ.get(DATA_ENV)
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    path = folder.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no {'/'.join(parts)} in the shared data folder ({DATA_ENV} names another)")
    return path
