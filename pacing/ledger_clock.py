"""The clock that money is promised by: the ledger's, carried on by one that never jumps.

    clock = LedgerClock()
    clock.anchor(server_s, heard_s)         # `Ledger.bulletin` tells the server's time
    clock.now_s()                           # unix seconds, as the server would tell them
    clock.disagreement_s(server_s, asked_s) # what has come between the two since

Why not the wall clock
----------------------
A worker reserves a bid's price until a second that the bid's token names (`pacing.lease`). By the wall clock
of its host that second comes early when somebody puts the clock forward, or NTP steps it: all that is under
way counts as expired at once, is promised again, and its bills find no money. Put back, it comes late, and
the ledger's money lies idle; and a worker that has lost its Redis takes itself for fresh (`LeaseBook.stale`)
while the ledger gives its leases to others.

So a worker reads the server's time once, when it begins, and from then on counts what has elapsed:

    now_s = the server's time at the anchor + seconds elapsed since

Elapsed is CLOCK_BOOTTIME on Linux and CLOCK_MONOTONIC_RAW on macOS. No setting of a clock moves either, and
both go on while the machine sleeps (clock_gettime(2) of Linux, clock_gettime(3) of macOS): a worker that
wakes from an hour's sleep knows at once that its leases are gone. `time.monotonic` stands still in a sleep
on both.

Why the server's time and not this host's
-----------------------------------------
Only differences matter to the worker's own book. What it tells others is compared elsewhere:

    what                                       compared with                       where
    second of expiry, in a token               the server's TIME: is a bill        settle.lua
                                               overdue? may its sum go?            settled.lua
    minute of the bid, in a token              the server's TIME: 2 hours          settle.lua, first_time.lua
                                               the host's: which word for "no"     bidder.events.billing
    the same minute, day and hour              nothing: they say where it is       settle.lua, bidder.events
                                               booked, whenever its bill comes
    local day and hour of a wish for money     the account's: the later holds      grant.lua
    when a person saw an ad (caps)             the records, in minutes; the        pacing.kernels
                                               events process writes them
    a worker's silence                         how long its beat has not changed,  pacing.reaper
                                               by the reaper's own elapsed time
    age of a plan                              when the worker read it, elapsed    bidder.port.worker
    flights, dayparts, the notice key          the wall: they are about it         bidder.port.worker
    a plan's day, and how far it is            the wall of the host that leads;    pacing.controller
                                               a ceiling of another day is 0

With one time for all workers, which is also the one that bills are judged by, no promise of money depends on
what a host takes the time for. One that was started with its clock an hour off bids, and its clock may be
mended while it does.

When the server's clock jumps
-----------------------------
Then the two disagree, and a step of this clock would do the harm that it is there to prevent. No money is
lost while they do: a sum that the server thinks has passed is not told, and its reservation stays until it
expires here; a bill may be called overdue, which only adds to what is held back. But it must end. A worker
that finds more than DISAGREEMENT_SECONDS_MAX between them gives back what is not promised and starts afresh,
with a new owner, an empty book and a new anchor; what the old owner promised stays leased to it until the
reaper knows that no more bills can come. The clock of one owner never steps, so no reservation lives across
a step.

The same covers a failover to a server with another clock, and the drift of a host that NTP does not keep.

What the server itself forgets by its clock is only what it no longer takes: the bits that tell a repeat go
NOTICE_CLOCK_SECONDS_MAX after the time in which a bill is taken, and both are counted by that clock. So one
that goes forward by more than that and comes back may make a repeat of a bill nearly two hours old look new.

Rejected: slewing towards the server's time. A reservation would end early by the rate of it, and a clock that
is four minutes off would take days. The wall clock, corrected for each step: a step is seen only afterwards.

What can't hold: elapsed time is as good as the oscillator. NTP slews it by at most 500 parts in a million
(adjtimex(2)), so a reservation of 10 seconds ends up to 5 ms early, of 900 seconds up to 0.45 s.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final

DISAGREEMENT_SECONDS_MAX: Final = 2.0
"""Less than the server waits before it forgets what is settled (`settled.lua`), and more than clocks that are
kept by NTP ever disagree."""

_ELAPSED: Final[int] = time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC_RAW


elapsed_s: Final[Callable[[], float]] = partial(time.clock_gettime, _ELAPSED)
"""Return seconds since some moment before this process: never set, and going on in a sleep."""


class LedgerClock:
    """The clock of one worker. It does not run before the first `anchor`."""

    def __init__(self, elapsed: Callable[[], float] = elapsed_s) -> None:
        self._elapsed = elapsed
        self._ahead_s = float("nan")

    def anchor(self, server_s: float, heard_s: float) -> None:
        """Show the server's time from now on: `server_s` when its answer came, at `heard_s` elapsed."""
        self._ahead_s = server_s - heard_s

    def now_s(self) -> float:
        """Return unix seconds."""
        return self._elapsed() + self._ahead_s

    def disagreement_s(self, server_s: float, asked_s: float, heard_s: float) -> float:
        """Return how far the server's clock is ahead of this one; negative behind, 0.0 where nobody can tell.

        It showed `server_s` at some moment between `asked_s` and `heard_s` elapsed, and an answer may be a
        second and more on its way.
        """
        earliest_s, latest_s = asked_s + self._ahead_s, heard_s + self._ahead_s
        return max(server_s - latest_s, 0.0) + min(server_s - earliest_s, 0.0)
