"""Audience clauses as bit masks: what `config.audience` says in names, the kernel reads in words.

    node = parse_audience("seniors and not (renters or students)")
    masks = compile_clauses(to_clauses(node), indices, words_for(len(indices)))
    count_matching(users, masks)

With seniors 0, renters 1, students 2 and one word of segments, the three clauses become

                 any      none
    [seniors]    0b001    0b000
    [!renters]   0b000    0b010
    [!students]  0b000    0b100
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from config.audience import Clause
from config.wording import nearest_hint
from segments.bitsets import bits_from_indices


class UnknownSegmentError(Exception):
    """An audience names a segment that was never defined; the message names it."""


def words_for(n_segments: int) -> int:
    """Return how many 64-bit words hold one user's segments; at least 1."""
    return max(1, (n_segments + 63) // 64)


def compile_clauses(clauses: Iterable[Clause], indices: Mapping[str, int], words: int) -> NDArray[np.uint64]:
    """Return uint64[k, 2, words], one row a clause: [:, 0] the `any` masks, [:, 1] the `none` masks.

    `indices` maps segment names to bits, all below 64 * words. Raises UnknownSegmentError.
    """
    rows = [[_mask(clause.any, indices, words), _mask(clause.none, indices, words)] for clause in clauses]
    return np.array(rows, np.uint64).reshape(-1, 2, words)


def undefined(name: str, known: Iterable[str]) -> str:
    """Say that a segment is not defined, and which one was probably meant."""
    hint = nearest_hint(name, known) or "; `hustings segments list` shows those that are"
    return f"segment {name} is not defined{hint}"


def _mask(names: Iterable[str], indices: Mapping[str, int], words: int) -> NDArray[np.uint64]:
    try:
        return bits_from_indices([indices[name] for name in names], words)
    except KeyError as error:
        name = error.args[0]
        raise UnknownSegmentError(undefined(name, indices)) from None
