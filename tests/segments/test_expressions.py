"""Compiled audiences against their meaning: kernels, the same as plain Python, and sets of names."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from config.audience import All, Any, Clause, Name, Node, Not, holds, to_clauses
from segments.bitsets import bits_from_indices
from segments.expressions import UnknownSegmentError, compile_clauses, words_for
from segments.kernels import clauses_hold, count_matching

NAMES = [f"s{index}" for index in range(150)]
INDICES = {name: index for index, name in enumerate(NAMES)}
WORDS = words_for(len(NAMES))

names = st.sampled_from(NAMES[:3] + NAMES[62:66] + NAMES[127:130])
nodes: st.SearchStrategy[Node] = st.recursive(
    names.map(Name),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: All(tuple(items))),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: Any(tuple(items))),
    ),
    max_leaves=8,
)
people = st.lists(st.frozensets(names), min_size=1, max_size=12)


def bits_of(members: list[frozenset[str]]) -> NDArray[np.uint64]:
    return np.array([bits_from_indices([INDICES[name] for name in person], WORDS) for person in members])


@settings(max_examples=150)
@given(nodes, people)
def test_the_kernel_decides_what_the_expression_says(node: Node, members: list[frozenset[str]]) -> None:
    clauses = compile_clauses(to_clauses(node), INDICES, WORDS)
    users = bits_of(members)
    expected = [holds(node, person) for person in members]
    assert [bool(clauses_hold(user, clauses, 0, len(clauses))) for user in users] == expected
    assert [bool(clauses_hold.py_func(user, clauses, 0, len(clauses))) for user in users] == expected
    assert count_matching(users, clauses) == count_matching.py_func(users, clauses) == sum(expected)


def test_only_the_clauses_asked_for_count() -> None:
    clauses = compile_clauses(
        [
            Clause(any=frozenset({"s0"}), none=frozenset()),
            Clause(any=frozenset({"s1"}), none=frozenset()),
            Clause(any=frozenset(), none=frozenset({"s149"})),
        ],
        INDICES,
        WORDS,
    )
    user = bits_from_indices([1], WORDS)
    for kernel in (clauses_hold, clauses_hold.py_func):
        assert kernel(user, clauses, 1, 3)
        assert not kernel(user, clauses, 0, 3)
        assert kernel(user, clauses, 2, 2)


def test_a_clause_of_nothing_never_holds_and_no_clause_always_does() -> None:
    never = compile_clauses([Clause(any=frozenset(), none=frozenset())], INDICES, WORDS)
    always = compile_clauses([], INDICES, WORDS)
    users = bits_of([frozenset(), frozenset({"s0"})])
    assert count_matching(users, never) == 0
    assert always.shape == (0, 2, WORDS)
    assert count_matching(users, always) == 2


def test_the_masks_are_those_of_the_documentation() -> None:
    clauses = [
        Clause(any=frozenset({"seniors"}), none=frozenset()),
        Clause(any=frozenset(), none=frozenset({"renters"})),
        Clause(any=frozenset(), none=frozenset({"students"})),
    ]
    masks = compile_clauses(clauses, {"seniors": 0, "renters": 1, "students": 2}, 1)
    assert masks.tolist() == [[[0b001], [0]], [[0], [0b010]], [[0], [0b100]]]


def test_an_unknown_segment_is_named() -> None:
    with pytest.raises(UnknownSegmentError, match="segment nobody is not defined"):
        compile_clauses([Clause(any=frozenset({"s1"}), none=frozenset({"nobody"}))], INDICES, WORDS)


@pytest.mark.parametrize(("segments", "words"), [(0, 1), (1, 1), (64, 1), (65, 2), (168, 3), (4_096, 64)])
def test_words_hold_the_segments(segments: int, words: int) -> None:
    assert words_for(segments) == words
