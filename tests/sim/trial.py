"""One trial: a world run to its end, held to what its kind guarantees.

    figures = run_trial(seed)       # raises BrokenPromise, which names the seed and the figure

`check()` of every account runs after each message and each bill, and of every book after each exchange
with the ledger (`server`, `exchange`, `fleet`); what a whole trial must come to is `judge`.
"""

import random
from functools import partial

import msgspec

from tests.sim.caps import CapTrial, cap_world_of
from tests.sim.clock import START_S, Clock
from tests.sim.controller import start_holding_back
from tests.sim.exchange import Exchange
from tests.sim.fleet import Fleet
from tests.sim.server import CODES, Server
from tests.sim.world import STEP_S_MAX, World, world_of

STRANDED_S_MAX = 15.0
USED_SHARE_MIN = 0.995
OVERSPEND_LATE_SHARE_MAX = 0.002
OVERSPEND_LATE_HOLDBACK_SHARE_MAX = 0.0002
CAP_OVERSHOOT_MAX = 1
DRAIN_S = 700.0
"""Bills are waited for at most this long; then every lease has gone back too."""


class BrokenPromise(AssertionError):  # noqa: N818 - a finding, not a fault of this code
    """A guarantee did not hold; the message says which, and in which trial."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial came to, or the worst of many. None where nothing was tried that could show it."""

    trials: int = 1
    overspend_units_max: int | None = None
    """Units over a total, daily or hourly budget, with every bill in time."""
    overspend_late_share_max: float | None = None
    """Of the budget, with one bill in 200 one to ten minutes late."""
    overspend_late_holdback_share_max: float | None = None
    """The same, with money held back for late bills."""
    overspend_lost_second_units_max: int | None = None
    """Truly spent over the total, less what was leased in the second a dying server forgot."""
    unexplained_units_max: int | None = None
    """What the ledger and the exchange's books disagree on."""
    stranded_s_max: float | None = None
    """From a worker's kill to the return of its lease."""
    used_share_min: float | None = None
    duplicates_booked: int = 0
    cap_overshoot_max: int | None = None
    """Impressions beyond a frequency cap that one person was shown, with several workers."""
    cap_overshoot_one_worker_max: int | None = None


def worst(one: Figures, other: Figures) -> Figures:
    """Put the figures of two sets of trials together."""
    values: dict[str, float | None] = {}
    for field in msgspec.structs.fields(Figures):
        both = getattr(one, field.name), getattr(other, field.name)
        known = [value for value in both if value is not None]
        if not known:
            values[field.name] = None
        elif field.name.endswith("_max"):
            values[field.name] = max(known)
        elif field.name.endswith("_min"):
            values[field.name] = min(known)
        else:
            values[field.name] = sum(known)
    return msgspec.convert(values, Figures)


class Trial:
    """One world, running."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = Clock()
        chance = random.Random(world.seed)
        self.server = Server(world, self.clock, chance)
        self.exchange = Exchange(world, self.clock, chance, self.server)
        self.fleet = Fleet(world, self.clock, chance, self.server, self.exchange)
        if world.kind in ("held", "rushed"):
            start_holding_back(world, self.clock, self.server)
        within_s = 0.5 * world.seconds
        for _ in range(world.kills):
            self.clock.at(chance.uniform(0, within_s), self.fleet.kill_one)
        for _ in range(world.partitions):
            self.clock.at(chance.uniform(0, within_s), self.fleet.cut_off_one)
        for _ in range(world.pauses):
            pause = partial(self.server.pause, world.pause_s_max * chance.random())
            self.clock.at(chance.uniform(0, world.seconds), pause)
        for _ in range(world.steps):
            step = partial(self.server.step, chance.uniform(-STEP_S_MAX, STEP_S_MAX))
            self.clock.at(chance.uniform(0, world.seconds), step)
        for _ in range(world.crashes):
            self.clock.at(chance.uniform(1.0, within_s), self.server.crash_soon)

    def run(self) -> Figures:
        """Bid for the world's time, wait for the bills, and say what came of it."""
        end_s = START_S + self.world.seconds
        self.clock.run_until(end_s)
        used = [self._used_share(self.server.books.ledgers[code].spent) for code in CODES]
        self.fleet.bidding = False
        while self.exchange.bills_out and self.clock.now_s < end_s + DRAIN_S:
            self.clock.run_until(self.clock.now_s + 1.0)
        assert not self.exchange.bills_out, "every bill has come"
        self.fleet.stop()
        self.clock.run_until(self.clock.now_s + 60.0)
        return self._figures(min(used))

    def _used_share(self, spent: int) -> float:
        """What is left may be too little for the dearest bid; of a budget of a few bids that is much."""
        if self.world.kind == "scarce":
            spent = min(spent + self.world.price_max - 1, self.world.total)
        return spent / self.world.total

    def _figures(self, used_share: float) -> Figures:
        world, exchange, server = self.world, self.exchange, self.server
        over = {code: exchange.spent[code] - ledger.total for code, ledger in server.books.ledgers.items()}
        worst_over = max(0, *over.values())
        unexplained = max(
            abs(ledger.spent - exchange.spent[code]) for code, ledger in server.books.ledgers.items()
        )
        in_time = world.kind in ("in_time", "ample", "scarce")
        crash = world.kind == "crash"
        holding_back = world.kind in ("held", "rushed")
        return Figures(
            overspend_units_max=max(worst_over, exchange.over_period, exchange.uncovered_in_time)
            if in_time
            else None,
            overspend_late_share_max=worst_over / world.total if world.kind == "late" else None,
            overspend_late_holdback_share_max=worst_over / world.total if holding_back else None,
            overspend_lost_second_units_max=max(0, *(over[c] - server.forgotten[c] for c in server.codes))
            if crash
            else None,
            unexplained_units_max=unexplained,
            stranded_s_max=self._stranded_s(),
            used_share_min=used_share if world.kind in ("ample", "scarce", "held") else None,
            duplicates_booked=exchange.duplicates_booked,
        )

    def _stranded_s(self) -> float | None:
        world = self.world
        if world.notice_timeout_s > 10 or world.delay_s_max > 0.2 or world.pauses or world.crashes:
            return None
        found = [
            gone_s - self.fleet.killed_s[owner]
            for (_, owner), gone_s in self.server.gone_s.items()
            if owner in self.fleet.killed_s
        ]
        return max(found, default=None)


def _cap_figures(seed: int) -> Figures:
    world = cap_world_of(seed)
    overshoot = CapTrial(world).run()
    if world.workers == 1:
        return Figures(trials=0, cap_overshoot_one_worker_max=overshoot)
    return Figures(trials=0, cap_overshoot_max=overshoot)


def judge(figures: Figures) -> list[str]:
    """Return a sentence for each guarantee that the figures break."""
    bounds: list[tuple[str, float | None, float]] = [
        ("units overspent with every bill in time", figures.overspend_units_max, 0),
        ("of a budget overspent by late bills", figures.overspend_late_share_max, OVERSPEND_LATE_SHARE_MAX),
        (
            "of a budget overspent by late bills in spite of the hold-back",
            figures.overspend_late_holdback_share_max,
            OVERSPEND_LATE_HOLDBACK_SHARE_MAX,
        ),
        ("units overspent beyond what a dying server forgot", figures.overspend_lost_second_units_max, 0),
        ("units on which ledger and exchange disagree", figures.unexplained_units_max, 0),
        ("seconds a killed worker's lease was away", figures.stranded_s_max, STRANDED_S_MAX),
        ("bills booked twice", figures.duplicates_booked, 0),
        ("impressions beyond a frequency cap", figures.cap_overshoot_max, CAP_OVERSHOOT_MAX),
        ("impressions beyond one worker's cap", figures.cap_overshoot_one_worker_max, 0),
    ]
    broken = [
        f"{value:g} {what}; at most {bound:g} allowed"
        for what, value, bound in bounds
        if (value or 0) > bound
    ]
    if figures.used_share_min is not None and figures.used_share_min < USED_SHARE_MIN:
        broken.append(f"{figures.used_share_min:.5f} of a budget used; at least {USED_SHARE_MIN} promised")
    return broken


def run_trial(seed: int) -> Figures:
    """Run the trial of a seed; raises BrokenPromise when it breaks a guarantee."""
    world = world_of(seed)
    try:
        figures = worst(Trial(world).run(), _cap_figures(seed))
    except AssertionError as error:
        raise BrokenPromise(f"seed {seed} ({world.kind}): {error}") from error
    broken = judge(figures)
    if broken:
        raise BrokenPromise(f"seed {seed} ({world.kind}): {'; '.join(broken)}")
    return figures
