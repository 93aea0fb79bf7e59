"""When each request is due: an open loop, so a slow bidder does not slow its own examination.

A client that sends the next request only after the last answer stops asking exactly while the
bidder is stuck, and so leaves the worst moments out of its figures ("coordinated omission"). Here
the moments are fixed beforehand, whatever the bidder does, and latency counts from the planned
moment, not from the moment the client got round to sending. The idea, and the name, are explained
in the README of wrk2 (github.com/giltene/wrk2) by Gil Tene.

Real traffic of many independent visitors is close to a Poisson process, so the gaps are
exponential: bursts and lulls are part of the load.
"""

import random
from collections.abc import Iterator


def arrivals(rate_per_s: float, seconds: float, rng: random.Random) -> Iterator[float]:
    """Yield moments in seconds after the start, ascending, all before `seconds`.

    `seconds` may be `math.inf`. The same rate and generator state give the same moments.
    Raises ValueError when the rate is not positive.
    """
    if rate_per_s <= 0:
        raise ValueError(f"a rate of {rate_per_s} requests a second sends nothing; it must be positive")
    moment_s = rng.expovariate(rate_per_s)
    while moment_s < seconds:
        yield moment_s
        moment_s += rng.expovariate(rate_per_s)
