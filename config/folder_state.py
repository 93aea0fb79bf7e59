"""What the files of a config folder are, told without reading them as a config.

    if live.read_from != folder_state(path):
        live = load_folder(path)

Reading YAML with the place of every value takes 0.3 ms a line item, hashing the files next to nothing. So
a bundle remembers the state of the folder it was read from (`Bundle.read_from`), and an engine that is
started again on the same files goes on with the bundle it has. The code that reads and checks is part
of the state: another release may find a fault in the same files.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

STATE_BYTES = 12


def folder_state(path: Path) -> str:
    """Return the state of a folder in hex; an empty string when a file in it can't be read."""
    state = hashlib.blake2b(digest_size=STATE_BYTES)
    try:
        for root in (Path(__file__).parent, path):
            for file in _files(root):
                with file.open("rb") as opened:
                    content = hashlib.file_digest(opened, "blake2b").hexdigest()
                state.update(f"{file.relative_to(root)} {content};".encode())
    except OSError:
        return ""
    return state.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    """Yield every file that a reader could look at, sorted; hidden and compiled ones are none."""
    for folder, folders, names in os.walk(root, onerror=_raise):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        for name in sorted(names):
            file = Path(folder) / name
            if not name.startswith("."):
                # Of a pipe there is no end to read.
                if file.exists() and not file.is_file():
                    raise OSError(f"{file} is no file")
                yield file


def _raise(error: OSError) -> None:
    raise error
