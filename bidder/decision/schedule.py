"""Which ads may run now: flights, dayparts and pauses, as one row of bits.

Worked out once a second at most, off the path of a request, so the kernel ANDs one more row
instead of comparing clocks.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from bidder.decision.bitrows import BitRow, bit_row_of_mask, words_for
from bidder.decision.dimensions import Ad
from config.calendar import daypart_hours, flight_bounds_s, utc_offset_s

HOURS_PER_WEEK = 168
_EPOCH_HOUR_OF_WEEK = 72
"""1970-01-01 was a Thursday; hours of the week count from Monday."""


class Schedule(msgspec.Struct, frozen=True):
    """Line items L, ads A, time zones Z."""

    start_s: npt.NDArray[np.int64]
    """int64[L]: the later of the campaign's and the line item's start, in epoch seconds."""
    end_s: npt.NDArray[np.int64]
    hours: npt.NDArray[np.bool_]
    """bool[L, 168]: local hours of the week, Monday 00 first."""
    zone: npt.NDArray[np.int64]
    """int64[L]: index in `zones`."""
    zones: tuple[str, ...]
    running: npt.NDArray[np.bool_]
    """bool[L]: not paused in the config."""
    ad_line_item: npt.NDArray[np.int64]


def compile_schedule(ads: Sequence[Ad], line_items: Sequence[tuple[str, str]]) -> Schedule:
    """Read the schedule of line items, given as (campaign id, line item id), from their ads."""
    owners = {(ad.campaign.id, ad.line_item.id): ad for ad in ads}
    index = {key: i for i, key in enumerate(line_items)}
    zones = tuple(dict.fromkeys(ad.campaign.time_zone for ad in ads))
    bounds = []
    hours = np.zeros((len(line_items), HOURS_PER_WEEK), np.bool_)
    for i, key in enumerate(line_items):
        ad = owners[key]
        zone = ad.campaign.time_zone
        campaign_start, campaign_end = flight_bounds_s(ad.campaign.flight, zone)
        start, end = flight_bounds_s(ad.line_item.flight, zone)
        bounds.append((max(campaign_start, start), min(campaign_end, end)))
        hours[i, list(daypart_hours(ad.line_item.targeting.dayparts))] = True
    spans = np.array(bounds, np.int64).reshape(-1, 2)
    return Schedule(
        start_s=spans[:, 0],
        end_s=spans[:, 1],
        hours=hours,
        zone=np.array([zones.index(owners[key].campaign.time_zone) for key in line_items], np.int64),
        zones=zones,
        running=np.array(
            [not (owners[key].campaign.paused or owners[key].line_item.paused) for key in line_items],
            np.bool_,
        ),
        ad_line_item=np.array([index[ad.campaign.id, ad.line_item.id] for ad in ads], np.int64),
    )


def active_ads(schedule: Schedule, now_s: int) -> BitRow:
    """Return the uint64[words] row of the ads that may run at an epoch second."""
    words = words_for(len(schedule.ad_line_item))
    if not schedule.zones:
        return np.zeros(words, np.uint64)
    offsets = np.array([utc_offset_s(now_s, zone) for zone in schedule.zones], np.int64)
    local_hour = hour_of_week(now_s + offsets)[schedule.zone]
    active = schedule.running & (schedule.start_s <= now_s) & (now_s < schedule.end_s)
    active &= schedule.hours[np.arange(len(local_hour)), local_hour]
    return bit_row_of_mask(active[schedule.ad_line_item], words)


def hour_of_week(local_s: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the hour of the week, Monday 00 = 0, of local epoch seconds."""
    return (local_s // 3_600 + _EPOCH_HOUR_OF_WEEK) % HOURS_PER_WEEK
