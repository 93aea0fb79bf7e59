"""An exchange's report of a day beside our own bills of that day.

    report = read_report(lines, columns)                        # what the exchange says
    booked = await booked_on(client, ledger, exchange_id, window, report.grouped_by)
    for row in compare(report, booked): ...

A report is CSV with a header line. Its columns are found by the usual names (`NAMES`), or by those that the
caller gives. Rows of one campaign (or line item) are added up; a report without either is compared as a
whole. Amounts are in the currency of the ledger, and read exactly; what has more than nine decimals is
rounded half to even.

A bill belongs to the time of its bid, which its name holds. An exchange counts by the auction or by the
impression, seconds later: the few impressions around midnight may be in the next day's report.
"""

import csv
from collections.abc import AsyncIterator, Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from itertools import islice
from typing import Final, Literal, NamedTuple, cast

import msgspec
import redis.asyncio

from config import redis_keys
from config.limits import BILLS_PAGE_ENTRIES, NOTICE_CLOCK_SECONDS_MAX, REPORT_ROWS_MAX
from config.money import BILLION, MONEY_MAX
from pacing.bills import Bill, bills_between, stream_state
from pacing.ledger import Ledger

Column = Literal["campaign", "line_item", "impressions", "spend", "day"]
Group = Literal["campaign", "line_item", "all"]

NAMES: Final[Mapping[Column, tuple[str, ...]]] = {
    "campaign": ("campaign", "campaign id", "cid", "insertion order", "insertion order id"),
    "line_item": ("line item", "line item id", "lineitem"),
    "impressions": ("impressions", "imps", "billable impressions"),
    "spend": ("spend", "media cost", "cost", "gross spend", "amount", "revenue"),
    "day": ("day", "date"),
}
"""How exchanges head their columns: in small letters, with spaces for underscores."""
ALL: Final = "all"
"""The key of the one row of a report that names neither campaigns nor line items."""


class ReportError(Exception):
    """The report can't be compared; the message says where and how to mend it."""


class Tally(NamedTuple):
    impressions: int = 0
    spend: int = 0
    """Billionths."""

    def plus(self, impressions: int, spend: int) -> "Tally":
        return Tally(self.impressions + impressions, self.spend + spend)


class Report(msgspec.Struct, frozen=True):
    """What the exchange says."""

    grouped_by: Group
    tallies: dict[str, Tally]
    counts_impressions: bool
    """Whether it has a column of impressions."""


class Booked(msgspec.Struct, frozen=True):
    """What we say. `refused` are charges of that day that were not booked, by reason."""

    tallies: dict[str, Tally]
    refused: dict[str, dict[str, Tally]]
    """Key -> reason -> how many, and what they came to as far as they had a price."""
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


def read_report(
    lines: Iterable[str], given: Mapping[Column, str], day: str, by: Group | None = None
) -> Report:
    """Read a report's rows of one `day` (ISO), or all of them where it has no column of days.

    `given` names columns that are not called as usual. Raises ReportError.
    """
    reader = csv.reader(lines)
    header = next(reader, None)
    if header is None:
        raise ReportError("the report is empty; it needs a header line")
    columns = _columns([name.lstrip("\ufeff").strip() for name in header], given)
    if "spend" not in columns:
        raise ReportError(
            f"no column of the report is called {' or '.join(NAMES['spend'])}; "
            "say which one is, like --column spend='Net cost'"
        )
    grouped_by = by or next((name for name in _GROUPS if name in columns), "all")
    if grouped_by != "all" and grouped_by not in columns:
        raise ReportError(f"the report has no column for {grouped_by}; say which one is, with --column")
    tallies: dict[str, Tally] = {}
    for line, row in enumerate(islice(reader, REPORT_ROWS_MAX + 1), start=2):
        if line - 2 == REPORT_ROWS_MAX:
            raise ReportError(f"the report has more than {REPORT_ROWS_MAX:,} rows; compare it in parts")
        if not any(cell.strip() for cell in row):
            continue
        if len(row) < len(header):
            raise ReportError(f"line {line} has {len(row)} of {len(header)} columns")
        if "day" in columns and row[columns["day"]].strip()[:10] != day:
            _must_be_iso(row[columns["day"]], line)
            continue
        key = ALL if grouped_by == "all" else row[columns[grouped_by]].strip()
        if key == "" or (key.lower() in ("total", "totals") and grouped_by != "all"):
            # The sums that many reports end with.
            continue
        impressions = _count(row[columns["impressions"]], line) if "impressions" in columns else 0
        spend = _amount(row[columns["spend"]], line)
        tallies[key] = tallies.get(key, Tally()).plus(impressions, spend)
    return Report(grouped_by, tallies, "impressions" in columns)


_GROUPS: Final[tuple[Group, ...]] = ("campaign", "line_item")


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
                # The account knows a campaign that has left the config.
                key = account.campaign_id if group == "campaign" else bill.fields.get(group, ALL)
                tallies[key] = tallies.get(key, Tally()).plus(1, bill.amount)
    refused: dict[str, dict[str, Tally]] = {}
    async for fields in _refused_since(client, begin_id):
        entry = Bill("", int(fields.get("price_cpm_micros", "0")), fields)
        if _is_of(fields, exchange_id, begin_minute, end_minute, entry.minute):
            reasons = refused.setdefault(ALL if group == "all" else fields.get(group, ALL), {})
            reason = fields["refused"]
            reasons[reason] = reasons.get(reason, Tally()).plus(1, entry.amount)
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


def _columns(header: list[str], given: Mapping[Column, str]) -> dict[Column, int]:
    plain = [name.lower().replace("_", " ") for name in header]
    found: dict[Column, int] = {}
    for column, names in NAMES.items():
        if column in given:
            if given[column] not in header:
                raise ReportError(
                    f"the report has no column `{given[column]}`; it has "
                    + ", ".join(f"`{name}`" for name in header)
                )
            found[column] = header.index(given[column])
            continue
        for name in names:
            if name in plain:
                found[column] = plain.index(name)
                break
    return found


def _must_be_iso(text: str, line: int) -> None:
    digits = text.strip()[:10].split("-")
    if [len(part) for part in digits] != [4, 2, 2] or not all(part.isdigit() for part in digits):
        raise ReportError(
            f"line {line}: {text!r} is no day like 2026-03-01; take the column out "
            "if the report is of one day"
        )


def _count(text: str, line: int) -> int:
    plain = text.strip().replace(",", "")
    if not plain.isascii() or not plain.isdigit():
        raise ReportError(f"line {line}: {text!r} is no number of impressions")
    return int(plain)


def _amount(text: str, line: int) -> int:
    try:
        amount = Decimal(text.strip().replace(",", "").replace("$", "")) * BILLION
    except InvalidOperation:
        raise ReportError(f"line {line}: {text!r} is no amount of money, like 12.50") from None
    if not amount.is_finite() or abs(amount) > MONEY_MAX:
        raise ReportError(f"line {line}: {text!r} is no amount of money that a report can have")
    return int(amount.quantize(Decimal(1), ROUND_HALF_EVEN))


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
