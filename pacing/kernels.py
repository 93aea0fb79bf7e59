"""Compiled functions of pacing that the decision kernel calls."""

import numpy as np
from numpy.typing import NDArray

from config.compiled import kernel


@kernel
def capped(
    records: NDArray[np.void], start: int, end: int, key: int, day_max: int, hour_max: int, now_s: int
) -> bool:
    """Say whether one user has seen as much of a campaign or line item as its cap allows.

    records: pacing.caps.CAP_RECORD[k], of which [start, end) are the user's; key: the code; day_max,
    hour_max: impressions, 0 for no limit; now_s: unix seconds. Writes nothing.
    """
    for index in range(start, end):
        if records[index]["key"] != key:
            continue
        record = records[index]
        # A record written by a clock ahead of ours is of the present.
        if day_max > 0 and record["day"] >= now_s // 86_400 and record["count_day"] >= day_max:
            return True
        this_hour = record["last_seen_minutes"] // 60 >= now_s // 3_600
        return hour_max > 0 and this_hour and record["count_hour"] >= hour_max
    return False
