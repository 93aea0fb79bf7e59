"""The tree of a YAML text: what plain words may be taken for, where nodes are, and both parsers alike."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config import yaml_tree
from config.yaml_tree import Kind, Mapping, Scalar, Sequence, YamlFault, compose
from tests.config.folder import ADVERTISER


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        # What YAML 1.1 has for truth, numbers in base 60 or 8, and dates, is text since 1.2.
        *((word, "text") for word in ("no", "on", "Yes", "off", "y", "1:30", "0o17", "1_000", "1.5")),
        ("2026-11-03", "text"),
        *((word, "bool") for word in ("true", "False", "TRUE")),
        *((word, "null") for word in ("~", "null", "Null")),
        *((word, "int") for word in ("0", "-12", "+3", "011")),
        *((word, "text") for word in ("'true'", '"12"', "'null'", "!!str true", "! 12")),
        *((word, "int") for word in ('!!int "3"',)),
    ],
)  # fmt: skip
def test_a_word_may_be_taken_for(text: str, kind: Kind) -> None:
    root = compose(f"key: {text}")
    assert isinstance(root, Mapping)
    ((_, value),) = root.pairs
    assert isinstance(value, Scalar)
    assert value.kind == kind


def test_nodes_know_their_place_in_characters() -> None:
    root = compose("# ¢\nä: [b, {c: 'd'}]\n")
    assert isinstance(root, Mapping)
    ((key, value),) = root.pairs
    assert (key.line, key.column, value.line, value.column) == (2, 1, 2, 4)
    assert isinstance(value, Sequence)
    assert [(item.line, item.column) for item in value.items] == [(2, 5), (2, 8)]


@pytest.mark.parametrize("escape", [r"\e", r"\0", r"\x7f", r"\x9b", r"\ud800", r"\uffff"])
def test_an_escape_brings_in_no_character_that_markup_can_not_hold(escape: str) -> None:
    with pytest.raises(YamlFault, match="control character, U\\+") as raised:
        compose(f'name: "fall {escape} colours"')
    assert (raised.value.line, raised.value.column) == (1, 7)


def test_an_escape_may_stand_for_what_can_be_read() -> None:
    root = compose(r'"a\tb\nc\N\u00fc\U0001f342"')
    assert isinstance(root, Scalar)
    assert root.value == "a\tb\nc\x85\u00fc\U0001f342"


def test_an_alias_is_the_node_and_not_a_copy() -> None:
    root = compose("a: &x [1]\nb: *x\n")
    assert isinstance(root, Mapping)
    (_, first), (_, second) = root.pairs
    assert first is second
    itself = compose("&x [*x]")
    assert isinstance(itself, Sequence)
    assert itself.items[0] is itself


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n...\n"])
def test_a_text_with_nothing_in_it(text: str) -> None:
    root = compose(text)
    assert root is None or (isinstance(root, Scalar) and root.kind == "null")


scraps = st.sampled_from(
    ["[", "}", ": ", "\n", "- ", "*a", "&a ", "~", "'", '"', "? ", "|\n", "!!int ", "#", "é"]
)


@pytest.mark.skipif(yaml_tree.FAST is None, reason="this PyYAML has no libyaml")
@given(st.lists(st.tuples(st.integers(0, len(ADVERTISER)), st.integers(0, 8), scraps), max_size=3))
def test_the_fast_parser_reads_what_the_one_in_python_reads(edits: list[tuple[int, int, str]]) -> None:
    text = ADVERTISER
    for start, length, scrap in edits:
        text = text[:start] + scrap + text[start + length :]
    try:
        slow = yaml_tree._compose(yaml.parse(text, yaml.SafeLoader))
    except (yaml.YAMLError, YamlFault):
        return
    try:
        fast = compose(text)
    except (yaml.YAMLError, YamlFault):
        pytest.fail("only the parser in Python reads this")
    assert _shown(fast) == _shown(slow)


def _shown(node: yaml_tree.Node | None, depth: int = 0) -> object:
    """A tree to compare, cut where an alias may make it endless."""
    if node is None or depth > 20:
        return None
    if isinstance(node, Scalar):
        return node.value, node.kind, node.line, node.column
    if isinstance(node, Sequence):
        return [_shown(item, depth + 1) for item in node.items]
    return [(_shown(key, depth + 1), _shown(value, depth + 1)) for key, value in node.pairs]
