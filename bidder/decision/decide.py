"""The one decision function, which the bid port, benchmarks and tests call; `explain` is its naive twin."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bidder.decision.bitrows import BitRow
from bidder.decision.columns import CandidateColumns
from bidder.decision.kernels import decide_batch
from bidder.decision.snapshot import Snapshot
from pacing.features import PACKED_BYTES
from pacing.lease import LeaseBook
from pacing.pending import Pending
from pacing.prediction import Scoring, unscored

_UNSCORED = unscored()


class Users(NamedTuple):
    """The people of a batch. Row 0 is nobody: no segments, and not recognised."""

    bits: npt.NDArray[np.uint64]
    """uint64[U, S]."""
    known: npt.NDArray[np.bool_]
    """bool[U]: the person's frequency caps are known."""
    hashes: npt.NDArray[np.uint64]
    """uint64[U]: what the person is known by; 0 for nobody."""
    cap_records: npt.NDArray[np.void]
    """`pacing.caps.CAP_RECORD`[k]."""
    cap_offsets: npt.NDArray[np.int64]
    """int64[U + 1]: user u has records [u] to [u + 1]."""


class Decisions(NamedTuple):
    """One entry per candidate, in the order they were added."""

    ad: npt.NDArray[np.int64]
    """int64[n]: index in `Snapshot.ads`; -1 for no bid."""
    price_cpm_micros: npt.NDArray[np.int64]
    reason: npt.NDArray[np.int64]
    """int64[n]: `bidder.decision.reasons.Reason`."""
    value_band: npt.NDArray[np.int64]
    """int64[n]: the band of a bid's paced value (`pacing.price_grid`); ANY_BAND where there is no bid."""
    marks: npt.NDArray[np.uint8]
    """uint8[n, PACKED_BYTES]: what a bid's token says of the request, for predictions to learn from; zeros
    where there is no bid."""


def decide(
    snapshot: Snapshot,
    active: BitRow,
    columns: CandidateColumns,
    users: Users,
    shading: npt.NDArray[np.int64],
    book: LeaseBook,
    pending: Pending,
    now_s: int,
    draw: int,
    scoring: Scoring = _UNSCORED,
) -> Decisions:
    """Choose an ad and a price for every candidate of a batch.

    A pure function but for `book`, whose money and reservations it updates, and `pending`, where
    it counts bids for frequency caps: candidate by candidate, so a batch spends no more, and shows nobody
    more, than its requests would one by one. `active`: see
    `bidder.decision.schedule.active_ads`; `shading`: int64[cells, bins], in the order of
    `pacing.cells.cells_of` the config's exchanges; `draw`: a random number below 2**64 that settles ties, and
    which bids explore; `scoring`: the live model for this snapshot, none if left out.
    """
    candidates, blocked, floors = columns.arrays()
    count = len(candidates)
    decisions = Decisions(
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.zeros((count, PACKED_BYTES), np.uint8),
    )
    decide_batch(
        snapshot.arrays,
        active,
        candidates,
        blocked,
        floors,
        snapshot.values,
        scoring,
        snapshot.contexts.records,
        snapshot.places.records,
        snapshot.media.slot_marks,
        snapshot.media.bits,
        snapshot.blocks.bits,
        users.bits,
        users.known,
        users.hashes,
        users.cap_records,
        users.cap_offsets,
        shading,
        book.multiplier_q16,
        book.available,
        book.reserved,
        book.missed,
        pending,
        now_s,
        np.uint64(draw),
        decisions.ad,
        decisions.price_cpm_micros,
        decisions.reason,
        decisions.value_band,
        decisions.marks.reshape(-1),
    )
    return decisions
