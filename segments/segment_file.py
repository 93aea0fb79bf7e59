"""A file of cookies and their segments, read in bounded batches of columns.

    id,segments                      columns: id, segments, and source where ids are not our cookies
    7f3a9c,gardeners|polk-county     CSV, TSV: names apart by | ; or spaces
    b1e044,                          JSON lines, Parquet: a list of names, or text as in CSV

CSV, TSV and JSON lines may be compressed (.gz, .zst); Parquet compresses itself. A fault of the whole
file raises LoadError. A fault of one row is told with its line (Parquet: its row, from 1), and the
other rows go on. Text is read as bytes and checked here, because Arrow would give up the whole
file for one byte that is not UTF-8.

Nothing below is a Python loop over rows, save for JSON lines, and for rows with a fault: a batch is Arrow
buffers and numpy arrays from the file to the store.
"""

import csv
import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from config.limits import LOAD_BATCH_ROWS_MAX, LOAD_FILES_MAX, LOAD_LINE_BYTES_MAX
from segments.rows import Fault, Rows, is_text, is_texts, rows_of

FORMATS = (".csv", ".tsv", ".jsonl", ".ndjson")
CODECS = {".gz": "gzip", ".zst": "zstd"}
SUFFIXES = (*FORMATS, *(form + codec for form in FORMATS for codec in CODECS), ".parquet")
REJECTS_SUFFIX = ".rejects.csv"
_BLOCK_BYTES = 1 << 23
_SEPARATORS = r"[|;\s]+"


class LoadError(Exception):
    """The file can't be loaded, or not to its end; the message says why."""


class Columns(msgspec.Struct, frozen=True):
    """What the file calls its columns, or a JSON line its keys."""

    id: str = "id"
    segments: str = "segments"
    source: str = "source"


AS_THEY_ARE = Columns()


def segment_files(path: Path) -> list[Path]:
    """Return the file, or the segment files of a folder in the order of their names. Raises LoadError."""
    if not path.is_dir():
        _check_suffix(path)
        return [path]
    files = []
    for file in sorted(path.iterdir()):
        # A dot or an underscore in front marks what other programs leave beside their data.
        if file.name.startswith((".", "_")) or file.name.endswith(REJECTS_SUFFIX) or file.is_dir():
            continue
        _check_suffix(file)
        files.append(file)
    if not files:
        raise LoadError(f"the folder {path} holds no segment file: no name ends in {', '.join(SUFFIXES)}")
    if len(files) > LOAD_FILES_MAX:
        raise LoadError(f"the folder {path} holds more than {LOAD_FILES_MAX:,} files; load it in parts")
    return files


def read_rows(path: Path, columns: Columns = AS_THEY_ARE, skip_rows: int = 0) -> Iterator[Rows]:
    """Read a segment file batch by batch, without the batches that lie in its first `skip_rows` rows.

    Raises LoadError, half way too when the file is damaged.
    """
    _check_suffix(path)
    rows = 0
    read = _read_parquet if path.suffix == ".parquet" else _read_json if _is_json(path) else _read_csv
    try:
        for batch in read(path, columns, skip_rows):
            rows = batch.rows_done
            if rows > skip_rows:
                yield batch
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        after = f" after {rows:,} rows, which are loaded" if rows else ""
        raise LoadError(f"{path} can't be read{after}: {' '.join(reason.split())}") from None
    if not rows:
        raise LoadError(f"{path} holds no rows")


def _check_suffix(path: Path) -> None:
    if not path.name.endswith(SUFFIXES):
        raise LoadError(f"{path} is no segment file: its name must end in {', '.join(SUFFIXES)}")


def _is_json(path: Path) -> bool:
    return path.name.removesuffix(path.suffix if path.suffix in CODECS else "").endswith(
        (".jsonl", ".ndjson")
    )


def _text_stream(file: Any, path: Path) -> Any:
    stream: Any = pa.PythonFile(file, mode="r")
    codec = CODECS.get(path.suffix)
    return stream if codec is None else pa.CompressedInputStream(stream, codec)


def _read_csv(path: Path, columns: Columns, skip_rows: int) -> Iterator[Rows]:
    delimiter = "\t" if ".tsv" in path.suffixes else ","
    wanted = _wanted(path, _csv_header(path, delimiter), columns)
    with path.open("rb", buffering=0) as file:
        broken: list[Fault] = []
        reader = _open_csv(_text_stream(file, path), delimiter, broken, list(wanted))
        line = 2
        next_broken = 0
        for block in reader:
            for start in range(0, block.num_rows, LOAD_BATCH_ROWS_MAX):
                batch = block.slice(start, LOAD_BATCH_ROWS_MAX)
                first_broken = next_broken
                lines = []
                left = batch.num_rows
                # Runs of good lines between the broken ones.
                while left:
                    run = left
                    if next_broken < len(broken):
                        run = min(left, broken[next_broken].line - line)
                    lines.append(np.arange(line, line + run))
                    line += run
                    left -= run
                    if left:
                        next_broken += 1
                        line += 1
                yield rows_of(
                    batch.rename_columns(list(wanted.values())),
                    np.concatenate([*lines, np.zeros(0, np.int64)]),
                    broken[first_broken:next_broken],
                    line - 2,
                    file.tell(),
                )
        if next_broken < len(broken):
            nothing = pa.RecordBatch.from_pylist(
                [], pa.schema([(name, pa.binary()) for name in wanted.values()])
            )
            yield rows_of(
                nothing,
                np.zeros(0, np.int64),
                broken[next_broken:],
                line - 2 + len(broken) - next_broken,
                file.tell(),
            )


def _csv_header(path: Path, delimiter: str) -> list[str]:
    with path.open("rb", buffering=0) as file:
        block = _text_stream(file, path).read(LOAD_LINE_BYTES_MAX)
    if not block:
        raise LoadError(f"{path} is empty")
    line = re.split(rb"[\r\n]", block, maxsplit=1)[0]
    return next(csv.reader([line.decode("utf-8-sig", "replace")], delimiter=delimiter), [])


def _open_csv(stream: Any, delimiter: str, broken: list[Fault], columns: list[str]) -> Any:
    def note_broken(row: Any) -> str:
        reason = f"expected {row.expected_columns} columns and found {row.actual_columns}"
        broken.append(Fault(row.number, reason))
        return "skip"

    return pyarrow.csv.open_csv(
        stream,
        # One thread: only then does Arrow know the number of a broken line.
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        # An ignored empty line would shift the number of all that follow.
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=delimiter, ignore_empty_lines=False, invalid_row_handler=note_broken
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=columns, column_types={column: pa.binary() for column in columns}
        ),
    )


def _read_json(path: Path, columns: Columns, skip_rows: int) -> Iterator[Rows]:
    decoder = _json_decoder(columns)
    with path.open("rb", buffering=0) as file:
        stream = _text_stream(file, path)
        line, rest = 1, b""
        while block := stream.read(_BLOCK_BYTES):
            whole, newline, tail = block.rpartition(b"\n")
            if newline:
                yield from _json_rows((rest + whole).split(b"\n"), line, decoder, file.tell())
                line += (rest + whole).count(b"\n") + 1
                rest = tail
            else:
                rest += block
            if len(rest) > LOAD_LINE_BYTES_MAX:
                raise LoadError(f"{path}: line {line} is longer than {LOAD_LINE_BYTES_MAX:,} bytes")
        if rest:
            yield from _json_rows([rest], line, decoder, file.tell())
        elif line == 1:
            raise LoadError(f"{path} is empty")


def _json_decoder(columns: Columns) -> Any:
    row = msgspec.defstruct(
        "Row",
        [
            ("id", str | None, None),
            ("segments", list[str] | str | None, None),
            ("source", str | None, None),
        ],
        rename=msgspec.structs.asdict(columns),
    )
    return msgspec.json.Decoder(row)


def _json_rows(lines: Sequence[bytes], first_line: int, decoder: Any, bytes_done: int) -> Iterator[Rows]:
    for start in range(0, len(lines), LOAD_BATCH_ROWS_MAX):
        rows, numbers, broken = [], [], []
        for number, text in enumerate(lines[start : start + LOAD_BATCH_ROWS_MAX], first_line + start):
            try:
                rows.append(decoder.decode(text))
                numbers.append(number)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                broken.append(Fault(number, _json_fault(text, error)))
        members = [
            row.segments if isinstance(row.segments, list) else re.split(_SEPARATORS, row.segments or "")
            for row in rows
        ]
        batch = pa.RecordBatch.from_pydict(
            {
                "id": pa.array([row.id for row in rows], pa.string()),
                "segments": pa.array(members, pa.list_(pa.string())),
                "source": pa.array([row.source for row in rows], pa.string()),
            }
        )
        rows_done = first_line + start + len(rows) + len(broken) - 1
        yield rows_of(batch, np.array(numbers, np.int64), broken, rows_done, bytes_done)


def _json_fault(text: bytes, error: Exception) -> str:
    try:
        text.decode()
    except UnicodeDecodeError:
        return "the line is not valid UTF-8"
    if not text.strip():
        return "the line is empty"
    try:
        json.loads(text)
    except ValueError:
        return "the line is no JSON object"
    # What the decoder says of valid JSON names a type and a key, never a value.
    return f"the line is not of the expected form: {error}"


def _read_parquet(path: Path, columns: Columns, skip_rows: int) -> Iterator[Rows]:
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        parquet = pyarrow.parquet.ParquetFile(file)
        schema = parquet.schema_arrow
        wanted = _wanted(path, schema.names, columns)
        for name, column in wanted.items():
            kind = schema.field(name).type
            if not (is_text(kind) or (column == "segments" and is_texts(kind))):
                expected = "a list of strings, or text" if column == "segments" else "text"
                raise LoadError(f"{path}: column {name} must be {expected}, and is {kind}")
        # Names repeat endlessly: as numbers of a dictionary they take a tenth of the time.
        leaves = [parquet.schema.column(i).path for i in range(len(parquet.schema))]
        texts = [leaf for leaf in leaves if leaf.partition(".")[0] in wanted and leaf != columns.id]
        encoded = pyarrow.parquet.ParquetFile(file, read_dictionary=texts)
        groups, done = _groups_after(parquet.metadata, skip_rows)
        for batch in _group_batches(encoded, parquet, groups, list(wanted)):
            done += batch.num_rows
            if done <= skip_rows:
                continue
            batch = batch.slice(max(0, skip_rows - (done - batch.num_rows)))
            batch = batch.select(list(wanted)).rename_columns(list(wanted.values()))
            lines = np.arange(done - batch.num_rows + 1, done + 1)
            yield rows_of(batch, lines, [], done, size_bytes * done // parquet.metadata.num_rows)


def _group_batches(encoded: Any, plain: Any, groups: Sequence[int], columns: list[str]) -> Iterator[Any]:
    """Read row groups one by one: Arrow gives up where the dictionary changes inside a batch."""
    for group in groups:
        done = 0
        try:
            for batch in encoded.iter_batches(LOAD_BATCH_ROWS_MAX, row_groups=[group], columns=columns):
                done += batch.num_rows
                yield batch
        except pa.ArrowNotImplementedError:
            # A group that a writer began with a dictionary and ended without one.
            for batch in plain.iter_batches(LOAD_BATCH_ROWS_MAX, row_groups=[group], columns=columns):
                yield batch.slice(min(done, batch.num_rows))
                done = max(0, done - batch.num_rows)


def _groups_after(metadata: Any, skip_rows: int) -> tuple[list[int], int]:
    """Return the row groups that reach beyond the first `skip_rows` rows, and the rows before them."""
    before = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if before + rows > skip_rows:
            return list(range(group, metadata.num_row_groups)), before
        before += rows
    return [], before


def _wanted(path: Path, header: Sequence[str], columns: Columns) -> dict[str, str]:
    """Return the names of the columns to read, each with what it is to us."""
    for name, option in ((columns.id, "id"), (columns.segments, "segments")):
        if name not in header:
            found = ", ".join(header[:20]) or "none"
            raise LoadError(
                f"{path} has no column named {name}; its columns are {found}. "
                f"If one of them is the {option}, say `--column {option}=NAME`"
            )
    named = {columns.id: "id", columns.segments: "segments", columns.source: "source"}
    wanted = {name: column for name, column in named.items() if name in header}
    for name in wanted:
        if list(header).count(name) > 1:
            raise LoadError(f"{path} has more than one column named {name}")
    return wanted
