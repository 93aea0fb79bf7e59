"""Clocks that a test sets: processes started with libfaketime take the time of day from a file.

    clock = clock_by(folder / "clock")          # None where there is no libfaketime
    with clock.for_children():
        ...                                     # start a process
    clock.put(240)                              # it is four minutes ahead from now on

It (github.com/wolfcw/libfaketime) is loaded into them and adds to the time of day what the file says. What
they measure durations with (CLOCK_MONOTONIC, CLOCK_BOOTTIME) stays as it is, as it does when an
administrator sets a clock.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_FOLDERS = ("usr/lib/*/faketime", "usr/lib*/faketime", "usr/local/lib/faketime")


def faketime_library() -> Path | None:
    """Return libfaketime as Linux loads it, or None where it is not installed."""
    if sys.platform != "linux":
        return None
    for folder in _FOLDERS:
        for found in Path("/").glob(f"{folder}/libfaketimeMT.so.1"):
            return found
    return None


class SetClock:
    """The clock of the processes that are started with its `environment`. It begins at the true time."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self.put(0)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            # Its name in newer and in older releases.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def put(self, ahead_s: float) -> None:
        """Put the clock so far ahead of the true one; back with a negative figure."""
        # The library reads the file at every look at the clock, and must never find half of it.
        fresh = self._file.with_suffix(".fresh")
        fresh.write_text(f"{ahead_s:+g}\n")
        fresh.replace(self._file)

    @contextlib.contextmanager
    def for_children(self) -> Iterator[None]:
        """Give the clock to every process that this one starts inside the block."""
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def clock_by(file: Path) -> SetClock | None:
    """Return a clock that goes by this file, or None where there is no library for it."""
    library = faketime_library()
    return SetClock(library, file) if library is not None else None
