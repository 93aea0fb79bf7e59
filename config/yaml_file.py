"""One YAML file: read within limits, as a tree whose every key and value a fault can point at."""

import errno
import os
import re
import unicodedata
from pathlib import Path

import msgspec
from yaml import MarkedYAMLError
from yaml.reader import ReaderError

from config.faults import Fault, SchemaPath
from config.limits import CONFIG_FILE_BYTES_MAX
from config.yaml_tree import Mapping, Node, Scalar, Sequence, YamlFault, compose, is_null

_HINTS = (
    ("'\\t'", "indent with spaces, not tabs"),
    ("mapping values are not allowed", "put text that holds `: ` in quotes, or check the indentation"),
    ("expected <block end>", "check that this line is indented like its neighbours"),
    ("could not find expected ':'", "a key needs a colon and a space after it"),
    ("cannot start any token", "put text that begins with this character in quotes"),
    ("but found another document", "take out the `---`; a file holds one document"),
    (
        "undefined alias",
        "an alias like *name needs an anchor &name above it; put text that starts with * in quotes",
    ),
    ("unexpected end of stream", "a quote is not closed"),
    ("'<stream end>'", "a bracket is not closed"),
)

_CONFLICT = re.compile(r"^(<{7} .*|={7}|>{7} .*)$", re.MULTILINE)
"""What git and its like write into a file whose two versions they can't bring together."""


class YamlFile(msgspec.Struct, frozen=True):
    """A file that was read: its name for faults, and its tree (None when it holds nothing)."""

    name: str
    root: Node | None

    def place(self, path: SchemaPath) -> tuple[int, int]:
        """Return the line and column, from 1, of the deepest part of `path` that was written."""
        return self._found(path)[0]

    def fault(self, path: SchemaPath, message: str) -> Fault:
        """Return a fault at the place of the deepest part of `path` that was written."""
        place, copy = self._found(path)
        return Fault(self.name, *place, message, copy)

    def _found(self, path: SchemaPath) -> tuple[tuple[int, int], str]:
        """The place, and the copy of a template that it is in."""
        node, place, copy = self.root, (1, 1), ""
        for step in path:
            if isinstance(node, Mapping):
                pair = next((p for p in node.pairs if isinstance(p[0], Scalar) and p[0].value == step), None)
                if pair is None:
                    break
                key, node = pair
                place = place_of(key if is_null(node) else node)
            elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
                node = node.items[step]
                place = place_of(node)
            else:
                break
            if isinstance(node, Mapping):
                copy = node.copy or copy
        return place, copy


def read_yaml(path: Path, name: str) -> YamlFile | Fault:
    """Read one file, or say why it can't be read; `name` is what faults call it."""
    # A folder, or a pipe, whose reading would not end.
    if path.exists() and not path.is_file():
        return Fault(
            name, 1, 1, "this is no file that can be read; put the file itself here, or take it away"
        )
    try:
        with path.open("rb") as file:
            data = file.read(CONFIG_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        if path.is_symlink():
            return Fault(
                name, 1, 1, f"this is a link to {os.readlink(path)}, where there is no file; mend it"
            )
        return Fault(name, 1, 1, "there is no such file, and a config folder needs it")
    except OSError as error:
        mend = "check its permissions" if error.errno in (errno.EACCES, errno.EPERM) else "put it here anew"
        return Fault(name, 1, 1, f"can't read this file: {error.strerror}; {mend}")
    if len(data) > CONFIG_FILE_BYTES_MAX:
        return Fault(name, 1, 1, f"this file is larger than {CONFIG_FILE_BYTES_MAX:,} bytes; split it in two")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _place_after(data[: error.start].decode("utf-8-sig"))
        return Fault(name, line, column, "this is not UTF-8 text; save the file with the encoding UTF-8")
    return _compose(text, name)


def _compose(text: str, name: str) -> YamlFile | Fault:
    conflict = _CONFLICT.search(text)
    if conflict is not None:
        message = (
            "this line is of a merge that was not finished; keep one of its two sides, and take out the marks"
        )
        return Fault(name, *_place_after(text[: conflict.start()]), message)
    try:
        return YamlFile(name, compose(text))
    except YamlFault as fault:
        return Fault(name, fault.line, fault.column, _said(fault.problem) + _unseen(text, fault.line))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        context = f"{error.context}, " if error.context else ""
        problem = _said(context + (error.problem or "it can't be read"))
        return Fault(name, line, column, problem + _unseen(text, line))
    except ReaderError as error:
        line, column = _place_after(text[: error.position])
        return Fault(name, line, column, "this is not valid YAML: a control character; delete it")


def _unseen(text: str, line: int) -> str:
    """Name a character nobody sees, at or just above a line that can't be read: it may be why."""
    near = text.splitlines()[max(0, line - 2) : line]
    for number, written in enumerate(near, start=max(1, line - 1)):
        for column, character in enumerate(written, start=1):
            if character != " " and (character.isspace() or unicodedata.category(character) == "Cf"):
                called = unicodedata.name(character, "CONTROL CHARACTER").lower()
                if character != "\t":
                    return f"; line {number} has a {called} at column {column}, type a plain space there"
    return ""


def _said(problem: str) -> str:
    hint = next((f"; {hint}" for part, hint in _HINTS if part in problem), "")
    return f"this is not valid YAML: {problem}{hint}"


def place_of(node: Node) -> tuple[int, int]:
    """Return the line and column, from 1, where a node starts."""
    return node.line, node.column


def _place_after(text: str) -> tuple[int, int]:
    return text.count("\n") + 1, len(text) - text.rfind("\n")
