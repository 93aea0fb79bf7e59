"""Questions about metric values: a total, a split by one label, a quantile of a histogram.

All functions are pure and take what a collector yields, here the merged values of every process.
"""

import math
from collections.abc import Iterable, Sequence

from prometheus_client import Metric


def split(metrics: Iterable[Metric], name: str, label: str, **where: str) -> dict[str, int]:
    """Return a counter's values by one label, the others added up; `where` keeps some label values.

    `name` is the counter's, without `_total`. A counter that nobody has written is empty.
    """
    values: dict[str, int] = {}
    for metric in metrics:
        if metric.name != name:
            continue
        for sample in metric.samples:
            if sample.name == f"{name}_total" and where.items() <= sample.labels.items():
                key = sample.labels.get(label, "")
                values[key] = values.get(key, 0) + round(sample.value)
    return values


def total(metrics: Iterable[Metric], name: str, **where: str) -> int:
    """Return the sum of a counter's values; see `split`."""
    return sum(split(metrics, name, "", **where).values())


def buckets(metrics: Iterable[Metric], name: str) -> list[tuple[float, float]]:
    """Return a histogram's (upper bound, observations up to it) in ascending order of bounds."""
    return sorted(
        (float(sample.labels["le"]), sample.value)
        for metric in metrics
        if metric.name == name
        for sample in metric.samples
        if sample.name == f"{name}_bucket"
    )


def quantile(cumulative: Sequence[tuple[float, float]], share: float) -> float | None:
    """Estimate the value below which `share` (0 to 1) of a histogram's observations lie.

    As Prometheus does it: observations are taken to be spread evenly within a bucket; those past
    the last bound count as being at it. None when there are no observations.
    """
    if not cumulative or not cumulative[-1][1]:
        return None
    rank = share * cumulative[-1][1]
    low, below = 0.0, 0.0
    for bound, up_to in cumulative:
        if math.isinf(bound):
            return low
        if up_to >= rank and up_to > below:
            return low + (bound - low) * max(rank - below, 0.0) / (up_to - below)
        low, below = bound, up_to
    return low
