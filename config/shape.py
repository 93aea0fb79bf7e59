"""Fit a YAML tree to a struct of `config.schema`, finding every misfit in one walk.

msgspec stops at its first error and speaks of types; a manager wants the whole list, with places,
in words. So this walks msgspec's own description of the schema (`msgspec.inspect`): there is one
model, and a field added to it is read, checked and explained here without a line of code.

A value that does not fit is replaced by a harmless one of the right type and its path is noted as
doubtful, so that the cross-checks of `config.check` can still look at everything else.
"""

import re
from functools import cache
from typing import TypeVar

import msgspec
from msgspec import inspect

from config import schema
from config.faults import Fault, SchemaPath
from config.limits import AUDIENCE_DEPTH_MAX, CONFIG_NODES_MAX
from config.money import CpmMicros, Money, foreign_currency
from config.wording import article, as_list, label, nearest, nearest_hint, words_of
from config.yaml_file import YamlFile, place_of
from config.yaml_tree import Mapping, Node, Scalar, Sequence, is_null

_THOUSANDS = re.compile(r"\d{3}(\.\d+)?")
"""The rest of an amount that YAML cut at its comma."""
_INT = re.compile(r"[+-]?[0-9]{1,18}")
_TWO_WAYS = re.compile(r"\W?[1-9]\d{0,2}\.\d{3}")
"""An amount with a point, or with what separates thousands in half of the world."""
_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class _TooManyValuesError(Exception):
    """Aliases of aliases multiplied beyond CONFIG_NODES_MAX."""


class _TooDeepError(Exception):
    """An audience is nested far beyond AUDIENCE_DEPTH_MAX, perhaps by an alias of itself."""


class Shape:
    """The fitting of one file. `faults` and `doubtful` hold what did not fit after `fit`."""

    def __init__(self, file: YamlFile, currency: str) -> None:
        """`currency`: the one that amounts are in."""
        self.faults: list[Fault] = []
        self.doubtful: set[SchemaPath] = set()
        self._file = file
        self._currency = currency
        self._nodes = 0

    def fit(self, type_: type[_Struct]) -> _Struct:
        """Return the file as a struct of `type_`, with harmless values where it does not fit."""
        description = _description(type_)
        root = self._file.root
        try:
            # A file with nothing in it is a mapping without keys: what is missing gets said.
            if root is None or is_null(root):
                root = Mapping([], 1, 1)
            value = self._struct(root, description, ())
        except _TooManyValuesError:
            self._refuse((), f"more than {CONFIG_NODES_MAX:,} values, aliases followed; split this file")
            value = _placeholder(description)
        assert isinstance(value, type_)
        return value

    def _refuse(self, path: SchemaPath, message: str) -> None:
        self.faults.append(self._file.fault(path, message))
        self.doubtful.add(path)

    def _refuse_key(self, key: Node, message: str) -> None:
        self.faults.append(Fault(self._file.name, *place_of(key), message))

    def _value(self, node: Node, type_: inspect.Type, path: SchemaPath) -> object:
        """Return the value of a node, or a placeholder and a fault."""
        self._nodes += 1
        if self._nodes > CONFIG_NODES_MAX:
            raise _TooManyValuesError
        if isinstance(type_, inspect.UnionType):
            members = [member for member in type_.types if not isinstance(member, inspect.NoneType)]
            if len(members) < len(type_.types) and is_null(node):
                return None
            if len(members) > 1:
                try:
                    return self._plain(node, path, depth=1)
                except _TooDeepError:
                    message = (
                        f"nested more than {AUDIENCE_DEPTH_MAX} deep; define a segment for the inner part"
                    )
                    self._refuse(path, f"{label(path)}: {message}")
                    return _placeholder(type_)
            type_ = members[0]
        if is_null(node):
            self._refuse(path, f"{label(path)} has no value; give it one, or take it out")
            return _placeholder(type_)
        if isinstance(type_, inspect.StructType):
            return self._struct(node, type_, path)
        if isinstance(type_, inspect.VarTupleType):
            return self._list(node, type_, path)
        if isinstance(type_, inspect.DictType):
            return self._mapping(node, type_, path)
        if not isinstance(node, Scalar):
            kind = "a list" if isinstance(node, Sequence) else "keys under it"
            self._refuse(path, f"{label(path)} needs {words_of(type_)}, not {kind}")
            return _placeholder(type_)
        return self._scalar(node, type_, path)

    def _struct(self, node: Node, type_: inspect.StructType, path: SchemaPath) -> object:
        fields = {field.encode_name: field for field in type_.fields}
        if not isinstance(node, Mapping):
            self._refuse(path, f"{label(path)} needs keys under it ({', '.join(fields)})")
            return _placeholder(type_)
        values: dict[str, object] = {}
        for key, value in node.pairs:
            name = key.value if isinstance(key, Scalar) else None
            if name not in fields:
                self._refuse_unknown_key(key, name, fields, type_, path)
            elif name in values:
                self._refuse_key(key, f"`{name}` is written twice here; keep one of the two")
            else:
                values[name] = self._value(value, fields[name].type, (*path, name))
        for name, field in fields.items():
            if name not in values and field.required:
                # Either a near-miss was reported for it already, or it is missing.
                if (*path, name) not in self.doubtful:
                    self.faults.append(self._file.fault(path, f"{label(path)} needs the key `{name}`"))
                    self.doubtful.add((*path, name))
                values[name] = _placeholder(field.type)
        return type_.cls(**values)

    def _refuse_unknown_key(
        self,
        key: Node,
        name: str | None,
        fields: dict[str, inspect.Field],
        type_: inspect.StructType,
        path: SchemaPath,
    ) -> None:
        if name is None:
            self._refuse_key(key, "a key must be one plain word")
            return
        if name == "<<":
            self._refuse_key(
                key, "`<<` is not read here; write the keys out, or use an alias for a whole value"
            )
            return
        if _THOUSANDS.fullmatch(name):
            self._refuse_key(key, 'an amount with a comma needs quotes between braces, like "$1,000"')
            return
        meant = nearest(name, fields)
        hint = f"did you mean `{meant}`?" if meant else f"it can have {', '.join(fields)}"
        owner = label(path) if path and isinstance(path[-1], str) else article(type_.cls.__name__)
        self._refuse_key(key, f"`{name}` is not a key of {owner}; {hint}")
        if meant:
            self.doubtful.add((*path, meant))

    def _list(self, node: Node, type_: inspect.VarTupleType, path: SchemaPath) -> tuple[object, ...]:
        if not isinstance(node, Sequence):
            example = as_list(node, type_.item_type) if isinstance(node, Scalar) else "`- ` before each item"
            self._refuse(path, f"{label(path)} needs a list; write {example}")
            return ()
        return tuple(
            self._value(item, type_.item_type, (*path, index)) for index, item in enumerate(node.items)
        )

    def _mapping(self, node: Node, type_: inspect.DictType, path: SchemaPath) -> dict[str, object]:
        """Read keys that the manager chose: ids of other things."""
        if not isinstance(node, Mapping):
            self._refuse(path, f"{label(path)} needs keys under it, each {words_of(type_.key_type)}")
            return {}
        values: dict[str, object] = {}
        for key, value in node.pairs:
            name = key.value if isinstance(key, Scalar) else ""
            if not isinstance(type_.key_type, inspect.StrType) or not _matches(
                type_.key_type.pattern or "", name
            ):
                self._refuse_key(
                    key, f"`{name[:80]}` can't be a key here; it needs {words_of(type_.key_type)}"
                )
            elif name in values:
                self._refuse_key(key, f"`{name}` is written twice here; keep one of the two")
            else:
                values[name] = self._value(value, type_.value_type, (*path, name))
        return values

    def _scalar(self, node: Scalar, type_: inspect.Type, path: SchemaPath) -> object:
        text: str = node.value
        problem: str | None = None
        value: object = text
        if isinstance(type_, inspect.StrType):
            if type_.pattern is not None and not _matches(type_.pattern, text):
                problem = f"it needs {words_of(type_)}"
            elif type_.max_length is not None and len(text) > type_.max_length:
                problem = f"it is {len(text)} characters long; at most {type_.max_length} are read"
            elif type_.min_length is not None and len(text) < type_.min_length:
                problem = "it needs some text"
            elif node.kind == "bool":
                problem = "put it in quotes if it is meant as text"
        elif isinstance(type_, inspect.LiteralType):
            value = next((known for known in type_.values if str(known) == text), None)
            if value is None:
                known = [str(known) for known in type_.values]
                problem = f"it needs {words_of(type_)}{nearest_hint(text, known)}"
        elif isinstance(type_, inspect.BoolType):
            value = text.lower() == "true"
            if node.kind != "bool":
                problem = f"it needs {words_of(type_)}"
        elif isinstance(type_, inspect.IntType):
            whole = node.kind == "int" and _INT.fullmatch(text) is not None
            value = int(text) if whole else None
            if value is None or not _within(int(text), type_):
                problem = f"it needs {words_of(type_)}"
        else:
            assert isinstance(type_, inspect.CustomType)
            if (
                type_.cls in (Money, CpmMicros)
                and (sign := foreign_currency(text, self._currency)) is not None
            ):
                message = f"`{text[:80]}` is in {sign}, and engine.yaml says {self._currency}; convert it"
                self._refuse(path, f"{label(path)}: {message}")
                return _placeholder(type_)
            if type_.cls is Money and _TWO_WAYS.fullmatch(text):
                thousands = text.replace(".", ",")
                message = f"`{text}` can be read in two ways; write {thousands} or {text}0"
                self._refuse(path, f"{label(path)}: {message}")
                return _placeholder(type_)
            try:
                return schema.decode_hook(type_.cls, text)
            except ValueError as error:
                self._refuse(path, f"{label(path)}: {error}")
                return _placeholder(type_)
        if problem is None:
            return value
        self._refuse(path, f"{label(path)} is `{text[:80]}`; {problem}")
        # Misspelt text still says which other values it was meant to go with.
        return text if isinstance(type_, inspect.StrType) else _placeholder(type_)

    def _plain(self, node: Node, path: SchemaPath, depth: int) -> object:
        """Return an audience as text, lists and dicts; `config.audience` gives them meaning."""
        self._nodes += 1
        if self._nodes > CONFIG_NODES_MAX:
            raise _TooManyValuesError
        if depth > 2 * AUDIENCE_DEPTH_MAX:
            raise _TooDeepError
        if is_null(node):
            return None
        if isinstance(node, Sequence):
            return [self._plain(item, (*path, i), depth + 1) for i, item in enumerate(node.items)]
        if not isinstance(node, Mapping):
            return node.value
        values: dict[str, object] = {}
        for key, value in node.pairs:
            if not isinstance(key, Scalar):
                self._refuse_key(key, "a key must be one plain word")
            elif key.value in values:
                self._refuse_key(key, f"`{key.value}` is written twice here; keep one of the two")
            else:
                values[key.value] = self._plain(value, (*path, key.value), depth + 1)
        return values


@cache
def _description(type_: type[msgspec.Struct]) -> inspect.StructType:
    description = inspect.type_info(type_)
    assert isinstance(description, inspect.StructType)
    return description


def _placeholder(type_: inspect.Type) -> object:
    """A value of the right type that stands where none could be read."""
    match type_:
        case inspect.StructType():
            return type_.cls(**{f.encode_name: _placeholder(f.type) for f in type_.fields if f.required})
        case inspect.VarTupleType():
            return ()
        case inspect.DictType():
            return {}
        case inspect.LiteralType():
            return type_.values[0]
        case inspect.IntType():
            return type_.ge or 0
        case inspect.BoolType():
            return False
        case inspect.StrType():
            return ""
        case inspect.CustomType():
            return type_.cls("1970-01-01" if issubclass(type_.cls, str) else 1)
    return None


def _matches(pattern: str, text: str) -> bool:
    # In a pattern `$` also stands before a last line end, which no id or address may have.
    return re.search(pattern, text) is not None and not text.endswith("\n")


def _within(number: int, type_: inspect.IntType) -> bool:
    return (type_.ge is None or number >= type_.ge) and (type_.le is None or number <= type_.le)
