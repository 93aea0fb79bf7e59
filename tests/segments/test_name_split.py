"""Names cut from text, against Python's own splitting."""

import re
from itertools import pairwise

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from segments.name_split import split_names
from segments.rows import text_buffers

CELLS = st.lists(st.text("ab|; \t-é", max_size=12), max_size=20)


def split(cells: list[str]) -> list[list[str]]:
    octets, offsets = text_buffers(pa.array(cells, pa.string()))
    members, codes, starts, ends = split_names(octets, offsets)
    names = [bytes(octets[a:b]).decode() for a, b in zip(starts, ends, strict=True)]
    assert len(set(names)) == len(names)
    return [[names[code] for code in codes[a:b]] for a, b in pairwise(members)]


@given(CELLS)
def test_cells_are_split_as_by_a_regular_expression(cells: list[str]) -> None:
    assert split(cells) == [[name for name in re.split(r"[|;\s]+", cell) if name] for cell in cells]


def test_more_names_than_the_table_begins_with() -> None:
    cells = ["|".join(f"name-{number}" for number in range(start, start + 7)) for start in range(5_000)]
    assert split(cells) == [cell.split("|") for cell in cells]
