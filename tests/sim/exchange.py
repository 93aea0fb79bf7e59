"""The exchange of a trial: who wins, and when the bill comes, and how often; and its own books.

A bill that the server is not there to take waits for it, as in the events process's spool. What was booked
in the last seconds is brought again to a server that has restarted, by the real memory. What was
acknowledged is in the exchange's books once, however often it was sent.
"""

import random
from collections import Counter
from dataclasses import dataclass, field

from bidder.events.intake import REPLAY_INTERVAL_S
from bidder.events.recent import Recent
from config.limits import RECENT_NOTICES_MAX
from pacing.ledger import Settlement
from tests.sim.clock import Clock
from tests.sim.fleet import Bid, BidName
from tests.sim.server import Server
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
    spent: Counter[int] = field(default_factory=Counter)
    """By account: what was acknowledged, each bid once."""
    over_period: int = 0
    """The most that any day's or hour's spend was over its budget."""
    duplicates_booked: int = 0
    uncovered_in_time: int = 0
    """Units of bills that came in time and yet were in no lease."""
    bills_out: int = 0
    recent: "Recent[Bill]" = field(default_factory=lambda: Recent(RECENT_NOTICES_MAX))

    def __post_init__(self) -> None:
        self._look()

    def _look(self) -> None:
        """Bring what is recent again to a server that has restarted, as `Intake` does."""
        self.clock.at(REPLAY_INTERVAL_S, self._look)
        if not self.server.away:
            for bill in self.recent.forgotten(self.server.life):
                bill.book()
            self.recent.confirm(self.server.life, self.clock.now_s, self.clock.now_s)

    def bid(self, name: BidName, bid: Bid) -> None:
        """Auction a bid; whether it won shows in the bills that follow."""
        if self.chance.random() >= self.world.win_share:
            return
        bill = Bill(self, name, bid, self.chance.randint(bid.price // 3, bid.price))
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
    bid: Bid
    paid: int
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
        self.book()
        if not self.acknowledged:
            self.acknowledged = True
            for account in self._accounts():
                exchange.spent[account] += self.paid

    def book(self) -> None:
        """Have it charged to the campaign, and to the line item's own budget."""
        exchange, now_s = self.exchange, self.exchange.clock.now_s
        for account in self._accounts():
            if not self._charge(account, now_s):
                return
        self.bookings += 1
        exchange.recent.add(self, now_s)
        # A server that lost its last second has forgotten the first booking too.
        if self.bookings > 1 and not exchange.world.crashes:
            exchange.duplicates_booked += 1

    def _accounts(self) -> list[int]:
        return [account for account in (self.name.code, self.bid.own) if account is not None]

    def _charge(self, account: int, now_s: float) -> bool:
        exchange, bid = self.exchange, self.bid
        ledger = exchange.server.books.ledgers[account]
        late_before, ledger.now_s = ledger.late, exchange.server.now_s
        settlement = ledger.settle(*self.name[1:], self.paid, bid.price, bid.day, bid.expiry_s, bid.hour)
        ledger.check()
        if now_s < bid.in_time_until_s:
            exchange.uncovered_in_time += ledger.late - late_before
        for limit, spent in ((ledger.daily, ledger.spent_day), (ledger.hourly, ledger.spent_hour)):
            if limit is not None:
                exchange.over_period = max(exchange.over_period, spent - limit)
        return settlement in BOOKED
