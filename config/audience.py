"""Audience expressions: who a line item is for, as a boolean of segment names.

A manager writes one of two forms, and may put either inside the other:

    audience: polk-county-homeowners and (gardeners or not apartment-renters)

    audience:
      all:
        - polk-county-homeowners
        - any: [gardeners, not apartment-renters]

In the text form `not` binds tightest, then `and`, then `or`. In the mapping form a mapping with
several keys holds when every key does. `parse_audience` turns both into the same small tree,
`holds` evaluates it for one person, and `to_clauses` turns it into what the kernel reads: an AND
of clauses, each an OR of "is in" and "is not in" (conjunctive normal form).

    a and (b or c) and not d   ->   [a] [b c] [!d]
    (a and b) or c             ->   [a c] [b c]

Normal form can explode: n pairs `(a1 and b1) or (a2 and b2) or ...` make 2^n clauses. Every step
therefore drops what a shorter clause already implies, and gives up as soon as more than
AUDIENCE_CLAUSES_MAX remain, so the work is bounded by the square of that limit for each name.
"""

import re
from collections.abc import Iterable, Set
from typing import NoReturn

import msgspec

from config.limits import AUDIENCE_CLAUSES_MAX, AUDIENCE_DEPTH_MAX, AUDIENCE_NAMES_MAX, ID_CHARS_MAX

RESERVED_WORDS = frozenset({"and", "or", "not"})
"""No segment can have one of these names, in any case."""


class AudienceError(ValueError):
    """The expression can't be read or is too large; the message says where and what was expected."""


class Name(msgspec.Struct, frozen=True):
    """The person is in this segment."""

    segment: str


class All(msgspec.Struct, frozen=True):
    """Every item holds."""

    items: tuple["Node", ...]


class Any(msgspec.Struct, frozen=True):
    """At least one item holds."""

    items: tuple["Node", ...]


class Not(msgspec.Struct, frozen=True):
    """The item does not hold."""

    item: "Node"


Node = Name | All | Any | Not


class Clause(msgspec.Struct, frozen=True):
    """True when the person is in any of `any`, or outside any of `none`."""

    any: frozenset[str]
    none: frozenset[str]


def parse_audience(value: object) -> Node | None:
    """Read the `audience` of a line item: text, a mapping, or None for everybody.

    Raises AudienceError on anything else.
    """
    if value is None:
        return None
    return _Parser().value(value, depth=1, where="")


def segment_names(node: Node) -> frozenset[str]:
    """Return every segment the expression mentions."""
    match node:
        case Name(segment):
            return frozenset({segment})
        case Not(item):
            return segment_names(item)
        case All(items) | Any(items):
            return frozenset().union(*map(segment_names, items))


def holds(node: Node, members: Set[str]) -> bool:
    """Say whether a person who is in exactly the segments `members` is in the audience."""
    match node:
        case Name(segment):
            return segment in members
        case Not(item):
            return not holds(item, members)
        case All(items):
            return all(holds(item, members) for item in items)
        case Any(items):
            return any(holds(item, members) for item in items)


def to_clauses(node: Node) -> tuple[Clause, ...]:
    """Return clauses whose AND equals the expression, in a fixed order; none at all means everybody.

    Tautologies and clauses implied by another are left out. Raises AudienceError when more than
    AUDIENCE_CLAUSES_MAX are needed on the way.
    """
    clauses = [
        Clause(
            any=frozenset(name for name, inside in literals if inside),
            none=frozenset(name for name, inside in literals if not inside),
        )
        for literals in _normal_form(node, wanted=True)
    ]
    return tuple(sorted(clauses, key=lambda clause: (sorted(clause.any), sorted(clause.none))))


_Literals = frozenset[tuple[str, bool]]
"""One clause: (segment, True) is "in it", (segment, False) is "not in it"."""


def _normal_form(node: Node, wanted: bool) -> list[_Literals]:
    """The clauses of `node`, or of its negation when not `wanted` (De Morgan)."""
    match node:
        case Name(segment):
            return [frozenset({(segment, wanted)})]
        case Not(item):
            return _normal_form(item, not wanted)
        case All(items) | Any(items):
            parts = (_normal_form(item, wanted) for item in items)
            return _conjunction(parts) if isinstance(node, All) == wanted else _disjunction(parts)


def _conjunction(parts: Iterable[list[_Literals]]) -> list[_Literals]:
    clauses: list[_Literals] = []
    for part in parts:
        clauses = _reduced(clauses + part)
    return clauses


def _disjunction(parts: Iterable[list[_Literals]]) -> list[_Literals]:
    parts = sorted(parts, key=len)
    # Alternatives that are one clause each (single names, mostly) merge in one step, however many.
    clauses = _reduced([frozenset().union(*(part[0] for part in parts if len(part) == 1))])
    for part in parts:
        if len(part) == 1:
            continue
        clauses = _reduced(ours | theirs for ours in clauses for theirs in part)
    return clauses


def _reduced(clauses: Iterable[_Literals]) -> list[_Literals]:
    """Drop tautologies and implied clauses; a clause is implied by any subset of it."""
    kept: list[_Literals] = []
    for clause in sorted(set(clauses), key=len):
        if any((name, not inside) in clause for name, inside in clause):
            continue
        if any(shorter <= clause for shorter in kept):
            continue
        # Sorted by length, so nothing that comes later can replace what is kept.
        if len(kept) == AUDIENCE_CLAUSES_MAX:
            raise AudienceError(
                f"this audience needs more than {AUDIENCE_CLAUSES_MAX} conditions at once; split the line "
                "item in two, or define one segment for a group that is repeated (an `or` of `and`s grows "
                "fastest)"
            )
        kept.append(clause)
    return kept


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TOKEN = re.compile(r"\s*(?:(?P<paren>[()])|(?P<word>[A-Za-z0-9][A-Za-z0-9._-]*)|(?P<odd>\S))")
_SYMBOL_HINTS = {"&": "write `and`", "|": "write `or`", "!": "write `not`", ",": "write `and` or `or`"}


class _Parser:
    """One reading of one audience: counts its names, and carries where we are into every error."""

    def __init__(self) -> None:
        self._names = 0

    def value(self, value: object, depth: int, where: str) -> Node:
        self._check_depth(depth, where)
        if isinstance(value, str):
            # Most texts are one name, and there are thousands of them.
            if _NAME.fullmatch(value) and value.lower() not in RESERVED_WORDS:
                return self.name(value, where)
            return _TextParser(self, value, where).parse(depth)
        if isinstance(value, dict):
            return self._mapping(value, depth, where)
        if isinstance(value, list | tuple):
            _refuse(where, "a list must say how its items combine; write `any: [...]` or `all: [...]`")
        problem = f"expected a segment name, an expression, or any/all/not, and found {value!r}"
        raise AudienceError(where + problem)

    def name(self, segment: str, where: str) -> Name:
        self._names += 1
        if self._names > AUDIENCE_NAMES_MAX:
            _refuse(
                where, f"more than {AUDIENCE_NAMES_MAX} segment names in one audience; split the line item"
            )
        if len(segment) > ID_CHARS_MAX:
            _refuse(where, f"`{segment[:20]}...` is longer than a segment name, {ID_CHARS_MAX} characters")
        return Name(segment)

    def _mapping(self, mapping: dict[object, object], depth: int, where: str) -> Node:
        if not mapping:
            _refuse(where, "an empty mapping names nobody; write any, all or not, or leave `audience` out")
        parts: list[Node] = []
        for key, value in mapping.items():
            inside = f"{where}{key}: "
            if key == "not":
                if isinstance(value, list | tuple):
                    _refuse(inside, "`not` takes one thing; write `not: {any: [...]}` for none of several")
                parts.append(Not(self.value(value, depth + 1, inside)))
            elif key in ("any", "all"):
                if not isinstance(value, list | tuple):
                    _refuse(inside, f"`{key}` takes a list, like `{key}: [first, second]`")
                if not value:
                    _refuse(inside, f"`{key}` has an empty list; name at least one segment or take it out")
                items = tuple(
                    self.value(item, depth + 1, f"{inside}item {number}: ")
                    for number, item in enumerate(value, start=1)
                )
                parts.append(_joined(Any if key == "any" else All, items))
            else:
                _refuse(where, f"`{key}` is not one of any, all, not")
        return _joined(All, tuple(parts))

    @staticmethod
    def _check_depth(depth: int, where: str) -> None:
        if depth > AUDIENCE_DEPTH_MAX:
            # The path itself is as deep as the fault: its beginning is enough to find it.
            _refuse(
                where[:60], f"nested more than {AUDIENCE_DEPTH_MAX} deep; define a segment for the inner part"
            )


class _TextParser:
    """Recursive descent over one text; `position` in messages counts characters from 1."""

    def __init__(self, parser: _Parser, text: str, where: str) -> None:
        self._parser = parser
        self._where = where
        self._length = len(text)
        self._tokens = [(match[match.lastgroup or 0], match.end()) for match in _TOKEN.finditer(text)]
        self._next = 0

    def parse(self, depth: int) -> Node:
        node = self._or(depth)
        if self._next < len(self._tokens):
            self._unexpected("`and`, `or` or the end")
        return node

    def _or(self, depth: int) -> Node:
        items = [self._and(depth)]
        while self._accept("or"):
            items.append(self._and(depth))
        return _joined(Any, tuple(items))

    def _and(self, depth: int) -> Node:
        items = [self._unary(depth)]
        while self._accept("and"):
            items.append(self._unary(depth))
        return _joined(All, tuple(items))

    def _unary(self, depth: int) -> Node:
        self._parser._check_depth(depth, self._where)
        if self._accept("not"):
            return Not(self._unary(depth + 1))
        if self._accept("("):
            node = self._or(depth + 1)
            if not self._accept(")"):
                self._unexpected("`and`, `or` or `)`")
            return node
        token = self._peek()
        if not (token[:1].isascii() and token[:1].isalnum()) or token.lower() in RESERVED_WORDS:
            self._unexpected("a segment name, `not` or `(`")
        self._next += 1
        return self._parser.name(token, self._where)

    def _peek(self) -> str:
        return self._tokens[self._next][0] if self._next < len(self._tokens) else ""

    def _accept(self, token: str) -> bool:
        if self._peek().lower() != token:
            return False
        self._next += 1
        return True

    def _unexpected(self, expected: str) -> NoReturn:
        token = self._peek()
        if not token:
            _refuse(self._where, f"expected {expected} at character {self._length + 1}, where the text ends")
        position = self._tokens[self._next][1] - len(token) + 1
        hint = f"; {_SYMBOL_HINTS[token]}" if token in _SYMBOL_HINTS else ""
        if not token.isprintable():
            hint = ", which nobody sees; delete it"
        _refuse(self._where, f"expected {expected} at character {position}, and found `{token[:64]}`{hint}")


def _joined(kind: type[All] | type[Any], items: tuple[Node, ...]) -> Node:
    return items[0] if len(items) == 1 else kind(items)


def _refuse(where: str, problem: str) -> NoReturn:
    raise AudienceError(f"{where}{problem}")
