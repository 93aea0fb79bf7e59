"""Moments, days and hours as a manager means them: in a campaign's own time zone.

Every function is pure and takes unix seconds. A local day is the time between two local midnights,
so it lasts 23 or 25 hours when the clocks change.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from difflib import get_close_matches
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from config.schema import Daypart, Flight, Weekday, When

SECONDS_PER_DAY = 86_400
OPEN_END_S = 2**62
"""The end of a flight that has none."""
CLOCKS_KNOWN_S = 10 * 366 * SECONDS_PER_DAY
HOURS_PER_WEEK = 168
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_YEAR_MIN, _YEAR_MAX = 1970, 9_000
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    "oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_WHEN = re.compile(
    rf"""(?:
        (?P<iso>\d{{4}}-\d{{2}}-\d{{2}})
        | (?P<day>\d{{1,2}})(?:st|nd|rd|th)?[ ](?P<month>{_MONTH})[.]?[ ](?P<year>\d{{4}})
        | (?P<us_month>{_MONTH})[.]?[ ](?P<us_day>\d{{1,2}})(?:st|nd|rd|th)?,?[ ](?P<us_year>\d{{4}})
    )
    (?:(?:[ T]|,[ ])(?P<hour>\d{{1,2}})(?:
        (?P<minutes>:\d{{2}})(?P<seconds>:\d{{2}})?(?:[ ]?(?P<half>[ap])m\b)?
        | [ ]?(?P<half_alone>[ap])m\b
    ))?
    (?:\s*(?P<zone>[a-z+-]\S*))?""",
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
_SLASHES = re.compile(r"\d{1,4}[/.]\d{1,2}[/.]\d{1,4}.*", re.ASCII)
_SPOKEN_ZONES = {
    **dict.fromkeys(("ET", "EDT", "Eastern"), "America/New_York"),
    **dict.fromkeys(("CT", "CST", "CDT", "Central"), "America/Chicago"),
    **dict.fromkeys(("MT", "MDT", "Mountain"), "America/Denver"),
    **dict.fromkeys(("PT", "PST", "PDT", "Pacific"), "America/Los_Angeles"),
}
"""What people say for a zone. Elsewhere the same letters mean others, so they are a hint and no zone."""
_OFFSET = re.compile(r"(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})", re.ASCII)


def epoch_s(when: When, zone: str) -> int:
    """Return the unix second of a moment; `zone` is used when the text names none.

    Forms: ``2026-11-03``, ``3 November 2026`` and ``Nov 3, 2026``, each alone or with a time (``20:00``,
    ``T20:00:05``, ``8pm``, ``8:30 pm``), and with or without a zone name or an offset after it
    (``America/Chicago``, ``Z``, ``-06:00``). A local time that happens twice means the first; one that the
    clocks skip means the same distance after the change. Raises ValueError, with a sentence, on anything
    else and on an unknown zone.
    """
    match = _WHEN.fullmatch(when.strip())
    if match is None:
        if _SLASHES.fullmatch(when.strip()):
            raise ValueError(f"`{when}` can be read in two ways; write the day like 2026-11-03 or 3 Nov 2026")
        raise ValueError(
            f"`{when}` is not a moment; write it like 2026-11-03 or 2026-11-03 20:00, "
            "with a zone after it if it is not the campaign's"
        )
    try:
        local = _local(match)
    except ValueError:
        raise ValueError(f"`{when}` is not on the calendar; check its month, day, hour and minute") from None
    if not _YEAR_MIN <= local.year <= _YEAR_MAX:
        raise ValueError(f"`{when}` is outside the years {_YEAR_MIN} to {_YEAR_MAX}")
    return int(local.replace(tzinfo=time_zone(match["zone"] or zone)).timestamp())


def _local(match: re.Match[str]) -> datetime:
    """Return the local time that was written; ValueError when there is none such."""
    if match["iso"]:
        day = date.fromisoformat(match["iso"])
    else:
        month = 1 + _MONTHS.index((match["month"] or match["us_month"])[:3].lower())
        day = date(int(match["year"] or match["us_year"]), month, int(match["day"] or match["us_day"]))
    hour = int(match["hour"] or 0)
    half = (match["half"] or match["half_alone"] or "").lower()
    if half:
        if not 1 <= hour <= 12:
            raise ValueError("twelve hours have no other number")
        hour = hour % 12 + (12 if half == "p" else 0)
    minute, second = (int((match[name] or ":0")[1:]) for name in ("minutes", "seconds"))
    return datetime(day.year, day.month, day.day, hour, minute, second)


def flight_bounds_s(flight: Flight, zone: str) -> tuple[int, int]:
    """Return (start, end) in unix seconds, end exclusive; open ends are 0 and OPEN_END_S."""
    start_s = epoch_s(flight.start, zone) if flight.start is not None else 0
    end_s = epoch_s(flight.end, zone) if flight.end is not None else OPEN_END_S
    return start_s, end_s


def week_of(day: int) -> int:
    """Return the number of a day's week, which begins on Monday: 1970-01-01, day 0, was a Thursday."""
    return (day + 3) // 7


def local_day(epoch_s: int, zone: str) -> int:
    """Return the local calendar date as days since 1970-01-01."""
    return datetime.fromtimestamp(epoch_s, time_zone(zone)).toordinal() - _EPOCH_ORDINAL


def local_hour(epoch_s: int, zone: str) -> int:
    """Return the unix second that the local clock hour began in.

    When clocks go back by an hour, the hour that comes twice is two hours.
    """
    return epoch_s - (epoch_s + utc_offset_s(epoch_s, zone)) % 3_600


def day_bounds_s(epoch_s: int, zone: str) -> tuple[int, int]:
    """Return the unix seconds of the local midnights at or before `epoch_s`, and after it."""
    tz = time_zone(zone)
    today = datetime.fromtimestamp(epoch_s, tz).date()
    midnights = (datetime(day.year, day.month, day.day, tzinfo=tz) for day in (today, today + timedelta(1)))
    start, end = (int(midnight.timestamp()) for midnight in midnights)
    return start, end


def utc_offset_s(epoch_s: int, zone: str) -> int:
    """Return how far local time is ahead of UTC at that moment, in seconds."""
    offset = datetime.fromtimestamp(epoch_s, time_zone(zone)).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


@lru_cache(maxsize=4_096)
def clock_changes_s(start_s: int, end_s: int, zone: str) -> tuple[int, ...]:
    """Return the unix seconds after `start_s` and before `end_s` at which the local clocks change.

    Those of the first CLOCKS_KNOWN_S, further than which nobody knows the law. No zone has changed its clocks
    twice within a week.
    """
    changes = []
    before_s, end_s = start_s, min(end_s, start_s + CLOCKS_KNOWN_S)
    while before_s < end_s:
        after_s = min(before_s + 7 * SECONDS_PER_DAY, end_s)
        if utc_offset_s(before_s, zone) != utc_offset_s(after_s, zone):
            low_s, high_s = before_s, after_s
            while high_s - low_s > 1:
                middle_s = (low_s + high_s) // 2
                unchanged = utc_offset_s(middle_s, zone) == utc_offset_s(before_s, zone)
                low_s, high_s = (middle_s, high_s) if unchanged else (low_s, middle_s)
            if high_s < end_s:
                changes.append(high_s)
        before_s = after_s
    return tuple(changes)


def daypart_hours(dayparts: tuple[Daypart, ...]) -> frozenset[int]:
    """Return the hours of the local week (Monday 00:00 is 0) that any daypart covers; none means all."""
    if not dayparts:
        return frozenset(range(HOURS_PER_WEEK))
    return frozenset(
        WEEKDAYS.index(day) * 24 + hour
        for daypart in dayparts
        for day in daypart.days
        for hour in range(daypart.from_hour, daypart.to_hour)
    )


@cache
def zone_names() -> frozenset[str]:
    """Return every time zone name there is."""
    return frozenset(available_timezones())


@lru_cache(maxsize=1_024)
def time_zone(name: str) -> tzinfo:
    """Return the zone of a name or an offset like ``-06:00``; ValueError says there is none."""
    if name in ("Z", "UTC"):
        return UTC
    offset = _OFFSET.fullmatch(name)
    if offset is not None and int(offset["hours"]) < 24 and int(offset["minutes"]) < 60:
        ahead = timedelta(hours=int(offset["hours"]), minutes=int(offset["minutes"]))
        return timezone(ahead if offset["sign"] == "+" else -ahead)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        meant = _SPOKEN_ZONES.get(name) or next(iter(get_close_matches(name, zone_names(), n=1)), None)
        hint = f"; did you mean `{meant}`?" if meant else ""
        raise ValueError(
            f"`{name}` is not a time zone; write a name like America/Chicago, or an offset like -06:00{hint}"
        ) from None
