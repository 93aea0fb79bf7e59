"""One campaign's account as a page of Python: the slow twin of `pacing/lua`."""

from dataclasses import dataclass, field

from pacing.ledger import Settlement


@dataclass
class NaiveLedger:
    total: int = 0
    daily: int | None = None
    spent: int = 0
    day: int = 0
    spent_day: int = 0
    late: int = 0
    overdue: int = 0
    adjusted: int = 0
    held: int = 0
    hourly: int | None = None
    hour: int = 0
    spent_hour: int = 0
    now_s: float = 0.0
    """What the server's clock shows: bills that expire in an earlier second are overdue."""
    paused: bool = False
    ceiling: tuple[int, int] | None = None
    """(day, amount)."""
    leases: dict[int, int] = field(default_factory=dict)
    returned: dict[int, int] = field(default_factory=dict)
    adjustments: dict[str, int] = field(default_factory=dict)
    billed: set[tuple[int, int, int]] = field(default_factory=set)
    settled: dict[int, dict[int, int]] = field(default_factory=dict)
    """Owner -> second of expiry -> sum of the bounds of its settled bids."""

    @property
    def leased(self) -> int:
        return sum(self.leases.values())

    @property
    def free(self) -> int:
        return self.total - self.spent - self.leased

    def turn_day(self, day: int) -> None:
        if day > self.day:
            self.day, self.spent_day = day, 0

    def turn_hour(self, hour: int) -> None:
        if hour > self.hour:
            self.hour, self.spent_hour = hour, 0

    def room(self, held: int) -> int:
        """What the budgets leave; `held` is taken off all but the hour's."""
        left = self.free
        if self.daily is not None:
            left = min(left, self.daily - self.spent_day - self.leased)
        left -= held
        if self.hourly is not None:
            left = min(left, self.hourly - self.spent_hour - self.leased)
        return left

    @property
    def recalled(self) -> bool:
        """Whether workers are told to give back what they have not promised."""
        return self.paused or self.room(0) < 0

    def grant(self, owner: int, want: int, day: int, bid_max: int, workers: int, hour: int = 0) -> int:
        self.turn_day(day)
        self.turn_hour(hour)
        if self.recalled:
            return 0
        left = self.room(self.held)
        if self.ceiling is not None:
            ceiling_day, amount = self.ceiling
            left = min(left, (amount if ceiling_day == self.day else 0) - self.spent_day - self.leased)
        sharers = min(workers, len(self.leases.keys() | {owner}))
        granted = max(0, min(want, left, max(left // (2 * sharers), bid_max)))
        if granted:
            self.leases[owner] = self.leases.get(owner, 0) + granted
        return granted

    def release(self, owner: int, returned: int) -> None:
        new = returned - self.returned.get(owner, 0)
        if new > 0:
            self.returned[owner] = returned
            self._take(owner, new)

    def settle(
        self,
        owner: int,
        minute: int,
        sequence: int,
        price: int,
        bound: int,
        day: int,
        expiry_s: int,
        hour: int = 0,
        *,
        reserved: bool = True,
    ) -> Settlement:
        if price > bound:
            return Settlement.OVERPRICED
        if (owner, minute, sequence) in self.billed:
            return Settlement.DUPLICATE
        self.billed.add((owner, minute, sequence))
        self.turn_day(day)
        self.turn_hour(hour)
        uncovered = price
        if reserved:
            sums = self.settled.setdefault(owner, {})
            sums[expiry_s] = sums.get(expiry_s, 0) + bound
            uncovered -= self._take(owner, price)
        self.spent += price
        self.spent_day += price
        self.spent_hour += price
        self.late += uncovered
        self.overdue += price if expiry_s < int(self.now_s) else 0
        return Settlement.LATE if uncovered else Settlement.SETTLED

    def adjust(self, adjustment_id: str, amount: int) -> bool:
        """Whether it was made: once for each id, and never below nothing spent."""
        if adjustment_id in self.adjustments or self.spent + amount < 0:
            return False
        self.adjustments[adjustment_id] = amount
        self.spent += amount
        self.adjusted += amount
        return True

    def reap(self, owner: int) -> int:
        self.returned.pop(owner, None)
        return self.leases.pop(owner, 0)

    def check(self) -> None:
        """Raise AssertionError, with the numbers, when a side of the account can't be."""
        billed = self.spent - self.adjusted
        parts = (self.late, self.overdue, self.spent_day, self.spent_hour)
        agrees = self.spent >= 0 and all(0 <= part <= billed for part in parts)
        if not agrees or any(amount <= 0 for amount in self.leases.values()):
            raise AssertionError(f"an account that can't be: {self}")

    def _take(self, owner: int, amount: int) -> int:
        taken = min(amount, self.leases.get(owner, 0))
        if taken:
            self.leases[owner] -= taken
            if not self.leases[owner]:
                del self.leases[owner]
        return taken
