"""Audiences with a name of their own: `audiences` of an advertiser's file.

    audiences:
      book-lovers: polk-county-readers or polk-county-gardeners
      fresh: book-lovers and not newsletter

A line item may name one wherever it may name a segment, and so may another audience. All the rest of the
engine knows segments only: once a folder is checked, `inlined` puts what a name stands for in its place.
"""

from collections.abc import Mapping

import msgspec

from config.audience import All, Any, AudienceError, Name, Node, Not, parse_audience, segment_names
from config.limits import AUDIENCE_NAMES_MAX
from config.schema import Advertiser, Bundle, Campaign, LineItem


def parsed(audiences: Mapping[str, object]) -> tuple[dict[str, Node], dict[str, str]]:
    """Return what each name stands for, names put in; and for those that stand for nothing, why.

    The reason is empty where it is that of another name.
    """
    waiting: dict[str, Node] = {}
    faults: dict[str, str] = {}
    for name, audience in audiences.items():
        try:
            node = parse_audience(audience)
        except AudienceError as error:
            faults[name] = str(error)
            continue
        if node is None:
            faults[name] = "it needs an audience: segments, joined by and, or, not"
        else:
            waiting[name] = node
    whole: dict[str, Node] = {}
    while waiting:
        ready = [name for name, node in waiting.items() if not segment_names(node) & waiting.keys()]
        if not ready:
            return whole, faults | dict.fromkeys(waiting, "it is made of itself, by the audiences it names")
        for name in ready:
            node = waiting.pop(name)
            if segment_names(node) & faults.keys():
                faults[name] = ""
                continue
            node = put_in(node, whole)
            if _size(node) > AUDIENCE_NAMES_MAX:
                faults[name] = f"it names more than {AUDIENCE_NAMES_MAX:,} segments; define one for a part"
            else:
                whole[name] = node
    return whole, faults


def put_in(node: Node, named: Mapping[str, Node]) -> Node:
    """Return an audience with what names stand for in their place."""
    match node:
        case Name(segment):
            return named.get(segment, node)
        case Not(item):
            return Not(put_in(item, named))
        case All(items):
            return All(tuple(put_in(item, named) for item in items))
        case Any(items):
            return Any(tuple(put_in(item, named) for item in items))


def inlined(bundle: Bundle) -> Bundle:
    """Return a sound bundle in which no audience has a name of its own."""

    def of_line_item(line_item: LineItem, named: Mapping[str, Node]) -> LineItem:
        node = parse_audience(line_item.audience)
        if node is None or not segment_names(node) & named.keys():
            return line_item
        return msgspec.structs.replace(line_item, audience=written(put_in(node, named)))

    def of_campaign(campaign: Campaign, named: Mapping[str, Node]) -> Campaign:
        items = tuple(of_line_item(line_item, named) for line_item in campaign.line_items)
        return msgspec.structs.replace(campaign, line_items=items)

    def of_advertiser(advertiser: Advertiser) -> Advertiser:
        if not advertiser.audiences:
            return advertiser
        named, _ = parsed(advertiser.audiences)
        campaigns = tuple(of_campaign(campaign, named) for campaign in advertiser.campaigns)
        return msgspec.structs.replace(advertiser, audiences={}, campaigns=campaigns)

    return msgspec.structs.replace(bundle, advertisers=tuple(map(of_advertiser, bundle.advertisers)))


def written(node: Node) -> str | dict[str, object]:
    """Return an audience as a manager would write it: a name, or a mapping."""
    match node:
        case Name(segment):
            return segment
        case Not(Name(segment)):
            return f"not {segment}"
        case Not(item):
            return {"not": written(item)}
        case All(items):
            return {"all": [written(item) for item in items]}
        case Any(items):
            return {"any": [written(item) for item in items]}


def _size(node: Node) -> int:
    match node:
        case Name():
            return 1
        case Not(item):
            return _size(item)
        case All(items) | Any(items):
            return sum(map(_size, items))
