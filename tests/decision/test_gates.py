"""Gates let through everybody whose audience holds, and keep out those who lack its one needed segment."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from bidder.decision.gates import Gates, compile_gates
from config.audience import holds, parse_audience, to_clauses
from segments.expressions import compile_clauses

NAMES = ("a", "b", "c", "d")
INDICES = {"a": 0, "b": 63, "c": 64, "d": 127}
WORDS = 2

EXPRESSIONS = st.recursive(
    st.sampled_from(NAMES),
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not {}".format, inner),
    ),
    max_leaves=8,
)


def gates_of(*audiences: str | None) -> Gates:
    """Line item i has the one ad i."""
    nodes = [parse_audience(audience) for audience in audiences]
    clauses = [compile_clauses(to_clauses(node) if node else (), INDICES, WORDS) for node in nodes]
    return compile_gates(clauses, np.arange(len(nodes)), 1, WORDS)


def let_through(gates: Gates, segments: set[str]) -> list[int]:
    row: npt.NDArray[np.uint64] = gates.ungated.copy()
    for name in segments:
        if gates.row_of_segment[INDICES[name]] >= 0:
            row |= gates.rows[gates.row_of_segment[INDICES[name]]]
    return [ad for ad in range(64) if int(row[0]) >> ad & 1]


@given(st.lists(EXPRESSIONS, min_size=1, max_size=5), st.sets(st.sampled_from(NAMES)))
def test_an_audience_that_holds_is_let_through(audiences: list[str], segments: set[str]) -> None:
    through = let_through(gates_of(*audiences), segments)
    for line_item, audience in enumerate(audiences):
        node = parse_audience(audience)
        assert node is not None
        if holds(node, segments):
            assert line_item in through


def test_the_gate_is_the_smallest_clause_of_presence() -> None:
    gates = gates_of("(a or b) and c", "a and not b", "not b", None)
    assert let_through(gates, {"a", "b"}) == [1, 2, 3]
    assert let_through(gates, {"c"}) == [0, 2, 3]
    assert let_through(gates, set()) == [2, 3]
