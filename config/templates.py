"""Line items written once and meant many times: `templates` and `for_each` of an advertiser's file.

    templates:
      county:
        id: gotv-<county>
        bid_cpm: 6.50
        audience: <county>-homeowners and not newsletter
        creatives: [gotv-300x250]
    campaigns:
      - id: gotv
        line_items:
          - {template: county, for_each: {county: [polk, story, linn]}}
          - template: county
            bid_cpm: <bid>
            for_each:
              - {county: dallas, bid: 7}
              - {county: boone, bid: 5.50}

A line item begins with the keys of its template; its own go before them, each as a whole. With `for_each` it
becomes one line item for each entry, in which `<county>` is that entry's value. A value that is nothing but
`<bid>` may be anything, a number or a list; inside a text it must be text. The id must hold a name, so that
every copy keeps its own, and reports go on under it, whatever is added or taken out beside it.

The tree is expanded before it is fitted to the schema (`config.shape`), so that all the rest sees plain line
items. Nodes keep their places: a fault is where its text was written, in the template or, for a value that
was put in whole, in `for_each`. Every copy knows its name, and faults that all copies share are told once
(`gathered`). YAML's own anchors can't do this: they repeat a value, and change nothing in it. `<county>`
needs no quotes anywhere in YAML, as `{county}` would.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from config.faults import Fault
from config.limits import CONFIG_NODES_MAX, TEMPLATE_COPIES_MAX
from config.wording import nearest_hint
from config.yaml_file import YamlFile, place_of
from config.yaml_tree import Mapping, Node, Scalar, Sequence

TEMPLATES = "templates"
TEMPLATE = "template"
FOR_EACH = "for_each"

_NAME = re.compile(r"<([a-z][a-z0-9_-]*)>")
_COPIES_NAMED = 2

_Row = dict[str, Node]


class Expansion(msgspec.Struct, frozen=True):
    """A file without templates, what was wrong with them, and the places of those that nothing uses."""

    file: YamlFile
    faults: tuple[Fault, ...] = ()
    unused: tuple[Fault, ...] = ()


def expand(file: YamlFile) -> Expansion:
    """Return an advertiser's file with its line items written out."""
    if not isinstance(file.root, Mapping):
        return Expansion(file)
    return _Expander(file.name).expand(file.root)


def gathered(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Sort faults and tell those of several copies once, with the copies' names."""
    copies: defaultdict[Fault, set[str]] = defaultdict(set)
    for fault in faults:
        copies[msgspec.structs.replace(fault, copy="")].add(fault.copy)
    return tuple(
        sorted(
            msgspec.structs.replace(fault, message=fault.message + _in_copies(names))
            for fault, names in copies.items()
        )
    )


def _in_copies(names: set[str]) -> str:
    if "" in names:
        return ""
    shown = " and ".join(f"`{name}`" for name in sorted(names)[:_COPIES_NAMED])
    if len(names) == 1:
        return f" (in the copy for {shown})"
    more = f", and {len(names) - _COPIES_NAMED} more" if len(names) > _COPIES_NAMED else ""
    return f" (in the copies for {shown}{more})"


class _Expander:
    """The expansion of one file."""

    def __init__(self, file_name: str) -> None:
        self._file_name = file_name
        self._faults: list[Fault] = []
        self._templates: dict[str, tuple[Node, Mapping]] = {}
        self._used: set[str] = set()
        self._nodes = 0

    def expand(self, root: Mapping) -> Expansion:
        pairs = []
        for key, value in root.pairs:
            if _text(key) == TEMPLATES:
                self._read_templates(value)
            else:
                pairs.append((key, value))
        pairs = [
            (key, self._campaigns(value) if _text(key) == "campaigns" else value) for key, value in pairs
        ]
        unused = [
            Fault(self._file_name, *place_of(key), f"no line item uses the template `{name}`; take it out")
            for name, (key, _) in self._templates.items()
            if name not in self._used
        ]
        file = YamlFile(self._file_name, Mapping(pairs, root.line, root.column))
        return Expansion(file, tuple(self._faults), tuple(unused))

    def _refuse(self, node: Node, message: str, copy: str = "") -> None:
        self._faults.append(Fault(self._file_name, *place_of(node), message, copy))

    def _read_templates(self, node: Node) -> None:
        if not isinstance(node, Mapping):
            self._refuse(node, f"`{TEMPLATES}` needs keys under it: names, each with the keys of a line item")
            return
        for key, value in node.pairs:
            name = _text(key)
            if not name or not isinstance(value, Mapping):
                self._refuse(key, "a template is a name with the keys of a line item under it")
            elif name in self._templates:
                self._refuse(key, f"`{name}` is written twice here; keep one of the two")
            else:
                self._templates[name] = key, value

    def _campaigns(self, node: Node) -> Node:
        if not isinstance(node, Sequence):
            return node
        return Sequence([self._campaign(item) for item in node.items], node.line, node.column)

    def _campaign(self, node: Node) -> Node:
        if not isinstance(node, Mapping):
            return node
        pairs = [
            (key, self._line_items(value) if _text(key) == "line_items" else value)
            for key, value in node.pairs
        ]
        return Mapping(pairs, node.line, node.column)

    def _line_items(self, node: Node) -> Node:
        if not isinstance(node, Sequence):
            return node
        items = [copy for item in node.items for copy in self._copies(item)]
        return Sequence(items, node.line, node.column)

    def _copies(self, item: Node) -> Iterator[Node]:
        """Yield the line items that one written line item means; none where that can't be told."""
        own = _by_key(item)
        if not isinstance(item, Mapping) or not own.keys() & {TEMPLATE, FOR_EACH}:
            yield item
            return
        pairs = [pair for pair in item.pairs if _text(pair[0]) not in (TEMPLATE, FOR_EACH)]
        if TEMPLATE in own:
            template = self._template(own[TEMPLATE])
            if template is None:
                return
            pairs = [pair for pair in template.pairs if _text(pair[0]) not in own] + pairs
        merged = Mapping(pairs, item.line, item.column)
        if FOR_EACH not in own:
            yield self._filled(merged, {}, "")
            return
        rows = self._rows(own[FOR_EACH])
        id_ = _by_key(merged).get("id")
        if isinstance(id_, Scalar):
            rows = self._once(rows, set(_NAME.findall(id_.value)))
        if rows and id_ is not None and not set(_NAME.findall(_text(id_))) & rows[0].keys():
            names = " or ".join(f"<{name}>" for name in rows[0])
            self._refuse(id_, f"every copy would have the id `{_text(id_)}`; put {names} into it")
            return
        for row in rows:
            yield self._filled(merged, row, _text(next(iter(row.values()))) or "?")

    def _template(self, named: Node) -> Mapping | None:
        name = _text(named)
        if name in self._templates:
            self._used.add(name)
            return self._templates[name][1]
        self._refuse(
            named, f"there is no template `{name}` in this file{nearest_hint(name, self._templates)}"
        )
        return None

    def _rows(self, node: Node) -> list[_Row]:
        """Return what `for_each` goes through, each entry by its names; nothing when it can't be read."""
        rows: list[_Row] = []
        if isinstance(node, Mapping) and len(node.pairs) == 1:
            ((key, values),) = node.pairs
            if isinstance(values, Sequence):
                rows = [{_text(key): value} for value in values.items]
        elif isinstance(node, Sequence):
            rows = [_by_key(item) for item in node.items]
        if not rows or not all(row and all(_NAME.fullmatch(f"<{name}>") for name in row) for row in rows):
            self._refuse(
                node,
                f"`{FOR_EACH}` needs a name and what it stands for, like {{county: [polk, story]}}, or a "
                "list of entries, like - {county: polk, bid: 4.50}; names are small letters, digits, - and _",
            )
            return []
        if len(rows) > TEMPLATE_COPIES_MAX:
            self._refuse(node, f"these are {len(rows):,} copies; at most {TEMPLATE_COPIES_MAX:,} are made")
            return []
        assert isinstance(node, Mapping | Sequence)
        for row, written in zip(rows, node.items if isinstance(node, Sequence) else rows, strict=True):
            missing = rows[0].keys() ^ row.keys()
            if missing and not isinstance(written, dict):
                name = min(missing)
                self._refuse(written, f"`{name}` is not in every entry; all have the same names")
                return []
        return rows

    def _once(self, rows: list[_Row], names: set[str]) -> list[_Row]:
        """Return the entries without those that would give a second line item the id of a first."""
        kept: list[_Row] = []
        seen: set[tuple[str, ...]] = set()
        for row in rows:
            values = [value for name, value in row.items() if name in names]
            key = tuple(map(_text, values))
            if key and all(key) and key in seen:
                written = ", ".join(key)
                self._refuse(values[0], f"`{written}` is in `{FOR_EACH}` already; take one of the two out")
                continue
            seen.add(key)
            kept.append(row)
        return kept

    def _filled(self, item: Mapping, row: _Row, copy: str) -> Mapping:
        """Return a line item with the values of one entry put in."""
        done: dict[int, Node] = {}

        def filled(node: Node) -> Node:
            # Every node once: an alias costs nothing more, and one of itself ends.
            if id(node) in done:
                return done[id(node)]
            self._nodes += 1
            done[id(node)] = node
            if isinstance(node, Scalar):
                done[id(node)] = self._put_in(node, row, copy)
            elif isinstance(node, Sequence):
                items = [filled(item) for item in node.items]
                if any(new is not old for new, old in zip(items, node.items, strict=True)):
                    done[id(node)] = Sequence(items, node.line, node.column)
            else:
                pairs = [(key, filled(value)) for key, value in node.pairs]
                if any(new is not old for (_, new), (_, old) in zip(pairs, node.pairs, strict=True)):
                    done[id(node)] = Mapping(pairs, node.line, node.column)
            return done[id(node)]

        if self._nodes > CONFIG_NODES_MAX:
            self._refuse(item, f"the copies here have more than {CONFIG_NODES_MAX:,} values; split the file")
            return Mapping([], item.line, item.column, copy)
        new = filled(item)
        assert isinstance(new, Mapping)
        return Mapping(new.pairs, item.line, item.column, copy)

    def _put_in(self, scalar: Scalar, row: _Row, copy: str) -> Node:
        names = _NAME.findall(scalar.value)
        for name in names:
            if name not in row:
                hint = nearest_hint(name, row) or (f"; it has {', '.join(row)}" if row else "")
                self._refuse(scalar, f"`<{name}>` stands for nothing: it is not in `{FOR_EACH}`{hint}", copy)
                return scalar
        if not names:
            return scalar
        if _NAME.fullmatch(scalar.value):
            return row[names[0]]
        for name in names:
            if not isinstance(row[name], Scalar):
                self._refuse(row[name], f"`<{name}>` is put inside a text, and so must be text", copy)
                return scalar
        text = _NAME.sub(lambda match: _text(row[match[1]]), scalar.value)
        return Scalar(text, "text", scalar.line, scalar.column)


def _by_key(node: Node) -> _Row:
    if not isinstance(node, Mapping):
        return {}
    return {key.value: value for key, value in node.pairs if isinstance(key, Scalar)}


def _text(node: Node) -> str:
    return node.value if isinstance(node, Scalar) else ""
