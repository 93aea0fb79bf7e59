"""Which ads a person's segments let through at all, before any audience is read.

Of a thousand line items that want a request, a person may be in the audiences of five. Reading a
thousand expressions to find these costs most of a decision. But an audience is an AND of clauses, and
a clause of which only presence is asked, `(a or b or c)`, can't hold for somebody in none of its
segments. The smallest such clause of a line item is its *gate*: its ads stand in the row of each of
the gate's segments, and the rows of a person's segments, ORed, are all the ads worth reading.

                                   gate             rows
    0   (a or b) and c             c                c: 0 .
    1   a and not b                a                a: 1 .
    2   not b                      none             ungated: 2 3
    3   everybody                  none

A gate is necessary, not sufficient: `segments.kernels.clauses_hold` still has the last word. Line items
without a gate are let through for everybody.

A row for each segment costs as many bits as there are ads: 1.1 MB at 4,096 segments and 1,000 line
items with two creatives each, 11 MB at 10,000.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bidder.decision.bitrows import BitRow, bit_row


class Gates(NamedTuple):
    """A ads in W words, S words of segments, G segments that open a gate."""

    rows: npt.NDArray[np.uint64]
    """uint64[G, W]; at least one row."""
    row_of_segment: npt.NDArray[np.int32]
    """int32[64 x S]: -1 for a segment that opens none."""
    ungated: BitRow
    """uint64[W]."""


def compile_gates(
    clauses: Sequence[npt.NDArray[np.uint64]],
    ad_line_item: npt.NDArray[np.int64],
    words: int,
    segment_words: int,
) -> Gates:
    """Choose a gate for each line item.

    clauses: for each line item uint64[k, 2, S] (`segments.expressions.compile_clauses`). ad_line_item:
    int64[A].
    """
    ads_of = _ads_by_line_item(ad_line_item, len(clauses))
    ads_of_segment: dict[int, list[int]] = {}
    ungated: list[int] = []
    for line_item, masks in enumerate(clauses):
        ads = ads_of[line_item]
        gate = _gate(masks)
        if gate is None:
            ungated += ads
            continue
        for segment in gate:
            ads_of_segment.setdefault(segment, []).extend(ads)
    row_of_segment = np.full(segment_words * 64, -1, np.int32)
    row_of_segment[list(ads_of_segment)] = np.arange(len(ads_of_segment), dtype=np.int32)
    rows = [bit_row(ads, words) for ads in ads_of_segment.values()]
    return Gates(np.stack(rows or [np.zeros(words, np.uint64)]), row_of_segment, bit_row(ungated, words))


def _ads_by_line_item(ad_line_item: npt.NDArray[np.int64], line_items: int) -> list[list[int]]:
    ads_of: list[list[int]] = [[] for _ in range(line_items)]
    for ad, line_item in enumerate(ad_line_item.tolist()):
        ads_of[line_item].append(ad)
    return ads_of


def _gate(masks: npt.NDArray[np.uint64]) -> list[int] | None:
    """Return the segments of the smallest clause that asks for presence only; None without one."""
    presence = masks[~masks[:, 1].any(axis=1), 0]
    if not len(presence):
        return None
    members = np.unpackbits(np.ascontiguousarray(presence).view(np.uint8), axis=1, bitorder="little")
    smallest = members[members.sum(axis=1).argmin()]
    return [int(segment) for segment in np.flatnonzero(smallest)]
