"""How far a load has come, on disk after every batch, so that an interrupted one goes on there.

A batch that was written but not noted is written again, which changes nothing: a row says what is to
be, not what to add to what was. A load that ends well deletes its checkpoint.
"""

import os
from pathlib import Path

import msgspec

from segments.segment_file import LoadError


class SourceFile(msgspec.Struct, frozen=True):
    """A file as it was when the load began."""

    name: str
    size_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> "SourceFile":
        stat = path.stat()
        return cls(path.name, stat.st_size, stat.st_mtime_ns)


class Checkpoint(msgspec.Struct, frozen=True):
    """What is done. A load with other files or settings is another load."""

    sources: tuple[SourceFile, ...]
    settings: str
    file: int = 0
    """The file that is being loaded, an index into `sources`."""
    file_rows: int = 0
    rows: int = 0
    cookies: int = 0
    repeated: int = 0
    rejected: int = 0
    rejects_bytes: int = 0


_DECODER = msgspec.json.Decoder(Checkpoint)


def read_checkpoint(path: Path, sources: tuple[SourceFile, ...], settings: str) -> Checkpoint:
    """Return where to go on: what the file at `path` says, or the beginning when there is none.

    Raises LoadError when it belongs to another load.
    """
    try:
        found = _DECODER.decode(path.read_bytes())
    except FileNotFoundError:
        return Checkpoint(sources, settings)
    except OSError as error:
        raise LoadError(f"can't read {path}: {error.strerror}") from None
    except msgspec.DecodeError:
        raise LoadError(f"{path} is damaged; `--restart` begins anew") from None
    if (found.sources, found.settings) != (sources, settings):
        raise LoadError(
            f"{path} is of a load that was interrupted, with other files or options than this one; "
            "repeat that one, or say `--restart` to begin anew"
        )
    return found


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file in one step. Raises LoadError."""
    fresh = path.with_name(path.name + ".new")
    try:
        fresh.write_bytes(msgspec.json.encode(checkpoint))
        os.replace(fresh, path)
    except OSError as error:
        raise LoadError(f"can't write {fresh}: {error.strerror}") from None
