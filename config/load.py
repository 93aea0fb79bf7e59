"""Read a config folder into a checked bundle, or say everything that is wrong with it.

    bundle = load_folder(Path("campaigns"))

The folder's layout is told in `config.schema`. Four steps share the work: `config.yaml_file` reads
a file into nodes that know their line, `config.templates` writes out what is meant many times,
`config.shape` fits the nodes to the schema, `config.check` looks at how the parts go together.
Every fault of every step is in the ConfigFaults raised.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from config.check import check
from config.faults import ConfigFaults, Fault, SchemaPath
from config.findings import Finding
from config.folder_state import folder_state
from config.limits import CONFIG_FILES_MAX
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

ENGINE_FILE = "engine.yaml"
SEGMENTS_FILE = "segments.yaml"
TRAFFIC_FILE = "traffic.yaml"
"""The one file that may be left out."""
EXCHANGES_FOLDER = "exchanges"
ADVERTISERS_FOLDER = "advertisers"
LAYOUT = f"{ENGINE_FILE}, {SEGMENTS_FILE}, {EXCHANGES_FOLDER}/<id>.yaml and {ADVERTISERS_FOLDER}/<id>.yaml"
VERSION_BYTES = 6

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def load_folder(path: Path) -> Bundle:
    """Return the checked bundle of a folder; its version is a short hash of what it says.

    The same campaigns give the same version, whatever their comments and layout. Raises
    ConfigFaults with every fault there is.
    """
    return read_folder(path).bundle


def read_folder(path: Path) -> "ReadFolder":
    """Return the checked bundle of a folder, and where it is written. Raises as `load_folder`."""
    names = _list_files(path)
    state = folder_state(path)
    reading = _Reading(path)
    reading.faults += _stray_file_faults(path, names)
    engine = reading.file(ENGINE_FILE, Engine, ("engine",)) or Engine()
    reading.currency = engine.currency
    traffic = reading.file(TRAFFIC_FILE, Traffic, ("traffic",)) if TRAFFIC_FILE in names else None
    segments = reading.file(SEGMENTS_FILE, SegmentList, ())
    if segments is None:
        reading.doubtful.add(("segments",))
    exchanges = [
        reading.file(name, ExchangeProfile, ("exchanges", index)) or ExchangeProfile(id=_stem(name))
        for index, name in enumerate(_in_folder(names, EXCHANGES_FOLDER))
    ]
    advertisers = [
        reading.file(name, Advertiser, ("advertisers", index))
        or Advertiser(id=_stem(name), domain="", categories=(), campaigns=(), creatives=())
        for index, name in enumerate(_in_folder(names, ADVERTISERS_FOLDER))
    ]
    for folder, files in ((EXCHANGES_FOLDER, exchanges), (ADVERTISERS_FOLDER, advertisers)):
        if not files:
            reading.faults.append(_no_file(path, folder))
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

    def file(self, name: str, type_: type[_Struct], prefix: SchemaPath) -> _Struct | None:
        """Read one file as the part of the bundle at `prefix`; None when it can't be read at all."""
        file = read_yaml(self._folder / name, str(self._folder / name))
        if isinstance(file, Fault):
            self.faults.append(file)
            self.doubtful.add(prefix)
            self._files[prefix] = YamlFile(file.file, None)
            return None
        if type_ is Advertiser:
            expansion = expand(file)
            self.faults += expansion.faults
            self.unused += expansion.unused
            file = expansion.file
        self._files[prefix] = file
        shape = Shape(file, self.currency)
        value = shape.fit(type_)
        self.faults += shape.faults
        # Only segments.yaml has no prefix: its root is the list of the bundle's segments, and no more.
        self.doubtful |= {(*prefix, *path) or ("segments",) for path in shape.doubtful}
        id_ = getattr(value, "id", None)
        if id_ and id_ != _stem(name):
            message = f"the id is `{id_}` and the file is {name}; give both the same name"
            self.faults.append(file.fault(("id",), message))
            self.doubtful.add((*prefix, "id"))
        return value

    def check(self, bundle: Bundle) -> None:
        self.faults += map(self.fault, check(bundle, self.doubtful))

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


def _list_files(path: Path) -> list[str]:
    """Return the names of the folder's YAML files, relative to it and sorted; hidden ones are left out."""
    names: list[str] = []
    problems: list[Fault] = []

    def note(error: OSError) -> None:
        problems.append(Fault(str(error.filename), 1, 1, f"can't read this folder: {error.strerror}"))

    if not path.is_dir():
        what = "this is not a folder" if path.exists() else "there is no such folder"
        raise ConfigFaults((Fault(str(path), 1, 1, f"{what}; give the folder that holds {LAYOUT}"),))
    for root, folders, files in os.walk(path, onerror=note):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        names += [
            (Path(root) / file).relative_to(path).as_posix()
            for file in files
            if file.lower().endswith((".yaml", ".yml")) and not file.startswith(".")
        ]
    if not names and not problems:
        problems.append(Fault(str(path), 1, 1, f"this folder holds no config; it needs {LAYOUT}"))
    if len(names) > CONFIG_FILES_MAX:
        problems.append(
            Fault(str(path), 1, 1, f"this folder holds more than {CONFIG_FILES_MAX:,} YAML files")
        )
    if problems:
        raise ConfigFaults(tuple(problems))
    return sorted(names)


def _stray_file_faults(path: Path, names: list[str]) -> list[Fault]:
    """A YAML file that nothing reads is a fault: a misnamed file never silently means nothing."""
    read = {ENGINE_FILE, SEGMENTS_FILE, TRAFFIC_FILE}
    read.update(_in_folder(names, EXCHANGES_FOLDER), _in_folder(names, ADVERTISERS_FOLDER))
    return [
        Fault(
            str(path / name),
            1,
            1,
            f"nothing reads this file; the folder holds {LAYOUT}: rename it or move it",
        )
        for name in names
        if name not in read
    ]


def _in_folder(names: list[str], folder: str) -> list[str]:
    return [name for name in names if Path(name).parent.as_posix() == folder and name.endswith(".yaml")]


def _no_file(path: Path, folder: str) -> Fault:
    return Fault(str(path / folder), 1, 1, f"there is no file in {folder}; add at least one <id>.yaml")


def _stem(name: str) -> str:
    return Path(name).name.removesuffix(".yaml")
