"""How traffic goes up and down through the hours of a week.

    weights = hours_of(WEEK, start=0, hours=168)
    moments = arrivals(rate_per_s, seconds, rng, weights)

A run stands for some hours of a week, squeezed into its seconds: by default for all 168, so that a minute
shows seven mornings and seven nights. `WEEK` is a made-up week in the shape that web traffic commonly has:
least before dawn, a broad high from mid-morning on that falls off in the evening, and quieter weekends.

A file brings a measured one: CSV with the columns `dow` (1 to 7, Monday first), `hour` (0 to 23) and
`traffic_share`, and `region_id` if it knows several regions.
"""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from loadtest.limits import SHAPE_BYTES_MAX

HOURS = 168
_DAY = (34, 23, 19, 20, 26, 36, 52, 74, 102, 132, 152, 160, 162, 160, 157, 154, 150, 148, 150, 146, 130, 104)
_DAYS = (1.05, 1.08, 1.08, 1.06, 1.02, 0.86, 0.85)
WEEK: tuple[float, ...] = tuple(weight * day for day in _DAYS for weight in (*_DAY, 76, 50))
"""The weight of each hour, from Monday midnight on."""
_COLUMNS = ("dow", "hour", "traffic_share")


class ShapeError(Exception):
    """The file is no shape of a week; the message says where, why, and how to mend it."""


def hours_of(week: Sequence[float], start: int, hours: int) -> list[float]:
    """Return the weights of so many hours from hour `start` on, round and round the week."""
    return [week[(start + hour) % HOURS] for hour in range(hours)]


def read_week(path: Path, region: str = "") -> tuple[float, ...]:
    """Read the 168 weights of a region, or of all regions together when none is named; raises ShapeError."""
    week = [0.0] * HOURS
    seen: set[int] = set()
    rows = csv.DictReader(io.StringIO(_text(path), newline=""))
    wanted = _COLUMNS + (("region_id",) if region else ())
    if missing := [name for name in wanted if name not in (rows.fieldnames or ())]:
        raise ShapeError(f"{path} has no column {', '.join(missing)}; it needs {', '.join(wanted)}")
    for row in rows:
        if region and row["region_id"] != region:
            continue
        try:
            day, hour, share = int(row["dow"]), int(row["hour"]), float(row["traffic_share"])
        except (TypeError, ValueError):
            raise ShapeError(
                f"{path}, line {rows.line_num}: dow, hour and traffic_share are numbers"
            ) from None
        if not (1 <= day <= 7 and 0 <= hour <= 23 and 0 <= share < math.inf):
            raise ShapeError(
                f"{path}, line {rows.line_num}: dow is 1 to 7, hour 0 to 23, traffic_share 0 or more"
            )
        seen.add((day - 1) * 24 + hour)
        week[(day - 1) * 24 + hour] += share
    if not seen:
        raise ShapeError(f"{path} has no rows" + (f" of region {region}" if region else ""))
    if len(seen) < HOURS:
        first = min(set(range(HOURS)) - seen)
        raise ShapeError(
            f"{path} has only {len(seen)} of the {HOURS} hours of a week; the first that it lacks is hour "
            f"{first % 24} of day {first // 24 + 1}"
        )
    return tuple(week)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(SHAPE_BYTES_MAX + 1)
    except OSError as error:
        raise ShapeError(f"can't read {path}: {error.strerror}") from None
    if len(data) > SHAPE_BYTES_MAX:
        raise ShapeError(f"{path} is larger than {SHAPE_BYTES_MAX} bytes; a week of one region is 168 lines")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ShapeError(f"{path} is not text in UTF-8") from None
