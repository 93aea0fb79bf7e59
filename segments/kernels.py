"""Audience expressions against user bits: the compiled inner loops.

An audience is an AND of clauses. A clause is two bit masks over the segments, `any` and `none`, and
holds when the user has at least one segment of `any` or lacks at least one of `none`:

    ((user & any) | (~user & none)) != 0      in at least one word

`segments.expressions` makes the masks. `clauses_hold` is called, and inlined, by the decision
kernel, which keeps the clauses of all line items in one array; `count_matching` counts an audience.
Each also runs uncompiled, as `clauses_hold.py_func`.
"""

import numpy as np
from numpy.typing import NDArray

from config.compiled import inlined, kernel


@inlined
def clauses_hold(user_bits: NDArray[np.uint64], clauses: NDArray[np.uint64], start: int, end: int) -> bool:
    """Say whether clauses `start` (inclusive) to `end` (exclusive) all hold for one user.

    user_bits: uint64[W], segment i is bit i % 64 of word i // 64. clauses: uint64[N, 2, W], [:, 0]
    the `any` masks and [:, 1] the `none` masks. No clause at all holds for everybody.
    """
    for clause in range(start, end):
        held = False
        for word in range(user_bits.shape[0]):
            bits = user_bits[word]
            if ((bits & clauses[clause, 0, word]) | (~bits & clauses[clause, 1, word])) != 0:
                held = True
                break
        if not held:
            return False
    return True


@kernel
def count_matching(users: NDArray[np.uint64], clauses: NDArray[np.uint64]) -> int:
    """Count the users for whom all clauses hold.

    users: uint64[n, W]. clauses: uint64[k, 2, W]. Returns an int64 from 0 to n.
    """
    matching = 0
    for user in range(users.shape[0]):
        if clauses_hold(users[user], clauses, 0, clauses.shape[0]):
            matching += 1
    return matching
