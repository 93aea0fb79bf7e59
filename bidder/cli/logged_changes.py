"""What goes into the log of changes from the command line: who did it, and what a new config changes."""

import getpass
import os
import socket
from collections.abc import Iterable
from typing import Annotated, Final

import typer

from config.diff import Change
from pacing.change_log import LoggedChange

ByOption = Annotated[
    str,
    typer.Option("--by", metavar="NAME", help="Who does this, for the log; else your user and host."),
]
_FIELDS: Final = frozenset({"budget", "flight", "paused", "pacing"})
"""Fields of campaigns and line items that decide what may be spent, and when."""


def who(by: str) -> str:
    """Return the name given, or the user and host that the command runs as."""
    return by or f"{_user()}@{socket.gethostname()}"


def from_config(changes: Iterable[Change], by: str) -> list[LoggedChange]:
    """Return what of a config's changes belongs into the log: budgets, flights, pauses, pacing; pure."""
    return [
        LoggedChange(
            by=by,
            action="config",
            campaign=change.id,
            what=f"{change.kind} {change.action}" if change.field is None else change.field,
            before=change.before or "",
            after=change.after or "",
        )
        for change in changes
        if _matters(change)
    ]


def _matters(change: Change) -> bool:
    if change.kind == "campaign" and change.field is None:
        return True
    if change.kind not in ("campaign", "line item"):
        return False
    if change.field is None:
        return "budget." in f"{change.before} {change.after}"
    return change.field.partition(".")[0] in _FIELDS


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container's user may have no name.
        return f"uid {os.getuid()}"
