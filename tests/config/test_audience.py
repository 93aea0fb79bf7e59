"""The syntax of audiences, and their normal form against naive evaluation."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.audience import (
    All,
    Any,
    AudienceError,
    Clause,
    Name,
    Node,
    Not,
    holds,
    parse_audience,
    segment_names,
    to_clauses,
)
from config.limits import AUDIENCE_CLAUSES_MAX, AUDIENCE_DEPTH_MAX, AUDIENCE_NAMES_MAX

NAMES = ("a", "b", "c", "d", "e.5", "F_g-h")
members = st.frozensets(st.sampled_from(NAMES))
nodes: st.SearchStrategy[Node] = st.recursive(
    st.sampled_from(NAMES).map(Name),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=1, max_size=4).map(lambda items: All(tuple(items))),
        st.lists(inner, min_size=1, max_size=4).map(lambda items: Any(tuple(items))),
    ),
    max_leaves=10,
)


def as_text(node: Node) -> str:
    match node:
        case Name(segment):
            return segment
        case Not(item):
            return f"NOT ({as_text(item)})"
        case All(items):
            return "(" + "  and ".join(map(as_text, items)) + ")"
        case Any(items):
            return "(" + " Or ".join(map(as_text, items)) + " )"


def as_mapping(node: Node) -> object:
    match node:
        case Name(segment):
            return segment
        case Not(item):
            return {"not": as_mapping(item)}
        case All(items):
            return {"all": [as_mapping(item) for item in items]}
        case Any(items):
            return {"any": [as_mapping(item) for item in items]}


def parsed(value: object) -> Node:
    node = parse_audience(value)
    assert node is not None
    return node


def clauses_hold(clauses: tuple[Clause, ...], person: frozenset[str]) -> bool:
    return all(clause.any & person or clause.none - person for clause in clauses)


@settings(deadline=None)
@given(nodes, members)
def test_text_and_mapping_mean_the_tree_they_were_written_from(node: Node, person: frozenset[str]) -> None:
    expected = holds(node, person)
    assert holds(parsed(as_text(node)), person) == expected
    assert holds(parsed(as_mapping(node)), person) == expected
    assert segment_names(parsed(as_text(node))) == segment_names(node)


@settings(max_examples=200, deadline=None)
@given(nodes, st.lists(members, min_size=1, max_size=8))
def test_clauses_hold_exactly_when_the_expression_does(node: Node, people: list[frozenset[str]]) -> None:
    clauses = to_clauses(node)
    for person in people:
        assert clauses_hold(clauses, person) == holds(node, person)


@settings(deadline=None)
@given(nodes)
def test_clauses_are_neither_tautologies_nor_implied_by_another(node: Node) -> None:
    clauses = to_clauses(node)
    for clause in clauses:
        assert not clause.any & clause.none
        others = [other for other in clauses if other is not clause]
        assert not any(other.any <= clause.any and other.none <= clause.none for other in others)
    assert to_clauses(node) == clauses


@settings(deadline=None)
@given(st.text(alphabet="ab()&|!, \tnotadr\n", max_size=30))
def test_any_text_is_read_or_refused_as_an_audience(text: str) -> None:
    with suppress(AudienceError):
        to_clauses(parsed(text))


def test_not_binds_tighter_than_and_than_or() -> None:
    assert parsed("a or b and not c") == Any((Name("a"), All((Name("b"), Not(Name("c"))))))


def test_several_keys_of_a_mapping_must_all_hold() -> None:
    assert parsed({"any": ["a", "b"], "not": "c"}) == All((Any((Name("a"), Name("b"))), Not(Name("c"))))


def test_items_of_a_mapping_are_expressions_too() -> None:
    assert parsed({"any": ["a and b", {"not": "c"}]}) == Any((All((Name("a"), Name("b"))), Not(Name("c"))))


def test_no_audience_is_everybody() -> None:
    assert parse_audience(None) is None
    assert to_clauses(parsed("a or not a")) == ()


def test_clauses_of_the_documented_examples() -> None:
    def clause(any_: str = "", none: str = "") -> Clause:
        return Clause(any=frozenset(any_), none=frozenset(none))

    assert set(to_clauses(parsed("a and (b or c) and not d"))) == {clause("a"), clause("bc"), clause("", "d")}
    assert set(to_clauses(parsed("(a and b) or c"))) == {clause("ac"), clause("bc")}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "at character 1, where the text ends"),
        ("a b", "expected `and`, `or` or the end at character 3, and found `b`"),
        ("a & b", "at character 3, and found `&`; write `and`"),
        ("a, b", "at character 2, and found `,`; write `and` or `or`"),
        ("(a or b", "expected `and`, `or` or `)` at character 8"),
        ("a or )", "expected a segment name, `not` or `(` at character 6, and found `)`"),
        ("a and", "expected a segment name, `not` or `(` at character 6"),
        ("AND", "at character 1, and found `AND`"),
        ("é", "at character 1, and found `é`"),
        ("x" * 65, "longer than a segment name"),
        ({"any": []}, "any: `any` has an empty list"),
        ({"all": []}, "all: `all` has an empty list"),
        ({"any": "a"}, "`any` takes a list"),
        ({"not": ["a"]}, "`not` takes one thing"),
        ({"some": ["a"]}, "`some` is not one of any, all, not"),
        ({}, "an empty mapping"),
        (["a"], "a list must say how its items combine"),
        ({"any": ["a", {"all": ["b c"]}]}, "any: item 2: all: item 1: expected `and`, `or` or the end"),
        ({"any": ["a", None]}, "any: item 2: expected a segment name"),
        (5, "found 5"),
    ],
)
def test_a_fault_says_where_and_what_was_expected(value: object, message: str) -> None:
    with pytest.raises(AudienceError) as caught:
        parse_audience(value)
    assert message in str(caught.value)


def test_nesting_has_a_limit_in_every_form() -> None:
    def nested(depth: int) -> tuple[object, ...]:
        mapping: object = "a"
        for _ in range(depth):
            mapping = {"not": mapping}
        return "(" * depth + "a" + ")" * depth, "not " * depth + "a", mapping

    itself: dict[str, object] = {}
    itself["any"] = [itself]
    for value in nested(AUDIENCE_DEPTH_MAX - 1):
        parsed(value)
    for value in (*nested(AUDIENCE_DEPTH_MAX), *nested(50_000)[:2], itself):
        with pytest.raises(AudienceError, match="nested more than"):
            parse_audience(value)


def test_names_have_a_limit() -> None:
    names = [f"s{number}" for number in range(AUDIENCE_NAMES_MAX + 1)]
    assert len(to_clauses(parsed({"any": names[1:]}))) == 1
    with pytest.raises(AudienceError, match="segment names in one audience"):
        parse_audience(" or ".join(names))


def test_clauses_have_a_limit_and_an_explosion_stops_early() -> None:
    assert (
        len(to_clauses(parsed({"all": [f"s{n}" for n in range(AUDIENCE_CLAUSES_MAX)]})))
        == AUDIENCE_CLAUSES_MAX
    )
    too_many = {"all": [f"s{n}" for n in range(AUDIENCE_CLAUSES_MAX + 1)]}
    # In full this would be 2 ** 400 clauses.
    exploding = " or ".join(f"(a{n} and b{n})" for n in range(400))
    for value in (too_many, exploding):
        with pytest.raises(AudienceError, match=r"split the line item"):
            to_clauses(parsed(value))
