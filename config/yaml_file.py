"""One YAML file: read within limits, as a tree whose every key and value a fault can point at."""

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


class YamlFile(msgspec.Struct, frozen=True):
    """A file that was read: its name for faults, and its tree (None when it holds nothing)."""

    name: str
    root: Node | None

    def place(self, path: SchemaPath) -> tuple[int, int]:
        """Return the line and column, from 1, of the deepest part of `path` that was written."""
        return self._found(path)[0]

    def fault(self, path: SchemaPath, message: str) -> Fault:
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
    try:
        with path.open("rb") as file:
            data = file.read(CONFIG_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return Fault(name, 1, 1, "there is no such file, and a config folder needs it")
    except OSError as error:
        return Fault(name, 1, 1, f"can't read this file: {error.strerror}; check its permissions")
    if len(data) > CONFIG_FILE_BYTES_MAX:
        return Fault(
            name,
            1,
            1,
            f"this file is larger than {CONFIG_FILE_BYTES_MAX:,} bytes; split its advertiser in two",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _place_after(data[: error.start].decode("utf-8-sig"))
        return Fault(name, line, column, "this is not UTF-8 text; save the file with the encoding UTF-8")
    return _compose(text, name)


def _compose(text: str, name: str) -> YamlFile | Fault:
    try:
        return YamlFile(name, compose(text))
    except YamlFault as fault:
        return Fault(name, fault.line, fault.column, _said(fault.problem))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        context = f"{error.context}, " if error.context else ""
        return Fault(name, line, column, _said(context + (error.problem or "it can't be read")))
    except ReaderError as error:
        line, column = _place_after(text[: error.position])
        return Fault(name, line, column, "this is not valid YAML: a control character; delete it")


def _said(problem: str) -> str:
    hint = next((f"; {hint}" for part, hint in _HINTS if part in problem), "")
    return f"this is not valid YAML: {problem}{hint}"


def place_of(node: Node) -> tuple[int, int]:
    """Return the line and column, from 1, where a node starts."""
    return node.line, node.column


def _place_after(text: str) -> tuple[int, int]:
    return text.count("\n") + 1, len(text) - text.rfind("\n")
