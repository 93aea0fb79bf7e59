"""Frequency caps in a trial: people in bursts, over several workers, held to how often they were shown an ad.

The records are what the events process writes, the table of pending bids and the arithmetic are the real
ones (`pacing.kernels`), as the decision kernel calls them: a bid is made where the cap leaves more than
is pending, and counts as seen until its timeout. Its impression is counted some seconds later, in time, or
never. Each worker learns its place among the living ones from its own sync, up to half a second late.
"""

import random
from functools import partial
from typing import NamedTuple

import numpy as np

from config.schema import FrequencyCap
from pacing.caps import CAP_RECORD, limits_of
from pacing.kernels import (
    counts_until,
    hold_pending,
    impressions_left,
    pending_count,
    pending_key,
    share_of,
)
from pacing.pending import PLACE_SETTLES_MORE_S, Pending, open_pending
from tests.sim.clock import START_S, Clock

CODE = 0xCA9
PEOPLE = 6
BUCKETS = 256
REQUESTS = 600
TIMEOUT_S = 10
SECONDS = 60.0
BURST_MAX = 12
WIN_SHARE = 0.7
REAPED_S = 14.0
RENUMBERED_WITHIN_S = 0.5


class CapWorld(NamedTuple):
    """Some workers, one of whom may be killed, and a cap of so many impressions a day."""

    seed: int
    workers: int
    per_day: int
    killed: bool


def cap_world_of(seed: int) -> CapWorld:
    """Draw the world of a seed."""
    chance = random.Random(seed)
    workers = chance.choice([1, 1, 2, 3, 4])
    return CapWorld(seed, workers, chance.randint(1, 8), workers > 1 and chance.random() < 0.3)


class CapTrial:
    """One world, running: `shown` counts each person's impressions."""

    def __init__(self, world: CapWorld) -> None:
        self.world = world
        self._chance = random.Random(world.seed)
        self._clock = Clock()
        self._limits = np.array([limits_of(FrequencyCap(per_day=world.per_day), 0)], np.int64)
        self._records = np.zeros(PEOPLE, CAP_RECORD)
        self._records["key"], self._records["kept_day"] = CODE, np.iinfo(np.uint16).max
        self._alive = [self._opened(place) for place in range(world.workers)]
        self.shown = [0] * PEOPLE

    def run(self) -> int:
        """Return by how many impressions the cap was exceeded for the person it was most exceeded for."""
        for _ in range(REQUESTS // BURST_MAX):
            self._clock.at(self._chance.uniform(0, SECONDS), self._burst)
        if self.world.killed:
            self._clock.at(self._chance.uniform(0, SECONDS), self._kill_one)
        self._clock.run_until(START_S + SECONDS + TIMEOUT_S + 1)
        return max(0, max(self.shown) - self.world.per_day)

    def _opened(self, place: int) -> Pending:
        pending = open_pending(BUCKETS)
        pending.place[:] = place, self.world.workers
        return pending

    def _kill_one(self) -> None:
        """One is gone, and its number until it is reaped; then each of the others finds its new place."""
        del self._alive[self._chance.randrange(len(self._alive))]
        for place, pending in enumerate(self._alive):
            after_s = REAPED_S + self._chance.uniform(0, RENUMBERED_WITHIN_S)
            self._clock.at(after_s, partial(self._renumber, pending, place))

    def _renumber(self, pending: Pending, place: int) -> None:
        if pending.move(place, len(self._alive)):
            self._clock.at(2 * TIMEOUT_S + PLACE_SETTLES_MORE_S, pending.settle)

    def _burst(self) -> None:
        """One person asks many times within a second, any worker."""
        person = self._chance.randrange(PEOPLE)
        for _ in range(self._chance.randint(1, BURST_MAX)):
            self._clock.at(self._chance.random(), partial(self._request, person))

    def _request(self, person: int) -> None:
        now_s = int(self._clock.now_s)
        pending = self._chance.choice(self._alive)
        left = impressions_left(self._records, person, person + 1, CODE, self._limits, 0, now_s)
        key = np.uint64(pending_key(np.uint64(person + 1), CODE))
        if pending_count(pending, key, now_s) >= share_of(left, key, pending):
            return
        hold_pending(pending, key, counts_until(pending, TIMEOUT_S, now_s), now_s)
        if self._chance.random() < WIN_SHARE:
            self._clock.at(self._chance.uniform(0.02, TIMEOUT_S), partial(self._show, person))

    def _show(self, person: int) -> None:
        self.shown[person] += 1
        record = self._records[person]
        record["count_day"] = record["count_hour"] = self.shown[person]
        record["last_seen_minutes"] = int(self._clock.now_s) // 60
