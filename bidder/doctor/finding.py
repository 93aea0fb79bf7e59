"""What the doctor says of one thing it looked at."""

from typing import Literal

import msgspec

Level = Literal["ok", "warn", "fail", "unknown"]


class Finding(msgspec.Struct, frozen=True):
    """`fail`: the engine will not run, or lose money or data; `warn`: it runs, and worse than it could.

    `mend` says how it is put right; empty where it is.
    """

    check: str
    level: Level
    says: str
    mend: str = ""


def ok(check: str, says: str) -> Finding:
    """All is well; there is nothing to mend."""
    return Finding(check, "ok", says)


def warn(check: str, says: str, mend: str) -> Finding:
    """The engine runs, and worse than it could."""
    return Finding(check, "warn", says, mend)


def fail(check: str, says: str, mend: str) -> Finding:
    """The engine will not run, or lose money or data."""
    return Finding(check, "fail", says, mend)


def unknown(check: str, says: str) -> Finding:
    """Something that can't be looked at here."""
    return Finding(check, "unknown", says)
