"""What the schema alone can't say: whether the parts of a bundle fit together.

`config.load` runs these checks on everything it could read and gives each finding its file and
line. A finding that rests on a value already refused (a doubtful path) is not made: one mistake is
reported once.
"""

import re
from collections.abc import Iterator, Mapping, Set
from typing import cast

import msgspec

from config.audience import RESERVED_WORDS
from config.audience_checks import AudienceNames, check_audience, check_named_audiences
from config.calendar import OPEN_END_S, epoch_s, time_zone
from config.creative_checks import check_creative
from config.exchange_checks import check_declarations, check_exchange, check_traffic
from config.faults import SchemaPath
from config.findings import Finding, Findings, Known, known
from config.limits import CREATIVES_PER_LINE_ITEM_MAX, LINE_ITEM_BUDGETS_MAX, LINE_ITEMS_MAX, SEGMENTS_MAX
from config.money import format_money
from config.price_checks import check_adjustments, check_price, check_zips_in_all
from config.schema import (
    Advertiser,
    Budget,
    Bundle,
    Campaign,
    Creative,
    Daypart,
    Flight,
    Format,
    Inventory,
    LineItem,
    LineItemBudget,
    PacingWeight,
    Segment,
    SegmentRule,
    Targeting,
    code_of,
)
from config.wording import nearest_hint

OPERATING_SYSTEMS = (
    "android",
    "ios",
    "windows",
    "macos",
    "linux",
    "chromeos",
    "tvos",
    "roku",
    "fireos",
    "other",
)
"""What `operating_systems` may name; `other` is every system outside the list."""

_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


def check(bundle: Bundle, doubtful: Set[SchemaPath] = frozenset()) -> tuple[Finding, ...]:
    """Return everything that does not fit together; findings that rest on `doubtful` paths are left out."""
    findings = Findings(doubtful)
    line_items = [(path, line_item.id) for path, line_item in _line_items(bundle)]
    _check_ids(findings, "exchange", [(("exchanges", e), x.id) for e, x in enumerate(bundle.exchanges)])
    _check_ids(findings, "campaign", [(path, campaign.id) for path, campaign in _campaigns(bundle)])
    _check_ids(findings, "line item", line_items)
    _check_ids(findings, "creative", [(path, creative.id) for path, creative in _creatives(bundle)])
    _check_segments(findings, bundle)
    if len(line_items) > LINE_ITEMS_MAX:
        findings.add(line_items[LINE_ITEMS_MAX][0], f"the folder has more than {LINE_ITEMS_MAX:,} line items")
    if len(bundle.line_items_by_account()) > LINE_ITEM_BUDGETS_MAX:
        message = f"more than {LINE_ITEM_BUDGETS_MAX:,} line items have a budget of their own"
        findings.add(("advertisers",), message)
    check_zips_in_all(findings, _line_items(bundle))
    segments = known((segment.name for segment in bundle.segments), ("segments",), "name")
    owners = {segment.name: segment.owner for segment in bundle.segments if segment.owner is not None}
    exchanges = known((exchange.id for exchange in bundle.exchanges), ("exchanges",), "id")
    check_traffic(findings, bundle.traffic)
    for e, exchange in enumerate(bundle.exchanges):
        check_exchange(findings, ("exchanges", e), exchange)
    for a, advertiser in enumerate(bundle.advertisers):
        check_declarations(findings, ("advertisers", a), advertiser, exchanges, bundle.engine)
        _check_advertiser(findings, ("advertisers", a), advertiser, segments, owners, exchanges)
    return tuple(findings.made)


class _Names(msgspec.Struct, frozen=True):
    """What a line item of one advertiser may name."""

    audiences: AudienceNames
    exchanges: Known
    creatives: Known
    formats: Mapping[str, Format]
    """Of the creatives."""


def _campaigns(bundle: Bundle) -> Iterator[tuple[SchemaPath, Campaign]]:
    for a, advertiser in enumerate(bundle.advertisers):
        for c, campaign in enumerate(advertiser.campaigns):
            yield ("advertisers", a, "campaigns", c), campaign


def _line_items(bundle: Bundle) -> Iterator[tuple[SchemaPath, LineItem]]:
    for path, campaign in _campaigns(bundle):
        for index, line_item in enumerate(campaign.line_items):
            yield (*path, "line_items", index), line_item


def _creatives(bundle: Bundle) -> Iterator[tuple[SchemaPath, Creative]]:
    for a, advertiser in enumerate(bundle.advertisers):
        for c, creative in enumerate(advertiser.creatives):
            yield ("advertisers", a, "creatives", c), creative


def _check_ids(findings: Findings, kind: str, ids: list[tuple[SchemaPath, str]]) -> None:
    """Ids must differ over all advertisers, and so must the 32-bit codes that stand for them."""
    seen: dict[int, tuple[SchemaPath, str]] = {}
    for path, id_ in ids:
        if not id_:
            continue
        path = (*path, "id")
        first_path, first_id = seen.setdefault(code_of(id_), (path, id_))
        if first_path is path:
            continue
        if first_id == id_:
            message = f"`{id_}` is the id of another {kind} already; rename one of them"
        else:
            message = f"the {kind} ids `{id_}` and `{first_id}` share a ledger code; rename the newer one"
        findings.add(path, message, first=first_path)


def _check_segments(findings: Findings, bundle: Bundle) -> None:
    seen: dict[str, SchemaPath] = {}
    advertisers = known((advertiser.id for advertiser in bundle.advertisers), ("advertisers",), "id")
    campaigns: dict[str, tuple[SchemaPath, str]] = {}
    for path, campaign in _campaigns(bundle):
        campaigns[campaign.id] = ((*path, "id"), bundle.advertisers[cast(int, path[1])].id)
    for index, segment in enumerate(bundle.segments):
        path = ("segments", index, "name")
        if segment.name.lower() in RESERVED_WORDS:
            findings.add(path, f"`{segment.name}` means something in an audience; choose another name")
        first = seen.setdefault(segment.name, path)
        if first is not path:
            findings.add(path, f"the segment `{segment.name}` is listed twice; take one out", first=first)
        if segment.owner is not None and segment.owner not in advertisers.names:
            message = f"there is no file advertisers/{segment.owner}.yaml"
            message += nearest_hint(segment.owner, advertisers.names)
            findings.add(("segments", index, "owner"), message, rests_on=advertisers.written)
        if segment.rule is not None:
            _check_rule(findings, ("segments", index), segment, segment.rule, campaigns)
    if len(bundle.segments) > SEGMENTS_MAX:
        findings.add(("segments", SEGMENTS_MAX), f"the folder has more than {SEGMENTS_MAX:,} segments")


def _check_rule(
    findings: Findings,
    path: SchemaPath,
    segment: Segment,
    rule: SegmentRule,
    campaigns: Mapping[str, tuple[SchemaPath, str]],
) -> None:
    """`campaigns`: id -> where it is written, and whose it is."""
    event_path = (*path, "rule", "event")
    if rule.event == "visit":
        if not rule.pages:
            message = "a visit needs `pages`: a domain, and the beginning of a path if you like"
            findings.add((*path, "rule"), message, rests_on=[event_path, (*path, "rule", "pages")])
        if rule.campaign is not None:
            message = "a visit belongs to no campaign; take `campaign` out, or choose another event"
            findings.add((*path, "rule", "campaign"), message, rests_on=[event_path])
        return
    if rule.pages:
        message = f"`pages` are for `event: visit`, and this is `event: {rule.event}`; take them out"
        findings.add((*path, "rule", "pages"), message, rests_on=[event_path])
    if rule.campaign is None:
        return
    written = [("advertisers",), *(place for place, _ in campaigns.values())]
    if rule.campaign not in campaigns:
        message = f"there is no campaign `{rule.campaign}`{nearest_hint(rule.campaign, campaigns)}"
        findings.add((*path, "rule", "campaign"), message, rests_on=written)
        return
    owner = campaigns[rule.campaign][1]
    if owner != segment.owner:
        message = f"`{rule.campaign}` is a campaign of {owner}, who alone may know who saw it"
        message += f"; write `owner: {owner}`"
        findings.add((*path, "rule", "campaign"), message, rests_on=[*written, (*path, "owner")])


def _check_advertiser(
    findings: Findings,
    path: SchemaPath,
    advertiser: Advertiser,
    segments: Known,
    owners: Mapping[str, str],
    exchanges: Known,
) -> None:
    """`owners`: segment -> the one advertiser who may use it."""
    for index, creative in enumerate(advertiser.creatives):
        check_creative(findings, (*path, "creatives", index), creative)
    creatives = known((creative.id for creative in advertiser.creatives), (*path, "creatives"), "id")
    foreign = {name: owner for name, owner in owners.items() if owner != advertiser.id}
    own_or_shared = Known(segments.names - foreign.keys(), segments.written)
    formats = {creative.id: creative.format for creative in advertiser.creatives}
    audiences = check_named_audiences(findings, path, advertiser, AudienceNames(own_or_shared, foreign))
    names = _Names(audiences, exchanges, creatives, formats)
    for c, campaign in enumerate(advertiser.campaigns):
        campaign_path = (*path, "campaigns", c)
        bounds_s = _check_campaign(findings, campaign_path, campaign)
        for index, line_item in enumerate(campaign.line_items):
            item_path = (*campaign_path, "line_items", index)
            _check_line_item(findings, item_path, line_item, names, campaign.time_zone, bounds_s)


def _check_campaign(findings: Findings, path: SchemaPath, campaign: Campaign) -> tuple[int, int] | None:
    """Return the bounds of the campaign's flight, unless something is wrong with them."""
    budget = campaign.budget
    if budget.total == 0:
        findings.add(
            (*path, "budget", "total"), "a budget of 0 never spends; raise it, or pause the campaign"
        )
    if budget.daily == 0:
        message = "a daily budget of 0 never spends; raise it, or pause the campaign"
        findings.add((*path, "budget", "daily"), message)
    elif budget.daily is not None and budget.daily > budget.total:
        findings.add(
            (*path, "budget", "daily"),
            f"the daily budget, {format_money(budget.daily)}, is more than the total, "
            f"{format_money(budget.total)}; lower it, or raise `total`",
            rests_on=[(*path, "budget", "total")],
        )
    if budget.hourly == 0:
        message = "an hourly budget of 0 never spends; raise it, or pause the campaign"
        findings.add((*path, "budget", "hourly"), message)
    else:
        for name in ("daily", "total"):
            bound = getattr(budget, name)
            hourly_path = (*path, "budget", "hourly")
            _check_within(findings, hourly_path, budget.hourly, (*path, "budget", name), bound)
    for index, weight in enumerate(campaign.pacing_weights):
        weight_path = (*path, "pacing_weights", index)
        _check_hours(findings, weight_path, weight, "weights")
        if campaign.pacing == "asap":
            message = "`pacing: asap` follows no plan that could be weighted; write `even`, or take this out"
            findings.add(weight_path, message, rests_on=[(*path, "pacing")])
    if campaign.goal is not None and campaign.goal.target == 0:
        findings.add((*path, "goal", "target"), "a target of 0 can't be met; raise it, or take `goal` out")
    for index, line_item in enumerate(campaign.line_items):
        own_path = (*path, "line_items", index, "budget")
        _check_own_budget(findings, own_path, line_item.budget, path, budget)
    try:
        time_zone(campaign.time_zone)
    except ValueError as error:
        findings.add((*path, "time_zone"), str(error))
        return None
    return _check_flight(findings, (*path, "flight"), campaign.flight, campaign.time_zone)


def _check_own_budget(
    findings: Findings, path: SchemaPath, own: LineItemBudget, campaign_path: SchemaPath, budget: Budget
) -> None:
    for name, amount in (("total", own.total), ("daily", own.daily)):
        if amount == 0:
            findings.add((*path, name), "a budget of 0 never spends; raise it, or pause the line item")
    _check_within(findings, (*path, "daily"), own.daily, (*path, "total"), own.total)
    for name in ("total", "daily"):
        bound_path = (*campaign_path, "budget", name)
        _check_within(findings, (*path, name), getattr(own, name), bound_path, getattr(budget, name))


def _check_within(
    findings: Findings, path: SchemaPath, amount: int | None, bound_path: SchemaPath, bound: int | None
) -> None:
    """A budget larger than one it is part of is a slip: one of the two is not what was meant."""
    if amount is not None and bound is not None and amount > bound > 0:
        whose = "" if path[:-1] == bound_path[:-1] else "campaign's "
        findings.add(
            path,
            f"this {path[-1]} budget, {format_money(amount)}, is more than the {whose}{bound_path[-1]}, "
            f"{format_money(bound)}; lower it, or raise that",
            rests_on=[bound_path],
        )


def _check_flight(findings: Findings, path: SchemaPath, flight: Flight, zone: str) -> tuple[int, int] | None:
    bounds = [0, OPEN_END_S]
    sound = True
    for index, (field, when) in enumerate((("start", flight.start), ("end", flight.end))):
        if when is None:
            continue
        try:
            bounds[index] = epoch_s(when, zone)
        except ValueError as error:
            findings.add((*path, field), str(error))
            sound = False
    if not sound:
        return None
    start_s, end_s = bounds
    if start_s >= end_s:
        message = "this flight ends before it starts, or as it starts; `end` is the first moment after it"
        findings.add((*path, "end"), message, rests_on=[(*path, "start")])
        return None
    return start_s, end_s


def _check_line_item(
    findings: Findings,
    path: SchemaPath,
    line_item: LineItem,
    names: _Names,
    zone: str,
    campaign_bounds_s: tuple[int, int] | None,
) -> None:
    check_price(findings, path, line_item, names.formats)
    audiences = names.audiences
    check_adjustments(findings, path, line_item, audiences.segments, audiences.foreign_segments)
    _check_line_item_creatives(findings, (*path, "creatives"), line_item, names.creatives)
    check_audience(findings, (*path, "audience"), line_item.audience, audiences)
    _check_targeting(findings, (*path, "targeting"), line_item.targeting, names.exchanges)
    if campaign_bounds_s is None:
        return
    bounds_s = _check_flight(findings, (*path, "flight"), line_item.flight, zone)
    if bounds_s is not None and max(bounds_s[0], campaign_bounds_s[0]) >= min(
        bounds_s[1], campaign_bounds_s[1]
    ):
        message = "this flight lies wholly outside its campaign's, so the line item would never run"
        findings.add((*path, "flight"), message)


def _check_line_item_creatives(
    findings: Findings, path: SchemaPath, line_item: LineItem, known: Known
) -> None:
    names = line_item.creatives
    if not names:
        findings.add(path, f"the line item `{line_item.id}` has no creatives; name at least one")
    if len(names) > CREATIVES_PER_LINE_ITEM_MAX:
        message = (
            f"a line item can have at most {CREATIVES_PER_LINE_ITEM_MAX} creatives, and this has {len(names)}"
        )
        findings.add(path, message)
    for index, name in enumerate(names):
        if name in names[:index]:
            findings.add((*path, index), f"the creative `{name}` is named twice here; take one out")
        elif name not in known.names:
            message = f"this advertiser has no creative `{name}`{nearest_hint(name, known.names)}"
            findings.add((*path, index), message, rests_on=known.written)


def _check_targeting(findings: Findings, path: SchemaPath, targeting: Targeting, exchanges: Known) -> None:
    for index, name in enumerate(targeting.operating_systems):
        if name not in OPERATING_SYSTEMS:
            near = nearest_hint(name.lower(), OPERATING_SYSTEMS)
            message = f"`{name}` is not one of {', '.join(OPERATING_SYSTEMS)}{near}"
            findings.add((*path, "operating_systems", index), message)
    for index, name in enumerate(targeting.exchanges):
        if name not in exchanges.names:
            message = f"there is no file exchanges/{name}.yaml{nearest_hint(name, exchanges.names)}"
            findings.add((*path, "exchanges", index), message, rests_on=exchanges.written)
    for index, daypart in enumerate(targeting.dayparts):
        _check_hours(findings, (*path, "dayparts", index), daypart, "dayparts")
    _check_domains(findings, (*path, "inventory", "include", "domains"), targeting.inventory.include)
    _check_domains(findings, (*path, "inventory", "exclude", "domains"), targeting.inventory.exclude)


def _check_hours(findings: Findings, path: SchemaPath, hours: Daypart | PacingWeight, several: str) -> None:
    if not hours.days:
        findings.add((*path, "days"), "`days` is an empty list; name days, or leave it out for all")
    if hours.from_hour >= hours.to_hour:
        message = f"`from_hour` {hours.from_hour} is not before `to_hour` {hours.to_hour}"
        message += f"; for a night, write two {several}, one on each side of midnight"
        findings.add((*path, "from_hour"), message, rests_on=[(*path, "to_hour")])


def _check_domains(findings: Findings, path: SchemaPath, inventory: Inventory) -> None:
    for index, domain in enumerate(inventory.domains):
        if _DOMAIN.fullmatch(domain) is None:
            message = f"`{domain}` is not a domain; write it bare and in small letters, like news.example"
            findings.add((*path, index), f"{message} (its subdomains are included)")
