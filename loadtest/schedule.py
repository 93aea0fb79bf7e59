"""When each request is due: an open loop, so a slow bidder does not slow its own examination.

A client that sends the next request only after the last answer stops asking exactly while the
bidder is stuck, and so leaves the worst moments out of its figures ("coordinated omission"). Here
the moments are fixed beforehand, whatever the bidder does, and latency counts from the planned
moment, not from the moment the client got round to sending. The idea, and the name, are explained
in the README of wrk2 (github.com/giltene/wrk2) by Gil Tene.

Real traffic of many independent visitors is close to a Poisson process, so the gaps are
exponential: bursts and lulls are part of the load. Where the rate has a shape, the gaps are exponential in
the requests expected, and those are turned into seconds by the shape: with weights 1 and 3, a run of 10 s
at a mean of 100 a second expects 250 in its first half and 750 in its second.
"""

import math
import random
from collections.abc import Iterator, Sequence


def arrivals(
    rate_per_s: float, seconds: float, rng: random.Random, weights: Sequence[float] = (1.0,)
) -> Iterator[float]:
    """Yield moments in seconds after the start, ascending, all before `seconds`.

    The run is cut into as many equal parts as there are weights, and the rate of each is in proportion to
    its weight; `rate_per_s` is the mean. With one weight `seconds` may be `math.inf`. The same arguments
    and generator state give the same moments. Raises ValueError when the rate is not positive, or weights
    are negative, not finite or all zero.
    """
    if rate_per_s <= 0:
        raise ValueError(f"a rate of {rate_per_s} requests a second sends nothing; it must be positive")
    total = math.fsum(weights)
    if not (all(weight >= 0 for weight in weights) and 0 < total < math.inf):
        raise ValueError("the weights of a shape must be from 0 up, and not all 0")
    part_s = seconds / len(weights)
    begin_s, expected = 0.0, rng.expovariate(1.0)
    for weight in weights:
        part_rate = rate_per_s * weight * len(weights) / total
        # What is still expected at the begin of a part is carried over from the one before.
        while part_rate and expected < part_rate * part_s:
            yield begin_s + expected / part_rate
            expected += rng.expovariate(1.0)
        expected -= part_rate * part_s
        begin_s += part_s


def peak_per_s(rate_per_s: float, weights: Sequence[float]) -> float:
    """Return the highest rate that `arrivals` reaches."""
    return rate_per_s * max(weights) * len(weights) / math.fsum(weights)


def arrivals_after_warm_up(
    rate_per_s: float, warm_up_s: float, seconds: float, rng: random.Random, weights: Sequence[float] = (1.0,)
) -> Iterator[float]:
    """Yield the moments of a warm-up at the rate with which the run begins, and then those of the run."""
    first_rate = rate_per_s * weights[0] * len(weights) / math.fsum(weights)
    if warm_up_s and first_rate:
        yield from arrivals(first_rate, warm_up_s, rng)
    for moment_s in arrivals(rate_per_s, seconds, rng, weights):
        yield warm_up_s + moment_s
