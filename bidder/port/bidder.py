"""From calls to answers: every tick of the event loop is a batch.

    submit          a complete call joins the tick's batch; the first one schedules a flush
    _flush          decode and translate each body, send one look-up for all of the batch's people
    _decide         when the people are here: one kernel call, then render and answer

The flush runs at the end of the tick (`call_soon`), so batching adds no waiting, and under load it
amortises everything. What is more than can be decided in time is answered 204 unread
(`bidder.port.admission`). `state` is one reference, taken once after the look-up: between taking it and
reserving budget nothing is awaited, so a config change never splits a decision.
"""

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt

from bidder.decision.bitrows import BitRow
from bidder.decision.columns import CandidateColumns
from bidder.decision.decide import Users, decide
from bidder.decision.reasons import Reason
from bidder.decision.snapshot import Snapshot
from bidder.openrtb.opportunity import Opportunity
from bidder.openrtb.render import Bid, ResponseRenderer
from bidder.openrtb.translate import HashUser, translate
from bidder.openrtb.wire import BidRequest, MalformedRequest, decode_request
from bidder.port.admission import Admission
from bidder.port.protocol import BAD_REQUEST, NO_CONTENT, NOT_FOUND, BidCall, ok
from bidder.port.tally import Tally
from config.calendar import SECONDS_PER_DAY
from config.limits import TIME_LEFT_MS_MIN
from pacing.caps import unpack_caps
from pacing.lease import LeaseBook
from segments.lookup import UserLookup, unpack_users

_LOG = logging.getLogger(__name__)
UNKNOWN_EXCHANGE = "unknown"
NS_PER_MS = 1_000_000


class BidState(msgspec.Struct, frozen=True):
    """Everything a decision reads, replaced whole: by a new config, a new plan, a new second."""

    snapshot: Snapshot
    renderer: ResponseRenderer
    active: BitRow
    shading: npt.NDArray[np.int64]
    book: LeaseBook


class _Request(msgspec.Struct, gc=False):
    """A call that asks for bids, on its way through the batch."""

    call: BidCall
    opportunity: Opportunity
    deadline_ns: int


class Bidder:
    """Answers the calls of one worker."""

    def __init__(
        self,
        state: BidState,
        lookup: UserLookup,
        hash_user: HashUser,
        tally: Tally,
        admission: Admission,
        epoch_s: Callable[[], float],
        draw: Callable[[], int],
    ) -> None:
        """`epoch_s` reads the wall clock; `draw` returns a random number below 2**64."""
        self.state = state
        self._lookup = lookup
        self._hash_user = hash_user
        self._tally = tally
        self._admission = admission
        self._epoch_s = epoch_s
        self._draw = draw
        self._waiting: list[BidCall] = []
        self._unanswered = 0
        self._all_answered = asyncio.Event()
        self._all_answered.set()

    def is_ready(self) -> bool:
        """Tell whether requests can be bid on: there is a config, and the ledger has been heard from."""
        state = self.state
        return bool(state.snapshot.ads) and not state.book.stale(self._epoch_s())

    def submit(self, call: BidCall) -> None:
        """Take a call into this tick's batch."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(call)
        self._unanswered += 1
        self._all_answered.clear()

    async def finish(self) -> None:
        """Wait until every call taken so far is answered."""
        await self._all_answered.wait()

    def _flush(self) -> None:
        calls, self._waiting = self._waiting, []
        self._tally.queue_ages_ns.append(time.monotonic_ns() - calls[0].arrived_ns)
        requests_max = self._admission.requests_max
        if len(calls) > requests_max:
            self._shed(calls[requests_max:])
            calls = calls[:requests_max]
        self._admission.admitted(len(calls))
        batch = [request for call in calls if (request := self._read_or_answer(call)) is not None]
        self._answered(len(calls) - len(batch))
        if not batch:
            return
        people = list({request.opportunity.user_hash for request in batch} - {0})
        if people:
            self._lookup.fetch(people, lambda values: self._decide_or_decline(batch, people, values))
        else:
            self._decide_or_decline(batch, people, [])

    # An exchange takes silence for a slow bidder and sends less. So a fault of ours, which the two
    # methods below exist for, costs the bids it touches, is logged, and still answers everyone.

    def _read_or_answer(self, call: BidCall) -> _Request | None:
        try:
            return self._read(call)
        except Exception:  # noqa: BLE001 - see above
            _LOG.exception("a request could not be read")
            self._no_bid(call, UNKNOWN_EXCHANGE, Reason.FAULT)
            return None

    def _decide_or_decline(
        self, batch: list[_Request], people: list[int], values: list[bytes | None] | None
    ) -> None:
        try:
            self._decide(batch, people, values)
        except Exception:  # noqa: BLE001 - see above
            _LOG.exception("a batch could not be decided")
            for request in batch:
                if not request.call.answered:
                    self._no_bid(request.call, request.opportunity.exchange_id, Reason.FAULT)
        self._answered(len(batch))

    def _read(self, call: BidCall) -> _Request | None:
        """Return the call as a request to decide on, or answer it here and now."""
        state = self.state
        exchange = state.snapshot.exchanges.get(call.exchange_id)
        if exchange is None:
            self._refuse(call, UNKNOWN_EXCHANGE, "unknown_exchange", NOT_FOUND)
            return None
        try:
            wire = decode_request(call.body)
        except MalformedRequest:
            self._refuse(call, exchange.id, "invalid", BAD_REQUEST)
            return None
        time_left_ms = (wire.tmax or exchange.tmax_default_ms) - exchange.network_allowance_ms
        reason = _refused_unseen(wire, time_left_ms)
        if reason is not None:
            self._no_bid(call, exchange.id, reason)
            return None
        currency = state.snapshot.bundle.engine.currency
        opportunity = translate(wire, exchange, currency, self._hash_user)
        if not opportunity.currency_accepted:
            self._no_bid(call, exchange.id, Reason.CURRENCY)
            return None
        return _Request(call, opportunity, call.arrived_ns + time_left_ms * NS_PER_MS)

    def _decide(self, batch: list[_Request], people: list[int], values: list[bytes | None] | None) -> None:
        state = self.state
        epoch_s = self._epoch_s()
        if state.book.stale(epoch_s):
            # The ledger is about to take a silent worker's money back.
            state.book.close_all()
        now_s = int(epoch_s)
        users = self._users(state.snapshot, people, values, now_s // SECONDS_PER_DAY)
        rows = {user_hash: row for row, user_hash in enumerate(people, start=1)}
        columns = CandidateColumns(state.snapshot)
        monotonic_ns = time.monotonic_ns()
        for position, request in enumerate(batch):
            exchange_known = request.opportunity.exchange_id in state.snapshot.exchanges
            if exchange_known and monotonic_ns < request.deadline_ns:
                columns.add(position, request.opportunity, rows.get(request.opportunity.user_hash, 0))
        decisions = decide(
            state.snapshot, state.active, columns, users, state.shading, state.book, now_s, self._draw()
        )
        ads, prices, reasons = (column.tolist() for column in decisions)
        bids: dict[int, list[Bid]] = {}
        furthest: dict[int, int] = {}
        for candidate, ad, price, reason in zip(columns.candidates, ads, prices, reasons, strict=True):
            position = candidate.request
            if ad >= 0:
                bids.setdefault(position, []).append(Bid(candidate.slot, candidate.deal, ad, price))
            elif reason > furthest.get(position, 0):
                furthest[position] = reason
        for position, request in enumerate(batch):
            if position in bids:
                self._bid(state, request, bids[position], now_s)
            else:
                reason = furthest.get(position) or _unseen_reason(request, monotonic_ns)
                self._no_bid(request.call, request.opportunity.exchange_id, reason)
        answered_ns = time.monotonic_ns()
        self._tally.latencies_ns += [answered_ns - request.call.arrived_ns for request in batch]
        self._tally.batches.append(len(batch))

    def _shed(self, calls: list[BidCall]) -> None:
        exchanges = self.state.snapshot.exchanges
        for call in calls:
            # What a label may say is bounded: an exchange of the config, or unknown.
            known = call.exchange_id in exchanges
            self._no_bid(call, call.exchange_id if known else UNKNOWN_EXCHANGE, Reason.OVERLOAD)
        self._answered(len(calls))

    def _answered(self, calls: int) -> None:
        self._unanswered -= calls
        if not self._unanswered:
            self._all_answered.set()

    def _users(
        self, snapshot: Snapshot, people: list[int], values: list[bytes | None] | None, today: int
    ) -> Users:
        """Arrange what the look-up brought; without an answer everybody is a stranger."""
        looked_up = values is not None
        values = values or [None] * (2 * len(people))
        if looked_up:
            found = len(people) - values[::2].count(None)
            self._tally.users_known += found
            self._tally.users_unknown += len(people) - found
        known = np.full(len(people) + 1, looked_up)
        known[0] = False
        # Row 0 is nobody.
        records, offsets = unpack_caps([None, *values[1::2]])
        bits = unpack_users([None, *values[::2]], snapshot.segment_words, today)
        return Users(bits, known, records, offsets)

    def _bid(self, state: BidState, request: _Request, bids: list[Bid], now_s: int) -> None:
        exchange_id = request.opportunity.exchange_id
        request.call.answer(ok(state.renderer.render(request.opportunity, bids, now_s)))
        self._tally.outcomes[exchange_id, "bid"] += 1
        for bid in bids:
            self._tally.bids[exchange_id, state.snapshot.ads[bid.ad].creative.format] += 1

    def _no_bid(self, call: BidCall, exchange_id: str, reason: int) -> None:
        self._tally.outcomes[exchange_id, "no_bid"] += 1
        self._tally.no_bids[reason] += 1
        call.answer(NO_CONTENT)

    def _refuse(self, call: BidCall, exchange_id: str, outcome: str, response: bytes) -> None:
        self._tally.outcomes[exchange_id, outcome] += 1
        call.answer(response)


def _refused_unseen(wire: BidRequest, time_left_ms: int) -> Reason | None:
    if wire.test == 1:
        return Reason.TEST
    if (wire.site is not None) + (wire.app is not None) + (wire.dooh is not None) > 1:
        return Reason.TWO_CHANNELS
    return Reason.TOO_LATE if time_left_ms < TIME_LEFT_MS_MIN else None


def _unseen_reason(request: _Request, monotonic_ns: int) -> Reason:
    """Why a request has no candidate at all."""
    if monotonic_ns >= request.deadline_ns:
        return Reason.TOO_LATE
    if all(slot.floor_cpm_micros is None for slot in request.opportunity.slots):
        return Reason.CURRENCY
    return Reason.NO_MATCH
