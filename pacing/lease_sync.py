"""The exchange between a worker's book and the ledger, about twice a second.

    sync = LeaseSync(ledger, await ledger.new_owner())
    await sync.sync(book, now_s, days)      # again and again; never two at once
    await sync.close(book)                  # on draining

One round trip carries the worker's heartbeat and one message for each campaign that needs one:

    surplus, or a return the ledger has not confirmed    give it back
    available is low                                     ask for more
    reservations have expired, or money runs short       read the lease, so that what has expired or is
                                                         settled can be dropped
    none of these, but money is leased                   read it every IDLE_READ_ROUNDS rounds

After it, the ledger hears which accounts are short (`pacing.lease`): mostly none.

Every reply tells the lease, so each message is also a reading. The last line finds what happens
without the worker's doing: a late bill. Other campaigns cost nothing. After a budget was changed, paused or
resumed anywhere (`Bulletin.changes`), the next exchange reads every lease and forgets every refusal, so that
the change is known in one round, and what it takes back is back in two.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType

import numpy as np

from config.limits import LEASE_EXCHANGE_SECONDS_MAX
from pacing.lease import LeaseBook
from pacing.lease_messages import Ask, Return
from pacing.ledger import Ledger

_NO_HOURS: Mapping[int, int] = MappingProxyType({})
IDLE_READ_ROUNDS = 4
ASKS_PER_ROUND_MAX = 2_000
"""A worker that opens thousands of campaigns takes some rounds, and does not stall its bids meanwhile."""


class LeaseLost(Exception):  # noqa: N818 - a state of the worker, not a fault of its code
    """The ledger struck this worker off. Its leases are gone: start over with a new owner and book."""


class LeaseSync:
    """Keeps the books of one worker, under its owner number."""

    def __init__(self, ledger: Ledger, owner: int) -> None:
        self.owner = owner
        self._ledger = ledger
        self._workers = 1
        self._round = 0
        self._changes = -1

    async def sync(
        self,
        book: LeaseBook,
        now_s: float,
        days: Mapping[int, int],
        hours: Mapping[int, int] = _NO_HOURS,
        changes: int = 0,
        short: Collection[int] = (),
    ) -> None:
        """Settle the book with the ledger; `days` is each account's local day, by code.

        `hours` is the local hour of each account with an hourly budget; `changes` and `short`
        are what `Ledger.bulletin` said before.

        Raises redis.RedisError, and the worker spends what it holds until `book.stale`; what it was
        giving back stays out of its hands. Raises LeaseLost, with the book closed.
        """
        if book.stale(now_s + LEASE_EXCHANGE_SECONDS_MAX):
            # It would become so while this exchange waits for its answer.
            book.close_all()
        changed = changes != self._changes
        if changed:
            book.ask_again()
        start = book.begin_sync(now_s)
        book.share_short(short, now_s)
        book.give_back(book.surplus())
        returning = book.returned != book.confirmed
        wanted = np.where(returning, 0, book.wanted(now_s))
        # Nobody else turns up in the middle: what is sent is what is confirmed below.
        returned = book.returned.copy()
        self._round += 1
        asking = np.flatnonzero(wanted)
        wanted[np.roll(asking, -self._round * ASKS_PER_ROUND_MAX)[ASKS_PER_ROUND_MAX:]] = 0
        idle_turn = (np.arange(len(book.codes)) + self._round) % IDLE_READ_ROUNDS == 0
        reading = (start.expired > 0) | ((idle_turn | changed) & (book.outstanding > 0))
        reading |= (book.promised() > 0) & (book.unreserved() < book.bid_max_cpm_micros)
        rows = np.flatnonzero(returning | (wanted > 0) | reading).tolist()
        messages = [
            Ask(
                book.codes[row],
                int(wanted[row]),
                days[book.codes[row]],
                int(book.bid_max_cpm_micros[row]),
                hours.get(book.codes[row], 0),
            )
            if wanted[row] > 0
            else Return(book.codes[row], int(returned[row]))
            for row in rows
        ]
        alive, leases = await self._ledger.exchange(self.owner, messages, self._workers)
        if not alive:
            book.close_all()
            raise LeaseLost(
                f"worker {self.owner} was silent for too long; its leases went back to the ledger"
            )
        self._workers = alive
        outstanding, paused = book.outstanding.copy(), book.paused.copy()
        contended = np.zeros(len(book.codes), np.bool_)
        granted = np.zeros(len(book.codes), np.int64)
        settled = {row: lease.settled for row, lease in zip(rows, leases, strict=True)}
        for row, lease in zip(rows, leases, strict=True):
            outstanding[row], paused[row], granted[row] = lease.outstanding, lease.paused, lease.granted
            contended[row] = lease.contended
        book.confirmed = returned
        self._changes = changes
        to_call_short = book.finish_sync(start, outstanding, paused, wanted, granted, settled, contended)
        if to_call_short.any():
            await self._ledger.call_short([book.codes[row] for row in np.flatnonzero(to_call_short)])

    async def close(self, book: LeaseBook) -> None:
        """Close the book and give back what is not reserved; raises redis.RedisError.

        What is reserved may still be billed. The ledger keeps it for this worker, and takes it back
        once the worker has been silent for long enough (`Ledger.reap`).
        """
        book.close_all()
        book.give_back(book.unreserved())
        rows = np.flatnonzero(book.returned != book.confirmed).tolist()
        messages = [Return(book.codes[row], int(book.returned[row])) for row in rows]
        await self._ledger.exchange(self.owner, messages, self._workers)
        book.confirmed = book.returned.copy()
