"""Config folders with faults in them: what is found there, and whether it is where the text was spoilt."""

from pathlib import Path

import msgspec
import pytest

from config.faults import ConfigFaults, Fault
from config.load import load_folder
from tests.config.folder import write_folder

HERE = "⟪"
"""Marks, in a spoilt text, the place that the fault must name."""


def faults_of(folder: Path) -> list[Fault]:
    with pytest.raises(ConfigFaults) as caught:
        load_folder(folder)
    prefix = f"{folder}/"
    return [
        msgspec.structs.replace(
            fault, file=fault.file.removeprefix(prefix), message=fault.message.replace(prefix, "")
        )
        for fault in caught.value.faults
    ]


def the_fault_of(folder: Path, texts: dict[str, str]) -> tuple[Fault, str]:
    """Return the only fault of the spoilt folder, and the place that its mark gives."""
    place = ""
    for name, text in texts.items():
        before, mark, after = text.partition(HERE)
        if mark:
            place = f"{name}:{before.count(chr(10)) + 1}:{len(before) - (before.rfind(chr(10)) + 1) + 1}"
            texts = texts | {name: before + after}
    faults = faults_of(write_folder(folder, texts))
    assert len(faults) == 1, "\n".join(map(str, faults))
    return faults[0], place
