"""How fresh the audiences of the live config are: when each was last loaded, and how many people it has.

What is older than a day, or was never loaded, is what an operator looks for, so the stalest come first.
Segments that events fill are always fresh, and counted apart.
"""

from collections.abc import Iterable

import msgspec

from config.audience import parse_audience, segment_names
from config.calendar import SECONDS_PER_DAY
from config.schema import Bundle
from segments.counts_history import SegmentCounts
from segments.registry import Definition

SHOWN_MAX = 12


class AudienceAge(msgspec.Struct, frozen=True):
    """One segment that a line item uses."""

    name: str
    loaded_s: int | None
    """None: never."""
    source: str
    people: int | None
    """None: not counted yet."""


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """The segments that line items of the config use."""

    in_use: int
    by_events: int
    within_a_day: int
    within_a_week: int
    """Longer ago than a day."""
    older: int
    never: int
    counted_s: int | None
    """When people were last counted."""
    stalest: tuple[AudienceAge, ...]
    """At most SHOWN_MAX, those never loaded first."""


def names_in_use(bundle: Bundle) -> set[str]:
    """Return the segments that audiences of line items name."""
    audiences = (
        parse_audience(item.audience)
        for advertiser in bundle.advertisers
        for campaign in advertiser.campaigns
        for item in campaign.line_items
    )
    return {name for audience in audiences if audience is not None for name in segment_names(audience)}


def freshness(
    used: set[str], definitions: Iterable[Definition], counts: SegmentCounts | None, now_s: float
) -> Freshness:
    """Summarise; pure. A segment that is used and not yet defined was never loaded."""
    by_name = {name: one for one in definitions for name in (one.name, *one.former_names)}
    ruled = {name for name in used if name in by_name and by_name[name].ruled}
    sizes = counts.sizes if counts else {}
    ages = []
    for name in sorted(used - ruled):
        load = by_name[name].load if name in by_name else None
        ages.append(
            AudienceAge(name, load.at_s if load else None, load.source if load else "", sizes.get(name))
        )
    ages.sort(key=lambda age: age.loaded_s or 0)
    seconds = [now_s - age.loaded_s for age in ages if age.loaded_s is not None]
    return Freshness(
        in_use=len(used),
        by_events=len(ruled),
        within_a_day=sum(age_s <= SECONDS_PER_DAY for age_s in seconds),
        within_a_week=sum(SECONDS_PER_DAY < age_s <= 7 * SECONDS_PER_DAY for age_s in seconds),
        older=sum(age_s > 7 * SECONDS_PER_DAY for age_s in seconds),
        never=len(ages) - len(seconds),
        counted_s=counts.at_s if counts else None,
        stalest=tuple(ages[:SHOWN_MAX]),
    )
