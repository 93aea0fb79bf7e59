"""What the decisions of a moment read."""

import msgspec
import numpy as np
import numpy.typing as npt

from bidder.decision.bitrows import BitRow
from bidder.decision.snapshot import Snapshot
from bidder.openrtb.privacy import NO_VENDOR, Vendor
from bidder.openrtb.render import ResponseRenderer
from pacing.lease import LeaseBook
from pacing.prediction import Scoring


class BidState(msgspec.Struct, frozen=True):
    """Everything a decision reads, replaced whole: by a new config, a new plan, a new second."""

    snapshot: Snapshot
    renderer: ResponseRenderer
    active: BitRow
    shading: npt.NDArray[np.int64]
    book: LeaseBook
    scoring: Scoring
    vendor: Vendor = NO_VENDOR
    """Whose consent is asked for."""
    linked_sources: frozenset[str] = frozenset()
    """The spaces of partners' ids that syncs link to people."""
    stopped: bool = False
    """Nothing is bid on (`pacing.stop`)."""
