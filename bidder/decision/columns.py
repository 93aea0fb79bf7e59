"""Opportunities as columns: what the kernel reads of a batch of requests.

One dtype is the schema. Every field is an int64, so a batch is collected in one flat list and becomes
an array in one conversion.

A candidate is one imp in the open auction or under one deal; a dynamic imp, which takes several ads, has
as many of each as the exchange takes. Candidates of an imp stand together, and so do the imps of a
break, because the kernel remembers what it chose for the one it is at, and nothing else.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from bidder.decision.blocks import NOBODY_KEPT_OUT, KeptOut
from bidder.decision.floors import UNREACHABLE_CPM_MICROS, floor_table
from bidder.decision.snapshot import Snapshot
from bidder.openrtb.opportunity import NO_BLOCKS, DealOffer, Opportunity, Slot

_NONE = np.empty(0, np.int64)
ONE_FLOOR = -1
"""In `floors`: the candidate has one floor for every ad."""

CANDIDATE = np.dtype(
    [
        # Of the candidate itself.
        ("deal", np.int64),  # row of the deal, or of the open auction
        ("floor_cpm_micros", np.int64),  # the lowest, where there are several
        ("floors", np.int64),  # where a row of floors by class begins in the flat array; or ONE_FLOOR
        ("first_price", np.int64),  # 1: we pay what we bid, so shade
        ("fixed_price", np.int64),  # 1: the floor is the price (a deal's `at` 3)
        ("guaranteed", np.int64),  # 1: the deal must be served, so pacing does not lower the value
        ("left", np.int64),  # row in BlockRows.bits
        # Of its imp.
        ("imp", np.int64),  # number of the imp in the batch; candidates of one imp stand together
        ("pod", np.int64),  # number of the break in the batch; imps of one break stand together
        ("media", np.int64),  # row in MediaRows.bits
        ("imp_bids_max", np.int64),  # bids the imp takes
        ("pod_seconds", np.int64),  # of a dynamic imp: the time of all its ads together; else 0
        ("dedupe", np.int64),  # `Pod.dedupe`
        ("multiplier_millionths", np.int64),  # impressions in one play
        ("view_billionths", np.int64),  # how likely it is to be seen, as the exchange says; 0: it does not
        ("completion_billionths", np.int64),  # how likely it is to be played to its end, likewise
        ("blocked_start", np.int64),  # blocked rows of this candidate: [start, end) of the flat array
        ("blocked_end", np.int64),
        # The same for all candidates of a request.
        ("request", np.int64),  # position of the request in the batch
        ("bids_max", np.int64),  # bids the response takes
        ("user", np.int64),  # row in the batch's users; 0 is nobody
        ("hold_s", np.int64),  # how long a reservation waits for its notice
        ("context", np.int64),  # number in Contexts.records
        ("place", np.int64),  # number in PlaceRows.records
    ]
)


class Columns(NamedTuple):
    """A batch as arrays."""

    candidates: npt.NDArray[np.void]
    """CANDIDATE[n]."""
    blocked: npt.NDArray[np.int64]
    """int64[m]: flat rows, of `Snapshot.arrays.bits`."""
    floors: npt.NDArray[np.int64]
    """int64[k]: flat floors in CPM micros, a stretch for each candidate that has several."""


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """Where a row of the columns came from: one imp, in the open auction or under one deal."""

    request: int
    """Position of the request in the batch."""
    slot: Slot
    deal: DealOffer | None


class CandidateColumns:
    """Collects the candidates of one batch against one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        snapshot.media.make_room()
        snapshot.blocks.make_room()
        snapshot.contexts.make_room()
        snapshot.places.make_room()
        self._snapshot = snapshot
        self._flat: list[int] = []
        self._blocked: list[int] = []
        self._floors: list[int] = []
        self._imps = 0
        self._pods = 0
        self._all_left = snapshot.blocks.row_of(NOBODY_KEPT_OUT)
        self.candidates: list[Candidate] = []

    def add(self, request: int, opportunity: Opportunity, user: int) -> None:
        """Add every candidate of one request; `user` is its row in the batch's users.

        Deals come before the open auction, guaranteed ones first (`bidder.openrtb.offers`), so that an imp
        goes to a deal that can be had.
        """
        snapshot = self._snapshot
        exchange = snapshot.exchanges[opportunity.exchange_id]
        context = snapshot.contexts.of(opportunity)
        place = snapshot.places.of(exchange, opportunity)
        shared = (
            request,
            exchange.bids_max,
            user,
            exchange.notice_timeout_seconds,
            context.number,
            place.number,
        )
        start = len(self._blocked)
        self._blocked += context.excluding
        self._blocked += place.barred
        if opportunity.dsa is not None:
            self._blocked += snapshot.dsa.barred(opportunity.dsa)
        blocked = (start, len(self._blocked))
        left = self._all_left
        if opportunity.blocks is not NO_BLOCKS:
            left = snapshot.blocks.row_of(KeptOut(exchange.id, opportunity.blocks))
        slots = opportunity.slots
        if len(slots) > 1 and any(slot.pod for slot in slots):
            slots = _break_by_break(slots)
        pod_id = ""
        for slot in slots:
            pod = slot.pod
            self._imps += 1
            if pod is None or not pod.id or pod.id != pod_id:
                self._pods += 1
            ads_max = exchange.bids_per_imp_max
            pod_seconds = dedupe = 0
            if pod is not None:
                pod_id, pod_seconds, dedupe = pod.id, pod.seconds, pod.dedupe
                if pod_seconds and pod.ads_max:
                    ads_max = min(ads_max, pod.ads_max)
            blocked_here = blocked
            if slot.google is not None:
                barred = snapshot.google[exchange.id].barred(slot.google)
                blocked_here = self._blocked_besides(blocked, barred)
            of_imp = (
                self._imps,
                self._pods,
                snapshot.media.row_of(slot.media),
                ads_max,
                pod_seconds,
                dedupe,
                slot.multiplier_millionths,
                slot.view_billionths,
                slot.completion_billionths,
                *blocked_here,
                *shared,
            )
            for deal in slot.deals:
                terms = self._deal_terms(slot, deal, opportunity, left)
                if terms is not None:
                    # Under a deal one bid, but in a break as many as it takes.
                    times = ads_max if pod_seconds else 1
                    self._put(Candidate(request, slot, deal), (*terms, *of_imp), times)
            if slot.deals_only:
                continue
            floor, floors = self._floor(slot, None)
            if floor < UNREACHABLE_CPM_MICROS:
                row = snapshot.open_auction_row
                terms = (row, floor, floors, opportunity.first_price, False, False, left)
                # Alternatives for one place in a break would keep each other's like out of its other places.
                times = ads_max if pod is None or pod_seconds else 1
                self._put(Candidate(request, slot, None), (*terms, *of_imp), times)

    def _put(self, candidate: Candidate, row: tuple[int, ...], times: int) -> None:
        for _ in range(times):
            self.candidates.append(candidate)
            self._flat += row

    def _deal_terms(
        self, slot: Slot, deal: DealOffer, opportunity: Opportunity, left: int
    ) -> tuple[int, ...] | None:
        """Return what a candidate under a deal has of its own; None when nobody of ours can have it."""
        row = self._snapshot.deals.get(deal.id)
        if row is None:
            return None
        floor, floors = self._floor(slot, deal)
        if floor >= UNREACHABLE_CPM_MICROS:
            return None
        if deal.seats or deal.domains:
            lists = KeptOut(opportunity.exchange_id, opportunity.blocks, deal.seats, deal.domains)
            left = self._snapshot.blocks.row_of(lists)
        return row, floor, floors, deal.first_price, deal.fixed_price, deal.guaranteed, left

    def _floor(self, slot: Slot, deal: DealOffer | None) -> tuple[int, int]:
        """Return the lowest floor, and where the floors by class begin, or ONE_FLOOR."""
        by_length = (
            slot.video_floors is not None
            or slot.audio_floors is not None
            or (deal is not None and deal.duration_floors is not None)
        )
        if by_length:
            table = floor_table(slot, deal, self._snapshot.floor_classes)
            self._floors += table
            return min(table), len(self._floors) - len(table)
        floor = slot.floor_cpm_micros
        if deal is not None and deal.floor_cpm_micros != 0:
            floor = deal.floor_cpm_micros
        return UNREACHABLE_CPM_MICROS if floor is None else floor, ONE_FLOOR

    def arrays(self) -> Columns:
        """Return the batch."""
        # Three times as fast as np.array, which asks each integer for its type first. A bytearray, because
        # a kernel is compiled once more for what is read-only.
        flat = bytearray(struct.pack(f"{len(self._flat)}q", *self._flat))
        return Columns(
            np.frombuffer(flat, CANDIDATE),
            _integers(self._blocked),
            _integers(self._floors),
        )

    def _blocked_besides(self, already: tuple[int, int], rows: Sequence[int]) -> tuple[int, int]:
        """Block more rows on top of those in a range; return the range of all of them."""
        start, end = already
        start_here = len(self._blocked)
        self._blocked += self._blocked[start:end]
        self._blocked += rows
        return start_here, len(self._blocked)


def _integers(values: list[int]) -> npt.NDArray[np.int64]:
    return np.array(values, np.int64) if values else _NONE


def _break_by_break(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """Return the imps of a request with those of each break together, in the order they began."""
    together: dict[object, list[Slot]] = {}
    for position, slot in enumerate(slots):
        key = slot.pod.id if slot.pod is not None and slot.pod.id else position
        together.setdefault(key, []).append(slot)
    return tuple(slot for imps in together.values() for slot in imps)
