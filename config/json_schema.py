"""The JSON Schema of the config files, so that an editor completes and checks them while typing.

With the YAML language server: save the output of `hustings config schema` as `schema.json` in the
config folder and begin an advertiser's file with ``# yaml-language-server: $schema=../schema.json``.
"""

import msgspec

from config.currency import ExchangeRate
from config.money import CpmMicros, Money
from config.schema import Advertiser, Engine, ExchangeProfile, SegmentList, Traffic, When
from config.value import Factor, Rate

FILES = (Engine, SegmentList, Traffic, ExchangeProfile, Advertiser)
"""The struct of each kind of file."""

_AMOUNT = {"type": ["number", "string"], "minimum": 0}


def json_schema() -> dict[str, object]:
    """Return one schema (draft 2020-12): any of FILES, each also by name under `$defs`."""
    roots, components = msgspec.json.schema_components(
        FILES, schema_hook=_scalar_schema, ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Hustings config file",
        "anyOf": list(roots),
        "$defs": components,
    }


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
