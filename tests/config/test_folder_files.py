"""Files that are not what a config folder holds: each is told, and none is waited for."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from config.load import load_folder
from tests.config.folder import write_folder
from tests.config.spoilt import faults_of


def oak(folder: Path) -> Path:
    return folder / "advertisers" / "oak.yaml"


def becomes_a_folder(folder: Path) -> None:
    oak(folder).unlink()
    oak(folder).mkdir()


def becomes_a_pipe(folder: Path) -> None:
    oak(folder).unlink()
    os.mkfifo(oak(folder))


def links_to_nothing(folder: Path) -> None:
    oak(folder).unlink()
    oak(folder).symlink_to("gone.yaml")


def links_to_itself(folder: Path) -> None:
    oak(folder).unlink()
    oak(folder).symlink_to("oak.yaml")


def is_saved_as_text(folder: Path) -> None:
    oak(folder).rename(oak(folder).with_name("oak.yaml.txt"))


def ends_in_yml(folder: Path) -> None:
    oak(folder).rename(oak(folder).with_suffix(".yml"))


def lies_in_advertiser(folder: Path) -> None:
    (folder / "advertiser").mkdir()
    oak(folder).rename(folder / "advertiser" / "oak.yaml")


def folder_is_a_link(folder: Path) -> None:
    (folder / "advertisers").rename(folder.with_name("elsewhere"))
    (folder / "advertisers").symlink_to(folder.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("what", "name", "message"),
    [
        (
            becomes_a_folder,
            "advertisers/oak.yaml",
            "this is no file that can be read; put the file itself here",
        ),
        (
            becomes_a_pipe,
            "advertisers/oak.yaml",
            "this is no file that can be read; put the file itself here",
        ),
        (links_to_nothing, "advertisers/oak.yaml", "a link to gone.yaml, where there is no file; mend it"),
        (links_to_itself, "advertisers/oak.yaml", "can't read this file: "),
        (is_saved_as_text, "advertisers/oak.yaml.txt", "does not end in .yaml; rename it to oak.yaml"),
        (ends_in_yml, "advertisers/oak.yml", "nothing reads this file; the folder holds "),
        (ends_in_yml, "advertisers/oak.yml", ": rename it to advertisers/oak.yaml"),
        (lies_in_advertiser, "advertiser/oak.yaml", ": rename it to advertisers/oak.yaml"),
        (folder_is_a_link, "advertisers", "a link to a folder, and such links are not followed"),
    ],
)
def test_a_file_that_is_none_of_its_name_is_told(
    tmp_path: Path, what: Callable[[Path], None], name: str, message: str
) -> None:
    folder = write_folder(tmp_path / "campaigns")
    what(folder)
    assert any(fault.file == name and message in fault.message for fault in faults_of(folder))


def test_copies_beside_a_file_and_links_to_files_are_left_in_peace(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "campaigns")
    version = load_folder(folder).version
    for name in ("oak.yaml~", "oak.yaml.bak", ".oak.yaml.swp", "notes.txt", "README"):
        (folder / "advertisers" / name).write_text("what: ever")
    (folder / "schema.json").write_text("{}")
    oak(folder).rename(folder.with_name("oak"))
    oak(folder).symlink_to(folder.with_name("oak"))
    assert load_folder(folder).version == version
