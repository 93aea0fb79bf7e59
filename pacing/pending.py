"""Bids that may become impressions: what a frequency cap must count before Redis can.

An impression is in a person's cap records when its pixel was loaded, seconds after the bid. A page with five
places asks five times within a millisecond, and each answer would find the same records. So a bid of a
capped line item counts as seen from the moment it is made until its notice timeout, in a table that
the decision kernel reads and writes as it goes, candidate by candidate, like the reservations of money:

    left = impressions_left(records ...)             what the records leave of the cap
    capped if pending_count(user, code) >= left
    on a bid: hold_pending(user, code, counts_until(hold_s))

A bid that is shown counts twice until its timeout, in the record and here; one that is lost counts until
then. Both err on the side of showing less. There is no hearing of either: notices reach other processes.

Layout. A set-associative table of fixed size, no object for a bid:

    slots[bucket, 0]     uint64[8]     a mix of the person's hash and the code: one cache line
    slots[bucket, 1]     uint64[8]     the last second in which it counts << 32 | bids of that key and second

A slot whose second is past is free. A look-up reads one line, and its neighbour only where the key is
there. The 2**19 slots are 8 MB. At 3,000 bids a second with two caps and a timeout of ten seconds 120,000 are
held by one of several workers, 1.8 of 8 in the mean bucket; less than one bid in 10,000 then finds its
bucket full, takes the place of the one that ends first, and is counted. Two keys that are equal by chance
(2**-63) cap one person a little early.

Several workers. Each knows only its own bids. Let n be live, and the records leave `left` impressions. One
more than that many turns are dealt to the workers round-robin, beginning at one that the key names: worker
k has every n-th. So all their live bids come to left + 1 at most, one impression too many in the worst
case, and nobody asks anybody. Where `left` is at least n - 1, each worker has a turn; of the last impressions
only some workers have one. With one worker there is no extra turn and nothing too many.

Of several workers, each holds its bids for twice the notice timeout. Say three share a cap of 8: three turns
each. One makes its three bids, which are shown and recorded, and time out: `left` is 5, of which two are its
own again. But the others' six bids may be under way, made while they had three turns each. A timeout later
these are recorded too, or gone.

When a worker goes, the others' places change, at each within half a second (each sync tells it), and bids
of the old place are live until their timeout. Until all that is over (`move`, `settle`), a worker has no more
turns than both places give it: all live bids come to what the old places dealt, and then to what the
new ones do.

What that takes: an impression is recorded before its bid's timeout. A worker that has just come is not
counted by the others for half a second, and one that is killed and started again before its lease is back
has forgotten what it bid. Then somebody may see an ad more often, by what was under way.

Rejected: a pending count in Redis (a script call for each bid, and two workers that read before either
writes still both bid); requests handed to the worker that owns the person (a second hop for most of them);
turns for exactly `left` (with two workers the last impression would be lost on half of all requests).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from config.limits import PENDING_CAP_BUCKETS

PENDING_SLOTS = 8
PLACE_SETTLES_MORE_S = 1.0
"""A changed place is settled so long after bids of the old one count no more: the others know theirs."""

assert PENDING_CAP_BUCKETS & (PENDING_CAP_BUCKETS - 1) == 0, "a bucket is found by a mask"


class Pending(NamedTuple):
    """The table of one worker; the kernels of `pacing.kernels` write it in place."""

    slots: npt.NDArray[np.uint64]
    """uint64[buckets, 2, PENDING_SLOTS]; a power of two of buckets."""
    crowded_out: npt.NDArray[np.int64]
    """int64[1]: bids that were forgotten before their time because their bucket was full."""
    place: npt.NDArray[np.int64]
    """int64[2]: this worker's place among the live ones, from 0, and how many there are."""
    before: npt.NDArray[np.int64]
    """int64[2]: the place before this one while it matters; then zeros."""

    def move(self, place: int, workers: int) -> bool:
        """Take a place among so many workers; return whether it is another, which is to `settle`."""
        if self.place.tolist() == [place, workers]:
            return False
        self.before[:] = self.place
        self.place[:] = place, workers
        return True

    def settle(self) -> None:
        """Forget the place before: every bid of it has timed out, at every worker."""
        self.before[:] = 0


def open_pending(buckets: int = PENDING_CAP_BUCKETS) -> Pending:
    """Return an empty table, of the only worker."""
    return Pending(
        np.zeros((buckets, 2, PENDING_SLOTS), np.uint64),
        np.zeros(1, np.int64),
        np.array([0, 1], np.int64),
        np.zeros(2, np.int64),
    )
