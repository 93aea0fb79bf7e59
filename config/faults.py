"""What is wrong with a config folder: each fault by file, line and column, all of them at once."""

import msgspec

SchemaPath = tuple[str | int, ...]
"""A value's place in a `config.schema.Bundle`: ``("advertisers", 0, "campaigns", 2, "budget", "daily")``."""


class Fault(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """One thing to mend. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    message: str
    copy: str = ""
    """The copy of a template that it is in (`config.templates`), until those of all are brought together."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ConfigFaults(Exception):  # noqa: N818 - it is what the manager sees: faults, each with its place
    """The folder can't be used; `faults` is everything that is wrong with it."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults
