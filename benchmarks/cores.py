"""Which process runs on which core, where the system lets us say so (Linux).

    with Cores.divided() as cores:
        with cores.measured():
            start(worker)           # a child inherits where it may run

What is measured has one core to itself; everything else, this process and its other children
included, shares the rest. With a single core, or on a system without affinity, nobody is bound.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Set

import msgspec


class Cores(msgspec.Struct, frozen=True):
    """`measured_core` is for the process under test, `other_cores` for the rest; empty: not bound."""

    measured_core: Set[int]
    other_cores: Set[int]

    @staticmethod
    @contextlib.contextmanager
    def divided() -> "Iterator[Cores]":
        """Divide the cores that this process may use; at the end it may use them all again."""
        if sys.platform != "linux":
            yield Cores(frozenset(), frozenset())
            return
        allowed = os.sched_getaffinity(0)
        last = {max(allowed)}
        if allowed == last:
            yield Cores(frozenset(), frozenset())
            return
        cores = Cores(last, allowed - last)
        os.sched_setaffinity(0, cores.other_cores)
        try:
            yield cores
        finally:
            os.sched_setaffinity(0, allowed)

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Start processes on the measured core."""
        if sys.platform != "linux" or not self.measured_core:
            yield
            return
        os.sched_setaffinity(0, self.measured_core)
        try:
            yield
        finally:
            os.sched_setaffinity(0, self.other_cores)
