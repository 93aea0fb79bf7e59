"""An exchange's report is read exactly, or refused with the line that is wrong."""

import pytest

from config.money import BILLION, MICROS
from pacing.exchange_report import Booked, Report, ReportError, Tally, compare, read_report

DAY = "2026-03-01"


def read(text: str, **given: str) -> Report:
    return read_report(text.splitlines(), given, DAY)  # type: ignore[arg-type] # names as a person gives them


def test_rows_of_a_campaign_add_up_and_sums_at_the_end_are_left_out() -> None:
    report = read(
        "Date,Campaign ID,Impressions,Spend\n"
        f'{DAY},spring,"1,000",$2.50\n{DAY},spring,500,1.25\n{DAY},autumn,3,0.0075\n'
        f"2026-03-02,spring,9,9\n\n{DAY},Total,1503,3.7575\n{DAY},,1503,3.7575\n"
    )
    assert report == Report(
        "campaign",
        {"spring": Tally(1_500, 3_750 * MICROS), "autumn": Tally(3, 7_500_000)},
        counts_impressions=True,
    )


def test_columns_can_be_named_and_a_report_without_campaigns_is_one_row() -> None:
    report = read("Order,Net cost\nspring,0.1\n", campaign="Order", spend="Net cost")
    assert (report.tallies, report.counts_impressions) == ({"spring": Tally(0, BILLION // 10)}, False)
    assert read("spend\n1\n-0.25\n").tallies == {"all": Tally(0, 750 * MICROS)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("campaign,imps\nx,1\n", "no column of the report is called spend"),
        ("campaign,spend\nx,much\n", "line 2: 'much' is no amount"),
        ("campaign,spend\nx,1e30\n", "line 2: '1e30' is no amount"),
        ("campaign,spend\nx,NaN\n", "line 2: 'NaN' is no amount"),
        ("campaign,spend,imps\nx,1,-4\n", "line 2: '-4' is no number"),
        ("campaign,spend\nx\n", "line 2 has 1 of 2 columns"),
        ("day,spend\n03/01/2026,4\n", "line 2: '03/01/2026' is no day"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ReportError, match=message.replace("(", r"\(")):
        read(text)


def test_a_column_that_is_not_there_is_told_what_is() -> None:
    with pytest.raises(ReportError, match="no column `Net`; it has `campaign`, `spend`"):
        read("campaign,spend\n", spend="Net")


def test_both_sides_are_put_together_the_largest_difference_first() -> None:
    report = Report("campaign", {"a": Tally(10, 100), "b": Tally(5, 50)}, counts_impressions=True)
    booked = Booked({"a": Tally(10, 100), "c": Tally(1, 80)}, {"b": {"overpriced": Tally(2, 20)}}, trimmed=())
    rows = compare(report, booked)
    assert [(row.key, row.spend) for row in rows] == [("c", -80), ("b", 50), ("a", 0)]
    assert rows[1].refused == {"overpriced": Tally(2, 20)}
