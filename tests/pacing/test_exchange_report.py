"""An exchange's report is read exactly, or refused with the line that is wrong."""

import pytest

from config.money import BILLION, MICROS
from pacing.exchange_report import Booked, compare
from pacing.report_file import Report, ReportError, Tally, read_report

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
        ("campaign,spend\nx,1e9999999\n", "line 2: '1e9999999' is no amount"),
        ("campaign,spend\nx,1000000001\n", "line 2: '1000000001' is no amount of money that a report can"),
        ("campaign,spend\nx,--1\n", "line 2: '--1' is no amount"),
        ("campaign,spend,imps\nx,1,1.5\n", "line 2: '1.5' is no number"),
        ('campaign,spend\nx,"1\ny,2\n', "ends or breaks at line 3"),
        ("campaign,spend\nx," + "9" * 200_000, "ends or breaks at line 2: field larger"),
        # Another currency than the books'.
        ("campaign,spend\nx,€12.50\n", "line 2: '€12.50' is in another currency than the books, USD"),
        ("campaign,spend\nx,12.50 EUR\n", "line 2: '12.50EUR' is in another currency"),
        ("campaign,spend,currency\nx,1,USD\ny,1,EUR\n", "line 3 is in 'EUR', and the books are in USD"),
        # Two ways to read it.
        ("campaign;spend\nx;1.234\n", "line 2: '1.234' can be read in two ways"),
        ('campaign,spend\nx,12.50\ny,"12,50"\n', "line 3: '12,50' is no amount of money, like 12.50"),
        # Half a report, and spend that is of no campaign.
        ("campaign,spend\nx,1\ny,1\nTotal,5\n", "line 4 should be the sum of the other rows: .* 5, .* 2"),
        ("campaign,imps,spend\nTotal,3,2\nx,2,2\n", "line 2 should be the sum .* 3 impressions, .* to 2, 2"),
        (f"day,campaign,spend\n{DAY},x,1\n{DAY},,5\n", "line 3 should be the sum"),
        ("day,spend\n03/01/2026,4\n", "line 2: '03/01/2026' is no day"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ReportError, match=message.replace("(", r"\(")):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        'campaign,imps,spend\nx,"1,234","$1,234.50"\n',
        "\ufeffcampaign;imps;spend\r\nx;1.234;1.234,50\r\n",
        'sep=;\ncampaign;imps;spend\nx;1234;"1234,5"\n',
        "campaign\timps\tspend\tCurrency\nx\t1\u00a0234\t1\u202f234,50\tusd\n",
        "campaign;imps;spend\nx;1'234;1'234.50\n",
        "campaign,imps,spend\nx,1234,1234.5 USD\n",
        "campaign;imps;spend\nx;1234;1.234\ny;0;0.5\nx;0;.5\nx;0;-0\n",
    ],
)
def test_every_countrys_way_to_write_a_number_is_read(text: str) -> None:
    assert read(text).tallies["x"] in (Tally(1_234, 1_234_500 * MICROS), Tally(1_234, 1_734 * MICROS))


def test_what_can_be_read_in_two_ways_is_read_as_the_caller_says() -> None:
    lines = ["campaign;spend", "x;1.234"]
    for mark, spend in ((".", 1_234 * MICROS), (",", 1_234 * BILLION)):
        assert read_report(lines, {}, DAY, decimal_mark=mark).tallies == {"x": Tally(0, spend)}  # type: ignore[arg-type] # one of the marks


def test_a_report_in_euros_is_read_where_the_books_are_in_euros() -> None:
    lines = ["campaign,spend,currency", "x,€1.50,EUR", "x,1 EUR,eur"]
    assert read_report(lines, {}, DAY, currency="EUR").tallies == {"x": Tally(0, 2_500 * MICROS)}
    with pytest.raises(ReportError, match="another currency"):
        read_report(["spend", "$1.50"], {}, DAY, currency="EUR")


def test_a_sum_of_all_days_and_sums_of_each_are_not_added_to_the_day() -> None:
    report = read(
        f"day,campaign,spend\n{DAY},x,1.004\n2026-03-02,x,2\n{DAY},Total,1\nTotal,,3\n,,3.004\nTotal,,\n"
    )
    assert report.tallies == {"x": Tally(0, 1_004 * MICROS)}
    assert read("exchange,spend\nplain,2\nTotal,2\n").tallies == {"all": Tally(0, 2 * BILLION)}


def test_rows_that_are_there_twice_are_counted() -> None:
    assert read("campaign,spend\nx,1\ny,1\nx,1\nx,1\nx,2\n").repeated_rows == 2


def test_a_column_that_is_not_there_is_told_what_is() -> None:
    with pytest.raises(ReportError, match="no column `Net`; it has `campaign`, `spend`"):
        read("campaign,spend\n", spend="Net")


def test_both_sides_are_put_together_the_largest_difference_first() -> None:
    report = Report("campaign", {"a": Tally(10, 100), "b": Tally(5, 50)}, counts_impressions=True)
    booked = Booked({"a": Tally(10, 100), "c": Tally(1, 80)}, {"b": {"overpriced": Tally(2, 20)}}, trimmed=())
    rows = compare(report, booked)
    assert [(row.key, row.spend) for row in rows] == [("c", -80), ("b", 50), ("a", 0)]
    assert rows[1].refused == {"overpriced": Tally(2, 20)}
