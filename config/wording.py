"""How faults speak to a campaign manager: what a value should look like, and which word was likely meant."""

import difflib
import re
from collections.abc import Iterable
from typing import Any, get_args

from msgspec import inspect

from config import schema
from config.currency import ExchangeRate
from config.faults import SchemaPath
from config.limits import ID_CHARS_MAX
from config.money import CpmMicros, Money
from config.value import Factor, Rate
from config.yaml_tree import Scalar

_WEEKDAYS = tuple(sorted(get_args(schema.Weekday)))
"""As msgspec describes them."""


def _pattern(alias: Any) -> str:
    """The pattern inside one of the schema's Annotated aliases."""
    pattern: str = get_args(alias)[1].pattern
    return pattern


PATTERN_WORDS = {
    _pattern(schema.Id): (
        "letters, digits, `.`, `_` and `-`, starting with a letter or a digit, "
        f"at most {ID_CHARS_MAX} characters"
    ),
    _pattern(schema.Url): "a web address that starts with https:// or http://, without spaces or quotes",
    _pattern(schema.Country): "a country as three capital letters, like USA",
    _pattern(schema.Region): "a country and a region, like USA-IA",
    _pattern(schema.Zip): "a country and a postal code, like USA-50309",
    r"^[A-Za-z0-9]{1,8}$": "at most eight letters or digits, like 679",
    _pattern(schema.Network): "addresses of a network, like 192.0.2.0/24 or 2001:db8::/32",
    _pattern(schema.Place): "a site's domain or an app's bundle, like news.example",
    _pattern(schema.Seller): "an exchange and the account there, as ads.txt has them: exchange.example 47",
    _pattern(schema.Domain): "a domain in small letters, like brand.example",
    _pattern(schema.Taxonomy): "the number of a category taxonomy but 1, like 7",
    _pattern(schema.Category): "an IAB content category, like IAB11-4",
    _pattern(schema.PriceMacro): "${AUCTION_PRICE}, or with an encoding, like ${AUCTION_PRICE:B64}",
    _pattern(schema.Page): "a domain, and the beginning of a path if you like, like shop.example/boots",
    r"^[A-Z]{3}$": "three capital letters, like USD or USA",
    r"^\d{4}-\d{2}-\d{2}$": "a day, like 2026-11-03",
    r"^[a-z]{2}$": "a language as two small letters, like en",
}
"""What each pattern of the schema means to a person."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be."""
    # Capital letters are looked past only when nothing is near with them.
    known = list(known)
    matches = difflib.get_close_matches(word, known, n=1)
    if not matches:
        small = {name.lower(): name for name in reversed(known)}
        matches = [small[match] for match in difflib.get_close_matches(word.lower(), small, n=1)]
    return matches[0] if matches else None


def nearest_hint(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean `x`?``, or nothing when no known word is near."""
    match = nearest(word, known)
    return f"; did you mean `{match}`?" if match else ""


def words_of(type_: inspect.Type) -> str:
    """Return what a value of this type looks like, to a person."""
    match type_:
        case inspect.StrType(pattern=str(pattern)):
            return PATTERN_WORDS.get(pattern, f"text that matches {pattern}")
        case inspect.StrType():
            return "text"
        case inspect.IntType():
            return f"a whole number from {type_.ge} to {type_.le}, without quotes"
        case inspect.LiteralType():
            return f"one of {', '.join(choices(type_))}"
        case inspect.BoolType():
            return "true or false"
        case inspect.CustomType(cls=cls) if cls is Money:
            return "an amount of money, like 12.50"
        case inspect.CustomType(cls=cls) if cls is CpmMicros:
            return "a CPM, like 4.50"
        case inspect.CustomType(cls=cls) if cls is ExchangeRate:
            return "a rate, like 1.0842"
        case inspect.CustomType(cls=cls) if cls is Rate:
            return "a rate, like 0.0012 or 0.12%"
        case inspect.CustomType(cls=cls) if cls is Factor:
            return "a factor, like 1.25"
    return "a moment, like 2026-11-03 20:00"


def label(path: SchemaPath) -> str:
    """Return what a person calls the place of a value."""
    match path:
        case ():
            return "this file"
        case (*_, str(key)):
            return f"`{key}`"
        case (*_, key, int(index)):
            return f"item {index + 1} of `{key}`"
    return "this value"


def article(class_name: str) -> str:
    """Return the name of a struct as a noun: `a line item`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", class_name).lower()
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def as_list(node: Scalar, item: inspect.Type) -> str:
    """Return the list that a text was meant to be."""
    if not isinstance(item, inspect.LiteralType):
        return f"[{node.value}]"
    known = choices(item)
    parts = re.split(r"[\s,;/]+", node.value)
    span = [
        value for value in (nearest(end, known) for end in re.split(r"\s*(?:-|–|to)\s*", node.value)) if value
    ]
    if len(span) == 2 and item.values == _WEEKDAYS:  # as in mon-fri
        parts = list(known[known.index(span[0]) : known.index(span[1]) + 1])
    if not parts or any(part not in known for part in parts):
        return f"[{', '.join(known[:2])}], or others of {', '.join(known)}"
    return f"[{', '.join(parts)}]"


def choices(type_: inspect.LiteralType) -> tuple[str, ...]:
    """Return what may be written, in an order that a person knows."""
    return get_args(schema.Weekday) if type_.values == _WEEKDAYS else tuple(map(str, type_.values))
