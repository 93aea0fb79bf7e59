"""The hours of a week: the built-in ones, and those of a file."""

from pathlib import Path

import pytest

from loadtest.shape import HOURS, WEEK, ShapeError, hours_of, read_week
from tests.shared_data import shared_data

HEAD = "region_id,dow,hour,traffic_share"


def week_file(folder: Path, *more: str, left_out: int = -1) -> Path:
    """Every hour of a week for region 7, and more lines."""
    rows = [
        f"7,{hour // 24 + 1},{hour % 24},{0.001 * (hour % 24 + 1)}"
        for hour in range(HOURS)
        if hour != left_out
    ]
    file = folder / "week.csv"
    file.write_text("\n".join([HEAD, *rows, *more]))
    return file


def test_the_built_in_week_has_nights_and_weekends() -> None:
    days = [WEEK[day * 24 : day * 24 + 24] for day in range(7)]
    assert len(WEEK) == HOURS
    assert all(min(day[9:22]) > 3 * min(day) for day in days)
    assert all(sum(day) > sum(weekend) for day in days[:5] for weekend in days[5:])


def test_hours_go_round_the_week() -> None:
    assert hours_of(WEEK, 167, 3) == [WEEK[167], WEEK[0], WEEK[1]]
    assert hours_of(WEEK, 0, HOURS) == list(WEEK)


def test_regions_add_up_unless_one_is_named(tmp_path: Path) -> None:
    file = week_file(tmp_path, *(f"8,{hour // 24 + 1},{hour % 24},0.5" for hour in range(HOURS)))
    assert read_week(file, "7")[25] == pytest.approx(0.002)
    assert read_week(file)[25] == pytest.approx(0.502)


def test_the_real_week_is_read() -> None:
    week = read_week(shared_data("traffic", "hour_of_week.csv"))
    assert sum(week) == pytest.approx(114, rel=1e-3)
    assert max(week) > 8 * min(week)
    assert week[24 + 11] > week[24 + 3]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("7,8,0,0.1",), "line 170: dow is 1 to 7"),
        (("7,1,24,0.1",), "line 170: dow is 1 to 7"),
        (("7,1,0,-1",), "traffic_share 0 or more"),
        (("7,1,0,inf",), "traffic_share 0 or more"),
        (("7,1,0,nan",), "traffic_share 0 or more"),
        (("7,one,0,1",), "line 170: dow, hour and traffic_share are numbers"),
        (("7,1",), "are numbers"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        read_week(week_file(tmp_path, *lines))


def test_an_hour_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"only 167 of the 168 hours .* lacks is hour 3 of day 2"):
        read_week(week_file(tmp_path, left_out=27))


def test_what_is_no_such_file_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = week_file(tmp_path)
    with pytest.raises(ShapeError, match="has no rows of region 9"):
        read_week(file, "9")
    with pytest.raises(ShapeError, match="can't read"):
        read_week(tmp_path / "absent.csv")
    (tmp_path / "other.csv").write_text("day,share\n1,2\n")
    with pytest.raises(ShapeError, match="has no column dow, hour, traffic_share"):
        read_week(tmp_path / "other.csv")
    (tmp_path / "other.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(ShapeError, match="not text in UTF-8"):
        read_week(tmp_path / "other.csv")
    monkeypatch.setattr("loadtest.shape.SHAPE_BYTES_MAX", 100)
    with pytest.raises(ShapeError, match="larger than 100 bytes"):
        read_week(file)
