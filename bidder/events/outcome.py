"""What becomes of a notice, and the count of it."""

from enum import StrEnum
from typing import Literal, get_args

from bidder.metrics import NOTICES

Kind = Literal["win", "bill", "loss", "impression", "click", "conversion", "completion"]


class Outcome(StrEnum):
    """What became of a notice: the values of the metric's label."""

    OK = "ok"
    DUPLICATE = "duplicate"
    FORGED = "forged"
    OVERPRICED = "overpriced"
    UNPRICED = "unpriced"
    BAD_SIGNATURE = "bad_signature"
    """An encrypted price that the exchange's keys did not make."""
    STALE_PRICE = "stale_price"
    """An encrypted price, genuine but from another time: it was sent before."""
    LATE = "late"
    """Booked after its worker had given the reservation up."""
    UNKNOWN_CAMPAIGN = "unknown_campaign"
    EXPIRED = "expired"
    """So long after the bid that a repeat could no longer be told; not booked."""
    NOT_BILLABLE = "not_billable"
    """A bill from an exchange that bills on the impression."""
    AUDIT = "audit"
    """The ad was rendered for review, and nobody saw it."""
    SPOOLED = "spooled"
    """Redis did not answer; the notice is on this host's disk. It is counted again when it is done."""
    UNAVAILABLE = "unavailable"
    """Neither Redis nor the disk took it; the caller was asked to repeat the notice."""


for _outcome in (
    *(Outcome.OVERPRICED, Outcome.UNPRICED, Outcome.BAD_SIGNATURE),
    *(Outcome.STALE_PRICE, Outcome.UNKNOWN_CAMPAIGN, Outcome.EXPIRED),
):
    # Begun at 0, as an alert waits for the first: Prometheus sees no increase in a series that begins at 1.
    NOTICES.labels("bill", _outcome.value)
for _kind in get_args(Kind):
    NOTICES.labels(_kind, Outcome.UNAVAILABLE.value)

DONE = (Outcome.OK, Outcome.LATE)
"""What has changed something in Redis."""


def count(kind: Kind, outcome: Outcome) -> Outcome:
    """Count a notice and return its outcome."""
    NOTICES.labels(kind, outcome.value).inc()
    return outcome
