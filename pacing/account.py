"""An account of the ledger at one moment, as `account.lua` tells it."""

from collections.abc import Mapping

import msgspec


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One account at one moment; amounts in billionths."""

    code: int
    campaign_id: str
    """Of a line item's account: the line item's id."""
    time_zone: str
    total: int
    daily: int | None
    spent: int
    day: int
    """The local day that `spent_day` counts; `spent_on` answers for any day."""
    spent_day: int
    leased: int
    late: int
    """The part of `spent` that was in no lease when it was billed."""
    overdue: int = 0
    """The part of `spent` that was billed after its reservation had expired, in a lease or not."""
    adjusted: int = 0
    """The part of `spent` that came by hand; it may be negative."""
    held: int = 0
    """Kept back from grants, for bills that come late."""
    hourly: int | None = None
    hour: int = 0
    """The hour that `spent_hour` counts."""
    spent_hour: int = 0
    paused: bool
    ceiling: int | None
    ceiling_day: int | None
    leases: dict[int, int]
    """Owner -> outstanding."""

    @property
    def free(self) -> int:
        """What is neither spent nor leased; negative after late bills, or a cut below what is spent."""
        return self.total - self.spent - self.leased

    @property
    def billed(self) -> int:
        """What came by bills; it never falls."""
        return self.spent - self.adjusted

    def spent_on(self, day: int) -> int:
        """Return what was spent on the day under way; nothing yet on a later one."""
        return self.spent_day if day <= self.day else 0

    def spent_in(self, hour: int) -> int:
        """Return what was spent in the hour under way; nothing yet in a later one."""
        return self.spent_hour if hour <= self.hour else 0

    def check(self) -> None:
        """Raise AssertionError, with the numbers, when the sides of the account disagree."""
        agrees = (
            self.leased == sum(self.leases.values())
            and all(amount > 0 for amount in self.leases.values())
            and self.spent >= 0
            and all(
                0 <= part <= self.billed
                for part in (self.spent_day, self.spent_hour, self.late, self.overdue)
            )
            and self.spent + sum(self.leases.values()) + self.free == self.total
        )
        if not agrees:
            raise AssertionError(
                f"the account of {self.campaign_id} does not add up: total {self.total}, spent {self.spent} "
                f"(adjusted {self.adjusted}, today {self.spent_day}, this hour {self.spent_hour}, late "
                f"{self.late}, overdue {self.overdue}), leased {self.leased}, leases {self.leases}"
            )


def read_account(code: int, fields: Mapping[bytes, bytes], leases: Mapping[bytes, bytes]) -> Account:
    """Return an account from the fields of its hash, and of the hash of its leases."""

    def amount(field: bytes) -> int | None:
        return int(fields[field]) if field in fields else None

    return Account(
        code=code,
        campaign_id=fields[b"id"].decode(),
        time_zone=fields[b"time_zone"].decode(),
        total=int(fields[b"total"]),
        daily=amount(b"daily"),
        spent=int(fields[b"spent"]),
        day=int(fields[b"day"]),
        spent_day=int(fields[b"spent_day"]),
        leased=int(fields[b"leased"]),
        late=int(fields[b"late"]),
        overdue=amount(b"overdue") or 0,
        adjusted=amount(b"adjusted") or 0,
        held=amount(b"held") or 0,
        hourly=amount(b"hourly"),
        hour=amount(b"hour") or 0,
        spent_hour=amount(b"spent_hour") or 0,
        paused=fields[b"paused"] == b"1",
        ceiling=amount(b"ceiling"),
        ceiling_day=amount(b"ceiling_day"),
        leases={int(owner): int(outstanding) for owner, outstanding in leases.items()},
    )
