"""From calls to answers: every tick of the event loop is a batch.

    submit          a complete call joins the tick's batch; the first one schedules a flush
    _flush          decode and translate each body
    _look_up        send one look-up for all of the batch's people; who turns out to be known under another
                    hash is looked up once more, and decided apart (`segments.links`)
    _decide         when the people are here: one kernel call, then render and answer

The flush runs at the end of the tick (`call_soon`), so batching adds no waiting, and under load it
amortises everything. What is more than can be decided in time is answered 204 unread
(`bidder.port.admission`). `state` is one reference, taken once after the look-up: between taking it and
reserving budget nothing is awaited, so a config change never splits a decision.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from bidder.decision.columns import CandidateColumns
from bidder.decision.decide import Decisions, Users, decide
from bidder.decision.reasons import Reason
from bidder.decision.snapshot import Snapshot
from bidder.openrtb.acceptance import refused_unseen, time_to_answer_ms
from bidder.openrtb.decode import MalformedRequest, decode_request
from bidder.openrtb.no_bid import no_bid_body
from bidder.openrtb.opportunity import Opportunity
from bidder.openrtb.person import HashUser
from bidder.openrtb.render import Bid
from bidder.openrtb.translate import translate
from bidder.port.admission import Admission
from bidder.port.bid_state import BidState
from bidder.port.protocol import BAD_REQUEST, NO_CONTENT, NOT_FOUND, BidCall, ok
from bidder.port.reason_sample import ReasonSample, Sampled
from bidder.port.tally import Tally
from bidder.port.traffic_report import TrafficReport
from config.calendar import SECONDS_PER_DAY
from pacing.caps import unpack_caps
from pacing.features import PACKED_BYTES
from pacing.pending import open_pending
from segments.bitsets import unpack_users
from segments.link_memory import LinkMemory
from segments.links import linked_person
from segments.lookup import UserLookup, Values

_LOG = logging.getLogger(__name__)
UNKNOWN_EXCHANGE = "unknown"
NS_PER_MS = 1_000_000


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
        """`epoch_s` reads the ledger's clock; `draw` returns a random number below 2**64."""
        self.state = state
        self._lookup = lookup
        self._hash_user = hash_user
        self._tally = tally
        self._admission = admission
        self._epoch_s = epoch_s
        self._draw = draw
        self.links = LinkMemory()
        self.sample: ReasonSample | None = None
        """Who asks for a request now and then, to say why campaigns did not bid."""
        self.traffic: TrafficReport | None = None
        """Who counts what campaigns could have bid on, for their plans."""
        self.pending = open_pending()
        """What bids count for frequency caps, until they are shown or their time is up."""
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
        if self.links:
            batch = [self._as_person(request) for request in batch]
        self._look_up(batch, follow_links=bool(self.state.linked_sources))

    def _look_up(self, batch: list[_Request], *, follow_links: bool) -> None:
        people = list({request.opportunity.user_hash for request in batch} - {0})
        if not people:
            self._decide_or_decline(batch, people, [], ())
            return

        def found(values: Values, missing: Sequence[int]) -> None:
            rest = self._without_linked(batch, people, values) if follow_links else batch
            if rest:
                self._decide_or_decline(rest, people, values, missing)

        self._lookup.fetch(people, found)

    def _without_linked(self, batch: list[_Request], people: list[int], values: Values) -> list[_Request]:
        """Look up again, as the person, whoever was asked for by a linked id; return the other requests."""
        linked = set()
        for id_hash, caps in zip(people, values[1::2], strict=True):
            person = linked_person(caps)
            if person is not None:
                linked.add(id_hash)
                self.links.learn(id_hash, person)
        if not linked:
            return batch
        again = [request for request in batch if request.opportunity.user_hash in linked]
        self._look_up([self._as_person(request) for request in again], follow_links=False)
        return [request for request in batch if request.opportunity.user_hash not in linked]

    def _as_person(self, request: _Request) -> _Request:
        """Return a request under the hash of its person, where the id it came with is known to be linked."""
        opportunity = request.opportunity
        person = self.links.person(opportunity.user_hash)
        if person == opportunity.user_hash:
            return request
        opportunity = msgspec.structs.replace(opportunity, user_hash=person)
        return _Request(request.call, opportunity, request.deadline_ns)

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
        self, batch: list[_Request], people: list[int], values: Values, missing: Sequence[int]
    ) -> None:
        try:
            self._decide(batch, people, values, missing)
        except Exception:  # noqa: BLE001 - see above
            _LOG.exception("a batch could not be decided")
            for request in batch:
                if not request.call.answered:
                    asked = request.opportunity
                    self._no_bid(request.call, asked.exchange_id, Reason.FAULT, asked.request_id)
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
        time_left_ms = time_to_answer_ms(wire, exchange)
        reason = refused_unseen(wire, exchange, state.snapshot.suspicion, time_left_ms)
        if reason is not None:
            self._no_bid(call, exchange.id, reason, wire.id)
            return None
        if state.stopped:
            self._no_bid(call, exchange.id, Reason.STOPPED, wire.id)
            return None
        opportunity = translate(
            wire,
            exchange,
            state.snapshot.currencies,
            self._hash_user,
            state.vendor,
            state.linked_sources,
        )
        if not opportunity.currency:
            self._no_bid(call, exchange.id, Reason.CURRENCY, wire.id)
            return None
        return _Request(call, opportunity, call.arrived_ns + time_left_ms * NS_PER_MS)

    def _decide(
        self, batch: list[_Request], people: list[int], values: Values, missing: Sequence[int]
    ) -> None:
        state = self.state
        epoch_s = self._epoch_s()
        if state.book.stale(epoch_s):
            # The ledger is about to take a silent worker's money back.
            state.book.close_all()
        now_s = int(epoch_s)
        users = self._users(state.snapshot, people, values, missing, now_s // SECONDS_PER_DAY)
        rows = {user_hash: row for row, user_hash in enumerate(people, start=1)}
        monotonic_ns = time.monotonic_ns()
        columns = _columns_of(batch, state.snapshot, users, rows, monotonic_ns)
        draw = self._draw()
        decisions = decide(
            state.snapshot,
            state.active,
            columns,
            users,
            state.shading,
            state.book,
            self.pending,
            now_s,
            draw,
            state.scoring,
        )
        bids, furthest = _by_request(decisions, columns, state.snapshot)
        for position, request in enumerate(batch):
            if position in bids:
                self._bid(state, request, bids[position], now_s)
            else:
                reason = furthest.get(position) or _unseen_reason(request, monotonic_ns)
                asked = request.opportunity
                self._no_bid(request.call, asked.exchange_id, reason, asked.request_id)
        answered_ns = time.monotonic_ns()
        self._tally.latencies_ns += [answered_ns - request.call.arrived_ns for request in batch]
        self._tally.batches.append(len(batch))
        if self.traffic is not None:
            self.traffic.add(state.snapshot, columns, users, draw)
        if self.sample is not None and self.sample.wanted:
            self._give_sample(
                self.sample,
                state,
                batch[-1].opportunity,
                bids.get(len(batch) - 1, []),
                users,
                rows,
                values,
                now_s,
            )

    def _give_sample(
        self,
        sample: ReasonSample,
        state: BidState,
        opportunity: Opportunity,
        bids: list[Bid],
        users: Users,
        rows: Mapping[int, int],
        values: Values,
        now_s: int,
    ) -> None:
        if opportunity.exchange_id not in state.snapshot.exchanges or not state.active.any():
            # The exchange has left the config, or bidding is stopped: no campaign's doing.
            return
        row = rows.get(opportunity.user_hash, 0)
        sample.take(
            Sampled(
                snapshot=state.snapshot,
                active=state.active,
                shading=state.shading,
                book=state.book,
                opportunity=opportunity,
                segment_bits=users.bits[row].copy(),
                known=bool(users.known[row]),
                caps=values[2 * row - 1] if row and len(values) else None,
                chosen={bid.ad for bid in bids},
                now_s=now_s,
            )
        )

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
        self, snapshot: Snapshot, people: list[int], values: Values, missing: Sequence[int], today: int
    ) -> Users:
        """Arrange what the look-up brought; whoever is missing is a stranger."""
        found = len(people) - values[::2].count(None)
        self._tally.users_known += found
        self._tally.users_unknown += len(people) - found - len(missing)
        self._tally.users_unanswered += len(missing)
        # Row 0 is nobody.
        known = np.zeros(len(people) + 1, np.bool_)
        known[1:] = True
        if missing:
            known[1 + np.asarray(missing)] = False
        records, offsets = unpack_caps([None, *values[1::2]])
        bits = unpack_users([None, *values[::2]], snapshot.segment_words, today)
        return Users(bits, known, np.array([0, *people], np.uint64), records, offsets)

    def _bid(self, state: BidState, request: _Request, bids: list[Bid], now_s: int) -> None:
        exchange_id = request.opportunity.exchange_id
        request.call.answer(ok(state.renderer.render(request.opportunity, bids, now_s)))
        self._tally.outcomes[exchange_id, "bid"] += 1
        for bid in bids:
            self._tally.bids[exchange_id, state.snapshot.bid_labels[bid.ad]] += 1

    def _no_bid(self, call: BidCall, exchange_id: str, reason: int, request_id: str = "") -> None:
        """Answer that there is no bid, in the exchange's form; without its id, when nothing was read."""
        self._tally.outcomes[exchange_id, "no_bid"] += 1
        self._tally.no_bids[reason] += 1
        exchange = self.state.snapshot.exchanges.get(exchange_id)
        if exchange is None or exchange.no_bid == "empty":
            call.answer(NO_CONTENT)
            return
        processing_ms = (time.monotonic_ns() - call.arrived_ns) // NS_PER_MS
        body = no_bid_body(exchange.no_bid, request_id, reason, processing_ms)
        call.answer(NO_CONTENT if body is None else ok(body))

    def _refuse(self, call: BidCall, exchange_id: str, outcome: str, response: bytes) -> None:
        self._tally.outcomes[exchange_id, outcome] += 1
        call.answer(response)


def _columns_of(
    batch: list[_Request], snapshot: Snapshot, users: Users, rows: Mapping[int, int], monotonic_ns: int
) -> CandidateColumns:
    """Return what may still be answered as columns; takes segments from whom they may not be looked at."""
    columns = CandidateColumns(snapshot)
    for position, request in enumerate(batch):
        if request.opportunity.exchange_id in snapshot.exchanges and monotonic_ns < request.deadline_ns:
            row = rows.get(request.opportunity.user_hash, 0)
            if row and not request.opportunity.permissions.profile:
                # Capped, but in no segment. Of two requests of one tick the stricter holds.
                users.bits[row] = 0
            columns.add(position, request.opportunity, row)
    return columns


def _by_request(
    decisions: Decisions, columns: CandidateColumns, snapshot: Snapshot
) -> tuple[dict[int, list[Bid]], dict[int, int]]:
    """Return the bids of each request, by its position in the batch; and how far others came."""
    bids: dict[int, list[Bid]] = {}
    furthest: dict[int, int] = {}
    learns = snapshot.learns
    ads, prices, reasons, bands = (column.tolist() for column in decisions[:-1])
    packed = decisions.marks.tobytes()
    for candidate, ad, price, reason, band, at in zip(
        columns.candidates, ads, prices, reasons, bands, range(0, len(packed), PACKED_BYTES), strict=True
    ):
        position = candidate.request
        if ad >= 0:
            marks = packed[at : at + PACKED_BYTES] if learns[ad] else b""
            bids.setdefault(position, []).append(Bid(candidate.slot, candidate.deal, ad, price, marks, band))
        elif reason > furthest.get(position, 0):
            furthest[position] = reason
    return bids, furthest


def _unseen_reason(request: _Request, monotonic_ns: int) -> Reason:
    """Why a request has no candidate at all."""
    if monotonic_ns >= request.deadline_ns:
        return Reason.TOO_LATE
    if all(slot.floor_cpm_micros is None for slot in request.opportunity.slots):
        return Reason.CURRENCY
    return Reason.NO_MATCH
