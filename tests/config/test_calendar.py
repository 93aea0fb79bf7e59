"""Moments, local days and dayparts, the days on which clocks change included."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.calendar import (
    OPEN_END_S,
    clock_changes_s,
    day_bounds_s,
    daypart_hours,
    epoch_s,
    flight_bounds_s,
    local_day,
    local_hour,
    utc_offset_s,
)
from config.schema import Daypart, Flight, When

CHICAGO = "America/Chicago"
zones = st.sampled_from(
    [CHICAGO, "UTC", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Cairo", "America/Havana", "America/Nuuk"]
)
NEW_YEAR_2025_S = 1_735_689_600
moments = st.integers(NEW_YEAR_2025_S, NEW_YEAR_2025_S + 10 * 366 * 86_400)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-11-03", "2026-11-03T06:00"),
        ("2026-07-03", "2026-07-03T05:00"),
        ("2026-11-03 20:00", "2026-11-04T02:00"),
        ("2026-11-03T20:00:05", "2026-11-04T02:00:05"),
        ("2026-11-03 20:00 America/New_York", "2026-11-04T01:00"),
        ("2026-11-03 UTC", "2026-11-03T00:00"),
        ("2026-11-03T20:00:05Z", "2026-11-03T20:00:05"),
        ("2026-11-03 20:00 -06:00", "2026-11-04T02:00"),
        ("2026-11-03 20:00+0530", "2026-11-03T14:30"),
        # Skipped by the clocks: half past two, 90 minutes after one o'clock standard time.
        ("2026-03-08 02:30", "2026-03-08T08:30"),
        # Happens twice: the first.
        ("2026-11-01 01:30", "2026-11-01T06:30"),
    ],
)
def test_a_moment_is_read_in_its_zone(when: str, expected: str) -> None:
    assert epoch_s(When(when), CHICAGO) == at(expected)


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("tomorrow", "is not a moment; write it like"),
        ("2026-11-3", "is not a moment"),
        ("2026-02-30", "is not on the calendar"),
        ("2026-11-03 24:00", "is not on the calendar"),
        ("1969-12-31", "outside the years"),
        ("2026-11-03 20:00 Mars/Base", "`Mars/Base` is not a time zone"),
        ("2026-11-03 20:00 America", "`America` is not a time zone"),
        ("2026-11-03 +25:00", "is not a time zone"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(when: str, message: str) -> None:
    with pytest.raises(ValueError, match="`") as caught:
        epoch_s(When(when), CHICAGO)
    assert message in str(caught.value)


def test_a_flight_may_be_open_at_either_end() -> None:
    start, end = When("2026-11-03"), When("2026-11-04")
    assert flight_bounds_s(Flight(), CHICAGO) == (0, OPEN_END_S)
    assert flight_bounds_s(Flight(start=start), "UTC") == (at("2026-11-03"), OPEN_END_S)
    assert flight_bounds_s(Flight(start=start, end=end), "UTC") == (at("2026-11-03"), at("2026-11-04"))


@settings(deadline=None)
@given(moments, zones)
def test_a_moment_lies_in_its_day_and_days_touch(moment: int, zone: str) -> None:
    start, end = day_bounds_s(moment, zone)
    assert start <= moment < end
    assert local_day(start, zone) == local_day(moment, zone) == local_day(end - 1, zone)
    assert local_day(end, zone) == local_day(moment, zone) + 1
    assert day_bounds_s(end, zone)[0] == end


def test_a_local_day_has_23_or_25_hours_when_the_clocks_change() -> None:
    def hours(day: str) -> float:
        start, end = day_bounds_s(at(f"{day}T18:00"), CHICAGO)
        return (end - start) / 3600

    assert [hours(day) for day in ("2026-03-07", "2026-03-08", "2026-11-01")] == [24, 23, 25]


def test_local_days_count_from_1970_by_the_local_date() -> None:
    assert local_day(0, "UTC") == 0
    assert local_day(0, CHICAGO) == -1
    assert local_day(at("2026-11-04T02:00"), CHICAGO) == local_day(at("2026-11-03T12:00"), "UTC")


def test_the_offset_follows_the_clocks() -> None:
    assert utc_offset_s(at("2026-01-01"), CHICAGO) == -6 * 3600
    assert utc_offset_s(at("2026-07-01"), CHICAGO) == -5 * 3600
    assert utc_offset_s(at("2026-07-01"), "Asia/Kolkata") == 19_800


@pytest.mark.parametrize(
    ("zone", "year", "changes"),
    [
        ("America/Chicago", 2026, ["2026-03-08T08:00:00+00:00", "2026-11-01T07:00:00+00:00"]),
        ("Australia/Lord_Howe", 2026, ["2026-04-04T15:00:00+00:00", "2026-10-03T15:30:00+00:00"]),
        ("Asia/Kathmandu", 2026, []),
        ("-06:00", 2026, []),
    ],
)
def test_the_changes_of_clocks_are_found_to_the_second(zone: str, year: int, changes: list[str]) -> None:
    start_s, end_s = (int(datetime(each, 1, 1, tzinfo=UTC).timestamp()) for each in (year, year + 1))
    found = clock_changes_s(start_s, end_s, zone)
    assert [datetime.fromtimestamp(at_s, UTC).isoformat() for at_s in found] == changes
    for at_s in found:
        assert clock_changes_s(at_s - 1, at_s + 1, zone) == (at_s,)
        assert clock_changes_s(at_s, at_s + 1, zone) == ()


def test_dayparts_cover_hours_of_the_week_from_monday() -> None:
    assert daypart_hours(()) == frozenset(range(168))
    assert daypart_hours((Daypart(),)) == frozenset(range(168))
    assert daypart_hours((Daypart(days=("mon",), from_hour=0, to_hour=2),)) == {0, 1}
    evening = Daypart(days=("sun",), from_hour=22)
    assert daypart_hours((evening, Daypart(days=("tue",), to_hour=1))) == {166, 167, 24}
    assert daypart_hours((Daypart(days=()),)) == frozenset()


@given(moments, st.integers(0, 7_200), zones)
def test_a_moment_lies_in_its_local_hour_and_hours_only_go_on(moment: int, later: int, zone: str) -> None:
    hour = local_hour(moment, zone)
    assert moment - 3_600 < hour <= moment
    assert (hour + utc_offset_s(moment, zone)) % 3_600 == 0
    assert local_hour(moment + later, zone) >= hour


def test_hours_of_a_half_hour_zone_begin_at_the_half_hour_of_utc() -> None:
    assert local_hour(at("2026-11-03T06:20"), "Asia/Kolkata") == at("2026-11-03T05:30")


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("3 Nov 2026", "2026-11-03"),
        ("3rd November 2026 20:00", "2026-11-03 20:00"),
        ("Nov 3, 2026", "2026-11-03"),
        ("November 3rd 2026, 8pm", "2026-11-03 20:00"),
        ("Sept. 1 2026 8:30 pm America/Denver", "2026-09-01 20:30 America/Denver"),
        ("2026-11-03 8 PM", "2026-11-03 20:00"),
        ("2026-11-03 9:05", "2026-11-03 09:05"),
        ("2026-11-03 12am", "2026-11-03 00:00"),
        ("2026-11-03 12:15 pm -06:00", "2026-11-03 12:15 -06:00"),
        ("31 may 2026 1:02:03 am Z", "2026-05-31 01:02:03 Z"),
    ],
)
def test_a_moment_as_people_write_it(written: str, plain: str) -> None:
    assert epoch_s(When(written), "America/Chicago") == epoch_s(When(plain), "America/Chicago")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("11/3/2026", "can be read in two ways"),
        ("3.11.2026 20:00", "can be read in two ways"),
        ("31 Nov 2026", "is not on the calendar"),
        ("2026-11-03 13pm", "is not on the calendar"),
        ("2026-11-03 0 am", "is not on the calendar"),
        ("Novembre 3 2026", "is not a moment"),
        ("2026-11-03 20", "is not a moment"),
        ("2026-11-03 20:00 CST", "did you mean `America/Chicago`?"),
        ("2026-11-03 20:00 America/Chicgo", "did you mean `America/Chicago`?"),
    ],
)
def test_what_could_mean_several_moments_is_none(written: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        epoch_s(When(written), "America/Chicago")
