"""The ledger's side of a trial: the naive twin, behind everything that can happen to a real server.

`test_ledger_model` proves the twin equal to the scripts that run in Redis. Here it is reached through a
network: a message takes its time, or is lost, or its reply is; a worker waits for no longer than the real
client does, and its message may be handled all the same. A paused server handles what has come when
it goes on. A server that dies comes back as it was up to a second before. What the server's clock shows is
`now_s`, and what the trial goes by is what has elapsed; vanished workers are found as `pacing.reaper` does.
"""

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from config.limits import LEASE_EXCHANGE_SECONDS_MAX, SHORT_SECONDS
from pacing.lease_messages import Ask, Bulletin, Lease, Return
from pacing.ledger import silence_seconds_max
from pacing.reaper import INTERVAL_S, Silences
from tests.pacing.naive_ledger import NaiveLedger
from tests.sim.clock import Answer, Clock
from tests.sim.world import World

CODES = (0xA1, 0xB2)
"""Two campaigns."""
OWN = {code: 0x7 << 32 | code for code in CODES}
"""The account of the line item with a budget of its own that each has in some worlds."""
KEPT_SECONDS = 5
"""As in `settled.lua`."""
REPEATED_AFTER_S = 20.0
"""A message that gives money back comes again within this time: it must take nothing twice."""


@dataclass
class Books:
    """Everything the server has on disk."""

    ledgers: dict[int, NaiveLedger]
    heard_s: dict[int, float] = field(default_factory=dict)
    """Owner -> when it was last heard of."""
    short_s: dict[int, float] = field(default_factory=dict)
    """Code -> when it was last called short."""


class Server:
    """The ledger, as the workers and the events process reach it."""

    def __init__(self, world: World, clock: Clock, chance: random.Random) -> None:
        self._world, self._clock, self._chance = world, clock, chance
        self.books = Books({code: NaiveLedger(world.total, world.daily) for code in CODES})
        for code in CODES:
            self.books.ledgers[code].hourly = world.hourly
            if world.own_total is not None:
                self.books.ledgers[OWN[code]] = NaiveLedger(world.own_total)
        self.codes = tuple(self.books.ledgers)
        self.life = 0
        """Another after every restart, as a server's run id."""
        self.away_until_s = 0.0
        self.dead = False
        self.forgotten = dict.fromkeys(self.codes, 0)
        """What was leased in the last second of a server that died."""
        self.ahead_s = 0.0
        """How far the server's clock is ahead of what has elapsed."""
        self.gone_s: dict[tuple[int, int], float] = {}
        """(code, owner) -> when the ledger took back the lease of a vanished worker."""
        self.cut_off_until_s: dict[int, float] = {}
        self._granted: list[tuple[float, int, int]] = []
        self._silences = Silences()
        self._reaping()

    @property
    def now_s(self) -> float:
        """What the server's clock shows."""
        return self._clock.now_s + self.ahead_s

    @property
    def away(self) -> bool:
        return self._clock.now_s < self.away_until_s

    def new_owner(self) -> int:
        owner = self._chance.getrandbits(32)
        self.books.heard_s[owner] = self.now_s
        return owner

    # -- what goes wrong ---------------------------------------------------------------------

    def step(self, seconds: float) -> None:
        """Set the clock to another time: so much from the true one."""
        self.ahead_s = seconds

    def pause(self, seconds: float) -> None:
        """Answer nobody for a while, and then everything that has come meanwhile."""
        self.away_until_s = max(self.away_until_s, self._clock.now_s + seconds)

    def crash_soon(self) -> None:
        """Die within a second, and lose what is written from now on."""
        kept, kept_s = copy.deepcopy(self.books), self._clock.now_s

        def die() -> None:
            self.books = kept
            for at_s, code, amount in self._granted:
                self.forgotten[code] += amount * (at_s >= kept_s)
            self.dead = True
            self.away_until_s = self._clock.now_s + self._chance.uniform(0.5, 3.0)
            self._clock.at(self.away_until_s - self._clock.now_s, self._revive)

        self._clock.at(self._chance.uniform(0.0, 1.0), die)

    def _revive(self) -> None:
        self.dead = False
        self.life += 1

    # -- a worker's exchange -----------------------------------------------------------------

    async def exchange(
        self, owner: int, messages: Sequence[Ask | Return], workers: int
    ) -> tuple[int, list[Lease]]:
        """Stand in for `Ledger.exchange`."""
        again = [message for message in messages if isinstance(message, Return)]

        def handled() -> tuple[int, list[Lease]]:
            after_s = self._chance.uniform(0, REPEATED_AFTER_S)
            self._clock.at(after_s, lambda: self._repeat(owner, again))
            return self._handle(owner, messages, workers)

        alive, leases = await self._ask(owner, handled, self._world.fault_share)
        return alive, leases

    async def bulletin(self, owner: int) -> Bulletin:
        """Stand in for `Ledger.bulletin`, for one of the workers."""

        def handled() -> Bulletin:
            since_s = self.now_s - SHORT_SECONDS
            short = [code for code, at_s in self.books.short_s.items() if at_s >= since_s]
            return Bulletin(0, short, list(self.books.heard_s), self.now_s)

        found: Bulletin = await self._ask(owner, handled)
        return found

    async def call_short(self, codes: Sequence[int]) -> None:
        """Stand in for `Ledger.call_short`."""
        await self._ask(0, lambda: self.books.short_s.update(dict.fromkeys(codes, self.now_s)))

    async def _ask(self, owner: int, handled: Callable[[], Any], fault_share: float = 0.0) -> Any:
        """Bring a worker's message to the server, and what `handled` returns there back to it."""
        chance, clock = self._chance, self._clock
        fault = chance.random() < fault_share
        message_lost = fault and chance.random() < 0.5
        answer = Answer(LEASE_EXCHANGE_SECONDS_MAX)

        def handle() -> None:
            if self.dead:
                return answer.give(redis.ConnectionError("the server has gone"))
            if self.away:
                return clock.at(self.away_until_s - clock.now_s, handle)
            reply = handled()
            if not fault:
                clock.at(self._delay_s(), lambda: answer.give((reply,)))
            return None

        cut_off = clock.now_s < self.cut_off_until_s.get(owner, 0.0)
        if not (cut_off or message_lost):
            clock.at(self._delay_s(), handle)
        reply = await answer
        if isinstance(reply, redis.RedisError):
            raise reply
        if reply is None:
            raise redis.TimeoutError("no answer")
        return reply[0]

    def _delay_s(self) -> float:
        return self._world.delay_s_max * self._chance.random()

    def _handle(self, owner: int, messages: Sequence[Ask | Return], workers: int) -> tuple[int, list[Lease]]:
        heard_s = self.books.heard_s
        alive = owner in heard_s
        if alive:
            heard_s[owner] = self.now_s
        leases = [self._handle_one(owner, message, workers) for message in messages]
        return (len(heard_s) if alive else 0), leases

    def _handle_one(self, owner: int, message: Ask | Return, workers: int) -> Lease:
        ledger, granted = self.books.ledgers[message.code], 0
        if isinstance(message, Ask):
            granted = ledger.grant(owner, message.want, message.day, message.bid_max, workers, message.hour)
            if granted and self._world.crashes:
                self._granted.append((self._clock.now_s, message.code, granted))
        else:
            ledger.release(owner, message.returned)
        ledger.check()
        sums = ledger.settled.get(owner, {})
        for second in [second for second in sums if second < int(self.now_s) - KEPT_SECONDS]:
            del sums[second]
        mine = ledger.leases.get(owner, 0)
        contended = isinstance(message, Ask) and not ledger.recalled and ledger.leased > mine
        return Lease(mine, granted, ledger.recalled, sums.copy(), contended)

    def _repeat(self, owner: int, messages: Sequence[Return]) -> None:
        if not self.away:
            for message in messages:
                self._handle_one(owner, message, 1)

    # -- vanished workers --------------------------------------------------------------------

    def _reaping(self) -> None:
        self._clock.at(INTERVAL_S, self._reaping)
        if self.away:
            return
        silence_s = silence_seconds_max(self._world.notice_timeout_s) + self._world.silence_more_s
        heard_s = self.books.heard_s
        for owner in self._silences.longer_than(silence_s, heard_s, self._clock.now_s):
            del heard_s[owner]
        for code, ledger in self.books.ledgers.items():
            for owner in (ledger.leases.keys() | ledger.returned.keys()) - heard_s.keys():
                if ledger.reap(owner):
                    self.gone_s[code, owner] = self._clock.now_s
                ledger.check()
