"""The exchange of a trial: who wins, and when the bill comes, and how often; and its own books.

A bill that the server is not there to take waits for it, as in the events process's spool. What was
acknowledged is in the exchange's books once, however often it was sent.
"""

import random
from dataclasses import dataclass, field

from pacing.ledger import Settlement
from tests.sim.clock import Clock
from tests.sim.fleet import BidName
from tests.sim.server import CODES, Server
from tests.sim.world import LATE_S, World

BOOKED = (Settlement.SETTLED, Settlement.LATE)
SPOOL_S = 0.5
"""How long after the server is back a waiting bill is brought to it, at most."""


@dataclass
class Exchange:
    """Auctions and bills."""

    world: World
    clock: Clock
    chance: random.Random
    server: Server
    spent: dict[int, int] = field(default_factory=lambda: dict.fromkeys(CODES, 0))
    """By campaign: what was acknowledged, each bid once."""
    over_daily: int = 0
    """The most that any day's spend was over a daily budget."""
    duplicates_booked: int = 0
    uncovered_in_time: int = 0
    """Units of bills that came in time and yet were in no lease."""
    bills_out: int = 0

    def bid(self, name: BidName, price: int, day: int, expiry_s: int) -> None:
        """Auction a bid; whether it won shows in the bills that follow."""
        if self.chance.random() >= self.world.win_share:
            return
        bill = Bill(self, name, self.chance.randint(price // 3, price), price, day, expiry_s)
        draw = self.chance.random()
        if draw < 0.01:
            return  # dropped for good: nobody is charged
        if self.chance.random() < self.world.late_share:
            after_s = self.chance.uniform(*LATE_S)
        elif draw < 0.5:
            after_s = self.world.latest_s * self.chance.random()
        elif draw < 0.55:
            after_s = self.world.latest_s
        else:
            after_s = min(self.chance.lognormvariate(-0.7, 1.0), self.world.latest_s)
        self.send(after_s, bill)
        if draw > 0.85:
            # The same bill again: at once, or long after.
            self.send(after_s, bill)
            self.send(after_s + self.chance.uniform(0, 30), bill)

    def send(self, after_s: float, bill: "Bill") -> None:
        self.bills_out += 1
        self.clock.at(after_s, bill)


@dataclass(slots=True)
class Bill:
    """One bill on its way; called when it arrives."""

    exchange: Exchange
    name: BidName
    paid: int
    bound: int
    day: int
    expiry_s: int
    acknowledged: bool = False
    bookings: int = 0

    def __call__(self) -> None:
        exchange = self.exchange
        server, now_s = exchange.server, exchange.clock.now_s
        if server.away:
            wait_s = server.away_until_s - now_s + exchange.chance.uniform(0, SPOOL_S)
            exchange.clock.at(wait_s, self)
            return
        exchange.bills_out -= 1
        code, owner, minute, sequence = self.name
        ledger = server.books.ledgers[code]
        late_before, ledger.now_s = ledger.late, now_s
        settlement = ledger.settle(owner, minute, sequence, self.paid, self.bound, self.day, self.expiry_s)
        ledger.check()
        if now_s < self.expiry_s + 1:
            exchange.uncovered_in_time += ledger.late - late_before
        if settlement in BOOKED:
            self.bookings += 1
            server.note(code, self.paid)
        if not self.acknowledged:
            self.acknowledged = True
            exchange.spent[code] += self.paid
        # A server that lost its last second has forgotten the first booking too.
        if self.bookings > 1 and not exchange.world.crashes:
            exchange.duplicates_booked += 1
        if ledger.daily is not None:
            exchange.over_daily = max(exchange.over_daily, ledger.spent_day - ledger.daily)
