"""The JSON Schema of the config files, so that an editor completes and checks them while typing.

With the YAML language server: save the output of `hustings config schema` as `schema.json` in the
config folder and begin an advertiser's file with ``# yaml-language-server: $schema=../schema.json``.

What `config.templates` reads is not in the structs, so it is added here: beside each definition that a line
item is made of stands one of the same name and `Template`, in which nothing is required and any value may
be a name to be filled in.
"""

from typing import Any

import msgspec

from config.currency import ExchangeRate
from config.money import CpmMicros, Money
from config.schema import Advertiser, Engine, ExchangeProfile, SegmentList, Traffic, When
from config.templates import FOR_EACH, TEMPLATE, TEMPLATES
from config.value import Factor, Rate

KINDS = {
    "engine": Engine,
    "segments": SegmentList,
    "traffic": Traffic,
    "exchange": ExchangeProfile,
    "advertiser": Advertiser,
}
FILES = tuple(KINDS.values())
"""The struct of each kind of file."""

_TO_FILL_IN = {"type": "string", "pattern": "<[a-z][a-z0-9_-]*>"}
_AMOUNT = {"type": ["number", "string"], "minimum": 0}


def json_schema(kind: str | None = None) -> dict[str, object]:
    """Return one schema (draft 2020-12) of a kind of file, else of any; each is by name under `$defs`."""
    roots, components = msgspec.json.schema_components(
        FILES, schema_hook=_scalar_schema, ref_template="#/$defs/{name}"
    )
    _add_templates(components)
    if kind is None:
        root: dict[str, object] = {"anyOf": list(roots)}
    else:
        root = dict(roots[list(KINDS).index(kind)])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Hustings config file{f': {kind}' if kind else ''}",
        **root,
        "$defs": components,
    }


def _add_templates(components: dict[str, Any]) -> None:
    """Let an advertiser's file have templates, and line items be made from them."""
    waiting = ["LineItem"]
    while waiting:
        name = waiting.pop()
        if f"{name}Template" not in components:
            components[f"{name}Template"] = _template_of(components[name], waiting)
    components["WrittenLineItem"] = {
        **components["LineItemTemplate"],
        "title": "WrittenLineItem",
        "description": "A line item from a template, for each of some values, or both.",
        "properties": {
            TEMPLATE: {"type": "string", "description": f"A name under `{TEMPLATES}`."},
            FOR_EACH: {
                "description": "One line item for each entry: {county: [polk, story]}, or a list of entries.",
                "anyOf": [
                    {"type": "object", "additionalProperties": {"type": "array"}},
                    {"type": "array", "items": {"type": "object"}},
                ],
            },
            **components["LineItemTemplate"]["properties"],
        },
        "anyOf": [{"required": [TEMPLATE]}, {"required": [FOR_EACH]}],
    }
    components["Campaign"]["properties"]["line_items"]["items"] = {
        "anyOf": [{"$ref": "#/$defs/LineItem"}, {"$ref": "#/$defs/WrittenLineItem"}]
    }
    components["Advertiser"]["properties"][TEMPLATES] = {
        "type": "object",
        "description": "Line items to be made of, by name.",
        "additionalProperties": {"$ref": "#/$defs/LineItemTemplate"},
    }


def _template_of(schema: dict[str, Any], waiting: list[str]) -> dict[str, Any]:
    """Return a schema in which any value may be a name to be filled in; `waiting` gets what it refers to."""
    changed = {key: value for key, value in schema.items() if key not in ("required", "default")}
    if "$ref" in schema:
        waiting.append(schema["$ref"].removeprefix("#/$defs/"))
        return {**changed, "$ref": f"{schema['$ref']}Template"}
    if "anyOf" in schema:
        return {**changed, "anyOf": [*(_template_of(part, waiting) for part in schema["anyOf"]), _TO_FILL_IN]}
    if "properties" in schema:
        properties = {name: _template_of(part, waiting) for name, part in schema["properties"].items()}
        return {**changed, "properties": properties}
    if isinstance(schema.get("items"), dict):
        changed["items"] = _template_of(schema["items"], waiting)
    return {"anyOf": [changed, _TO_FILL_IN]}


def _scalar_schema(type_: type) -> dict[str, object]:
    if type_ is Money:
        return _AMOUNT | {"description": "An amount of money, like 12.50 or $12,500"}
    if type_ is CpmMicros:
        return _AMOUNT | {"description": "The price of a thousand impressions, like 4.50"}
    if type_ is ExchangeRate:
        return {"type": ["number", "string"], "description": "A rate, like 1.0842"}
    if type_ is Rate:
        return {"type": ["number", "string"], "description": "How often it happens, like 0.0012 or 0.12%"}
    if type_ is Factor:
        return {"type": ["number", "string"], "description": "A factor, like 1.25"}
    if type_ is When:
        return {"type": "string", "description": "A moment, like 2026-11-03 or 2026-11-03 20:00"}
    if type_ is object:
        # A part of an audience: a name or expression, the list of any or all, or a mapping again.
        return {"type": ["string", "array", "object"]}
    raise NotImplementedError(f"no JSON Schema for {type_.__name__}")
