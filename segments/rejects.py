"""The file of rejected lines: where each was, and why it was not loaded; never what it said.

    file,line,reason
    audience.csv,17,the id is empty

The input is the operator's own and has the ids; a copy of them in clear would be one more file to guard.
It is made when there is a first line to reject, and continued by a load that is resumed.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TextIO

from segments.rows import Fault
from segments.segment_file import LoadError

_HEADER = ("file", "line", "reason")


class Rejects:
    """Writes the rejects of one load; a context manager."""

    def __init__(self, path: Path, keep_bytes: int = 0) -> None:
        """`keep_bytes` of an earlier file stay, the rest of it goes. Raises LoadError."""
        self._path = path
        self._file: TextIO | None = None
        try:
            if not keep_bytes:
                path.unlink(missing_ok=True)
            else:
                self._file = path.open("r+", encoding="utf-8", newline="")
                self._file.truncate(keep_bytes)
                self._file.seek(keep_bytes)
        except OSError as error:
            raise LoadError(f"can't replace {path}: {error.strerror}") from None

    def write(self, file: str, faults: Iterable[Fault]) -> int:
        """Append the faults of one file; return the size of the rejects so far, in bytes."""
        faults = sorted(faults, key=lambda fault: fault.line)
        try:
            if faults:
                if self._file is None:
                    self._file = self._path.open("w", encoding="utf-8", newline="")
                    csv.writer(self._file).writerow(_HEADER)
                csv.writer(self._file).writerows([file, fault.line, fault.reason] for fault in faults)
                self._file.flush()
            return self._file.tell() if self._file is not None else 0
        except OSError as error:
            raise LoadError(f"can't write {self._path}: {error.strerror}") from None

    def __enter__(self) -> "Rejects":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
