"""Which files of a folder are its config, and which only look like it.

    files = FolderFiles.of(Path("campaigns"))
    for name in files.in_folder(ADVERTISERS_FOLDER): ...

A file that is misnamed never silently means nothing: what ends in `.yaml` and lies where nothing reads it is
a fault, and so is `advertisers/oak.yaml.txt` where there is no `oak.yaml` beside it. Copies that editors keep
beside a file (`oak.yaml~`, `oak.yaml.bak`) are left in peace, and so is all that is hidden, with a dot in
front. Links to files are followed, links to folders are not: one to a folder above would have no end.
"""

import os
import re
from pathlib import Path

import msgspec

from config.faults import ConfigFaults, Fault
from config.limits import CONFIG_FILES_MAX

ENGINE_FILE = "engine.yaml"
SEGMENTS_FILE = "segments.yaml"
TRAFFIC_FILE = "traffic.yaml"
"""The one file that may be left out."""
EXCHANGES_FOLDER = "exchanges"
ADVERTISERS_FOLDER = "advertisers"
LAYOUT = f"{ENGINE_FILE}, {SEGMENTS_FILE}, {EXCHANGES_FOLDER}/<id>.yaml and {ADVERTISERS_FOLDER}/<id>.yaml"

_MISNAMED = re.compile(r"(?P<meant>.+?)\.ya?ml\b.*", re.IGNORECASE)
_FOLDERS = {"advertiser": ADVERTISERS_FOLDER, "exchange": EXCHANGES_FOLDER}


class FolderFiles(msgspec.Struct, frozen=True):
    """The names of a folder's YAML files, relative to it and sorted."""

    path: Path
    names: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> "FolderFiles":
        """Look through a folder. Raises ConfigFaults when it can't be, or holds no config at all."""
        if not path.is_dir():
            what = "this is not a folder" if path.exists() else "there is no such folder"
            raise ConfigFaults((Fault(str(path), 1, 1, f"{what}; give the folder that holds {LAYOUT}"),))
        names: list[str] = []
        problems: list[Fault] = []

        def note(error: OSError) -> None:
            problems.append(Fault(str(error.filename), 1, 1, f"can't read this folder: {error.strerror}"))

        for root, folders, files in os.walk(path, onerror=note):
            folders[:] = [folder for folder in folders if not folder.startswith(".")]
            inside = Path(root).relative_to(path)
            # A folder or a device of such a name is read, too: reading it says what is wrong.
            named = [name for name in (*files, *folders) if name.lower().endswith((".yaml", ".yml"))]
            names += [(inside / name).as_posix() for name in named if not name.startswith(".")]
        if not names and not problems:
            problems.append(Fault(str(path), 1, 1, f"this folder holds no config; it needs {LAYOUT}"))
        if len(names) > CONFIG_FILES_MAX:
            problems.append(
                Fault(str(path), 1, 1, f"this folder holds more than {CONFIG_FILES_MAX:,} YAML files")
            )
        if problems:
            raise ConfigFaults(tuple(problems))
        return cls(path, tuple(sorted(names)))

    def in_folder(self, folder: str) -> list[str]:
        """Return the names of the files that are read from `folder`."""
        return [
            name for name in self.names if Path(name).parent.as_posix() == folder and name.endswith(".yaml")
        ]

    def faults(self) -> list[Fault]:
        """Return a fault for each file that nothing reads, and for each folder that has no file."""
        read = {ENGINE_FILE, SEGMENTS_FILE, TRAFFIC_FILE}
        found = []
        for folder in (EXCHANGES_FOLDER, ADVERTISERS_FOLDER):
            inside = self.in_folder(folder)
            read.update(inside)
            found += self._misnamed(folder, inside)
            if not inside:
                found.append(Fault(str(self.path / folder), 1, 1, self._why_empty(folder)))
        found += [
            Fault(str(self.path / name), 1, 1, _why_unread(name)) for name in self.names if name not in read
        ]
        return found

    def _misnamed(self, folder: str, read: list[str]) -> list[Fault]:
        """Return a fault for each file that, by its name, was one of this folder until it was renamed."""
        place = self.path / folder
        others = [] if place.is_symlink() or not place.is_dir() else sorted(os.listdir(place))
        found = []
        for name in others:
            misnamed = _MISNAMED.fullmatch(name)
            if name.startswith(".") or misnamed is None or f"{folder}/{name}" in self.names:
                continue
            meant = f"{misnamed['meant']}.yaml"
            if f"{folder}/{meant}" not in read:
                message = f"nothing reads this file, for its name does not end in .yaml; rename it to {meant}"
                found.append(Fault(str(place / name), 1, 1, message))
        return found

    def _why_empty(self, folder: str) -> str:
        if (self.path / folder).is_symlink():
            return "this is a link to a folder, and such links are not followed; put the folder itself here"
        return f"there is no file in {folder}; add at least one <id>.yaml"


def _why_unread(name: str) -> str:
    path = Path(name)
    message = f"nothing reads this file; the folder holds {LAYOUT}: "
    inside = path.parent.as_posix()
    folder = _FOLDERS.get(inside.lower().removesuffix("s"), inside)
    if folder in _FOLDERS.values():
        return f"{message}rename it to {folder}/{path.stem}.yaml"
    return f"{message}rename it or move it"
