"""What a line item pays, held against itself: one price, a bound, rates and adjustments that make sense."""

from collections.abc import Iterable, Mapping

from config.faults import SchemaPath
from config.findings import Findings, Known
from config.limits import (
    EVENT_PRICE_MAX,
    SEGMENT_ADJUSTMENTS_MAX,
    ZIP_ADJUSTMENTS_IN_ALL_MAX,
    ZIP_ADJUSTMENTS_MAX,
)
from config.money import MICROS, format_money
from config.schema import Format, LineItem
from config.value import PRICE_FIELDS
from config.wording import nearest_hint

_PLAYED = ("video", "audio")


def check_price(
    findings: Findings, path: SchemaPath, line_item: LineItem, formats: Mapping[str, Format]
) -> None:
    """Look at the price, the bound and the rate of a line item. `formats`: of its advertiser's creatives."""
    written = [name for name in PRICE_FIELDS if getattr(line_item, name) is not None]
    if not written:
        names = ", ".join(f"`{name}`" for name in PRICE_FIELDS)
        message = f"the line item `{line_item.id}` has no price; give it one of {names}"
        findings.add(path, message, rests_on=[(*path, name) for name in PRICE_FIELDS])
        return
    for name in written[1:]:
        message = f"`{name}` and `{written[0]}` are two prices; keep one of them"
        findings.add((*path, name), message, rests_on=[(*path, written[0])])
    if len(written) > 1:
        return
    (field,) = written
    event, amount = line_item.price
    if amount == 0:
        findings.add((*path, field), "a bid of 0 never wins; raise it, or pause the line item")
    if amount > EVENT_PRICE_MAX:
        message = f"{format_money(amount)} is more than the most a {event} may pay"
        findings.add((*path, field), f"{message}, {format_money(EVENT_PRICE_MAX)}; lower it")
    _check_bound(findings, path, line_item, field)
    if event == "impression" and line_item.expected_rate is not None:
        message = "an impression needs no rate; take `expected_rate` out, or bid for what it is the rate of"
        findings.add((*path, "expected_rate"), message, rests_on=[(*path, field)])
    for index, name in enumerate(line_item.creatives if event == "completion" else ()):
        if formats.get(name, "video") not in _PLAYED:
            message = f"the {formats[name]} `{name}` can't be played to its end, which `{field}` pays for"
            message += "; take it out, or bid for something else"
            findings.add((*path, "creatives", index), message, rests_on=[(*path, field)])


def _check_bound(findings: Findings, path: SchemaPath, line_item: LineItem, field: str) -> None:
    bound = line_item.bid_cpm_max
    bound_path = (*path, "bid_cpm_max")
    if bound is None:
        if field != "bid_cpm":
            message = f"`{field}` needs `bid_cpm_max` beside it: the most to bid for a thousand impressions"
            findings.add((*path, field), message, rests_on=[bound_path])
        return
    if bound == 0:
        findings.add(bound_path, "a bid of at most 0 never wins; raise it, or pause the line item")
    elif line_item.bid_cpm is not None and line_item.bid_cpm > bound:
        message = "`bid_cpm_max` is less than `bid_cpm`, which would never be bid; raise it, or lower that"
        findings.add(bound_path, message, rests_on=[(*path, "bid_cpm")])


def check_adjustments(
    findings: Findings,
    path: SchemaPath,
    line_item: LineItem,
    segments: Known,
    foreign_segments: Mapping[str, str],
) -> None:
    """Look at what a line item pays more or less for. `foreign_segments`: those of others, and whose."""
    adjustments = line_item.bid_adjustments
    path = (*path, "bid_adjustments")
    for name in adjustments.segments:
        if name in foreign_segments:
            message = foreign_segment(name, foreign_segments[name])
        elif name not in segments.names:
            message = f"there is no segment `{name}` in segments.yaml{nearest_hint(name, segments.names)}"
        else:
            continue
        findings.add((*path, "segments", name), message, rests_on=segments.written)
    for kind, most in (("segments", SEGMENT_ADJUSTMENTS_MAX), ("zips", ZIP_ADJUSTMENTS_MAX)):
        count = len(getattr(adjustments, kind))
        if count > most:
            message = (
                f"a line item can adjust its bid for at most {most:,} {kind}, and this does for {count:,}"
            )
            findings.add((*path, kind), message)
    factors = (*adjustments.segments.values(), *adjustments.zips.values())
    if line_item.bid_cpm is not None and line_item.bid_cpm_max is None and max(factors, default=0) > MICROS:
        message = "a factor above 1 changes nothing while `bid_cpm` is the most that is bid"
        message += "; say with `bid_cpm_max` how far bids may go"
        findings.add(path, message, rests_on=[(*path[:-1], "bid_cpm_max")])


def check_zips_in_all(findings: Findings, line_items: Iterable[tuple[SchemaPath, LineItem]]) -> None:
    """Bound the memory that adjustments for postal codes take in a worker."""
    count = 0
    known = set()
    for path, line_item in line_items:
        zips = line_item.bid_adjustments.zips
        key = hash(frozenset(zips.items()))
        if not zips or key in known:
            continue
        known.add(key)
        count += len(zips)
        if count > ZIP_ADJUSTMENTS_IN_ALL_MAX:
            message = f"the line items adjust their bids for more than {ZIP_ADJUSTMENTS_IN_ALL_MAX:,} postal"
            message += " codes in all; name fewer here, or give line items the same ones"
            findings.add((*path, "bid_adjustments", "zips"), message)
            return


def foreign_segment(name: str, owner: str) -> str:
    """Say that a segment is another advertiser's."""
    return f"the segment `{name}` belongs to {owner}; name one of your own, or one that is shared"
