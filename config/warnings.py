"""What is legal in a bundle, and yet hardly what somebody meant.

    for finding in find_warnings(bundle, now_s, Seen(floors=..., few=...)):
        ...

A warning stops nothing. It is made only where the config alone, or with what the engine has seen, proves
that a line item won't run, or that some of what is written can have no effect; `hustings config check` prints
it with its place. What is paused on purpose is left in peace.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec

from config.audience import Clause, parse_audience, to_clauses
from config.calendar import (
    HOURS_PER_WEEK,
    OPEN_END_S,
    SECONDS_PER_DAY,
    daypart_hours,
    flight_bounds_s,
    local_day,
    local_hour,
    utc_offset_s,
)
from config.diff import campaigns_renamed
from config.faults import SchemaPath
from config.findings import Finding
from config.money import MICROS, cpm_text, format_money
from config.schema import Advertiser, Bundle, Campaign, FrequencyCap, LineItem
from config.slips import find_slips

FLOORS_SEEN_MIN = 1_000
"""Floors of an exchange that must have been looked at before anything is said about them."""
CPM_DEAR_MICROS = 500 * MICROS
_HOUR_S = 3_600
_MONDAY = 4
"""1970-01-05, the first Monday, in days since 1970-01-01."""


class Seen(msgspec.Struct, frozen=True):
    """What the engine knows of the market and of people; empty where it was not asked."""

    floors: Mapping[str, Mapping[int, int]] = {}
    """By exchange: floor of open auctions in CPM micros, at most as high as what was asked -> how often."""
    few: Mapping[str, int | None] = {}
    """Line items whose audience has fewer people than may be aimed at -> how many."""
    spent: Mapping[str, int] = {}
    """Campaigns that the ledger has an account of -> what is booked there."""
    live: Bundle | None = None
    """The config that is live."""


def find_warnings(bundle: Bundle, now_s: int, seen: Seen) -> Iterator[Finding]:
    """Yield what is legal and silly in a sound bundle, as of a moment."""
    currency = bundle.engine.currency
    open_exchanges = {exchange.id for exchange in bundle.exchanges if not exchange.paused}
    for a, advertiser in enumerate(bundle.advertisers):
        path: SchemaPath = ("advertisers", a)
        yield from _unused_creatives(path, advertiser)
        for c, campaign in enumerate(advertiser.campaigns):
            campaign_path = (*path, "campaigns", c)
            if campaign.paused:
                continue
            yield from _campaign(campaign_path, campaign, now_s, currency)
            for index, line_item in enumerate(campaign.line_items):
                if not line_item.paused:
                    item_path = (*campaign_path, "line_items", index)
                    yield from _line_item(item_path, line_item, campaign, now_s, currency)
                    yield from _market(item_path, line_item, open_exchanges, seen, bundle)
    yield from _spent(bundle, seen, currency)
    yield from find_slips(bundle)


def _spent(bundle: Bundle, seen: Seen, currency: str) -> Iterator[Finding]:
    """What can't be seen from the files: that money is spent already, and under which id."""
    renamed = campaigns_renamed(seen.live, bundle)
    for a, advertiser in enumerate(bundle.advertisers):
        for c, campaign in enumerate(advertiser.campaigns):
            path = ("advertisers", a, "campaigns", c)
            spent = seen.spent.get(campaign.id, 0)
            if spent > campaign.budget.total:
                message = (
                    f"`{campaign.id}` has spent {format_money(spent, currency)} already, more than this: "
                    "it will not run"
                )
                yield Finding((*path, "budget", "total"), message)
            if campaign.id in renamed:
                message = (
                    f"this looks like the campaign `{renamed[campaign.id]}` under another id, and money is "
                    "kept by id: it begins with nothing spent; to rename it, keep `id` and change `name`"
                )
                yield Finding((*path, "id"), message)


def _unused_creatives(path: SchemaPath, advertiser: Advertiser) -> Iterator[Finding]:
    used = {
        name for campaign in advertiser.campaigns for item in campaign.line_items for name in item.creatives
    }
    for index, creative in enumerate(advertiser.creatives):
        if creative.id not in used:
            yield Finding(
                (*path, "creatives", index, "id"), f"no line item shows the creative `{creative.id}`"
            )


def _campaign(path: SchemaPath, campaign: Campaign, now_s: int, currency: str) -> Iterator[Finding]:
    start_s, end_s = flight_bounds_s(campaign.flight, campaign.time_zone)
    if end_s <= now_s:
        message = f"this flight was over on {campaign.flight.end}; nothing of `{campaign.id}` will run"
        yield Finding((*path, "flight", "end"), message)
        return
    if all(item.paused for item in campaign.line_items):
        what = "every line item is paused" if campaign.line_items else "there is no line item"
        yield Finding((*path, "line_items"), f"{what}: `{campaign.id}` will not run")
    yield from _caps((*path, "frequency_cap"), campaign.frequency_cap)
    budget = campaign.budget
    if budget.daily is not None and end_s != OPEN_END_S:
        zone, from_s = campaign.time_zone, max(start_s, 0)
        days = local_day(end_s - 1, zone) - local_day(from_s if start_s else now_s, zone) + 1
        if start_s and budget.daily * days < budget.total:
            span = f"the {days:,} days" if days > 1 else "the one day"
            message = (
                f"at {format_money(budget.daily, currency)} a day {span} of this flight "
                f"spend at most {format_money(budget.daily * days, currency)} of "
                f"{format_money(budget.total, currency)}"
            )
            yield Finding((*path, "budget", "daily"), message)
    totals = [item.budget.total for item in campaign.line_items]
    own = sum(total for total in totals if total is not None)
    if totals and None not in totals and own < budget.total:
        message = (
            f"the line items' own budgets add up to {format_money(own, currency)}: no more of "
            f"{format_money(budget.total, currency)} will be spent"
        )
        yield Finding((*path, "budget", "total"), message)


def _line_item(
    path: SchemaPath, item: LineItem, campaign: Campaign, now_s: int, currency: str
) -> Iterator[Finding]:
    zone = campaign.time_zone
    bounds = [flight_bounds_s(flight, zone) for flight in (campaign.flight, item.flight)]
    start_s, end_s = max(start for start, _ in bounds), min(end for _, end in bounds)
    if bounds[1][1] <= now_s < bounds[0][1]:
        message = f"this flight was over on {item.flight.end}; `{item.id}` will not run"
        yield Finding((*path, "flight", "end"), message)
    elif now_s < end_s and not _daypart_in_flight(item, max(start_s, now_s), end_s, zone):
        message = f"no hour of these lies in what is left of the flight; `{item.id}` will not run"
        yield Finding((*path, "targeting", "dayparts"), message)
    yield from _caps((*path, "frequency_cap"), item.frequency_cap)
    bid = item.cpm_max_micros
    priced = "bid_cpm_max" if item.bid_cpm_max is not None else "bid_cpm"
    for owner, amounts in (("campaign", campaign.budget), ("line item", item.budget)):
        for name in ("total", "daily", "hourly"):
            amount = getattr(amounts, name, None)
            # A CPM in micros is the cost of one impression in billionths.
            if amount is not None and amount < bid:
                message = f"at a CPM of {cpm_text(bid)} one impression may cost more than the {owner}'s "
                message += f"{name} budget"
                yield Finding((*path, priced), message)
    if bid >= CPM_DEAR_MICROS:
        one = format_money(bid, currency)
        yield Finding(
            (*path, priced), f"a CPM is the price of a thousand: this pays up to {one} for each one"
        )
    yield from _contradictions((*path, "targeting"), item)
    node = parse_audience(item.audience)
    if node is not None and _is_empty(to_clauses(node)):
        message = f"nobody can be in this audience: it asks for a segment and for its contrary; `{item.id}` "
        yield Finding((*path, "audience"), message + "will not run")


def _contradictions(path: SchemaPath, item: LineItem) -> Iterator[Finding]:
    """What is taken in and left out at once is left out."""
    geo, inventory = item.targeting.geo, item.targeting.inventory
    lists = [
        (("geo", "exclude", name), getattr(geo.include, name), getattr(geo.exclude, name))
        for name in ("countries", "regions", "metros", "zips")
    ]
    lists += [
        (("inventory", "exclude", name), getattr(inventory.include, name), getattr(inventory.exclude, name))
        for name in ("domains", "bundles")
    ]
    for place, included, excluded in lists:
        for index, value in enumerate(excluded):
            if value in included:
                message = f"`{value}` is included and excluded, and so excluded"
                yield Finding((*path, *place, index), message)


def _is_empty(clauses: Sequence[Clause]) -> bool:
    """Tell whether segments that must hold, and those that must not, leave a clause that nobody can meet."""
    held: set[str] = set()
    barred: set[str] = set()
    while True:
        left = [(clause.any - barred, clause.none - held) for clause in clauses]
        if any(not inside and not outside for inside, outside in left):
            return True
        known = len(held) + len(barred)
        held.update(*(inside for inside, outside in left if len(inside) == 1 and not outside))
        barred.update(*(outside for inside, outside in left if len(outside) == 1 and not inside))
        if known == len(held) + len(barred):
            return False


def _caps(path: SchemaPath, cap: FrequencyCap) -> Iterator[Finding]:
    """A limit that another keeps from being reached limits nothing."""
    longer = [
        (name, limit)
        for name in ("per_hour", "per_day", "per_week", "per_flight")
        if (limit := getattr(cap, name)) is not None
    ]
    for (name, limit), (bound_name, bound) in pairwise(longer):
        if limit > bound:
            yield Finding((*path, name), f"`{name}: {limit}` is never reached: `{bound_name}` is {bound}")


def _daypart_in_flight(item: LineItem, start_s: int, end_s: int, zone: str) -> bool:
    """Tell whether any hour that the dayparts name lies between two moments."""
    hours = daypart_hours(item.targeting.dayparts)
    if len(hours) == HOURS_PER_WEEK or end_s - start_s > 8 * SECONDS_PER_DAY:
        return bool(hours)
    at_s = local_hour(start_s, zone)
    while at_s < end_s:
        local_s = at_s + utc_offset_s(at_s, zone)
        day = (local_s // SECONDS_PER_DAY - _MONDAY) % 7
        if day * 24 + local_s % SECONDS_PER_DAY // _HOUR_S in hours:
            return True
        at_s += _HOUR_S
    return False


def _market(
    path: SchemaPath, item: LineItem, open_exchanges: set[str], seen: Seen, bundle: Bundle
) -> Iterator[Finding]:
    """What a line item meets: exchanges, their floors, and people."""
    targets = set(item.targeting.exchanges) or open_exchanges
    reached = sorted(targets & open_exchanges)
    if not reached:
        where = (*path, "targeting", "exchanges")
        yield Finding(where, f"every exchange of `{item.id}` is paused; it will not run")
        return
    if item.id in seen.few:
        people = seen.few[item.id] or 0
        message = (
            f"`{item.id}` will not bid: {people:,} people are in its audience, and `audience_size_min` is "
            f"{bundle.engine.audience_size_min:,}"
        )
        yield Finding((*path, "audience"), message)
    if item.targeting.deals:
        return
    floors = [seen.floors.get(exchange, {}) for exchange in reached]
    if all(sum(counts.values()) >= FLOORS_SEEN_MIN for counts in floors):
        lowest = min(min(counts) for counts in floors)
        if item.cpm_max_micros < lowest:
            priced = "bid_cpm_max" if item.bid_cpm_max is not None else "bid_cpm"
            message = (
                f"{cpm_text(item.cpm_max_micros)} is below every floor seen in the last days at "
                f"{', '.join(reached)}: the lowest is {cpm_text(lowest)}"
            )
            yield Finding((*path, priced), message)
