"""The exchange's own books: what each campaign owes, kept apart from the bidder's ledger.

Money is exact: the clearing price in CPM micros is the cost of one impression in billionths
(`config.money`). The exchange enters each event of each bid once, however often the notice that
reports it is sent; so at the end the books and the bidder's ledger must agree to the unit.
"""

import msgspec

from config.money import Money
from loadtest.limits import CAMPAIGNS_MAX


class CampaignAccount(msgspec.Struct, frozen=True):
    """One campaign (`bid.cid`) as the exchange saw it; `spent` in billionths of the currency."""

    id: str
    wins: int
    impressions: int
    clicks: int
    spent: Money


class _Account:
    __slots__ = ("clicks", "impressions", "spent", "wins")

    def __init__(self) -> None:
        self.wins = self.impressions = self.clicks = self.spent = 0


class Books:
    """Accounts by campaign id, and running totals that must equal their sums."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self.wins = 0
        self.impressions = 0
        self.clicks = 0
        self.spent = 0

    def open_account(self, campaign_id: str) -> bool:
        """Give a campaign an account, unless it has one; False when CAMPAIGNS_MAX others do.

        Everything entered needs an open account.
        """
        if campaign_id not in self._accounts:
            if len(self._accounts) >= CAMPAIGNS_MAX:
                return False
            self._accounts[campaign_id] = _Account()
        return True

    def enter_win(self, campaign_id: str) -> None:
        """Enter an auction won."""
        self._accounts[campaign_id].wins += 1
        self.wins += 1

    def enter_spend(self, campaign_id: str, cost: int) -> None:
        """Book what one billed impression cost, in billionths of the currency."""
        self._accounts[campaign_id].spent += cost
        self.spent += cost

    def enter_impression(self, campaign_id: str) -> None:
        """Enter an ad shown."""
        self._accounts[campaign_id].impressions += 1
        self.impressions += 1

    def enter_click(self, campaign_id: str) -> None:
        """Enter a click."""
        self._accounts[campaign_id].clicks += 1
        self.clicks += 1

    def accounts(self) -> tuple[CampaignAccount, ...]:
        """Return every campaign's account, by id."""
        return tuple(
            CampaignAccount(id_, a.wins, a.impressions, a.clicks, Money(a.spent))
            for id_, a in sorted(self._accounts.items())
        )

    def check(self) -> None:
        """Raise AssertionError unless the totals are the sums of the accounts."""
        accounts = self._accounts.values()
        assert self.wins == sum(a.wins for a in accounts)
        assert self.impressions == sum(a.impressions for a in accounts)
        assert self.clicks == sum(a.clicks for a in accounts)
        assert self.spent == sum(a.spent for a in accounts)
