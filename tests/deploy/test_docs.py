"""The guides: what they show can be run or read, and they leave out no field."""

import inspect
import json
import re
import shutil
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from bidder.cli.main import command_line
from bidder.openrtb.decode import decode_request
from config import limits, schema
from config.audience import parse_audience
from config.check import OPERATING_SYSTEMS
from config.load import load_folder
from tests.deploy.repository import DOCS, ROOT, known_options, parse_command_line, read_yaml

GUIDES = ("campaign-guide.md", "configuration.md", "operations.md", "exchanges.md", "load-testing.md")
PAGES = (
    *GUIDES,
    "audiences.md",
    "bidding.md",
    "money.md",
    "performance.md",
    "../README.md",
    "../ARCHITECTURE.md",
)
TEXTS = {name: (DOCS / name).read_text() for name in PAGES}

EXAMPLES = ROOT / "config" / "examples"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fences(name: str, language: str = "") -> list[str]:
    return [text for kind, text in _FENCE.findall(TEXTS[name]) if kind == language]


def commands(name: str) -> list[str]:
    """The command lines of a guide: in code blocks up to the explanation, and in running text."""
    blocks = [line for text in fences(name) for line in text.splitlines()]
    prose = _FENCE.sub("", TEXTS[name])
    found = [match[1] for line in blocks if (match := re.search(r"(?:^|\$ |engine )(hustings .+)$", line))]
    found += re.findall(r"`(hustings [^`…]+)`", prose)
    return sorted({re.split(r"\s{2,}| > ", line)[0] for line in found})


@pytest.mark.parametrize(("name", "line"), [(name, line) for name in PAGES for line in commands(name)])
def test_a_command_line_of_a_guide_is_one_of_the_program(name: str, line: str) -> None:
    parse_command_line(line)


# Those in performance.md are of the benchmarks, too.
@pytest.mark.parametrize("name", [name for name in PAGES if name != "performance.md"])
def test_an_option_named_in_a_guide_is_one_of_the_program(name: str) -> None:
    prose = _FENCE.sub("", TEXTS[name])
    assert set(re.findall(r"`(--[a-z-]+)", prose)) <= known_options()


def test_there_are_command_lines_to_look_at() -> None:
    assert {len(commands(name)) > 4 for name in GUIDES} == {True}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the guides show, in their places."""
    for name in GUIDES:
        for text in fences(name, "yaml"):
            path = tmp_path / text.splitlines()[0].removeprefix("# ")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return tmp_path


def test_the_config_in_the_guides_is_sound(folder: Path) -> None:
    bundle = load_folder(folder)
    assert {exchange.id for exchange in bundle.exchanges} == {"plain", "rivermarket"}
    assert [advertiser.id for advertiser in bundle.advertisers] == ["hilltop-books"]


def ran(*arguments: object) -> str:
    line = [str(argument) for argument in arguments]
    result = CliRunner().invoke(command_line(line), line)
    assert result.exit_code == 0
    return result.stdout


def test_the_campaign_guide_can_be_followed(tmp_path: Path) -> None:
    folder = tmp_path / "campaigns"
    shutil.copytree(EXAMPLES, folder)
    # The version is of this release's schema, too.
    counts = ran("config", "check", folder).replace(str(folder), "campaigns").partition(" (version")[0]
    assert counts in TEXTS["campaign-guide.md"]
    files = {
        text.splitlines()[0]: text for text in fences("campaign-guide.md") if text.startswith("# campaigns/")
    }
    (folder / "advertisers" / "hilltop-books.yaml").write_text(
        files["# campaigns/advertisers/hilltop-books.yaml"]
    )
    added = files["# campaigns/segments.yaml, at its end"].split("\n", 1)[1]
    (folder / "segments.yaml").write_text((folder / "segments.yaml").read_text() + added)
    bundle = load_folder(folder)
    (campaign,) = next(one for one in bundle.advertisers if one.id == "hilltop-books").campaigns
    assert [item.id for item in campaign.line_items] == [
        "spring-readers",
        "readers-polk-county",
        "readers-story-county",
    ]


def test_the_request_of_the_guides_is_bid_on() -> None:
    told = json.loads(ran("explain", DOCS / "request.json", "--config", EXAMPLES, "--json"))
    assert [imp["bid"] is not None for imp in told["imps"]] == [True]


def test_both_ways_to_write_the_audience_mean_the_same(tmp_path: Path) -> None:
    (text,) = [text for text in fences("configuration.md") if text.startswith("audience: ")]
    for part in text.split("\n\n"):
        (tmp_path / "part.yaml").write_text(part)
        value = read_yaml(tmp_path / "part.yaml")["audience"]
        assert parse_audience(value) == parse_audience(
            "polk-county-readers and (polk-county-gardeners or not newsletter)"
        )


def described_structs() -> list[type[msgspec.Struct]]:
    return [
        value
        for _, value in inspect.getmembers(schema, inspect.isclass)
        if issubclass(value, msgspec.Struct) and value is not schema.Bundle
    ]


@pytest.mark.parametrize("struct", described_structs(), ids=lambda struct: struct.__name__)
def test_the_guide_names_every_field(struct: type[msgspec.Struct]) -> None:
    words = set(re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`\n]+)`", TEXTS["configuration.md"]))))
    assert set(struct.__struct_fields__) <= words


def test_the_guide_names_every_kind_of_device_and_system() -> None:
    for word in (*schema.DEVICE_KINDS.values(), *OPERATING_SYSTEMS):
        assert f"`{word}`" in TEXTS["configuration.md"], word


def test_the_guide_gives_the_defaults_of_an_exchange() -> None:
    defaults = schema.ExchangeProfile(id="x")
    for field in (
        "tmax_default_ms",
        "network_allowance_ms",
        "auction_type_default",
        "notice_timeout_seconds",
    ):
        assert f"| `{field}` | {getattr(defaults, field)} |" in TEXTS["configuration.md"]


def test_the_request_in_the_guide_is_read_without_mending() -> None:
    (text,) = fences("exchanges.md", "json")
    request = decode_request(text.encode())
    assert request.imp[0].banner is not None
    assert request.device is not None
    assert request.device.geo is not None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("exchanges.md", f"a body over {limits.BODY_BYTES_MAX // 1024} KiB"),
        ("exchanges.md", f"headers over {limits.HEADER_BYTES_MAX // 1024} KiB"),
        ("exchanges.md", f"idle for {limits.IDLE_SECONDS_MAX} seconds"),
        ("exchanges.md", f"{limits.TIME_LEFT_MS_MIN} ms, or is over"),
        ("configuration.md", f"at most {limits.SEGMENTS_MAX:,} segments".capitalize()),
        ("configuration.md", f"more than {limits.AUDIENCE_CLAUSES_MAX} conditions"),
        ("configuration.md", f"1 to {limits.CREATIVES_PER_LINE_ITEM_MAX}"),
        ("configuration.md", f"1 to {limits.NOTICE_TIMEOUT_SECONDS_MAX}."),
        ("audiences.md", f"At most {limits.INBOX_ENTRIES_MAX:,} entries wait"),
        ("audiences.md", f"and {limits.INBOX_BYTES_MAX // 1024**2} MB: "),
        ("operations.md", f"not found within {limits.LOOKUP_TIMEOUT_MS} ms"),
        ("operations.md", f"for up to {limits.LEASE_STALE_SECONDS_MAX} seconds"),
    ],
)
def test_a_figure_in_a_guide_is_that_of_the_engine(name: str, text: str) -> None:
    assert text in TEXTS[name]


@pytest.mark.parametrize("name", PAGES)
def test_links_and_paths_lead_somewhere(name: str) -> None:
    for path, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", TEXTS[name]):
        target = (DOCS / name).parent / path if path else DOCS / name
        assert target.is_file(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in headings}
    for path in re.findall(r"`((?:deploy|config)/[\w./-]+)`", TEXTS[name]):
        assert (ROOT / path).exists(), path


def test_the_map_of_files_names_each_module_and_no_other() -> None:
    map_ = (ROOT / "ARCHITECTURE.md").read_text().partition("\n## The files\n")[2].partition("\n## ")[0]
    seen: set[Path] = set()
    for section in map_.split("\n### ")[1:]:
        heading, _, text = section.partition("\n")
        folders = [ROOT / name for name in heading.split(", ")]
        folders += [ROOT / name for name in re.findall(r"^`(\w+/\w+(?:/\w+)?)`: ", text, re.MULTILINE)]
        modules = {path.stem for folder in folders for path in folder.glob("[!_]*.py")}
        last_cells = "\n".join(row.rpartition(" | ")[2] for row in text.splitlines())
        named = set(re.findall(r"`(\w+)`", last_cells))
        assert named == modules, heading
        seen.update(folders)
    packages = ("bidder", "pacing", "segments", "config", "loadtest")
    assert seen == {path.parent for package in packages for path in (ROOT / package).rglob("__init__.py")}
