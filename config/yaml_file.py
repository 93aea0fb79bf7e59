"""One YAML file as a tree of nodes that know their line and column.

The tree is composed but not constructed: a scalar stays the text that was written (`12.50` never
passes through a float), and every key and value keeps its place for a later fault to point at.
"""

import warnings
from pathlib import Path

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from config.faults import Fault, SchemaPath
from config.limits import CONFIG_FILE_BYTES_MAX

_NULL_TAG = "tag:yaml.org,2002:null"
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
        node, place = self.root, (1, 1)
        for step in path:
            if isinstance(node, MappingNode):
                pair = next((pair for pair in node.value if pair[0].value == step), None)
                if pair is None:
                    break
                key, node = pair
                place = place_of(key if is_null(node) else node)
            elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                place = place_of(node)
            else:
                break
        return place

    def fault(self, path: SchemaPath, message: str) -> Fault:
        return Fault(self.name, *self.place(path), message)


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
        with warnings.catch_warnings():
            # YAML lets a later anchor take over a name.
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            return YamlFile(name, YAML(typ="safe", pure=True).compose(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = error.problem or "it can't be read"
        context = f"{error.context}, " if error.context else ""
        hint = next((f"; {hint}" for part, hint in _HINTS if part in context + problem), "")
        return Fault(name, line, column, f"this is not valid YAML: {context}{problem}{hint}")
    except ReaderError as error:
        line, column = _place_after(text[: error.position])
        return Fault(name, line, column, "this is not valid YAML: a control character; delete it")
    except YAMLError as error:
        return Fault(name, 1, 1, f"this is not valid YAML: {error}")
    except RecursionError:
        return Fault(name, 1, 1, "this is not valid YAML: brackets or dashes are nested too deep")


def place_of(node: Node) -> tuple[int, int]:
    """Return the line and column, from 1, where a node starts."""
    return node.start_mark.line + 1, node.start_mark.column + 1


def is_null(node: Node) -> bool:
    """Say whether nothing was written: an empty value, `~` or `null`."""
    return isinstance(node, ScalarNode) and str(node.tag) == _NULL_TAG


def _place_after(text: str) -> tuple[int, int]:
    return text.count("\n") + 1, len(text) - text.rfind("\n")
