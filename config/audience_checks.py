"""Whether audiences can be read and name what there is. Part of `config.check`."""

import re
from collections.abc import Iterable, Mapping, Set

import msgspec

from config.audience import RESERVED_WORDS, AudienceError, Node, parse_audience, segment_names, to_clauses
from config.faults import SchemaPath
from config.findings import Findings, Known
from config.named_audiences import parsed, put_in
from config.price_checks import foreign_segment
from config.schema import Advertiser
from config.wording import nearest_hint

_WORD = re.compile(r"[A-Za-z0-9._-]+")


class AudienceNames(msgspec.Struct, frozen=True):
    """What an audience of one advertiser may name."""

    segments: Known
    foreign_segments: Mapping[str, str]
    """Those of others, and whose they are."""
    audiences: Mapping[str, Node] = {}
    """The advertiser's own audiences that have a name, and what they stand for."""
    broken: Set[str] = frozenset()
    """Names of audiences that stand for nothing, which is told already."""


def check_named_audiences(
    findings: Findings, path: SchemaPath, advertiser: Advertiser, names: AudienceNames
) -> AudienceNames:
    """Look at the audiences of an advertiser that have a name, and return the names with theirs."""
    path = (*path, "audiences")
    whole, faults = parsed(advertiser.audiences)
    for name, fault in faults.items():
        if fault:
            findings.add((*path, name), f"the audience `{name}`: {fault}")
    for name in advertiser.audiences:
        if name.lower() in RESERVED_WORDS:
            findings.add((*path, name), f"`{name}` means something in an audience; choose another name")
        elif name in names.segments.names or name in names.foreign_segments:
            message = f"`{name}` is a segment in segments.yaml; give the audience another name"
            findings.add((*path, name), message, rests_on=names.segments.written)
    with_own = msgspec.structs.replace(names, audiences=whole, broken=faults.keys())
    for name, audience in advertiser.audiences.items():
        if name in whole:
            check_audience(findings, (*path, name), audience, with_own)
    return with_own


def check_audience(
    findings: Findings, path: SchemaPath, audience: str | dict[str, object] | None, names: AudienceNames
) -> None:
    """Note what keeps an audience from being read or compiled, and names in it of nothing."""
    try:
        expression = parse_audience(audience)
        if expression is None:
            return
        to_clauses(put_in(expression, names.audiences))
    except AudienceError as error:
        findings.add(path, f"`audience`: {error}")
        return
    known = names.segments
    for name in sorted(segment_names(expression) - known.names - names.audiences.keys() - names.broken):
        if name in names.foreign_segments:
            message = foreign_segment(name, names.foreign_segments[name])
        else:
            near = nearest_hint(name, (*known.names, *names.audiences))
            message = f"there is no segment `{name}` in segments.yaml{near}"
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
