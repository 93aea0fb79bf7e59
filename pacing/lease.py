"""A worker's books of leased money: what it holds, what it has promised, what it may still promise.

The ledger in Redis (`pacing.ledger`) leases money to a worker. The decision kernel bids from this
book without asking anybody, in place:

    if available[c] >= price:
        available[c] -= price
        reserved[c, expiry_s % RESERVATION_SLOTS] += price
    else:
        missed[c] = True

`expiry_s` is the whole second of the decision, by a clock that never jumps (`pacing.ledger_clock`), plus the
exchange's notice timeout: after that second has passed, a notice is late. About twice a second
`pacing.lease_sync` settles the book with the ledger: it asks for more, gives back what is idle, and drops
reservations that have expired.

Why a reservation leaves only in a sync that began after it expired
--------------------------------------------------------------------
A won bid is charged by another process, straight in Redis: lease -= price. The worker learns of it
when it next reads its lease, called `outstanding` here. Its rule for what is free is

    available = outstanding as last read - everything in the ring

The rule is safe when every charge missing from `outstanding` is still in the ring. Say a worker
holds 10 and bids 6, to expire at second 100:

    time    what happens                                      ledger   outstanding   ring
    99.5    a sync begins                                       10         10          6
    99.6    Redis answers: the lease is 10                      10         10          6
    99.9    the win is charged 6                                 4         10          6
    101.1   the answer, held up on its way, reaches the worker   4         10          ?

Dropping what has expired by now (101.1) would leave 10 available against a lease of 4, and the
worker could promise 6 that nobody holds. Second 100 had not passed when the sync began, so the
reservation stays: 10 - 6 = 4 available, which is right. The next sync begins at 102.1, reads 4,
drops the reservation: 4 - 0 = 4, right again.

Why a settled bid leaves sooner
-------------------------------
By that rule alone a charge that is read counts twice until its reservation expires: in the lease, which
has shrunk, and in the ring. With a timeout of ten seconds, ten seconds' wins of a campaign near its end
are money that nobody can bid. So the ledger also keeps, for each owner and second of expiry, the sum of
the highest prices of the bids it has settled, and tells it with the lease:

    lease 4, settled {second 100: 6}      the ring's second 100 holds 6; it was 0 settled at the last read
                                          -> 6 - 0 leave the ring at once: 4 - 0 = 4 available

A bid is settled once, under the second that its token names, which is the slot it was reserved in; so a
slot never loses more than it holds. The sums only grow, so a reply that is lost, or comes twice,
frees nothing twice. A late bill's second has left the ring, and is ignored. A server that forgot its last
second of writes tells smaller sums, or none, with the larger lease of then: what it forgot goes back into
the ring, until the bill is brought to it again (`bidder.events.recent`).

Rejected: crediting a fall of `outstanding` against the ring. A late notice (one whose reservation is
gone) also makes it fall, and would be credited against reservations that are still open. Freeing the
reservation of a loss notice: an exchange that reports a loss, and then bills, would be paid out of
money promised elsewhere. One object for each bid: at 10,000 bids a second and a timeout of 10 seconds
that is 100,000 live objects; the ring is 8 kB a campaign whatever the rate.

Why the last money finds the worker that has the requests
---------------------------------------------------------
A worker leases some bids' worth of money before anybody asks for it, so that a first burst finds it at
hand. Of a small budget, or near the end of any, three workers that hear of no request could so hold all
that the fourth, whom an exchange's one connection reaches, needs. So one that has bids to make, and was
refused while others hold money of the account, has the ledger call the account short. Every worker reads
in every round which accounts are (`Ledger.bulletin`; mostly none), and of a short one keeps no more than it
needs: two seconds of its rate and at least one bid, or nothing where it has reserved and missed nothing for
IDLE_SECONDS. What was idle then asks for nothing until it has a bid to make. For example, with 39 bids'
money leased in equal parts to four workers, of which one is busy:

    0.0    the busy one's ten bids are gone, and it misses one
    0.5    its sync asks for more and is refused: the others hold 29. It calls the account short
    1.0    the syncs of the others read so, and give back 29
    1.5    it asks again, sooner than after a refusal where nobody holds anything, and gets 14: half of it, or
           half an equal share, were there another that still holds some

Rejected: that idle workers hold little in every account that is nearly spent. Under a plan's ceiling all
accounts are, and a request now and then would find nothing at hand, though nobody else wants the money.

A line item with a budget of its own has a row too, with the code of its account, after the rows of the
campaigns: its bids are taken from both rows, or not made. Each row is safe by itself, so both budgets
hold. A bid made before the line item had its budget is in no ring of that row, and must free nothing
there: its token says so, and the ledger charges it without telling of it here.

The ring has room because a row's live seconds span less than a turn: a bid expires at most
NOTICE_TIMEOUT_SECONDS_MAX ahead, and none is made LEASE_STALE_SECONDS_MAX after the last sync began.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from config.limits import LEASE_STALE_SECONDS_MAX, RESERVATION_SLOTS
from config.money import MONEY_MAX
from pacing.plan import MULTIPLIER_ONE_Q16

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

AHEAD_SECONDS = 2
"""A worker means to hold this much of its recent rate of reserving."""
AHEAD_BIDS = 50
"""... and at least this many bids at the highest price, so that a first burst finds money at hand."""
STARVED_FACTOR = 2
"""A lease that ran out hides how fast it would have gone: assume this many times what was seen."""
DEAR_FACTOR = 4
"""A play on a public screen costs its price times the people before it. Where one was missed with all at hand
that was meant to be, this many times as much is from now on."""
SURPLUS_TARGETS = 3
"""Above this many times its target, a worker gives back what is over one."""
RATE_SECONDS = 5.0
"""Time constant of the moving average of the rate of reserving."""
BACKOFF_SECONDS_MAX = 8
"""A campaign that was refused waits 1, 2, 4, then this many seconds before it asks again."""
SHORT_WAIT_SECONDS = 1
"""... but only this long while it has bids to make and others hold money of the account."""
IDLE_SECONDS = 3.0
"""A worker that has reserved and missed nothing of an account for this long has no bids to make."""
LEAN_SECONDS = 30.0
"""So long after an account was last called short, a worker still holds no more of it than it needs; and as
long after its last bid to make, as much as a dear one takes."""


class SyncStart(NamedTuple):
    """What a sync may forget, fixed when it began."""

    now_s: float
    through_s: int
    """Every second up to this one had passed."""
    expired: Int64s
    """int64[C]: reserved in the seconds that this sync will clear."""


class LeaseBook:
    """The book of one worker. All arrays have one row for each of `codes`.

    available            int64[C]         what the kernel may still reserve; negative is nothing
    reserved             int64[C, RESERVATION_SLOTS]  sums of live reservations by second of expiry
    missed               bool[C]          the kernel found too little available since the last sync ended
    multiplier_q16       int64[C]         the pacing multiplier, 65536 = 1.0; written by the plan's reader
    bid_max_cpm_micros   int64[C]         the campaign's highest possible price
    outstanding          int64[C]         the lease as the ledger last told it
    returned             int64[C]         all this worker has ever given back: a total, so that sending
                                          it twice, or late, changes nothing
    confirmed            int64[C]         the part of `returned` the ledger is known to have taken
    paused, retired      bool[C]          recalled by the ledger (paused, or over a budget); no longer in
                                          the config

    Retired rows follow the ones of the config, so row numbers of the config stay right. They
    live until their last reservation has expired and their lease is back.
    """

    def __init__(
        self,
        campaign_codes: Sequence[int],
        bid_max_cpm_micros: Sequence[int] | Int64s,
        ahead_bids: int = AHEAD_BIDS,
    ) -> None:
        """Open an empty book: nothing is available before the first finished sync."""
        rows = len(campaign_codes)
        assert len(set(campaign_codes)) == rows, "a campaign has one row"
        assert len(bid_max_cpm_micros) == rows, "one highest price for each campaign"
        self.codes = tuple(campaign_codes)
        self._row_of = {code: row for row, code in enumerate(self.codes)}
        self.available: Int64s = np.zeros(rows, np.int64)
        self.reserved: Int64s = np.zeros((rows, RESERVATION_SLOTS), np.int64)
        self.missed: Bools = np.zeros(rows, np.bool_)
        self.multiplier_q16: Int64s = np.full(rows, MULTIPLIER_ONE_Q16, np.int64)
        self.bid_max_cpm_micros: Int64s = np.array(bid_max_cpm_micros, np.int64).reshape(rows)
        self.outstanding: Int64s = np.zeros(rows, np.int64)
        self.returned: Int64s = np.zeros(rows, np.int64)
        self.confirmed: Int64s = np.zeros(rows, np.int64)
        self.paused: Bools = np.zeros(rows, np.bool_)
        self.retired: Bools = np.zeros(rows, np.bool_)
        self.shut = False
        """Set, every finished sync leaves the kernel nothing to reserve, as `close_all` does."""
        self._ahead_bids = ahead_bids
        # Unreserved money kept out of the kernel's sight. Always:
        # outstanding == available + withheld + reserved.sum(axis=1).
        self._withheld: Int64s = np.zeros(rows, np.int64)
        # Row -> second of expiry -> how much of it was settled when last read; live seconds only.
        self._settled: dict[int, dict[int, int]] = {}
        self._cleared_s = -1
        self._synced_s = float("-inf")
        # The rate of reserving, per second: between two syncs, and its moving average.
        self._begun_s = float("-inf")
        self._last_rate = np.zeros(rows)
        self._mean_rate = np.zeros(rows)
        self._available_mark = self.available.copy()
        self._newly_reserved: Int64s = np.zeros(rows, np.int64)
        self._refusals: Int64s = np.zeros(rows, np.int64)
        self._ask_from_s = np.full(rows, float("-inf"))
        # When each row last had a bid to make; and whether, and since when, it holds only what it needs.
        self._busy_s = np.full(rows, float("-inf"))
        self._lean: Bools = np.zeros(rows, np.bool_)
        self._short_s = np.full(rows, float("-inf"))
        # What the kernel missed while a sync was under way: perhaps not with what that brought.
        self._missed_meanwhile: Bools = np.zeros(rows, np.bool_)
        # What was available after the last sync; and what to have at hand, where that was not enough.
        self._stocked: Int64s = np.zeros(rows, np.int64)
        self._dear: Int64s = np.zeros(rows, np.int64)

    # -- the sync, in order ------------------------------------------------------------------

    def begin_sync(self, now_s: float) -> SyncStart:
        """Fix what this sync may forget, and measure the rate; one sync at a time."""
        through_s = int(now_s) - 1
        self._note_bids_to_make(now_s)
        self._measure_rate(now_s)
        return SyncStart(now_s, through_s, self.reserved[:, self._slots_through(through_s)].sum(axis=1))

    def share_short(self, codes: Collection[int], now_s: float) -> None:
        """Hold of these accounts, which the ledger says are short, only what is needed."""
        rows = [self._row_of[code] for code in codes if code in self._row_of]
        self._lean[rows] = True
        self._short_s[rows] = now_s

    def surplus(self) -> Int64s:
        """Return how much of each lease (int64[C]) the worker has no use for.

        That is all that is not reserved of a paused or retired campaign; what is above the target
        where it is far above, or the account is short; and a remainder too small for a bid that nobody
        adds to: two workers' remainders may make a bid together.
        """
        unreserved, target = self.unreserved(), self._target()
        far_above = unreserved > np.where(self._lean, 1, SURPLUS_TARGETS) * target
        useless = (self._refusals > 0) & (unreserved < self.bid_max_cpm_micros) & (self._last_rate == 0)
        all_of_it = self.paused | self.retired | useless
        return np.where(all_of_it, unreserved, np.where(far_above, unreserved - target, 0))

    def unreserved(self) -> Int64s:
        """Return what is leased and not promised (int64[C], never negative), withheld or not."""
        amounts: Int64s = np.maximum(self.available + self._withheld, 0)
        return amounts

    def give_back(self, amounts: Int64s) -> None:
        """Take amounts (int64[C], at most `unreserved()`) out of the book, before the ledger hears of it.

        From here on the money is not the worker's, whether or not the message arrives; `returned`
        ahead of `confirmed` says that it has to be sent, again if need be.
        """
        from_withheld = np.minimum(amounts, self._withheld)
        self._withheld -= from_withheld
        self.outstanding -= amounts
        self.returned += amounts
        self._set_available(self.available - (amounts - from_withheld))

    def wanted(self, now_s: float) -> Int64s:
        """Return how much more lease to ask for (int64[C]).

        Enough to have the target available, where less than three quarters of it is left: a small
        gap is not worth a question. A campaign that was refused is silent until its wait is over.
        """
        target = self._target()
        unreserved = self.available + self._withheld
        asks = (unreserved < target - target // 4) & ~self.retired & (now_s >= self._ask_from_s)
        return np.where(asks, np.minimum(target - unreserved, MONEY_MAX), 0)

    def finish_sync(
        self,
        start: SyncStart,
        outstanding: Int64s,
        paused: Bools | None = None,
        asked: Int64s | None = None,
        granted: Int64s | None = None,
        settled: Mapping[int, Mapping[int, int]] | None = None,
        contended: Bools | None = None,
    ) -> Bools:
        """Take in the leases (int64[C]) as read after `start`; forget what had expired by then.

        A row that was not read repeats `self.outstanding`; that is only right where
        `start.expired` is 0. `paused` (bool[C]) is the ledger's word, else unchanged. `asked` and
        `granted` (int64[C], 0 where nothing was asked) are what became of the wishes. `settled` has, for
        all rows that were read, `pacing.ledger.Lease.settled`; `contended` (bool[C]) is whether others hold
        money of the account. Returns the rows (bool[C]) to call short: there are bids to make, and nothing
        was granted while others hold money.
        """
        still_reserved = self.outstanding - self._withheld - self.available - start.expired
        self.reserved[:, self._slots_through(start.through_s)] = 0
        for row, sums in (settled or {}).items():
            still_reserved[row] -= self._drop_settled(row, sums, start.through_s)
        for row, sums in list(self._settled.items()):
            live = {second: amount for second, amount in sums.items() if second > start.through_s}
            if live:
                self._settled[row] = live
            else:
                del self._settled[row]
        self._cleared_s = max(self._cleared_s, start.through_s)
        self._synced_s = start.now_s
        if paused is not None:
            self.paused = paused.copy()
        short = np.zeros(len(self.codes), np.bool_)
        if asked is not None and granted is not None:
            if contended is not None:
                short = contended & ~self._idle()
            short &= self._back_off(start.now_s, asked, granted, short)
        self.outstanding = outstanding.copy()
        unreserved = outstanding - still_reserved
        hidden = self.paused | self.retired | self.shut
        self._withheld = np.where(hidden, np.maximum(unreserved, 0), 0)
        self._set_available(unreserved - self._withheld)
        self._stocked = self.available.copy()
        self._missed_meanwhile = self.missed.copy()
        self.missed[:] = False
        return short

    def _drop_settled(self, row: int, sums: Mapping[int, int], through_s: int) -> int:
        """Take what is newly settled out of the ring's seconds after `through_s`; return how much.

        It is negative where the server forgot.
        """
        dropped, before = 0, self._settled.get(row, {})
        live = {second: amount for second, amount in sums.items() if second > through_s}
        for second in live.keys() | {second for second in before if second > through_s}:
            newly = live.get(second, 0) - before.get(second, 0)
            self.reserved[row, second % RESERVATION_SLOTS] -= newly
            dropped += newly
        if live or before:
            self._settled[row] = live
        return dropped

    def ask_again(self) -> None:
        """Forget all refusals, and what was short: there may be money by now."""
        self._refusals[:] = 0
        self._lean[:] = False
        self._ask_from_s[:] = float("-inf")

    def promised(self) -> Int64s:
        """Return how much is reserved in all (int64[C])."""
        return self.outstanding - self._withheld - self.available

    # -- the rest of a worker's life ---------------------------------------------------------

    def stale(self, now_s: float) -> bool:
        """Say whether the last finished sync began too long ago to go on bidding.

        Ask before each batch, and `close_all` if so: the ledger takes a silent worker's money back.
        """
        return now_s - self._synced_s > LEASE_STALE_SECONDS_MAX

    def close_all(self) -> None:
        """Leave the kernel nothing to reserve. The next finished sync opens the book again, unless `shut`."""
        open_amounts = np.maximum(self.available, 0)
        self._withheld += open_amounts
        self._set_available(self.available - open_amounts)

    def carry_over(
        self, campaign_codes: Sequence[int], bid_max_cpm_micros: Sequence[int] | Int64s
    ) -> "LeaseBook":
        """Return the book for a new config: rows move by code, new campaigns start empty.

        Campaigns that are gone are retired. Swap the books without an await in between: what the
        kernel reserves in this one afterwards is lost, and so is a sync that is under way in it.
        """
        new_codes = set(campaign_codes)
        in_use = (self.outstanding != 0) | (self.available + self._withheld != 0)
        in_use |= self.returned != self.confirmed
        # What was settled is told until its second has passed: a row that comes back must know it.
        in_use[list(self._settled)] = True
        gone = [row for row, code in enumerate(self.codes) if code not in new_codes and in_use[row]]
        codes = (*campaign_codes, *(self.codes[row] for row in gone))
        bid_max = [*(int(price) for price in bid_max_cpm_micros), *(0 for _ in gone)]
        book = LeaseBook(codes, bid_max, self._ahead_bids)
        moves = [(to, self._row_of[code]) for to, code in enumerate(codes) if code in self._row_of]
        to = np.array([move[0] for move in moves], np.intp)
        origin = np.array([move[1] for move in moves], np.intp)
        for name in _CARRIED:
            getattr(book, name)[to] = getattr(self, name)[origin]
        book._cleared_s, book._synced_s, book._begun_s = self._cleared_s, self._synced_s, self._begun_s
        new_row = {int(old): int(new) for new, old in zip(to, origin, strict=True)}
        book._settled = {new_row[row]: sums for row, sums in self._settled.items() if row in new_row}
        book.retired[len(campaign_codes) :] = True
        hidden = np.where(book.retired, np.maximum(book.available, 0), 0)
        book._withheld += hidden
        book._set_available(book.available - hidden)
        return book

    def check(self) -> None:
        """Raise AssertionError with the numbers of the first campaign whose sides disagree."""
        held = self.available + self._withheld + self.reserved.sum(axis=1)
        overdrawn = (self.reserved < 0).any(axis=1)
        for row in np.flatnonzero((held != self.outstanding) | (self._withheld < 0) | overdrawn):
            raise AssertionError(
                f"account {self.codes[row]:08x}: lease {self.outstanding[row]}, but "
                f"available {self.available[row]} + withheld {self._withheld[row]} "
                f"+ reserved {self.reserved[row].sum()}"
            )

    # -- the arithmetic ----------------------------------------------------------------------

    def _slots_through(self, through_s: int) -> npt.NDArray[np.intp]:
        if self._cleared_s < 0:
            # Nothing is reserved before the first finished sync.
            return np.empty(0, np.intp)
        first_s = max(self._cleared_s + 1, through_s + 1 - RESERVATION_SLOTS)
        return np.arange(first_s, through_s + 1, dtype=np.intp) % RESERVATION_SLOTS

    def _target(self) -> Int64s:
        """Return what each campaign means to have available (int64[C])."""
        starved = self.available + self._withheld < self.bid_max_cpm_micros
        last_rate = np.where(starved, STARVED_FACTOR * self._last_rate, self._last_rate)
        ahead = np.minimum(AHEAD_SECONDS * np.maximum(last_rate, self._mean_rate), float(MONEY_MAX))
        bids_at_hand = np.where(self._lean, ~self._idle(), self._ahead_bids)
        target: Int64s = np.maximum(ahead.astype(np.int64), bids_at_hand * self.bid_max_cpm_micros)
        target = np.maximum(target, self._dear)
        target[self._lean & self._idle()] = 0
        return target

    def _idle(self) -> Bools:
        """Say for which rows no bid was to be made for IDLE_SECONDS."""
        idle: Bools = self._busy_s <= self._begun_s - IDLE_SECONDS
        return idle

    def _note_bids_to_make(self, now_s: float) -> None:
        """Take in what the kernel missed and reserved; who was idle, and is no more, may ask at once."""
        self._set_available(self.available)
        busy = self.missed | self._missed_meanwhile | (self._newly_reserved > 0)
        untouched = (self._newly_reserved == 0) & (self.available == self._stocked)
        dear = self.missed & untouched & (self.available >= self.bid_max_cpm_micros)
        self._dear[now_s - self._busy_s > LEAN_SECONDS] = 0
        self._dear[dear] = DEAR_FACTOR * np.minimum(self.available[dear], MONEY_MAX // DEAR_FACTOR)
        woken = busy & (self._busy_s <= now_s - IDLE_SECONDS)
        self._refusals[woken] = 0
        self._ask_from_s[woken] = float("-inf")
        self._busy_s[busy] = now_s
        self._lean &= ~busy | (now_s - self._short_s < LEAN_SECONDS)
        self.missed[:] = False
        self._missed_meanwhile[:] = False

    def _measure_rate(self, now_s: float) -> None:
        elapsed_s = now_s - self._begun_s
        if elapsed_s <= 0:
            return
        self._last_rate = self._newly_reserved / elapsed_s
        self._mean_rate += (self._last_rate - self._mean_rate) * -np.expm1(-elapsed_s / RATE_SECONDS)
        self._newly_reserved[:] = 0
        self._begun_s = now_s

    def _back_off(self, now_s: float, asked: Int64s, granted: Int64s, short: Bools) -> Bools:
        """Count refusals and set when to ask again; return which rows (bool[C]) were refused."""
        # Less than one bid is a refusal too, else the last crumbs would be asked for every second.
        refused = granted < np.minimum(asked, self.bid_max_cpm_micros)
        served = (asked > 0) & ~refused
        self._refusals = np.where(served, 0, self._refusals + refused)
        wait_s = np.minimum(2.0 ** np.clip(self._refusals - 1, 0, 10), BACKOFF_SECONDS_MAX)
        wait_s[short] = SHORT_WAIT_SECONDS
        self._ask_from_s = np.where(refused, now_s + wait_s, self._ask_from_s)
        return refused

    def _set_available(self, available: Int64s) -> None:
        """Write `available` in place (the kernel holds it), counting what it reserved meanwhile."""
        self._newly_reserved += self._available_mark - self.available
        self.available[:] = available
        self._available_mark[:] = available


_CARRIED = (
    "available",
    "reserved",
    "multiplier_q16",
    "outstanding",
    "missed",
    "returned",
    "confirmed",
    "paused",
    "_busy_s",
    "_lean",
    "_short_s",
    "_missed_meanwhile",
    "_stocked",
    "_dear",
    "_withheld",
    "_last_rate",
    "_mean_rate",
    "_available_mark",
    "_newly_reserved",
    "_refusals",
    "_ask_from_s",
)
"""The arrays a campaign takes along into the next book."""
