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
    paused: bool = False
    ceiling: tuple[int, int] | None = None
    """(day, amount)."""
    leases: dict[int, int] = field(default_factory=dict)
    returned: dict[int, int] = field(default_factory=dict)
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

    def grant(self, owner: int, want: int, day: int, bid_max: int, workers: int) -> int:
        self.turn_day(day)
        if self.paused:
            return 0
        left = self.free
        if self.daily is not None:
            left = min(left, self.daily - self.spent_day - self.leased)
        if self.ceiling is not None:
            ceiling_day, amount = self.ceiling
            left = min(left, (amount if ceiling_day == self.day else 0) - self.spent_day - self.leased)
        granted = max(0, min(want, left, max(left // (2 * workers), bid_max)))
        if granted:
            self.leases[owner] = self.leases.get(owner, 0) + granted
        return granted

    def release(self, owner: int, returned: int) -> None:
        new = returned - self.returned.get(owner, 0)
        if new > 0:
            self.returned[owner] = returned
            self._take(owner, new)

    def settle(
        self, owner: int, minute: int, sequence: int, price: int, bound: int, day: int, expiry_s: int
    ) -> Settlement:
        if price > bound:
            return Settlement.OVERPRICED
        if (owner, minute, sequence) in self.billed:
            return Settlement.DUPLICATE
        self.billed.add((owner, minute, sequence))
        sums = self.settled.setdefault(owner, {})
        sums[expiry_s] = sums.get(expiry_s, 0) + bound
        self.turn_day(day)
        uncovered = price - self._take(owner, price)
        self.spent += price
        self.spent_day += price
        self.late += uncovered
        return Settlement.LATE if uncovered else Settlement.SETTLED

    def reap(self, owner: int) -> int:
        self.returned.pop(owner, None)
        return self.leases.pop(owner, 0)

    def check(self) -> None:
        """Raise AssertionError, with the numbers, when a side of the account can't be."""
        agrees = 0 <= self.late <= self.spent and 0 <= self.spent_day <= self.spent
        if not agrees or any(amount <= 0 for amount in self.leases.values()):
            raise AssertionError(f"an account that can't be: {self}")

    def _take(self, owner: int, amount: int) -> int:
        taken = min(amount, self.leases.get(owner, 0))
        if taken:
            self.leases[owner] -= taken
            if not self.leases[owner]:
                del self.leases[owner]
        return taken
