"""An exchange's report of a day, as the file it comes in.

    report = read_report(lines, columns, day)

A report is CSV with a header line, its cells parted by commas, semicolons or tabs. Its columns are found by
the usual names (`NAMES`), or by those that the caller gives. Rows of one campaign (or line item) are added
up; a report without either is one row. Amounts are in the currency of the ledger (another's sign, code or
column is refused), and read exactly; what has more than nine decimals is rounded half to even.

A wrong number is worse than none, so what can be read in two ways is not. `1,234` is a thousand in one
country and one and a bit in another: some other amount of the report says which (`12.50`), or the caller.
Where neither does, cells parted by commas are from a country of the first kind, and anything else is
refused. A row that names no campaign, or a total, must be the sum of the others.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import chain
from typing import Final, Literal, NamedTuple

import msgspec

from config.limits import REPORT_ROWS_MAX
from config.money import BILLION, MONEY_MAX, foreign_currency, money_text

Column = Literal["campaign", "line_item", "impressions", "spend", "day", "currency"]
Group = Literal["campaign", "line_item", "all"]
DecimalMark = Literal[".", ","]

NAMES: Final[Mapping[Column, tuple[str, ...]]] = {
    "campaign": ("campaign", "campaign id", "cid", "insertion order", "insertion order id"),
    "line_item": ("line item", "line item id", "lineitem"),
    "impressions": ("impressions", "imps", "billable impressions"),
    "spend": ("spend", "media cost", "cost", "gross spend", "amount", "revenue"),
    "day": ("day", "date"),
    "currency": ("currency", "currency code"),
}
"""How exchanges head their columns: in small letters, with spaces for underscores."""
ALL: Final = "all"
"""The key of the one row of a report that names neither campaigns nor line items."""

_GROUPS: Final[tuple[Group, ...]] = ("campaign", "line_item")
_DELIMITERS: Final = (",", ";", "\t")
_TOTALS: Final = frozenset({"total", "totals", "grand total", "sum"})
"""What begins the sums that many reports end with."""
_NO_NAME: Final = _TOTALS | {""}
"""What stands there in the place of a campaign, or of a day."""
_CENT: Final = BILLION // 100
_MONEY: Final = re.compile(
    r"(?P<minus>-?)(?P<before>[$€£]|[A-Z]{3})?(?P<number>-?[.,]?\d[\d.,]*(?:[eE]-?\d{1,2})?)"
    r"(?P<after>[$€£]|[A-Z]{3})?",
    re.ASCII,
)
_NUMBER: Final[Mapping[DecimalMark, re.Pattern[str]]] = {
    ".": re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d*)(?:\.\d*)?(?:[eE]-?\d{1,2})?", re.ASCII),
    ",": re.compile(r"-?(?:\d{1,3}(?:\.\d{3})+|\d*)(?:,\d*)?(?:[eE]-?\d{1,2})?", re.ASCII),
}
_COUNT: Final = re.compile(r"\d{1,3}(?:,\d{3})+|\d{1,3}(?:\.\d{3})+|\d{1,18}", re.ASCII)
_DIGITS_MAX: Final = 27
"""A decimal of so many characters is exact."""
_SPACES: Final = str.maketrans("", "", " \u00a0\u202f'")
"""Between thousands, where these are not parted by a comma or a point."""


class ReportError(Exception):
    """The report can't be compared; the message says where and how to mend it."""


class Tally(NamedTuple):
    """What a line, or several, add up to."""

    impressions: int = 0
    spend: int = 0
    """Billionths."""

    def plus(self, impressions: int, spend: int) -> "Tally":
        """Return the sum with so much more."""
        return Tally(self.impressions + impressions, self.spend + spend)


class Report(msgspec.Struct, frozen=True):
    """What the exchange says."""

    grouped_by: Group
    tallies: dict[str, Tally]
    counts_impressions: bool
    """Whether it has a column of impressions."""
    repeated_rows: int = 0
    """Rows that are another to the letter, as in a report that was saved twice. They are added up."""


class _Row(NamedTuple):
    line: int
    key: str
    """Empty where the row is a sum of others."""
    day: str
    """Empty where it is of all days."""
    impressions: int
    spend_text: str


def read_report(
    lines: Iterable[str],
    given: Mapping[Column, str],
    day: str,
    by: Group | None = None,
    *,
    currency: str = "USD",
    decimal_mark: DecimalMark | None = None,
) -> Report:
    """Read a report's rows of one `day` (ISO), or all of them where it has no column of days.

    `given` names columns that are not called as usual; `currency` is the ledger's, and `decimal_mark` is
    found out where it is None. Raises ReportError.
    """
    lines = iter(lines)
    first, first_line = next(lines, "").lstrip("\ufeff"), 1
    if first.lower().startswith("sep="):
        # What a spreadsheet writes for itself.
        first, first_line = next(lines, ""), 2
    delimiter = max(_DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark), ())))
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, ())]
        if not any(header):
            raise ReportError("the report is empty; it needs a header line")
        columns = _columns(header, given)
        grouped_by = _group(columns, by)
        numbered = enumerate(reader, start=first_line + 1)
        rows, repeated = _read_rows(numbered, columns, len(header), grouped_by, day, currency)
    except csv.Error as error:
        raise ReportError(f"the file ends or breaks at line {reader.line_num}: {error}") from None
    mark = decimal_mark or _decimal_mark(rows, delimiter)
    tallies: dict[str, Tally] = {}
    # By day; under "", all of them.
    sums: dict[str, Tally] = {}
    totals: list[tuple[_Row, int]] = []
    for row in rows:
        spend = _amount(row.spend_text, mark, row.line)
        if row.key == "":
            totals.append((row, spend))
            continue
        for dated in {row.day, ""}:
            sums[dated] = sums.get(dated, Tally()).plus(row.impressions, spend)
        if row.day == day:
            tallies[row.key] = tallies.get(row.key, Tally()).plus(row.impressions, spend)
    for row, spend in totals:
        _must_be_sum(row, spend, sums.get(row.day, Tally()), len(rows))
    return Report(grouped_by, tallies, "impressions" in columns, repeated)


def _group(columns: Mapping[Column, int], by: Group | None) -> Group:
    if "spend" not in columns:
        raise ReportError(
            f"no column of the report is called {' or '.join(NAMES['spend'])}; "
            "say which one is, like --column spend='Net cost'"
        )
    usual: Group = next((name for name in _GROUPS if name in columns), "all")
    grouped_by = by or usual
    if grouped_by != "all" and grouped_by not in columns:
        raise ReportError(f"the report has no column for {grouped_by}; say which one is, with --column")
    return grouped_by


def _read_rows(
    numbered: Iterator[tuple[int, list[str]]],
    columns: Mapping[Column, int],
    width: int,
    grouped_by: Group,
    day: str,
    currency: str,
) -> tuple[list[_Row], int]:
    """Return the rows with a spend, sums under the key "", and how many repeat another."""
    rows: list[_Row] = []
    seen: set[int] = set()
    repeated = 0
    for line, cells in numbered:
        if len(rows) == REPORT_ROWS_MAX:
            raise ReportError(f"the report has more than {REPORT_ROWS_MAX:,} rows; compare it in parts")
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) < width:
            raise ReportError(f"line {line} has {len(cells)} of {width} columns")
        dated = cells[columns["day"]].strip()[:10] if "day" in columns else day
        if "day" in columns and dated.lower() in _NO_NAME:
            dated = ""
        elif dated != day:
            _must_be_iso(cells[columns["day"]], line)
        key = ALL if grouped_by == "all" else cells[columns[grouped_by]].strip()
        if not dated or key.lower() in _NO_NAME or cells[0].strip().lower() in _TOTALS:
            key = ""
        spend_text = cells[columns["spend"]].strip().translate(_SPACES)
        if not key and not spend_text:
            continue
        _must_be_in(currency, spend_text, line)
        if "currency" in columns and key and cells[columns["currency"]].strip().upper() != currency:
            raise ReportError(
                f"line {line} is in {cells[columns['currency']].strip()!r}, and the books are in {currency}; "
                "convert the report, or take these rows out"
            )
        said = hash(tuple(cells))
        repeated += bool(key) and said in seen
        seen.add(said)
        impressions = _count(cells[columns["impressions"]], line) if "impressions" in columns else 0
        rows.append(_Row(line, key, dated, impressions, spend_text))
    return rows, repeated


def _must_be_sum(total: _Row, spend: int, summed: Tally, rows: int) -> None:
    # Each row may have been rounded to a cent.
    if abs(spend - summed.spend) > _CENT * rows or total.impressions != summed.impressions:
        raise ReportError(
            f"line {total.line} should be the sum of the other rows: it says {total.impressions} "
            f"impressions, {money_text(spend)}, and they come to {summed.impressions}, "
            f"{money_text(summed.spend)}; is the report whole? Spend of no campaign needs a name in it"
        )


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


def _must_be_in(currency: str, spend_text: str, line: int) -> None:
    match = _MONEY.fullmatch(spend_text)
    named = () if match is None else (match["before"], match["after"])
    for text in filter(None, named):
        if foreign_currency(f"{text}1" if len(text) == 1 else f"1 {text}", currency) is not None:
            raise ReportError(
                f"line {line}: {spend_text!r} is in another currency than the books, {currency}; "
                "convert the report"
            )


def _count(text: str, line: int) -> int:
    plain = text.strip().translate(_SPACES)
    if not _COUNT.fullmatch(plain):
        raise ReportError(f"line {line}: {text!r} is no number of impressions")
    return int(plain.replace(",", "").replace(".", ""))


def _decimal_mark(rows: list[_Row], delimiter: str) -> DecimalMark:
    """Find out what comes before the cents: some amount has a form that only one country writes."""
    unclear = None
    for row in rows:
        match = _MONEY.fullmatch(row.spend_text)
        forms = [mark for mark, form in _NUMBER.items() if match and form.fullmatch(match["number"])]
        if len(forms) == 1:
            return forms[0]
        if forms and ("," in row.spend_text or "." in row.spend_text):
            unclear = unclear or row
    if unclear is not None and delimiter != ",":
        raise ReportError(
            f"line {unclear.line}: {unclear.spend_text!r} can be read in two ways, and no other amount says "
            "which; say what comes before the cents, like --decimal ,"
        )
    return "."


def _amount(text: str, mark: DecimalMark, line: int) -> int:
    match = _MONEY.fullmatch(text)
    if match is None or not _NUMBER[mark].fullmatch(match["number"]):
        example = f"12{mark}50"
        raise ReportError(f"line {line}: {text!r} is no amount of money, like {example}")
    number = match["minus"] + match["number"]
    plain = number.replace("," if mark == "." else ".", "").replace(",", ".")
    if number.startswith("--") or len(plain) > _DIGITS_MAX:
        raise ReportError(f"line {line}: {text!r} is no amount of money that a report can have")
    amount = Decimal(plain) * BILLION
    if abs(amount) > MONEY_MAX:
        raise ReportError(f"line {line}: {text!r} is no amount of money that a report can have")
    return int(amount.quantize(Decimal(1), ROUND_HALF_EVEN))
