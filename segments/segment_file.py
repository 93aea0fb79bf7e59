"""A file of cookies and their segments, CSV or Parquet, read in bounded batches.

    id,segments                      columns: id, segments, and source where ids are not our cookies
    7f3a9c,gardeners|polk-county     CSV: names apart by | ; or spaces, the file plain or .gz
    b1e044,                          Parquet: a list of strings, or text as in CSV

A fault of the whole file raises LoadError. A fault of one row is told with its line (Parquet: its
row, from 1), and the other rows go on. Text is read as bytes and checked here, because Arrow would
give up the whole file for one byte that is not UTF-8.
"""

import csv
import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from config.limits import LOAD_BATCH_ROWS_MAX, USER_ID_CHARS_MAX

SUFFIXES = (".csv", ".csv.gz", ".parquet")
_CSV_BLOCK_BYTES = 1 << 20
_SEPARATORS = r"[|;\s]+"


class LoadError(Exception):
    """The file can't be loaded, or not to its end; the message says why."""


class Fault(msgspec.Struct, frozen=True):
    """Why one line was not loaded."""

    line: int
    reason: str


class Rows(msgspec.Struct, frozen=True):
    """At most LOAD_BATCH_ROWS_MAX rows of the file."""

    lines: list[int]
    ids: list[str | None]
    sources: list[str | None] | None
    """None when the file has no such column."""
    names: list[str]
    """The distinct segment names of these rows."""
    member_rows: NDArray[np.int64]
    """int64[m]: the row of each membership."""
    member_names: NDArray[np.int64]
    """int64[m]: its name, an index into `names`."""
    faults: dict[int, str]
    """Rows that must not be loaded, and why."""
    broken_lines: list[Fault]
    """Lines before the last of these rows that are no rows at all."""
    bytes_done: int


def read_rows(path: Path) -> Iterator[Rows]:
    """Read a segment file batch by batch. Raises LoadError, half way too when the file is damaged."""
    if not path.name.endswith(SUFFIXES):
        raise LoadError(f"{path} is no segment file: its name must end in {', '.join(SUFFIXES)}")
    rows = 0
    try:
        for batch in _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path):
            rows += len(batch.lines) + len(batch.broken_lines)
            yield batch
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        after = f" after {rows:,} rows, which are loaded" if rows else ""
        raise LoadError(f"{path} can't be read{after}: {reason}") from None
    if not rows:
        raise LoadError(f"{path} holds no rows")


def _read_csv(path: Path) -> Iterator[Rows]:
    columns = _wanted(path, _csv_header(path))
    with path.open("rb", buffering=0) as file:
        broken: list[Fault] = []
        reader = _open_csv(file, path, broken, columns)
        line = 2
        next_broken = 0
        for block in reader:
            for start in range(0, block.num_rows, LOAD_BATCH_ROWS_MAX):
                batch = block.slice(start, LOAD_BATCH_ROWS_MAX)
                first_broken = next_broken
                lines = []
                for _ in range(batch.num_rows):
                    while next_broken < len(broken) and broken[next_broken].line == line:
                        next_broken += 1
                        line += 1
                    lines.append(line)
                    line += 1
                yield _rows(batch, lines, broken[first_broken:next_broken], file.tell())
        if next_broken < len(broken):
            nothing = pa.RecordBatch.from_pylist([], reader.schema)
            yield _rows(nothing, [], broken[next_broken:], file.tell())


def _csv_header(path: Path) -> list[str]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        line = file.readline(_CSV_BLOCK_BYTES)
    if not line:
        raise LoadError(f"{path} is empty")
    return next(csv.reader([line.decode("utf-8-sig", "replace")]), [])


def _open_csv(file: Any, path: Path, broken: list[Fault], columns: list[str]) -> Any:
    def note_broken(row: Any) -> str:
        reason = f"expected {row.expected_columns} columns and found {row.actual_columns}"
        broken.append(Fault(row.number, reason))
        return "skip"

    stream: Any = pa.PythonFile(file, mode="r")
    if path.suffix == ".gz":
        stream = pa.CompressedInputStream(stream, "gzip")
    return pyarrow.csv.open_csv(
        stream,
        # One thread: only then does Arrow know the number of a broken line.
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_CSV_BLOCK_BYTES),
        # An ignored empty line would shift the number of all that follow.
        parse_options=pyarrow.csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=note_broken),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=columns, column_types={column: pa.binary() for column in columns}
        ),
    )


def _read_parquet(path: Path) -> Iterator[Rows]:
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        parquet = pyarrow.parquet.ParquetFile(file)
        schema = parquet.schema_arrow
        columns = _wanted(path, schema.names)
        for column in columns:
            kind = schema.field(column).type
            if not (_is_text(kind) or (column == "segments" and _is_texts(kind))):
                expected = "a list of strings, or text" if column == "segments" else "text"
                raise LoadError(f"{path}: column {column} must be {expected}, and is {kind}")
        done = 0
        for batch in parquet.iter_batches(batch_size=LOAD_BATCH_ROWS_MAX, columns=columns):
            lines = list(range(done + 1, done + 1 + batch.num_rows))
            done += batch.num_rows
            yield _rows(batch, lines, [], size_bytes * done // parquet.metadata.num_rows)


def _wanted(path: Path, header: Sequence[str]) -> list[str]:
    for column in ("id", "segments"):
        if column not in header:
            found = ", ".join(header[:20]) or "none"
            raise LoadError(f"{path} has no column named {column}; its columns are {found}")
    wanted = [column for column in ("id", "segments", "source") if column in header]
    for column in wanted:
        if header.count(column) > 1:
            raise LoadError(f"{path} has more than one column named {column}")
    return wanted


def _is_text(kind: Any) -> bool:
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


def _is_texts(kind: Any) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in lists) and _is_text(kind.value_type)


def _rows(batch: Any, lines: list[int], broken: list[Fault], bytes_done: int) -> Rows:
    faults: dict[int, str] = {}
    own = np.arange(batch.num_rows)
    ids = _texts(batch.column("id"), own, "id", faults).to_pylist()
    sources = None
    if "source" in batch.schema.names:
        sources = _texts(batch.column("source"), own, "source", faults).to_pylist()
    for what, texts in (("id", ids), ("source", sources or ())):
        for row, text in enumerate(texts):
            if text is not None and len(text) > USER_ID_CHARS_MAX:
                faults.setdefault(row, f"the {what} is longer than {USER_ID_CHARS_MAX} characters")
    for row, text in enumerate(ids):
        if not text:
            faults.setdefault(row, "the id is empty")

    lists = batch.column("segments")
    if _is_text(lists.type):
        lists = pc.split_pattern_regex(_texts(lists, own, "segments", faults), _SEPARATORS)
    member_rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    members = pc.fill_null(_texts(lists.flatten(), member_rows, "segments", faults), "")
    encoded = members.dictionary_encode()
    return Rows(
        lines=lines,
        ids=ids,
        sources=sources,
        names=encoded.dictionary.to_pylist(),
        member_rows=member_rows,
        member_names=encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        faults=faults,
        broken_lines=broken,
        bytes_done=bytes_done,
    )


def _texts(column: Any, rows: NDArray[np.int64], what: str, faults: dict[int, str]) -> Any:
    """Return the column as checked strings; value i belongs to row rows[i]. What is not UTF-8 is null."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    octets = column.cast(pa.binary())
    try:
        return octets.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array(
            [
                _text(value, int(row), what, faults)
                for value, row in zip(octets.to_pylist(), rows, strict=True)
            ],
            pa.string(),
        )


def _text(value: bytes | None, row: int, what: str, faults: dict[int, str]) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        faults.setdefault(row, f"the {what} column is not valid UTF-8")
        return None
