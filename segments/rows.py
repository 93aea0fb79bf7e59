"""Rows of a segment file as columns: checked text, names as numbers, and a reason for each row that is none.

    rows = rows_of(batch, lines, broken, rows_done, bytes_done)

`segments.segment_file` makes them from every form of file. A batch is Arrow buffers and numpy arrays here;
Python looks at single rows only where they have a fault.
"""

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from config.limits import USER_ID_CHARS_MAX
from segments.name_split import split_names


class Fault(msgspec.Struct, frozen=True):
    """Why one line was not loaded."""

    line: int
    reason: str


class Rows(msgspec.Struct, frozen=True):
    """At most LOAD_BATCH_ROWS_MAX rows of the file."""

    lines: NDArray[np.int64]
    ids: Any
    """A pyarrow array of strings without nulls."""
    sources: tuple[list[str], NDArray[np.int64]] | None
    """Distinct sources and the one of each row; None when the file has no such column."""
    names: list[str]
    """The distinct segment names of these rows."""
    member_offsets: NDArray[np.int64]
    """int64[n + 1]: row i has memberships [i] to [i + 1]."""
    member_names: NDArray[np.int32]
    """int32[m]: the name of each, an index into `names`."""
    faults: dict[int, str]
    """Rows that must not be loaded, and why."""
    broken_lines: list[Fault]
    """Lines before the last of these rows that are no rows at all."""
    rows_done: int
    """Rows of the file up to the last of these, broken lines included."""
    bytes_done: int


def is_text(kind: Any) -> bool:
    """Tell whether an Arrow type is text, as a dictionary or not."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


def is_texts(kind: Any) -> bool:
    """Tell whether an Arrow type is a list of texts."""
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in lists) and is_text(kind.value_type)


def rows_of(
    batch: Any, lines: NDArray[np.int64], broken: list[Fault], rows_done: int, bytes_done: int
) -> Rows:
    """Check a pyarrow batch of the columns id, segments and perhaps source.

    lines: int64[n], where its rows are in the file. The rest becomes part of the Rows as it is.
    """
    faults: dict[int, str] = {}
    ids = _checked(batch.column("id"), "id", faults)
    sources = None
    if "source" in batch.schema.names:
        encoded = _checked(batch.column("source"), "source", faults).dictionary_encode()
        sources = (encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64))
    for row in np.flatnonzero(pc.equal(ids, "").to_numpy(zero_copy_only=False)).tolist():
        faults.setdefault(row, "the id is empty")

    segments = batch.column("segments")
    split = _split_text if is_text(segments.type) else _split_lists
    member_offsets, member_names, texts = split(segments)
    names, unreadable = _decoded(texts)
    if unreadable.any():
        rows = np.searchsorted(member_offsets, np.flatnonzero(unreadable[member_names]), "right") - 1
        for row in np.unique(rows).tolist():
            faults.setdefault(row, "the segments column is not valid UTF-8")
    return Rows(
        lines=lines,
        ids=ids,
        sources=sources,
        names=names,
        member_offsets=member_offsets,
        member_names=member_names,
        faults=faults,
        broken_lines=broken,
        rows_done=rows_done,
        bytes_done=bytes_done,
    )


def text_buffers(texts: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the bytes of a pyarrow array of strings or bytes without nulls, and where each begins."""
    _, offsets, octets = texts.buffers()
    begins = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    # An array of nothing but empty texts may have no bytes at all.
    return np.frombuffer(octets or bytes(1), np.uint8), begins


_Split = tuple[NDArray[np.int64], NDArray[np.int32], list[bytes]]
"""Where each row's names begin, the number of each name, and the distinct names."""


def _split_text(column: Any) -> _Split:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    octets, offsets = text_buffers(pc.fill_null(column.cast(pa.binary()), b""))
    members, codes, starts, ends = split_names(octets, offsets)
    return members, codes, [octets[a:b].tobytes() for a, b in zip(starts, ends, strict=True)]


def _split_lists(column: Any) -> _Split:
    members = np.zeros(len(column) + 1, np.int64)
    np.cumsum(pc.fill_null(pc.list_value_length(column), 0).to_numpy(), out=members[1:])
    names = column.flatten()
    if not pa.types.is_dictionary(names.type):
        names = names.cast(pa.binary()).dictionary_encode()
    texts: list[bytes | None] = names.dictionary.cast(pa.binary()).to_pylist()
    # A null in a list is no name, and neither is an empty text.
    codes = pc.fill_null(names.indices.cast(pa.int32()), len(texts)).to_numpy()
    return members, codes, [text or b"" for text in (*texts, b"")]


def _decoded(texts: list[bytes]) -> tuple[list[str], NDArray[np.bool_]]:
    names, unreadable = [], np.zeros(len(texts), np.bool_)
    for code, text in enumerate(texts):
        try:
            names.append(text.decode())
        except UnicodeDecodeError:
            unreadable[code] = True
            names.append("")
    return names, unreadable


def _checked(column: Any, what: str, faults: dict[int, str]) -> Any:
    """Return a column of text as strings without nulls; what is not UTF-8, or too long, is a fault."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    octets = pc.fill_null(column.cast(pa.binary()), b"")
    try:
        texts = octets.cast(pa.string())
    except pa.ArrowInvalid:
        texts = pa.array(
            [_text(value, row, what, faults) for row, value in enumerate(octets.to_pylist())], pa.string()
        )
    lengths = pc.utf8_length(texts).to_numpy()
    for row in np.flatnonzero(lengths > USER_ID_CHARS_MAX).tolist():
        faults.setdefault(row, f"the {what} is longer than {USER_ID_CHARS_MAX} characters")
    return texts


def _text(value: bytes, row: int, what: str, faults: dict[int, str]) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        faults.setdefault(row, f"the {what} column is not valid UTF-8")
        return ""
