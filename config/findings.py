"""What the checks of a bundle find, and the names they hold other names against."""

from collections.abc import Iterable, Set

import msgspec

from config.faults import SchemaPath


class Finding(msgspec.Struct, frozen=True):
    """A fault at a place in the bundle; `first` is the place it clashes with, where there is one."""

    path: SchemaPath
    message: str
    first: SchemaPath | None = None


class Findings:
    """Collects findings; those that rest on a value refused already are left out."""

    def __init__(self, doubtful: Set[SchemaPath]) -> None:
        self.made: list[Finding] = []
        self._doubtful = doubtful

    def add(
        self,
        path: SchemaPath,
        message: str,
        *,
        rests_on: Iterable[SchemaPath] = (),
        first: SchemaPath | None = None,
    ) -> None:
        """Note a finding, unless `path` or something it rests on was refused already."""
        if not any(map(self._is_doubtful, (path, *rests_on))):
            self.made.append(Finding(path, message, first))

    def _is_doubtful(self, path: SchemaPath) -> bool:
        return any(path[:length] in self._doubtful for length in range(1, len(path) + 1))


class Known(msgspec.Struct, frozen=True):
    """Names that may be used, and where they were written: one refused there may be the one meant."""

    names: frozenset[str]
    written: tuple[SchemaPath, ...]


def known(names: Iterable[str], list_path: SchemaPath, field: str) -> Known:
    """Return the names of a list's items, written in their `field`."""
    names = tuple(names)
    written = (list_path, *((*list_path, index, field) for index in range(len(names))))
    return Known(frozenset(names), written)
