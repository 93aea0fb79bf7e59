"""Why campaigns do not bid, from samples: what `hustings campaign report` says of each.

    sample = ReasonSample(client)
    bidder.sample = sample              # which asks `wanted`, and calls `take` when it is
    await sample.run()                  # beside the ticks
    await sample.send(now_s)            # with them

The path of a request knows one reason, that of the ad that came furthest; for each of a thousand campaigns
it would cost more than the decision. So one request at a time is kept as it was decided, and beside the path
the naive twin (`bidder.decision.explain`) says how far one campaign came on it. Campaigns take turns, each
with a request of its own, and every turn is one count of one reason. A worker gives it LOAD of its time: with
ten campaigns each is asked several times a second, with ten thousand line items each campaign every minute
or so. That is a sample; the report says how many of each it has.

A campaign's reason is that of its ad that came furthest on any imp, in the open auction or under a deal:
`bid` when one was chosen, `outranked` when one could have been and another ad of this engine was, else the
name of a `Reason`, or, where targeting stopped all of them, of the `Mismatch` of whoever came furthest.

The floors it asks in the open auction are counted as well (`pacing.floors_seen`).

A kept request lives for one turn and never leaves the worker. Requests that are refused unseen (tests, no
time, fraud) say nothing of campaigns, and are not kept. Bids under way count for no frequency cap here.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import redis.asyncio

from bidder.decision.bitrows import BitRow
from bidder.decision.explain import Market, Person, Verdict, judge
from bidder.decision.reasons import Mismatch, Reason
from bidder.decision.scoring import Predict, no_prediction
from bidder.decision.snapshot import Snapshot
from bidder.openrtb.opportunity import DealOffer, Opportunity, Slot
from config import redis_keys
from config.calendar import SECONDS_PER_DAY, local_day
from config.limits import DELIVERED_SECONDS
from config.schema import account_code, code_of
from pacing.caps import seen_of
from pacing.cells import Cell, cells_of
from pacing.delivery import WHY
from pacing.floors_seen import FloorsSeen
from pacing.lease import LeaseBook
from pacing.shading import shade
from segments.bitsets import indices_from_bits

LOAD: Final = 0.005
"""The share of a worker's time that turns take."""
SLICE_SECONDS: Final = 0.0005
"""About the longest that requests wait for a turn; it goes on after them."""
PAUSE_SECONDS_MIN: Final = 0.05
ADS_PER_TURN_MAX: Final = 256
"""Of a campaign with more ads, as many are drawn for a turn."""
BID: Final = "bid"
OUTRANKED: Final = "outranked"

_MISMATCH_ORDER = {mismatch: place for place, mismatch in enumerate(Mismatch)}


class Sampled(msgspec.Struct, frozen=True):
    """One request as it was decided."""

    snapshot: Snapshot
    active: BitRow
    shading: npt.NDArray[np.int64]
    book: LeaseBook
    opportunity: Opportunity
    segment_bits: BitRow
    known: bool
    """The person's frequency caps are known."""
    caps: bytes | None
    chosen: Set[int]
    """The ads that were bid."""
    now_s: int


class ReasonSample:
    """The sample of one worker."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.wanted = False
        """A request should be kept: all that the path of a request looks at."""
        self.predict: Predict = no_prediction
        self._client = client
        self._kept: Sampled | None = None
        self._arrived = asyncio.Event()
        self._counts: Counter[tuple[int, str]] = Counter()
        self._floors = FloorsSeen()
        self._random = random.Random()
        self._of: Snapshot | None = None
        self._turns: Iterator[str] = iter(())
        self._ads: Mapping[str, list[int]] = {}
        self._cells: Mapping[Cell, int] = {}
        self._rows: Mapping[int, int] = {}

    def take(self, sampled: Sampled) -> None:
        """Keep a request for the next turn."""
        self._kept, self.wanted = sampled, False
        self._arrived.set()

    async def run(self) -> None:
        """Take turns for ever."""
        while True:
            self.wanted = True
            await self._arrived.wait()
            self._arrived.clear()
            sampled, self._kept = self._kept, None
            assert sampled is not None
            took_s = await self._turn(sampled)
            await asyncio.sleep(max(took_s * (1 / LOAD - 1), PAUSE_SECONDS_MIN))

    async def send(self, now_s: float) -> None:
        """Add what was found to the campaigns' sums of today. Raises redis.RedisError, and it is lost."""
        await self._floors.send(self._client, int(now_s) // SECONDS_PER_DAY)
        if not self._counts:
            return
        counts, self._counts = self._counts, Counter()
        campaigns = self._of.campaigns if self._of is not None else {}
        async with self._client.pipeline(transaction=False) as pipe:
            for (code, why), times in counts.items():
                zone = campaigns[code].time_zone if code in campaigns else "UTC"
                key = redis_keys.delivered(code, local_day(int(now_s), zone))
                pipe.hincrby(key, WHY + why, times)
                pipe.expire(key, DELIVERED_SECONDS)
            await pipe.execute()

    async def _turn(self, sampled: Sampled) -> float:
        """Say how far the next campaign came; return the seconds of work that took."""
        started_s = time.thread_time()
        self._count_floors(sampled.opportunity)
        campaign_id = self._next_campaign(sampled.snapshot)
        if campaign_id is None:
            return 0.0
        ads = self._ads[campaign_id]
        if len(ads) > ADS_PER_TURN_MAX:
            ads = self._random.sample(ads, ADS_PER_TURN_MAX)
        worked_s = 0.0
        furthest: Verdict | None = None
        if sampled.chosen.isdisjoint(ads):
            person, market = self._person(sampled), self._market(sampled, ads)
            for ad in ads:
                for slot, deal in _terms(sampled.opportunity):
                    furthest = _further(furthest, self._judge(sampled, ad, slot, deal, person, market))
                    if time.thread_time() - started_s > SLICE_SECONDS:
                        worked_s += time.thread_time() - started_s
                        await asyncio.sleep(0)
                        started_s = time.thread_time()
        self._counts[code_of(campaign_id), BID if furthest is None else _name(furthest)] += 1
        return worked_s + time.thread_time() - started_s

    def _count_floors(self, opportunity: Opportunity) -> None:
        """Count the lowest that each imp may ask of anybody in the open auction."""
        for slot in opportunity.slots:
            if not slot.deals_only and slot.floor_cpm_micros is not None:
                asked = [slot.floor_cpm_micros]
                for by_length in (slot.video_floors, slot.audio_floors):
                    if by_length is not None:
                        asked += [by_length.per_second_cpm_micros or asked[0]]
                        asked += [floor for _, _, floor in by_length.ranges]
                self._floors.count(opportunity.exchange_id, min(asked))

    def _next_campaign(self, snapshot: Snapshot) -> str | None:
        if self._of is not snapshot:
            ads: dict[str, list[int]] = {}
            for index, ad in enumerate(snapshot.ads):
                ads.setdefault(ad.campaign.id, []).append(index)
            self._of, self._ads, self._turns = snapshot, ads, iter(())
            cells = cells_of(profile.id for profile in snapshot.bundle.exchanges)
            self._cells = {cell: row for row, cell in enumerate(cells)}
            self._rows = {code: row for row, code in enumerate(snapshot.account_codes)}
        campaign = next(self._turns, None)
        if campaign is None:
            self._turns = iter(list(self._ads))
            campaign = next(self._turns, None)
        return campaign

    def _judge(
        self,
        sampled: Sampled,
        ad: int,
        slot: Slot,
        deal: DealOffer | None,
        person: Person,
        market: Market,
    ) -> Verdict:
        snapshot, opportunity = sampled.snapshot, sampled.opportunity
        exchange = snapshot.exchanges[opportunity.exchange_id]
        return judge(snapshot.ads[ad], exchange, opportunity, slot, deal, person, market, sampled.now_s)

    def _person(self, sampled: Sampled) -> Person:
        names = sampled.snapshot.segment_names
        held = {names[index] for index in indices_from_bits(sampled.segment_bits) if index < len(names)}
        return Person(held - {""}, sampled.known, seen_of(sampled.caps, sampled.now_s))

    def _market(self, sampled: Sampled, ads: Sequence[int]) -> Market:
        book, active = sampled.book, sampled.active

        def shaded(cell: Cell, value_cpm_micros: int, ticket: np.uint64) -> int:
            return int(shade(sampled.shading, self._cells[cell], value_cpm_micros, ticket))

        # An ad that is on schedule, and yet does not run, has too few people in its audience.
        resting = [ad for ad in ads if not int(active[ad >> 6]) >> (ad & 63) & 1]
        items = [sampled.snapshot.ads[ad] for ad in ads]
        accounts = {code_of(ad.campaign.id) for ad in items}
        accounts |= {account_code(ad.campaign.id, ad.line_item.id) for ad in items if ad.line_item.has_budget}
        return Market(
            {code: int(book.multiplier_q16[self._rows[code]]) for code in accounts},
            {code: int(book.available[self._rows[code]]) for code in accounts},
            shaded,
            {sampled.snapshot.ads[ad].line_item.id for ad in resting},
            self.predict,
        )


def _terms(opportunity: Opportunity) -> Iterator[tuple[Slot, DealOffer | None]]:
    for slot in opportunity.slots:
        for deal in slot.terms:
            yield slot, deal


def _further(one: Verdict | None, other: Verdict) -> Verdict:
    if one is None or _depth(other) > _depth(one):
        return other
    return one


def _depth(verdict: Verdict) -> tuple[int, int]:
    """How far an ad came. A bid is the farthest, though its number is the smallest."""
    reason = max(Reason) + 1 if verdict.reason is Reason.BID else int(verdict.reason)
    return reason, _MISMATCH_ORDER[verdict.mismatch] if verdict.mismatch is not None else -1


def _name(verdict: Verdict) -> str:
    if verdict.reason is Reason.BID:
        return OUTRANKED
    return (verdict.mismatch or verdict.reason).name.lower()
