"""Trials of the money in virtual time (`tests.sim`): some of each kind. `make sim TRIALS=1000` runs more."""

from dataclasses import replace
from functools import partial

import msgspec
import pytest

from tests.sim.caps import CapTrial, cap_world_of
from tests.sim.clock import START_S
from tests.sim.trial import BrokenPromise, Figures, Trial, judge, run_trial, worst
from tests.sim.world import LATE_TRIALS_EVERY, Kind, World, world_of

SEEDS: dict[Kind, int] = {"in_time": 12, "ample": 3, "scarce": 8, "crash": 5, "outage": 2}


def seeds_of(kind: Kind) -> list[int]:
    found = [seed for seed in range(10 * LATE_TRIALS_EVERY) if world_of(seed).kind == kind]
    return found[: SEEDS[kind]]


@pytest.mark.parametrize("kind", SEEDS)
def test_trials_of_each_kind_hold_what_is_promised(kind: Kind) -> None:
    for seed in seeds_of(kind):
        run_trial(seed)


def test_late_bills_overspend_little() -> None:
    # A third of the half hour, with a third of the money.
    world = world_of(LATE_TRIALS_EVERY - 1)
    shorter = replace(world, total=world.total // 3, seconds=world.seconds // 3)
    figures = Trial(shorter).run()
    assert figures.overspend_late_share_max is not None
    assert 0 < figures.overspend_late_share_max < 0.005, "no more than what was late"


def test_what_late_bills_need_is_held_back() -> None:
    run_trial(LATE_TRIALS_EVERY // 2 - 1)


def test_a_budget_that_is_gone_before_its_first_late_bill_is_held_to_what_others_know() -> None:
    run_trial(LATE_TRIALS_EVERY // 4 - 1)


def test_bursts_exceed_a_cap_by_one_impression_at_most() -> None:
    # Without what is pending they would exceed it by whole bursts.
    overshoot_one, overshoot_several, shown_share = 0, 0, 0.0
    worlds = [cap_world_of(seed) for seed in range(40)]
    for world in worlds:
        trial = CapTrial(world)
        overshoot = trial.run()
        if world.workers == 1:
            overshoot_one = max(overshoot_one, overshoot)
        else:
            overshoot_several = max(overshoot_several, overshoot)
        shown_share += sum(trial.shown) / world.per_day / len(trial.shown) / len(worlds)
    assert overshoot_one == 0
    assert overshoot_several <= 1
    assert shown_share > 0.8, "a cap is not kept by showing nothing"


def test_a_seed_is_a_trial() -> None:
    seed = seeds_of("in_time")[0]
    assert run_trial(seed) == run_trial(seed)


def quiet_world(**changes: object) -> World:
    """Nothing goes wrong, and there is more to buy than money."""
    world = World(
        seed=1,
        kind="ample",
        workers=3,
        total=50_000,
        price_max=100,
        bids_per_s=40.0,
        win_share=1.0,
        latest_s=9.0,
        seconds=60,
    )
    return msgspec.convert(world.__dict__ | changes, World)


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"latest_s": 30.0}, "overspent with every bill in time"),
        ({"kind": "late", "late_share": 0.2}, "overspent by late bills"),
        ({"bids_per_s": 2.0}, "of a budget used"),
        ({"kills": 1, "notice_timeout_s": 10, "delay_s_max": 0.2, "silence_more_s": 5.0}, "lease was away"),
    ],
)
def test_a_broken_guarantee_is_found(changes: dict[str, object], broken: str) -> None:
    assert not judge(Trial(quiet_world()).run())
    sentences = judge(Trial(quiet_world(**changes)).run())
    assert any(broken in sentence for sentence in sentences), sentences


def test_a_servers_clock_that_is_set_costs_nobody_money() -> None:
    assert not judge(Trial(quiet_world(kind="in_time", steps=3)).run())
    # By a clock that is set with the server's, what is under way would expire at once.
    trial = Trial(quiet_world(kind="in_time", clock_jumps=True))
    trial.clock.at(15.0, partial(trial.server.step, 60.0))
    assert any("with every bill in time" in sentence for sentence in judge(trial.run()))


@pytest.mark.parametrize("seed", range(3))
def test_workers_cut_off_for_long_start_over_with_nothing_overspent(seed: int) -> None:
    # A bid now and then, so that a lease outlasts the patience of the ledger.
    world = quiet_world(
        seed=seed, kind="in_time", bids_per_s=0.2, notice_timeout_s=3, latest_s=3.0, seconds=120
    )
    trial = Trial(world)
    for worker in trial.fleet.workers:
        cut = partial(trial.server.cut_off_until_s.__setitem__, worker.owner, START_S + 60)
        trial.clock.at(5.0, cut)
    figures = trial.run()
    assert trial.fleet.lost_workers == 3
    assert figures.overspend_units_max == 0
    assert all(spent > 0 for spent in trial.exchange.spent.values())


def test_the_worst_of_two_sets_of_trials() -> None:
    one = Figures(trials=2, overspend_units_max=3, used_share_min=0.9, duplicates_booked=1)
    other = Figures(trials=3, used_share_min=0.8, stranded_s_max=4.0, duplicates_booked=1)
    assert worst(one, other) == Figures(
        trials=5, overspend_units_max=3, used_share_min=0.8, stranded_s_max=4.0, duplicates_booked=2
    )


def test_a_broken_trial_names_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.sim.trial.USED_SHARE_MIN", 1.1)
    seed = seeds_of("ample")[0]
    with pytest.raises(BrokenPromise, match=f"seed {seed} "):
        run_trial(seed)
