"""Which process runs on which core, where the system lets us say so (Linux).

    with Cores.divided() as cores:
        with cores.measured():
            start(worker)           # a child inherits where it may run

What is measured has one core to itself, or as many as asked for; everything else, this process and its
other children included, shares the rest. Without a core for the rest, or on a system without affinity,
nobody is bound.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Set

import msgspec


class Cores(msgspec.Struct, frozen=True):
    """`measured_cores` are for what is under test, `other_cores` for the rest; empty: not bound."""

    measured_cores: Set[int]
    other_cores: Set[int]

    @staticmethod
    @contextlib.contextmanager
    def divided(measured: int = 1) -> "Iterator[Cores]":
        """Divide the cores that this process may use; at the end it may use them all again."""
        if sys.platform != "linux":
            yield Cores(frozenset(), frozenset())
            return
        allowed = os.sched_getaffinity(0)
        if len(allowed) <= measured:
            yield Cores(frozenset(), frozenset())
            return
        last = set(sorted(allowed)[-measured:])
        cores = Cores(last, allowed - last)
        os.sched_setaffinity(0, cores.other_cores)
        try:
            yield cores
        finally:
            os.sched_setaffinity(0, allowed)

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Start processes on the measured cores."""
        if sys.platform != "linux" or not self.measured_cores:
            yield
            return
        os.sched_setaffinity(0, self.measured_cores)
        try:
            yield
        finally:
            os.sched_setaffinity(0, self.other_cores)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
