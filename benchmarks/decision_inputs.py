"""What `decide` reads besides the requests: the compiled config, the plan, a book full of money."""

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.sample_config import sample_shading
from benchmarks.sample_traffic import Batch
from bidder.decision.bitrows import BitRow
from bidder.decision.decide import Decisions, decide
from bidder.decision.schedule import active_ads
from bidder.decision.snapshot import Snapshot, compile_snapshot
from config.schema import Bundle
from pacing.cells import cells_of
from pacing.lease import LeaseBook
from pacing.pending import Pending, open_pending
from pacing.plan import Plan
from pacing.shading import shade_table

LEASED = 2**60
"""Of every campaign: more than any benchmark spends."""


class DecisionInputs(msgspec.Struct, frozen=True):
    """One config at one moment."""

    snapshot: Snapshot
    active: BitRow
    shading: npt.NDArray[np.int64]
    book: LeaseBook
    pending: Pending
    now_s: int

    def fund(self) -> None:
        """Top up every campaign, as a sync with a generous ledger does; no bid is pending any more."""
        book = self.book
        self.pending.slots[:] = 0
        book.finish_sync(book.begin_sync(self.now_s), np.full(len(book.codes), LEASED))

    def decide(self, batch: Batch, draw: int) -> Decisions:
        return decide(
            self.snapshot,
            self.active,
            batch.columns,
            batch.users,
            self.shading,
            self.book,
            self.pending,
            self.now_s,
            draw,
        )


def decision_inputs(config: Bundle, plan: Plan, now_s: int) -> DecisionInputs:
    """Compile a config; the bit of a segment is its place in the config, as in an empty Redis."""
    indices = {segment.name: index for index, segment in enumerate(config.segments)}
    snapshot = compile_snapshot(config, indices)
    book = LeaseBook(snapshot.account_codes, snapshot.account_bid_max_cpm_micros)
    book.multiplier_q16[:] = [plan.campaigns[code].multiplier_q16 for code in book.codes]
    shading = shade_table(sample_shading(config).rows, cells_of(exchange.id for exchange in config.exchanges))
    active = active_ads(snapshot.schedule, now_s)
    inputs = DecisionInputs(snapshot, active, shading, book, open_pending(), now_s)
    inputs.fund()
    return inputs
