"""What the schema alone can't say: whether the parts of a bundle fit together.

`config.load` runs these checks on everything it could read and gives each finding its file and
line. A finding that rests on a value already refused (a doubtful path) is not made: one mistake is
reported once.
"""

import re
from collections.abc import Iterable, Iterator, Set

import msgspec

from config.audience import RESERVED_WORDS, AudienceError, parse_audience, segment_names, to_clauses
from config.calendar import OPEN_END_S, epoch_s, time_zone, zone_names
from config.faults import SchemaPath
from config.limits import CREATIVES_PER_LINE_ITEM_MAX, LINE_ITEMS_MAX, SEGMENTS_MAX
from config.money import format_money
from config.schema import (
    Advertiser,
    Bundle,
    Campaign,
    Creative,
    Flight,
    Format,
    Inventory,
    LineItem,
    Targeting,
    code_of,
)
from config.shape import nearest_hint

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

_NEEDED_FIELDS: dict[Format, tuple[str, ...]] = {
    "banner": ("image_url", "w", "h"),
    "video": ("media_files", "duration_seconds"),
    "audio": ("media_files", "duration_seconds"),
    "native": ("native",),
}
"""What a creative of each format needs; what only others need, it can't have."""
_FORMAT_FIELDS = tuple(dict.fromkeys(field for needed in _NEEDED_FIELDS.values() for field in needed))

_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_WORD = re.compile(r"[A-Za-z0-9._-]+")


class Finding(msgspec.Struct, frozen=True):
    """A fault at a place in the bundle; `first` is the place it clashes with, where there is one."""

    path: SchemaPath
    message: str
    first: SchemaPath | None = None


def check(bundle: Bundle, doubtful: Set[SchemaPath] = frozenset()) -> tuple[Finding, ...]:
    """Return everything that does not fit together; findings that rest on `doubtful` paths are left out."""
    findings = _Findings(doubtful)
    line_items = [(path, line_item.id) for path, line_item in _line_items(bundle)]
    _check_ids(findings, "exchange", [(("exchanges", e), x.id) for e, x in enumerate(bundle.exchanges)])
    _check_ids(findings, "campaign", [(path, campaign.id) for path, campaign in _campaigns(bundle)])
    _check_ids(findings, "line item", line_items)
    _check_ids(findings, "creative", [(path, creative.id) for path, creative in _creatives(bundle)])
    _check_segments(findings, bundle)
    if len(line_items) > LINE_ITEMS_MAX:
        findings.add(line_items[LINE_ITEMS_MAX][0], f"the folder has more than {LINE_ITEMS_MAX:,} line items")
    segments = _known((segment.name for segment in bundle.segments), ("segments",), "name")
    exchanges = _known((exchange.id for exchange in bundle.exchanges), ("exchanges",), "id")
    for a, advertiser in enumerate(bundle.advertisers):
        _check_advertiser(findings, ("advertisers", a), advertiser, segments, exchanges)
    return tuple(findings.made)


class _Known(msgspec.Struct, frozen=True):
    """Names that may be used, and where they were written: one refused there may be the one meant."""

    names: frozenset[str]
    written: tuple[SchemaPath, ...]


def _known(names: Iterable[str], list_path: SchemaPath, field: str) -> _Known:
    names = tuple(names)
    written = (list_path, *((*list_path, index, field) for index in range(len(names))))
    return _Known(frozenset(names), written)


class _Names(msgspec.Struct, frozen=True):
    """What a line item of one advertiser may name."""

    segments: _Known
    exchanges: _Known
    creatives: _Known


class _Findings:
    def __init__(self, doubtful: Set[SchemaPath]) -> None:
        self.made: list[Finding] = []
        self._doubtful = doubtful

    def add(
        self,
        path: SchemaPath,
        message: str,
        *,
        rests_on: Iterable[SchemaPath] = (),
        first: SchemaPath | None = None,
    ) -> None:
        """Note a finding, unless `path` or something it rests on was refused already."""
        if not any(map(self._is_doubtful, (path, *rests_on))):
            self.made.append(Finding(path, message, first))

    def _is_doubtful(self, path: SchemaPath) -> bool:
        return any(path[:length] in self._doubtful for length in range(1, len(path) + 1))


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


def _check_ids(findings: _Findings, kind: str, ids: list[tuple[SchemaPath, str]]) -> None:
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


def _check_segments(findings: _Findings, bundle: Bundle) -> None:
    seen: dict[str, SchemaPath] = {}
    for index, segment in enumerate(bundle.segments):
        path: SchemaPath = ("segments", index, "name")
        if segment.name.lower() in RESERVED_WORDS:
            findings.add(path, f"`{segment.name}` means something in an audience; choose another name")
        first = seen.setdefault(segment.name, path)
        if first is not path:
            findings.add(path, f"the segment `{segment.name}` is listed twice; take one out", first=first)
    if len(bundle.segments) > SEGMENTS_MAX:
        findings.add(("segments", SEGMENTS_MAX), f"the folder has more than {SEGMENTS_MAX:,} segments")


def _check_advertiser(
    findings: _Findings,
    path: SchemaPath,
    advertiser: Advertiser,
    segments: _Known,
    exchanges: _Known,
) -> None:
    for index, creative in enumerate(advertiser.creatives):
        _check_creative(findings, (*path, "creatives", index), creative)
    creatives = _known((creative.id for creative in advertiser.creatives), (*path, "creatives"), "id")
    names = _Names(segments, exchanges, creatives)
    for c, campaign in enumerate(advertiser.campaigns):
        campaign_path = (*path, "campaigns", c)
        bounds_s = _check_campaign(findings, campaign_path, campaign)
        for index, line_item in enumerate(campaign.line_items):
            item_path = (*campaign_path, "line_items", index)
            _check_line_item(findings, item_path, line_item, names, campaign.time_zone, bounds_s)


def _check_creative(findings: _Findings, path: SchemaPath, creative: Creative) -> None:
    format_ = creative.format
    for field in _FORMAT_FIELDS:
        needed, given = field in _NEEDED_FIELDS[format_], bool(getattr(creative, field))
        rests_on = ((*path, "format"), (*path, field))
        if needed and not given:
            findings.add(path, f"the {format_} creative `{creative.id}` needs `{field}`", rests_on=rests_on)
        elif given and not needed:
            message = f"{format_} creatives can't have `{field}`; take it out, or change the format"
            findings.add((*path, field), message, rests_on=rests_on)
    if format_ not in ("video", "audio"):
        return
    for index, file in enumerate(creative.media_files):
        file_path = (*path, "media_files", index)
        if not file.mime.startswith(f"{format_}/"):
            message = f"`{file.mime}` is not {format_}; {format_} creatives need a type like "
            message += "video/mp4" if format_ == "video" else "audio/mpeg"
            findings.add((*file_path, "mime"), message, rests_on=[(*path, "format")])
        for field in ("w", "h") if format_ == "video" else ():
            if getattr(file, field) is None:
                message = f"a video file needs `{field}`, its size in pixels: VAST requires it"
                findings.add(file_path, message, rests_on=[(*path, "format"), (*file_path, field)])


def _check_campaign(findings: _Findings, path: SchemaPath, campaign: Campaign) -> tuple[int, int] | None:
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
    try:
        time_zone(campaign.time_zone)
    except ValueError as error:
        hint = nearest_hint(campaign.time_zone, zone_names())
        findings.add((*path, "time_zone"), f"{error}{hint}")
        return None
    return _check_flight(findings, (*path, "flight"), campaign.flight, campaign.time_zone)


def _check_flight(findings: _Findings, path: SchemaPath, flight: Flight, zone: str) -> tuple[int, int] | None:
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
    findings: _Findings,
    path: SchemaPath,
    line_item: LineItem,
    names: _Names,
    zone: str,
    campaign_bounds_s: tuple[int, int] | None,
) -> None:
    if line_item.bid_cpm == 0:
        findings.add((*path, "bid_cpm"), "a bid of 0 never wins; raise it, or pause the line item")
    _check_line_item_creatives(findings, (*path, "creatives"), line_item, names.creatives)
    _check_audience(findings, (*path, "audience"), line_item.audience, names.segments)
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
    findings: _Findings, path: SchemaPath, line_item: LineItem, known: _Known
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


def _check_audience(
    findings: _Findings, path: SchemaPath, audience: str | dict[str, object] | None, known: _Known
) -> None:
    try:
        expression = parse_audience(audience)
        if expression is None:
            return
        to_clauses(expression)
    except AudienceError as error:
        findings.add(path, f"`audience`: {error}")
        return
    for name in sorted(segment_names(expression) - known.names):
        message = f"there is no segment `{name}` in segments.yaml{nearest_hint(name, known.names)}"
        findings.add(_place_of_name(audience, name, path) or path, message, rests_on=known.written)


def _place_of_name(value: object, name: str, path: SchemaPath) -> SchemaPath | None:
    """Where in an audience a segment is first named."""
    if isinstance(value, str):
        return path if name in _WORD.findall(value) else None
    pairs: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list | tuple):
        pairs = enumerate(value)
    places = (_place_of_name(item, name, (*path, step)) for step, item in pairs)
    return next((place for place in places if place is not None), None)


def _check_targeting(findings: _Findings, path: SchemaPath, targeting: Targeting, exchanges: _Known) -> None:
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
        daypart_path = (*path, "dayparts", index)
        if not daypart.days:
            findings.add(
                (*daypart_path, "days"), "`days` is an empty list; name days, or leave it out for all"
            )
        if daypart.from_hour >= daypart.to_hour:
            message = f"`from_hour` {daypart.from_hour} is not before `to_hour` {daypart.to_hour}"
            message += "; for a night, write two dayparts, one on each side of midnight"
            rests_on = [(*daypart_path, "to_hour")]
            findings.add((*daypart_path, "from_hour"), message, rests_on=rests_on)
    _check_domains(findings, (*path, "inventory", "include", "domains"), targeting.inventory.include)
    _check_domains(findings, (*path, "inventory", "exclude", "domains"), targeting.inventory.exclude)


def _check_domains(findings: _Findings, path: SchemaPath, inventory: Inventory) -> None:
    for index, domain in enumerate(inventory.domains):
        if _DOMAIN.fullmatch(domain) is None:
            message = f"`{domain}` is not a domain; write it bare and in small letters, like news.example"
            findings.add((*path, index), f"{message} (its subdomains are included)")
