"""The tree of a YAML document: nodes that keep the text that was written, and where.

    root = compose(text)            # None when the document holds nothing
    root.line, root.column

The tree is composed but not constructed: a scalar stays its text (`12.50` never passes through a float).
What a plain scalar could be taken for is told by `kind`, by the core schema of YAML 1.2: `no`, `on` and
`0o17` are text, dates and decimals too. PyYAML's events come from libyaml where the wheel has it, 20 times as
fast as a parser in Python, which stands in where it has not; the tree is made here, without recursion, so
that no depth of brackets can overrun the stack, and an alias is the node it stands for, not a copy.
"""

import re
from collections.abc import Iterator
from typing import Literal

import msgspec
import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from config.limits import YAML_DEPTH_MAX

Kind = Literal["null", "bool", "int", "text"]

_TAG = "tag:yaml.org,2002:"
_NULL = re.compile(r"(?:~|null|Null|NULL)?")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What YAML takes nowhere but in an escape (1.2, production 1), XML not even there, and JSON in part."""

FAST = getattr(yaml, "CSafeLoader", None)
"""libyaml's parser, None where PyYAML was built without it."""


class YamlFault(Exception):  # noqa: N818 - as `config.faults.ConfigFaults`
    """The text is no YAML document; line and column from 1, and PyYAML's own words."""

    def __init__(self, line: int, column: int, problem: str) -> None:
        super().__init__(problem)
        self.line, self.column, self.problem = line, column, problem


class Scalar(msgspec.Struct, frozen=True):
    """A leaf. `kind` says what it may be taken for; text in quotes is text."""

    value: str
    kind: Kind
    line: int
    column: int


class Sequence(msgspec.Struct, frozen=True):
    """A list."""

    items: list["Node"]
    line: int
    column: int


class Mapping(msgspec.Struct, frozen=True):
    """`copy` names the copy of a template that this is; empty for what was written out."""

    pairs: list[tuple["Node", "Node"]]
    line: int
    column: int
    copy: str = ""


Node = Scalar | Sequence | Mapping


def is_null(node: Node) -> bool:
    """Say whether nothing was written: an empty value, `~` or `null`."""
    return isinstance(node, Scalar) and node.kind == "null"


def kind_of(text: str) -> Kind:
    """Return what plain text may be taken for (YAML 1.2, section 10.3.2)."""
    if _NULL.fullmatch(text):
        return "null"
    if _BOOL.fullmatch(text):
        return "bool"
    return "int" if _INT.fullmatch(text) else "text"


def compose(text: str) -> Node | None:
    """Return the tree of the one document in a text. Raises YamlFault."""
    if FAST is None:
        return _compose(yaml.parse(text, yaml.SafeLoader))
    try:
        return _compose(yaml.parse(text, FAST))
    except yaml.YAMLError:
        # The parser in Python words its faults better, and knows their characters from their bytes.
        return _compose(yaml.parse(text, yaml.SafeLoader))


def _compose(events: Iterator[Event]) -> Node | None:
    root: Node | None = None
    documents = 0
    anchors: dict[str, Node] = {}
    open_: list[Sequence | Mapping] = []
    keys: list[Node | None] = []
    """For each open mapping the key that waits for its value; for a sequence, None."""
    for event in events:
        if isinstance(event, DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise YamlFault(*_place(event), "but found another document")
            continue
        if isinstance(event, CollectionEndEvent):
            open_.pop()
            keys.pop()
            continue
        node: Node
        if isinstance(event, ScalarEvent):
            if event.style == '"' and (found := _UNPRINTABLE.search(event.value)):
                problem = f"an escape for a control character, U+{ord(found[0]):04X}; delete it"
                raise YamlFault(*_place(event), problem)
            node = Scalar(event.value, _kind(event), *_place(event))
        elif isinstance(event, AliasEvent):
            if event.anchor not in anchors:
                raise YamlFault(*_place(event), f"found undefined alias {event.anchor!r}")
            node = anchors[event.anchor]
        elif isinstance(event, SequenceStartEvent):
            node = Sequence([], *_place(event))
        elif isinstance(event, MappingStartEvent):
            node = Mapping([], *_place(event))
        else:
            continue
        if not isinstance(event, AliasEvent) and event.anchor is not None:
            anchors[event.anchor] = node
        if not open_:
            root = node
        elif isinstance(parent := open_[-1], Sequence):
            parent.items.append(node)
        elif (key := keys[-1]) is None:
            keys[-1] = node
        else:
            parent.pairs.append((key, node))
            keys[-1] = None
        if isinstance(event, SequenceStartEvent | MappingStartEvent):
            assert isinstance(node, Sequence | Mapping)
            if len(open_) == YAML_DEPTH_MAX:
                raise YamlFault(*_place(event), "brackets or dashes are nested too deep")
            open_.append(node)
            keys.append(None)
    return root


def _kind(event: ScalarEvent) -> Kind:
    if event.tag is None:
        return kind_of(event.value) if event.implicit[0] else "text"
    name = str(event.tag).removeprefix(_TAG)
    return name if name in ("null", "bool", "int") else "text"  # type: ignore[return-value] # one of these


def _place(event: Event) -> tuple[int, int]:
    mark = event.start_mark
    assert mark is not None, "parsers mark every event"
    return mark.line + 1, mark.column + 1
