"""What a trial is made of. Every draw of a trial follows from its seed.

A trial is of one kind, which says what goes wrong and what must hold all the same:

    in_time     any budgets (also by the hour, and of line items), prices and timeouts; workers killed and
                cut off, messages lost and late, the server paused, its clock put forward and back; each bill
                is booked before its timeout
    ample       an in-time trial with more auctions than money: nearly all of a budget must be spent
    scarce      the same with money for some tens or hundreds of bids, and every request at one worker, as of
                an exchange with one connection: all must be spent that is enough for a bid
    late        half an hour of auctions, and one bill in 200 is one to ten minutes late
    held        the same, with money held back for late bills
    rushed      the same in a tenth of the time, too short to learn from bills of its own: other campaigns'
                bills say what is late
    crash       the server dies once and comes back without up to its last second of writes
    outage      the server is away for longer than the timeout; bills wait for it
"""

import random
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["in_time", "ample", "scarce", "late", "held", "rushed", "crash", "outage"]

LATE_SHARE = 0.005
LATE_S = (60.0, 600.0)
STEP_S_MAX = 300.0
LATE_TRIALS_EVERY = 80
"""One of so many trials is late, one held and one rushed: these cost as much as thirty others."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The parameters of one trial. Money in units; a price is a number of units."""

    seed: int
    kind: Kind
    workers: int
    total: int
    daily: int | None = None
    day_s: float = 1e9
    hourly: int | None = None
    hour_s: float = 1e9
    own_total: int | None = None
    """The budget of a line item of each campaign, which makes half of its bids."""
    price_max: int
    bids_per_s: float
    """Chances to bid of each worker, over both campaigns."""
    sticky_s: float = 0.0
    """Where it is not 0, all chances are one worker's for so long, and then another's."""
    win_share: float
    notice_timeout_s: int = 10
    latest_s: float
    """How long after its bid a bill comes at the latest, late ones aside."""
    late_share: float = 0.0
    fault_share: float = 0.0
    """Of the exchanges between worker and ledger: the message or the reply is lost."""
    delay_s_max: float = 0.2
    """Of a message one way."""
    kills: int = 0
    restarts: bool = True
    """Whether a killed worker is replaced, as the supervisor does."""
    partitions: int = 0
    pauses: int = 0
    pause_s_max: float = 0.0
    steps: int = 0
    """How often the server's clock is put forward or back, by up to STEP_S_MAX."""
    clock_jumps: bool = False
    """Whether the workers' clocks step with it; for the test that a trial finds it."""
    crashes: int = 0
    silence_more_s: float = 0.0
    """How much longer than need be the reaper waits; for the test that a trial finds it."""
    seconds: int
    """Of bidding; bills are waited for."""


def world_of(seed: int) -> World:
    """Draw the world of a seed; the kind follows from the seed as well."""
    chance = random.Random(seed)
    if seed % LATE_TRIALS_EVERY == LATE_TRIALS_EVERY - 1:
        return _late(seed, chance)
    if seed % LATE_TRIALS_EVERY == LATE_TRIALS_EVERY // 2 - 1:
        return replace(_late(seed, chance), kind="held")
    if seed % LATE_TRIALS_EVERY == LATE_TRIALS_EVERY // 4 - 1:
        return replace(_late(seed, chance), kind="rushed", bids_per_s=200.0, seconds=180)
    draw = chance.random()
    if draw < 0.15:
        return _ample(seed, chance)
    if draw < 0.2:
        return _scarce(seed, chance)
    if draw < 0.35:
        return _crash(seed, chance)
    if draw < 0.4:
        return _outage(seed, chance)
    return _in_time(seed, chance)


def _in_time(seed: int, chance: random.Random) -> World:
    notice_timeout_s = chance.choice([1, 3, 10])
    pauses = chance.choice([0, 1, 2]) if notice_timeout_s > 1 else 0
    pause_s_max = 0.4 * notice_timeout_s
    return World(
        seed=seed,
        kind="in_time",
        workers=chance.randint(1, 5),
        total=chance.choice([chance.randint(1, 2_000), chance.randint(1, 60_000)]),
        daily=chance.choice([None, chance.randint(0, 20_000)]),
        day_s=chance.choice([15.0, 40.0, 1e9]),
        hourly=chance.choice([None, None, chance.randint(0, 6_000)]),
        hour_s=chance.choice([5.0, 12.0]),
        own_total=chance.choice([None, chance.randint(0, 10_000)]),
        price_max=chance.choice([3, 100, 999]),
        bids_per_s=chance.choice([0.5, 5.0, 15.0]),
        win_share=chance.choice([0.2, 1.0]),
        notice_timeout_s=notice_timeout_s,
        # What the server keeps waiting comes on top, and must be in time with it.
        latest_s=notice_timeout_s - pause_s_max - 1.0 if pauses else notice_timeout_s,
        fault_share=chance.choice([0.0, 0.1, 0.5]),
        delay_s_max=chance.choice([0.02, 0.2, 1.0]),
        kills=chance.randint(0, 3),
        restarts=chance.random() < 0.5,
        partitions=chance.randint(0, 2),
        pauses=pauses,
        pause_s_max=pause_s_max,
        seconds=chance.choice([40, 70, 110]),
        steps=chance.choice([0, 0, 1, 3]),
    )


def _ample(seed: int, chance: random.Random) -> World:
    workers = chance.randint(1, 5)
    return World(
        seed=seed,
        kind="ample",
        workers=workers,
        total=chance.randint(100_000, 200_000),
        price_max=100,
        bids_per_s=150.0 / workers,
        win_share=chance.uniform(0.7, 1.0),
        latest_s=10.0,
        fault_share=chance.choice([0.0, 0.02]),
        kills=chance.randint(0, 3),
        seconds=140,
    )


def _scarce(seed: int, chance: random.Random) -> World:
    workers, bids_per_s = chance.randint(2, 12), chance.choice([10.0, 60.0])
    return World(
        seed=seed,
        kind="scarce",
        workers=workers,
        # In an even stream it would last for half of the time at most.
        total=chance.randint(2_000, int(800 * bids_per_s)),
        price_max=100,
        bids_per_s=bids_per_s / workers,
        sticky_s=chance.choice([7.0, 30.0, 1_000.0]),
        win_share=chance.uniform(0.7, 1.0),
        latest_s=10.0,
        fault_share=chance.choice([0.0, 0.02]),
        kills=chance.randint(0, 2),
        seconds=140,
    )


def _late(seed: int, chance: random.Random) -> World:
    # The budget goes in about two thirds of the half hour.
    return World(
        seed=seed,
        kind="late",
        workers=3,
        total=1_400_000,
        price_max=100,
        bids_per_s=20.0,
        win_share=chance.uniform(0.8, 0.9),
        latest_s=10.0,
        late_share=LATE_SHARE,
        kills=chance.randint(0, 3),
        seconds=1_800,
    )


def _crash(seed: int, chance: random.Random) -> World:
    return World(
        seed=seed,
        kind="crash",
        workers=chance.randint(1, 5),
        total=chance.randint(5_000, 60_000),
        own_total=chance.choice([None, chance.randint(500, 10_000)]),
        price_max=chance.choice([20, 100]),
        bids_per_s=chance.choice([5.0, 20.0, 60.0]),
        win_share=chance.choice([0.3, 1.0]),
        latest_s=7.0,
        fault_share=chance.choice([0.0, 0.05]),
        kills=chance.randint(0, 1),
        crashes=1,
        seconds=chance.choice([40, 70]),
    )


def _outage(seed: int, chance: random.Random) -> World:
    return World(
        seed=seed,
        kind="outage",
        workers=chance.randint(1, 5),
        total=chance.randint(20_000, 60_000),
        own_total=chance.choice([None, chance.randint(2_000, 10_000)]),
        price_max=100,
        bids_per_s=chance.choice([5.0, 20.0]),
        win_share=chance.choice([0.3, 1.0]),
        latest_s=10.0,
        pauses=1,
        pause_s_max=40.0,
        seconds=100,
    )
