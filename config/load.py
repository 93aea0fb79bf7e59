"""Read a config folder into a checked bundle, or say everything that is wrong with it.

    bundle = load_folder(Path("campaigns"))

The folder's layout is told in `config.schema`. Four steps share the work: `config.yaml_file` reads
a file into nodes that know their line, `config.templates` writes out what is meant many times,
`config.shape` fits the nodes to the schema, `config.check` looks at how the parts go together.
Every fault of every step is in the ConfigFaults raised.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from config.check import check
from config.faults import ConfigFaults, Fault, SchemaPath
from config.findings import Finding
from config.folder_files import (
    ADVERTISERS_FOLDER,
    ENGINE_FILE,
    EXCHANGES_FOLDER,
    SEGMENTS_FILE,
    TRAFFIC_FILE,
    FolderFiles,
)
from config.folder_state import folder_state
from config.named_audiences import inlined
from config.schema import (
    Advertiser,
    Bundle,
    Engine,
    ExchangeProfile,
    SegmentList,
    Traffic,
    encode_bundle,
)
from config.shape import Shape
from config.templates import expand, gathered
from config.yaml_file import YamlFile, read_yaml

VERSION_BYTES = 6
_EMPTY = "there is nothing in this file; save again what was in it, or delete the file if it is to go"

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def load_folder(path: Path) -> Bundle:
    """Return the checked bundle of a folder; its version is a short hash of what it says.

    The same campaigns give the same version, whatever their comments and layout. Raises
    ConfigFaults with every fault there is.
    """
    return read_folder(path).bundle


def read_folder(path: Path) -> "ReadFolder":
    """Return the checked bundle of a folder, and where it is written. Raises as `load_folder`."""
    files = FolderFiles.of(path)
    state = folder_state(path)
    reading = _Reading(path)
    reading.faults += files.faults()
    engine = reading.file(ENGINE_FILE, Engine, ("engine",)) or Engine()
    reading.currency = engine.currency
    traffic = reading.file(TRAFFIC_FILE, Traffic, ("traffic",)) if TRAFFIC_FILE in files.names else None
    segments = reading.file(SEGMENTS_FILE, SegmentList, ())
    if segments is None:
        reading.doubtful.add(("segments",))
    exchanges = [
        reading.file(name, ExchangeProfile, ("exchanges", index)) or ExchangeProfile(id=_stem(name))
        for index, name in enumerate(files.in_folder(EXCHANGES_FOLDER))
    ]
    advertisers = [
        reading.file(name, Advertiser, ("advertisers", index))
        or Advertiser(id=_stem(name), domain="", categories=(), campaigns=(), creatives=())
        for index, name in enumerate(files.in_folder(ADVERTISERS_FOLDER))
    ]
    bundle = Bundle(
        version="",
        engine=engine,
        traffic=traffic or Traffic(),
        exchanges=tuple(exchanges),
        segments=segments.segments if segments is not None else (),
        advertisers=tuple(advertisers),
    )
    reading.check(bundle)
    if reading.faults:
        raise ConfigFaults(gathered(reading.faults))
    bundle = inlined(bundle)
    version = hashlib.blake2b(encode_bundle(bundle), digest_size=VERSION_BYTES).hexdigest()
    # A file that was written meanwhile may have been read as it was before.
    read_from = state if folder_state(path) == state else ""
    bundle = msgspec.structs.replace(bundle, version=version, read_from=read_from)
    return ReadFolder(bundle, tuple(reading.unused), reading.fault)


class ReadFolder(msgspec.Struct, frozen=True):
    """A sound folder."""

    bundle: Bundle
    unused: tuple[Fault, ...]
    """What is written and means nothing, without being wrong."""
    fault: Callable[[Finding], Fault]
    """Gives a finding its file and line."""


class _Reading:
    """The files read so far: where each part of the bundle was written, and what was wrong."""

    def __init__(self, folder: Path) -> None:
        self.faults: list[Fault] = []
        self.unused: list[Fault] = []
        self.currency = Engine().currency
        self.doubtful: set[SchemaPath] = set()
        self._folder = folder
        self._files: dict[SchemaPath, YamlFile] = {}
        self._told: set[tuple[str, int, int]] = set()

    def file(self, name: str, type_: type[_Struct], prefix: SchemaPath) -> _Struct | None:
        """Read one file as the part of the bundle at `prefix`; None when it can't be read at all."""
        file = read_yaml(self._folder / name, str(self._folder / name))
        if isinstance(file, YamlFile) and file.root is None and type_ not in (Engine, Traffic):
            file = Fault(file.name, 1, 1, _EMPTY)
        if isinstance(file, Fault):
            self.faults.append(file)
            self.doubtful.add(prefix)
            self._files[prefix] = YamlFile(file.file, None)
            return None
        expanded: tuple[Fault, ...] = ()
        if type_ is Advertiser:
            expansion = expand(file)
            expanded = expansion.faults
            self.unused += expansion.unused
            file = expansion.file
        self._files[prefix] = file
        shape = Shape(file, self.currency)
        value = shape.fit(type_)
        self.faults += expanded
        # What a template could not fill in is not refused once more for what it is then.
        self._told |= {_place_of(fault) for fault in expanded}
        self._add(shape.faults)
        # Only segments.yaml has no prefix: its root is the list of the bundle's segments, and no more.
        self.doubtful |= {(*prefix, *path) or ("segments",) for path in shape.doubtful}
        id_ = getattr(value, "id", None)
        if id_ and id_ != _stem(name):
            message = f"the id is `{id_}` and the file is {name}; give both the same name"
            self.faults.append(file.fault(("id",), message))
            self.doubtful.add((*prefix, "id"))
        return value

    def check(self, bundle: Bundle) -> None:
        self._add(map(self.fault, check(bundle, self.doubtful)))

    def _add(self, faults: Iterable[Fault]) -> None:
        self.faults += (fault for fault in faults if _place_of(fault) not in self._told)

    def fault(self, finding: Finding) -> Fault:
        """Return a finding with its place."""
        file, path = self._written(finding.path)
        message = finding.message
        if finding.first is not None:
            first_file, first_path = self._written(finding.first)
            line, column = first_file.place(first_path)
            message += f" (the first is at {first_file.name}:{line}:{column})"
        return file.fault(path, message)

    def _written(self, path: SchemaPath) -> tuple[YamlFile, SchemaPath]:
        """The file that holds a part of the bundle, and the part's path inside it."""
        prefix = () if path[0] == "segments" else path[:1] if path[0] in ("engine", "traffic") else path[:2]
        return self._files[prefix], path[len(prefix) :]


def _place_of(fault: Fault) -> tuple[str, int, int]:
    return fault.file, fault.line, fault.column


def _stem(name: str) -> str:
    return Path(name).name.removesuffix(".yaml")
