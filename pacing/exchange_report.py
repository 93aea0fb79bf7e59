"""An exchange's report of a day beside our own bills of that day.

    booked = await booked_on(client, ledger, exchange_id, window, report.grouped_by)
    for row in compare(report, booked): ...          # report: as `pacing.report_file` reads it

A bill belongs to the time of its bid, which its name holds. An exchange counts by the auction or by the
impression, seconds later: the few impressions around midnight may be in the next day's report.
"""

from collections.abc import AsyncIterator, Mapping
from typing import cast

import msgspec
import redis.asyncio

from config import redis_keys
from config.limits import BILLS_PAGE_ENTRIES, NOTICE_CLOCK_SECONDS_MAX
from pacing.bills import Bill, bills_between, stream_state
from pacing.ledger import Ledger
from pacing.report_file import ALL, Group, Report, Tally


class Booked(msgspec.Struct, frozen=True):
    """What we say. `refused` are charges of that day that were not booked, by reason."""

    tallies: dict[str, Tally]
    refused: dict[str, dict[str, Tally]]
    """Key -> the last reason -> how many bids, and what they came to as far as they had a price."""
    trimmed: tuple[str, ...]
    """Campaigns whose stream of bills does not reach back to the day any more."""


class Difference(msgspec.Struct, frozen=True):
    """One key on both sides."""

    key: str
    theirs: Tally
    ours: Tally
    refused: dict[str, Tally]

    @property
    def spend(self) -> int:
        """What they ask for beyond our books; billionths."""
        return self.theirs.spend - self.ours.spend


async def booked_on(
    client: redis.asyncio.Redis,
    ledger: Ledger,
    exchange_id: str,
    begin_minute: int,
    end_minute: int,
    group: Group,
) -> Booked:
    """Add up the bills of bids made from one minute until another. Raises redis.RedisError."""
    members = cast(set[bytes], await client.smembers(redis_keys.CAMPAIGNS))
    codes = sorted(map(int, members))
    accounts = await ledger.accounts(codes)
    begin_id = f"{begin_minute * 60_000 - NOTICE_CLOCK_SECONDS_MAX * 1_000}-0"
    # A charge may be refused again and again, and booked in the end: each bid counts once.
    unbooked: dict[str, tuple[str, str, int]] = {}
    async for fields in _refused_since(client, begin_id):
        entry = Bill("", int(fields.get("price_cpm_micros", "0")), fields)
        if _is_of(fields, exchange_id, begin_minute, end_minute, entry.minute):
            key = ALL if group == "all" else fields.get(group, ALL)
            unbooked[fields["bid"]] = (key, fields["refused"], entry.amount)
    tallies: dict[str, Tally] = {}
    trimmed = []
    for code, account in accounts.items():
        state = await stream_state(client, code)
        if not state.is_whole and (state.first_ms is None or state.first_ms > begin_minute * 60_000):
            trimmed.append(account.campaign_id)
        async for page in bills_between(client, code, begin_id):
            for bill in page:
                if not _is_of(bill.fields, exchange_id, begin_minute, end_minute, bill.minute):
                    continue
                unbooked.pop(bill.fields["bid"], None)
                # The account knows a campaign that has left the config.
                key = account.campaign_id if group == "campaign" else bill.fields.get(group, ALL)
                tallies[key] = tallies.get(key, Tally()).plus(1, bill.amount)
    refused: dict[str, dict[str, Tally]] = {}
    for key, reason, amount in unbooked.values():
        reasons = refused.setdefault(key, {})
        reasons[reason] = reasons.get(reason, Tally()).plus(1, amount)
    return Booked(tallies, refused, tuple(trimmed))


def compare(report: Report, booked: Booked) -> list[Difference]:
    """Put both sides together, the largest difference first; pure."""
    keys = report.tallies.keys() | booked.tallies.keys() | booked.refused.keys()
    rows = [
        Difference(
            key,
            report.tallies.get(key, Tally()),
            booked.tallies.get(key, Tally()),
            booked.refused.get(key, {}),
        )
        for key in keys
    ]
    return sorted(rows, key=lambda row: (-abs(row.spend), row.key))


def _is_of(
    fields: Mapping[str, str], exchange_id: str, begin_minute: int, end_minute: int, minute: int | None
) -> bool:
    return (
        minute is not None and fields.get("exchange") == exchange_id and begin_minute <= minute < end_minute
    )


async def _refused_since(client: redis.asyncio.Redis, after: str) -> AsyncIterator[Mapping[str, str]]:
    while True:
        found = await client.xrange(redis_keys.STREAM_REFUSED, f"({after}", "+", count=BILLS_PAGE_ENTRIES)
        page = cast(list[tuple[bytes, dict[bytes, bytes]]], found)
        for _, fields in page:
            yield {name.decode(): value.decode() for name, value in fields.items()}
        if len(page) < BILLS_PAGE_ENTRIES:
            return
        after = page[-1][0].decode()
