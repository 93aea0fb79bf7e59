"""What changed between two bundles, in the words of the config files.

    for change in diff(live, edited):
        print(change)        # changed line item `oak-banner`: bid_cpm 4.50 -> 5.00

A thing keeps its identity by its kind and id, so moving a line item to another campaign or a
campaign to another advertiser is a change of that one thing, and shows as its owner.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from config.currency import ExchangeRate, rate_text
from config.money import BILLION, MICROS, CpmMicros, Money, cpm_text, format_money
from config.schema import Bundle, Campaign
from config.value import PRICE_FIELDS, Factor, Rate, decimal_text

Kind = Literal[
    "config", "engine", "traffic", "exchange", "segment", "advertiser", "campaign", "line item", "creative"
]

_CHILDREN = frozenset({"campaigns", "line_items", "creatives"})
"""Fields that hold things with an id of their own, unless they hold just ids (a line item's creatives)."""


class Change(msgspec.Struct, frozen=True):
    """One difference. `field` is a dotted path; a thing added or removed has none.

    `before` is None when the thing or its field was not there, `after` when it no longer is.
    """

    action: Literal["added", "removed", "changed"]
    kind: Kind
    id: str
    field: str | None = None
    before: str | None = None
    after: str | None = None

    def __str__(self) -> str:
        thing = f"{self.action} {self.kind} `{self.id}`"
        if self.field is not None:
            return f"{thing}: {self.field} {_shown(self.before)} -> {_shown(self.after)}"
        text = self.after if self.action == "added" else self.before
        return f"{thing}: {text}" if text else thing


def diff(old: Bundle | None, new: Bundle) -> tuple[Change, ...]:
    """Return every change from `old` (None: nothing is live yet) to `new`, top of the tree first.

    Removed things come after those that remain. Versions and the order of lists of things do not
    count as changes.
    """
    before = dict(_things(old)) if old is not None else {}
    after = dict(_things(new))
    return tuple(_changes(before, after))


def totals(old: Bundle | None, new: Bundle) -> tuple[Change, ...]:
    """Return what changed of all campaigns together: their budgets, and how many line items there are."""
    before, after = _totals(old) if old is not None else {}, _totals(new)
    return tuple(
        Change("changed", "config", "all campaigns", field, before.get(field), text)
        for field, text in after.items()
        if before.get(field) != text
    )


def campaigns_renamed(old: Bundle | None, new: Bundle) -> dict[str, str]:
    """Return the campaigns of `new` that are one of `old` under another id, by new id.

    They are one when they have their advertiser in common, and half of their line items or all but the id.
    """
    if old is None:
        return {}
    before = {campaign.id: (owner.id, campaign) for owner in old.advertisers for campaign in owner.campaigns}
    after = {campaign.id: (owner.id, campaign) for owner in new.advertisers for campaign in owner.campaigns}
    return {
        id_: was_id
        for id_, (owner_id, campaign) in after.items()
        if id_ not in before
        for was_id, (was_owner_id, was) in before.items()
        if was_id not in after and was_owner_id == owner_id and _is_same(was, campaign)
    }


def _is_same(was: Campaign, campaign: Campaign) -> bool:
    shared = {item.id for item in was.line_items} & {item.id for item in campaign.line_items}
    return 2 * len(shared) >= max(len(was.line_items), len(campaign.line_items), 1) or (
        msgspec.structs.replace(was, id=campaign.id) == campaign
    )


def _totals(bundle: Bundle) -> dict[str, str]:
    campaigns = [campaign for advertiser in bundle.advertisers for campaign in advertiser.campaigns]
    budget = sum(campaign.budget.total for campaign in campaigns)
    return {
        "budget.total": format_money(budget, bundle.engine.currency),
        "line items": f"{sum(len(campaign.line_items) for campaign in campaigns):,}",
    }


_Things = dict[tuple[Kind, str], dict[str, str]]
"""(kind, id) -> dotted field -> text."""


def _changes(before: _Things, after: _Things) -> Iterator[Change]:
    for (kind, id_), fields in after.items():
        old_fields = before.get((kind, id_))
        if old_fields is None:
            yield Change("added", kind, id_, after=_summary(fields))
        elif old_fields != fields:
            for field in dict.fromkeys((*old_fields, *fields)):
                if old_fields.get(field) != fields.get(field):
                    yield Change("changed", kind, id_, field, old_fields.get(field), fields.get(field))
    for (kind, id_), fields in before.items():
        if (kind, id_) not in after:
            yield Change("removed", kind, id_, before=_summary(fields))


def _things(bundle: Bundle) -> Iterator[tuple[tuple[Kind, str], dict[str, str]]]:
    currency = bundle.engine.currency

    def fields(thing: msgspec.Struct, owner: str | None = None) -> dict[str, str]:
        written = {} if owner is None else {"owner": owner}
        return written | dict(_fields(thing, "", currency))

    yield ("engine", "engine"), fields(bundle.engine)
    yield ("traffic", "traffic"), fields(bundle.traffic)
    for exchange in bundle.exchanges:
        yield ("exchange", exchange.id), fields(exchange)
    for segment in bundle.segments:
        yield ("segment", segment.name), fields(segment)
    for advertiser in bundle.advertisers:
        yield ("advertiser", advertiser.id), fields(advertiser)
        for campaign in advertiser.campaigns:
            yield ("campaign", campaign.id), fields(campaign, advertiser.id)
            for line_item in campaign.line_items:
                yield ("line item", line_item.id), fields(line_item, campaign.id)
        for creative in advertiser.creatives:
            yield ("creative", creative.id), fields(creative, advertiser.id)


def _fields(value: object, name: str, currency: str) -> Iterator[tuple[str, str]]:
    """The leaves of a struct that differ from nothing at all, as (dotted name, text)."""
    if isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            inner = getattr(value, field)
            holds_things = field in _CHILDREN and inner and isinstance(inner[0], msgspec.Struct)
            if field != "id" and not holds_things:
                yield from _fields(inner, f"{name}.{field}" if name else field, currency)
    elif value not in (None, (), "", {}):
        yield name, _text(value, currency)


def _text(value: object, currency: str) -> str:
    if isinstance(value, Money):
        return format_money(value, currency)
    if isinstance(value, CpmMicros):
        return cpm_text(value)
    if isinstance(value, ExchangeRate):
        return rate_text(value)
    if isinstance(value, Rate):
        return decimal_text(value, BILLION)
    if isinstance(value, Factor):
        return decimal_text(value, MICROS)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return ", ".join(_text(item, currency) for item in value)
    if isinstance(value, msgspec.Struct):
        fields = _fields(value, "", currency)
        return "{" + ", ".join(f"{name}: {text}" for name, text in fields) + "}"
    if isinstance(value, dict):
        opening, closing = ("", "") if isinstance(next(iter(value.values())), Factor) else ("[", "]")
        inner = (f"{key}: {opening}{_text(item, currency)}{closing}" for key, item in value.items())
        return "{" + ", ".join(inner) + "}"
    return str(value)


def _summary(fields: dict[str, str]) -> str:
    budgets = ("budget.total", "budget.daily", "budget.hourly")
    shown = ("owner", *PRICE_FIELDS, *budgets, "format", "flight.start", "flight.end")
    return ", ".join(f"{name} {fields[name]}" for name in shown if name in fields)


def _shown(text: str | None) -> str:
    return "nothing" if text is None else text
