"""The money kept back for bills that come late.

A bill that comes after its reservation expired finds its money promised to other bids. It is charged all
the same (`pacing.ledger`), and at the end of a budget that is money nobody allowed. So the controller
watches what share of the bills is overdue, and has the ledger keep twice that share of the budget out of
grants:

    held = 2 * share * budget        until 1 % of the window's time is left
         = 2 * share * recent        from then on, if that is less

`recent` is what was spent in about the last ten minutes, of which late bills can still come. `share` is the
overdue part of what was billed, both sums fading over MEMORY_SECONDS; and as nobody knows yet how many of
the recent bills are late, it is at least what all campaigns' older bills say of these (`prior`):

    share = max(overdue, prior * recent) / billed        prior, while nothing is billed

For example: 0.5 % of the bills are overdue, of a day's budget of $1,000. $10 is held; by 23:45 late bills
have used $5 of it, and in the last quarter of an hour all but 2 * 0.005 * $7 = $0.07 of the rest is spent.
A campaign that spends $1,000 in five minutes is at its end before its first late bill: from its first bid
on $10 is held for what the others' bills say. The first campaign of an installation has no others.

The share is of money billed, and follows what was billed: a campaign that stands still keeps its share. A
controller that takes over starts from the accounts' sums since they were opened.
"""

import math
from collections.abc import Iterable
from typing import Final

import msgspec

from pacing.account import Account

SAFETY: Final = 2
MEMORY_SECONDS: Final = 3_600.0
RECENT_SECONDS: Final = 600.0
"""Nearly every late bill comes within this long of its bid."""
RELEASE_SHARE: Final = 0.01
"""Of the window's time: what is left when the money is released."""
HELD_SHARE_MAX: Final = 0.05
"""An exchange whose bills are later than this says needs a longer `notice_timeout_seconds`."""


class LateBills(msgspec.Struct, frozen=True, kw_only=True):
    """What the controller remembers of one campaign's bills."""

    at_s: float
    billed_ever: int
    overdue_ever: int
    billed: float
    """Fading with MEMORY_SECONDS, as is the next; billionths."""
    overdue: float
    recent: float = 0.0
    """Fading with RECENT_SECONDS."""

    def share(self, prior: float) -> float:
        """Return the part of what is billed, 0 to 1, that is or will be overdue."""
        overdue = max(self.overdue, prior * self.recent)
        return min(overdue / self.billed, 1.0) if self.billed > 0 else prior


def first_look(account: Account, now_s: float) -> LateBills:
    """Begin with all that the account has ever been billed."""
    return LateBills(
        at_s=now_s,
        billed_ever=account.billed,
        overdue_ever=account.overdue,
        billed=float(account.billed),
        overdue=float(account.overdue),
    )


def look_again(before: LateBills, account: Account, now_s: float) -> LateBills:
    """Add what was billed since."""
    elapsed_s = max(now_s - before.at_s, 0.0)
    memory, recency = math.exp(-elapsed_s / MEMORY_SECONDS), math.exp(-elapsed_s / RECENT_SECONDS)
    billed = max(account.billed - before.billed_ever, 0)
    overdue = max(account.overdue - before.overdue_ever, 0)
    return LateBills(
        at_s=now_s,
        billed_ever=account.billed,
        overdue_ever=account.overdue,
        billed=before.billed * memory + billed,
        overdue=before.overdue * memory + overdue,
        recent=before.recent * recency + billed,
    )


def prior_share(campaigns: Iterable[LateBills]) -> float:
    """Return the overdue part of what all campaigns were billed, 0 to 1; 0 where nothing is known.

    Recent bills say nothing yet: counted, a campaign that spends much at once would hide what is late.
    """
    known = overdue = 0.0
    for late in campaigns:
        known += max(late.billed - late.recent, 0.0)
        overdue += late.overdue
    return min(overdue / known, 1.0) if known > 0 else 0.0


def held_back(late: LateBills, prior: float, budget: int, start_s: float, end_s: float, now_s: float) -> int:
    """Return how much of a window's `budget` to keep out of grants, in billionths.

    `prior` is the `prior_share` of all campaigns.
    """
    share = min(SAFETY * late.share(prior), HELD_SHARE_MAX)
    held = share * budget
    if now_s >= end_s - RELEASE_SHARE * (end_s - start_s):
        held = min(held, share * late.recent)
    return int(held)
