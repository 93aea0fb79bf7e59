"""The kernel against its naive twin: same choice, same price, same reason, for any config."""

from collections import Counter

import msgspec
import numpy as np
import pytest

from bidder.decision.bitrows import BitRow, bit_row
from bidder.decision.columns import Candidate, CandidateColumns
from bidder.decision.decide import Decisions, Users, decide
from bidder.decision.dimensions import Ad
from bidder.decision.explain import Market, Person, Taken, Verdict, bids_wanted, choose, furthest, judge
from bidder.decision.kernels import decide_batch, lot
from bidder.decision.marks import context_values
from bidder.decision.reasons import Mismatch, Reason
from bidder.decision.schedule import active_ads
from bidder.decision.scoring import compile_scoring, predictor
from bidder.decision.snapshot import Snapshot, compile_snapshot
from bidder.port.main import warm_up
from config.money import MICROS, play_cost
from config.schema import account_code, code_of
from config.value import EVENTS, Event
from pacing.caps import CAP_RECORD, LONG_RECORD, Seen, seen_of, unpack_caps
from pacing.cells import Cell, cells_of
from pacing.features import PACKED_BYTES, context_mark, unpack_marks
from pacing.kernels import hold_pending, pending_key, share_of
from pacing.lease import LeaseBook
from pacing.pending import Pending, open_pending
from pacing.prediction import prior_billionths
from pacing.price_grid import ANY_BAND, NEPERS_PER_PRICE_BIN, PRICES_PER_SHADE, SHADE_BINS, band_of
from pacing.shading import UNEXPLORED, shade, shade_table
from tests.decision.world import NOW_S, SEGMENTS, World

SEEDS = 80
Row = tuple[int, int, int, int, bytes]
"""(ad, price_cpm_micros, reason, value_band, marks)."""
NO_MARKS = bytes(PACKED_BYTES)


class Judged:
    """One world, decided by the kernel and told by the twin."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.snapshot = compile_snapshot(
            self.world.config, {name: index for index, name in enumerate(SEGMENTS)}
        )
        self.codes = self.snapshot.account_codes
        self.budgets = [self.world.budget() for _ in self.codes]
        self.multipliers = [self.world.multiplier_q16() for _ in self.codes]
        self.too_small = self.world.too_small()
        self.model = self.world.model()
        self.scoring = compile_scoring(self.model, self.snapshot)
        self.cells = cells_of(profile.id for profile in self.snapshot.bundle.exchanges)
        self.shading = shade_table(rows_of(self.cells), self.cells)
        self.explored = 0
        self.columns = CandidateColumns(self.snapshot)
        for position, request in enumerate(self.world.requests):
            self.columns.add(position, request, request.user_hash)

    def book(self) -> LeaseBook:
        book = LeaseBook(self.codes, self.snapshot.account_bid_max_cpm_micros)
        book.available[:] = self.budgets
        book.outstanding[:] = self.budgets
        book.multiplier_q16[:] = self.multipliers
        return book

    def pending(self) -> Pending:
        """The bids that are live when the batch comes."""
        pending = open_pending(64)
        pending.place[:] = self.world.place
        for hash_, code, bids in self.bids_before():
            for n in range(bids):
                key = np.uint64(pending_key(np.uint64(hash_), code))
                hold_pending(pending, key, NOW_S + n, NOW_S)
                # What is over counts no more.
                hold_pending(pending, key, NOW_S - 1, NOW_S - 20)
        return pending

    def bids_before(self) -> list[tuple[int, int, int]]:
        """(person, code, live bids)."""
        return [
            (row, code, bids)
            for row, (person, bids) in enumerate(zip(self.world.people, self.world.bids_before, strict=True))
            for code in person.seen
        ]

    def person(self, row: int, bids: dict[tuple[int, int], int]) -> Person:
        """A person as the twin sees one now: with what was bid for them, and this worker's share."""

        def share(code: int, left: int) -> int:
            return int(share_of(left, np.uint64(pending_key(np.uint64(row), code)), place))

        place = open_pending(1)
        place.place[:] = self.world.place
        mine = {code: count for (of, code), count in bids.items() if of == row}
        person = self.world.people[row]
        rows = [record for code, seen in person.seen.items() for record in record_of(code, seen)]
        seen = seen_of(np.array(rows, CAP_RECORD).tobytes(), NOW_S)
        return msgspec.structs.replace(person, seen=seen, pending=mine, share=share)

    def active(self) -> BitRow:
        """The ads in flight whose audience is large enough."""
        small = [i for i, ad in enumerate(self.snapshot.ads) if ad.line_item.id in self.too_small]
        return active_ads(self.snapshot.schedule, NOW_S) & ~bit_row(small, self.snapshot.words)

    def compiled(self, book: LeaseBook) -> list[Row]:
        pending = self.pending()
        active = self.active()
        users = users_of(self.world.people, self.snapshot)
        decisions = decide(
            *(
                self.snapshot,
                active,
                self.columns,
                users,
                self.shading,
                book,
                pending,
                NOW_S,
                self.world.draw,
            ),
            self.scoring,
        )
        return rows_of_decisions(decisions)

    def interpreted(self, book: LeaseBook) -> list[Row]:
        """The kernel's own source as plain Python."""
        candidates, blocked, floors = self.columns.arrays()
        users = users_of(self.world.people, self.snapshot)
        ads, prices, reasons, bands = np.empty((4, len(candidates)), np.int64)
        out = Decisions(ads, prices, reasons, bands, np.zeros((len(candidates), PACKED_BYTES), np.uint8))
        with np.errstate(over="ignore"):
            decide_batch.py_func(
                self.snapshot.arrays,
                self.active(),
                candidates.view(np.recarray),
                blocked,
                floors,
                self.snapshot.values._replace(terms=self.snapshot.values.terms.view(np.recarray)),
                self.scoring._replace(ads=self.scoring.ads.view(np.recarray)),
                self.snapshot.contexts.records.view(np.recarray),
                self.snapshot.places.records.view(np.recarray),
                self.snapshot.media.slot_marks.view(np.recarray),
                self.snapshot.media.bits,
                self.snapshot.blocks.bits,
                *users,
                self.shading,
                book.multiplier_q16,
                book.available,
                book.reserved,
                book.missed,
                self.pending(),
                NOW_S,
                np.uint64(self.world.draw),
                *out[:-1],
                out.marks.reshape(-1),
            )
        return rows_of_decisions(out)

    def told(self, decided: list[Row]) -> tuple[dict[int, int], list[Verdict]]:
        """Hold each decision to the twin; return what the twin leaves available, and its verdicts."""
        available = dict(zip(self.codes, self.budgets, strict=True))
        multipliers = dict(zip(self.codes, self.multipliers, strict=True))
        predict = predictor(self.model)
        market = Market(multipliers, available, self.shaded, self.too_small, predict)
        line_items: dict[str, int] = {}
        for ad in self.snapshot.ads:
            line_items.setdefault(ad.line_item.id, len(line_items))
        chosen: list[tuple[Candidate, Ad]] = []
        bids = Counter({(row, code): count for row, code, count in self.bids_before()})
        said: list[Verdict] = []
        for n, (candidate, (ad_index, price, reason, band, marks)) in enumerate(
            zip(self.columns.candidates, decided, strict=True)
        ):
            request = self.world.requests[candidate.request]
            exchange = self.snapshot.exchanges[request.exchange_id]
            slot = candidate.slot
            taken = taken_already(candidate, chosen)
            in_response = [one for one, _ in chosen if one.request == candidate.request]
            if len(in_response) >= exchange.bids_max or len(taken.of_imp) >= bids_wanted(slot, exchange):
                assert (ad_index, price, reason, band, marks) == (-1, 0, Reason.IMP_TAKEN, ANY_BAND, NO_MARKS)
                continue
            person = self.person(request.user_hash, bids)
            verdicts = [
                judge(
                    *(ad, exchange, request, slot, candidate.deal, person, market, NOW_S, taken),
                    ticket=np.uint64(lot(np.uint64(self.world.draw), n, line_items[ad.line_item.id])),
                )
                for ad in self.snapshot.ads
            ]
            said += verdicts
            best = choose(verdicts, line_items, self.world.draw, n)
            if best is None:
                assert (ad_index, price, Reason(reason)) == (-1, 0, furthest(verdicts))
                assert (band, marks) == (ANY_BAND, NO_MARKS)
                continue
            assert (Reason(reason), price) == (Reason.BID, best.price_cpm_micros)
            assert band == band_of(best.value_cpm_micros)
            said_of_it = enumerate(context_values(request, slot))
            assert unpack_marks(marks) == [context_mark(field, value) for field, value in said_of_it]
            assert self.snapshot.ads[ad_index] in [
                verdict.ad
                for verdict in verdicts
                if verdict.reason is Reason.BID and verdict.ad.line_item == best.ad.line_item
            ]
            chosen.append((candidate, self.snapshot.ads[ad_index]))
            for id_ in (best.ad.line_item.id, best.ad.campaign.id):
                bids[request.user_hash, code_of(id_)] += 1
            cost = play_cost(price, slot.multiplier_millionths)
            available[code_of(best.ad.campaign.id)] -= cost
            if best.ad.line_item.has_budget:
                available[account_code(best.ad.campaign.id, best.ad.line_item.id)] -= cost
        return available, said

    def shaded(self, cell: Cell, value: int, ticket: np.uint64) -> int:
        price = int(shade(self.shading, self.cells.index(cell), value, ticket))
        if price != shade(self.shading, self.cells.index(cell), value, UNEXPLORED):
            self.explored += 1
        return price


@pytest.mark.parametrize("seed", range(SEEDS))
def test_kernel_decides_as_the_naive_twin_does(seed: int) -> None:
    judged = Judged(seed)
    book, plain_book = judged.book(), judged.book()
    decided = judged.compiled(book)
    assert decided == judged.interpreted(plain_book)
    assert (book.available == plain_book.available).all()
    assert (book.reserved == plain_book.reserved).all()
    assert (book.missed == plain_book.missed).all()
    available, _ = judged.told(decided)
    assert dict(zip(judged.codes, book.available.tolist(), strict=True)) == available
    book.check()


def test_the_worlds_reach_every_reason_and_every_mismatch() -> None:
    """What the worlds never reach, the test above would not prove."""
    reasons: Counter[Reason] = Counter()
    mismatches: Counter[Mismatch | None] = Counter()
    predicted: Counter[Event] = Counter()
    adjusted = 0
    explored = 0
    for seed in range(SEEDS):
        judged = Judged(seed)
        decided = judged.compiled(judged.book())
        reasons.update(Reason(reason) for _, _, reason, _, _ in decided)
        verdicts = judged.told(decided)[1]
        explored += judged.explored
        mismatches.update(verdict.mismatch for verdict in verdicts)
        bids = [verdict for verdict in verdicts if verdict.reason is Reason.BID]
        adjusted += sum(verdict.factor_millionths != MICROS for verdict in bids)
        for verdict in bids:
            item, creative = verdict.ad.line_item, verdict.ad.creative
            if verdict.rate_billionths != prior_billionths(item, creative.format):
                predicted[item.price.event] += 1
    expected = [Reason.BID, Reason.NO_MATCH, Reason.BELOW_FLOOR, Reason.OUT_OF_AUDIENCE]
    expected += [Reason.CAPPED, Reason.NO_BUDGET, Reason.IMP_TAKEN]
    assert min(reasons[reason] for reason in expected) >= 5, reasons
    assert min(predicted[event] for event in EVENTS if event != "impression") >= 5, predicted
    assert adjusted >= 5
    # Native offers have tests of their own (test_media.py).
    assert set(Mismatch) - set(mismatches) <= {Mismatch.NATIVE_ASSET}
    assert explored, "no price was moved to explore"


def test_no_world_needs_more_than_was_compiled_before_the_port_opened() -> None:
    """Compiling takes seconds, in which a worker would answer nobody."""
    warm_up()
    for seed in range(10):
        judged = Judged(seed)
        judged.compiled(judged.book())
    assert len(decide_batch.signatures) == 1


def rows_of_decisions(decisions: Decisions) -> list[Row]:
    numbers = (column.tolist() for column in decisions[:-1])
    return list(zip(*numbers, map(bytes, decisions.marks), strict=True))


def taken_already(candidate: Candidate, chosen: list[tuple[Candidate, Ad]]) -> Taken:
    """What was chosen before for the candidate's imp, and for other imps of its break."""
    pod = candidate.slot.pod
    of_imp, of_break = [], []
    for other, ad in chosen:
        if other.request != candidate.request:
            continue
        if other.slot is candidate.slot:
            of_imp.append(ad)
        elif pod is not None and pod.id and other.slot.pod is not None and other.slot.pod.id == pod.id:
            of_break.append(ad)
    return Taken(tuple(of_imp), tuple(of_break))


def users_of(people: list[Person], snapshot: Snapshot) -> Users:
    bits = np.zeros((len(people), snapshot.segment_words), np.uint64)
    caps: list[bytes | None] = []
    for row, person in enumerate(people):
        for name in person.segments:
            index = SEGMENTS.index(name)
            bits[row, index // 64] |= np.uint64(1 << (index % 64))
        records = [record for code, seen in person.seen.items() for record in record_of(code, seen)]
        caps.append(np.array(records, CAP_RECORD).tobytes())
    known = np.array([person.known for person in people])
    hashes = np.arange(len(people), dtype=np.uint64)
    return Users(bits, known, hashes, *unpack_caps(caps))


def record_of(code: int, seen: Seen) -> list[tuple[int, ...]]:
    """The two rows of a record that says so much, whatever is of an earlier hour, day or week."""
    first = (code, NOW_S // 86_400 + 1, seen.day, seen.hour, seen.last_minutes)
    second = np.array([(code, 0, seen.week, seen.flight)], LONG_RECORD).view(CAP_RECORD)
    return [first, tuple(second[0].tolist())]


def rows_of(cells: list[Cell]) -> dict[str, bytes]:
    """Banners on plain at about a half, on phones at about a quarter, of the value; all else unshaded."""
    own = PRICES_PER_SHADE * np.arange(SHADE_BINS)
    nepers = {"plain/banner": 0.7, "plain/banner/phone": 1.4}
    assert {cell.parent for cell in cells} > {"plain/banner"}
    return {
        name: np.maximum(own - round(lower / NEPERS_PER_PRICE_BIN), 0).astype("<u2").tobytes()
        for name, lower in nepers.items()
    }
