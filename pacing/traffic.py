"""What the hours of a week bring each campaign, learned from the traffic it could have bid on.

    workers      await add_counts(client, {code: 640, ALL: 9_088}, hour)      now and then
    controller   traffic = Traffic(client)
                 await traffic.load()                                        when it takes office
                 await traffic.look(codes, workers_alive, now_s)             at every tick
                 curve = plan_curve(..., traffic.hours(code, utc_offset_s))

A worker counts one batch in SAMPLED (`bidder.port.traffic_report`) and adds to the hour's counts. When an
hour has ended, the elected controller takes its counts into the means of that hour of the week: the first
WEEKS_MAX weeks count alike, then each new one for a quarter. An hour in which workers were alive for less
than half says nothing; one in which they were for most of it is taken as if whole. All of it is in
Redis, so what was learned outlives every process.

An hour of the week that was never seen is guessed from what was, step by step: the campaign's level and the
shape of its days from the hours it has seen; what it has not, from all the engine's traffic; what that
has not, from a day as most are, quiet at four in the morning and busiest at four in the afternoon, in the
campaign's own time. The fewer the requests behind a mean, the more it leans on the guess. So a new
campaign starts with the shape of the engine's traffic, a new engine with a usual day, and a day's
counts are worth most of what there is to learn (one sample of each period suffices for a plan that a
controller corrects: "Robust Budget Pacing with a Single Sample", ICML 2023).

Hours are of UTC: traffic comes when people are awake, whatever clock the campaign's dates are written in.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final, cast

import numpy as np
import redis.asyncio
from numpy.typing import NDArray
from redis.typing import EncodableT, FieldT

from config import redis_keys
from config.calendar import HOURS_PER_WEEK
from config.limits import TRAFFIC_COUNTS_SECONDS
from pacing.curve import HourWeights

ALL: Final = 0
"""The code under which all traffic is counted, whoever matches it. No campaign's code is 0."""
SAMPLED: Final = 64
"""One batch in so many is counted; a power of two."""
WEEKS_MAX: Final = 4
CLOSED_AFTER_S: Final = 60
"""An hour's last counts come within so long after it."""
COVERED_SHARE_MIN: Final = 0.5
LOOK_S_MAX: Final = 30.0
"""A longer pause between two looks covers nothing: nobody knows what happened in it."""
BATCHES_TO_BELIEVE: Final = 20
"""Sampled candidates that weigh as much as the guess."""
HOUR_MIN: Final = 0.02
"""The quietest hour is taken for this much of the mean one, at least: one week without traffic is no law."""
_HOUR_S: Final = 3_600
_MONDAY_HOUR: Final = 4 * 24
"""1970-01-05, the first Monday."""

Hours = NDArray[np.float64]
"""float64[168]: by hour of the week, Monday 00:00 UTC first."""


async def add_counts(client: redis.asyncio.Redis, counts: Mapping[int, int], hour: int) -> None:
    """Add to the counts of an hour, in hours since 1970, by campaign code. Raises redis.RedisError."""
    key = redis_keys.traffic_counts(hour)
    async with client.pipeline(transaction=False) as pipe:
        for code, times in counts.items():
            pipe.hincrby(key, str(code), times)
        pipe.expire(key, TRAFFIC_COUNTS_SECONDS)
        await pipe.execute()


class Learned:
    """The hours one campaign has seen."""

    def __init__(self) -> None:
        self.mean: Hours = np.zeros(HOURS_PER_WEEK)
        """Candidates an hour."""
        self.weeks: Hours = np.zeros(HOURS_PER_WEEK)
        """Of how many weeks it is the mean, up to WEEKS_MAX."""

    def learn(self, hour_of_week: int, count: float) -> None:
        """Take one hour's count in."""
        weeks = min(self.weeks[hour_of_week] + 1, WEEKS_MAX)
        self.weeks[hour_of_week] = weeks
        self.mean[hour_of_week] += (count - self.mean[hour_of_week]) / weeks


class Traffic:
    """What the elected controller knows of all campaigns."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._learned: dict[int, Learned] = {}
        self._since: dict[int, int] = {}
        """Campaign code -> the hour in which it was first seen, which is not whole."""
        self._looked_s = -math.inf
        self._closed = -1

    async def load(self) -> None:
        """Read what was learned before. Raises redis.RedisError."""
        self._learned, self._since, self._looked_s = {}, {}, -math.inf
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.get(redis_keys.TRAFFIC_CLOSED)
            for hour in range(HOURS_PER_WEEK):
                pipe.hgetall(redis_keys.traffic_week(hour))
            closed, *hours = await pipe.execute()
        self._closed = int(closed) if closed is not None else -1
        for hour_of_week, fields in enumerate(hours):
            for code, value in cast(Mapping[bytes, bytes], fields).items():
                mean, weeks = value.split()
                learned = self._learned.setdefault(int(code), Learned())
                learned.mean[hour_of_week], learned.weeks[hour_of_week] = float(mean), float(weeks)

    async def look(self, codes: Iterable[int], workers_alive: bool, now_s: float) -> bool:
        """Note that traffic is being counted, and learn of hours that have ended.

        Returns whether anything was learned. Raises redis.RedisError.
        """
        hour = int(now_s) // _HOUR_S
        for code in (ALL, *codes):
            self._since.setdefault(code, -1 if code in self._learned else hour)
        elapsed_s, self._looked_s = now_s - self._looked_s, now_s
        if workers_alive and 0 < elapsed_s <= LOOK_S_MAX:
            key = redis_keys.traffic_counts(hour)
            await self._client.hincrby(key, redis_keys.TRAFFIC_COVERED, round(elapsed_s * 1_000))
        ended = (int(now_s) - CLOSED_AFTER_S) // _HOUR_S - 1
        if self._closed < 0:
            # What was counted before anybody took notes of it has no measure.
            self._closed = ended
        first = max(self._closed + 1, ended + 1 - TRAFFIC_COUNTS_SECONDS // _HOUR_S)
        for each in range(first, ended + 1):
            await self._close(each, codes)
        return first <= ended

    async def _close(self, hour: int, codes: Iterable[int]) -> None:
        fields = cast(dict[bytes, bytes], await self._client.hgetall(redis_keys.traffic_counts(hour)))
        covered_s = int(fields.get(redis_keys.TRAFFIC_COVERED, 0)) / 1_000
        hour_of_week = (hour - _MONDAY_HOUR) % HOURS_PER_WEEK
        values: dict[FieldT, EncodableT] = {}
        if covered_s >= COVERED_SHARE_MIN * _HOUR_S:
            for code in (ALL, *codes):
                if self._since.get(code, hour) >= hour:
                    continue
                learned = self._learned.setdefault(code, Learned())
                learned.learn(hour_of_week, int(fields.get(b"%d" % code, 0)) * _HOUR_S / covered_s)
                values[str(code)] = f"{learned.mean[hour_of_week]:.1f} {learned.weeks[hour_of_week]:.0f}"
        async with self._client.pipeline(transaction=True) as pipe:
            if values:
                # Whoever is not in the config any more is forgotten with this.
                pipe.delete(redis_keys.traffic_week(hour_of_week))
                pipe.hset(redis_keys.traffic_week(hour_of_week), mapping=values)
            pipe.set(redis_keys.TRAFFIC_CLOSED, hour)
            await pipe.execute()
        self._closed = hour

    def hours(self, code: int, utc_offset_s: int) -> HourWeights:
        """Return what each hour of a week may bring a campaign whose local time is so far ahead of UTC."""
        guess = usual_week(utc_offset_s)
        for known in (self._learned.get(ALL), self._learned.get(code)):
            if known is not None:
                guess = expected(known, guess)
        return guess


def usual_week(utc_offset_s: int) -> Hours:
    """Return a week like any other: four times the traffic at four in the afternoon as at four at night."""
    local = (np.arange(HOURS_PER_WEEK) + utc_offset_s / _HOUR_S) % 24
    hours: Hours = 1 - 0.6 * np.cos(2 * np.pi * (local - 4) / 24)
    return hours


def expected(learned: Learned, guess: Hours) -> Hours:
    """Return what each hour should bring, by what was learned, and the shape of `guess` where it was not."""
    seen = learned.weeks > 0
    if not learned.mean[seen].any():
        return guess
    guess = guess * (learned.mean[seen].sum() / guess[seen].sum())
    # The shape of a day: of each hour of the day, how far what was seen is from the guess.
    days = seen.reshape(7, 24)
    smooth = BATCHES_TO_BELIEVE * SAMPLED
    found = (learned.mean.reshape(7, 24) * days).sum(axis=0) + smooth
    guess = guess * np.tile(found / ((guess.reshape(7, 24) * days).sum(axis=0) + smooth), 7)
    sampled = learned.weeks * guess / SAMPLED
    belief = learned.weeks / (learned.weeks + 0.5) * sampled / (sampled + BATCHES_TO_BELIEVE)
    hours: Hours = belief * learned.mean + (1 - belief) * guess
    bounded: Hours = np.maximum(hours, HOUR_MIN * hours.mean())
    return bounded
