"""What every benchmark reports: figures with their spread, a hash of the results, the machine.

A figure on a shared machine is a range, not a number, so each is measured several times and told as
median, minimum and maximum. The hash is of what was computed, never of how long it took: two
runs of the same code agree on it, and a change of behaviour shows.
"""

import hashlib
import os
import platform
import statistics
from collections.abc import Iterable, Sequence

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """One figure, measured several times."""

    median: float
    min: float
    max: float


def spread(values: Sequence[float], digits: int = 3) -> Spread:
    """Summarise one or more measurements."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return Spread(round(middle, digits), round(low, digits), round(high, digits))


def result_hash(parts: Iterable[bytes]) -> str:
    """Return 16 hex digits that stand for all results, in their order."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def machine() -> str:
    """Describe the machine as far as a figure depends on it."""
    system = f"{platform.system()} {platform.machine()}"
    return f"{system}, {os.cpu_count()} cores, {platform.python_implementation()} {platform.python_version()}"
