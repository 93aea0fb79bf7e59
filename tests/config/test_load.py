"""Reading a config folder: what a sound one becomes, and every fault of a spoilt one with its place."""

import os
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.faults import ConfigFaults
from config.limits import CONFIG_FILE_BYTES_MAX, CONFIG_NODES_MAX
from config.load import load_folder
from config.money import BILLION, CpmMicros, Money
from config.schema import When, decode_bundle, encode_bundle
from tests.config.folder import ADVERTISER, edited, write_folder
from tests.config.spoilt import faults_of


def test_a_sound_folder_becomes_a_bundle(tmp_path: Path) -> None:
    bundle = load_folder(write_folder(tmp_path))
    (oak,) = bundle.advertisers
    (spring,) = oak.campaigns
    assert spring.budget.total == Money(1_000_000_000_000)
    assert spring.budget.daily == Money(12_500_000_000)
    assert spring.flight.start == When("2026-01-01")
    web, radio = spring.line_items
    assert (web.bid_cpm, radio.bid_cpm) == (CpmMicros(4_500_000), CpmMicros(3_000_000))
    assert web.targeting.dayparts[0].to_hour == 20
    assert [creative.format for creative in oak.creatives] == ["banner", "video", "audio", "native"]
    assert [exchange.id for exchange in bundle.exchanges] == ["plain"]
    assert [segment.name for segment in bundle.segments] == ["homeowners", "renters", "frequent-voters"]
    assert decode_bundle(encode_bundle(bundle)) == bundle


def test_numbers_are_read_as_the_decimals_they_were_written_as(tmp_path: Path) -> None:
    # As a float, this amount would come out as ...54.1.
    texts = edited(
        '"$1,000"', "900000000.123456789", "12.50", "123456.000000001", "bid_cpm: 3", "bid_cpm: 0.29"
    )
    (spring,) = load_folder(write_folder(tmp_path, texts)).advertisers[0].campaigns
    assert spring.budget.total == 900_000_000_123_456_789
    assert spring.budget.daily == 123_456_000_000_001
    assert spring.line_items[1].bid_cpm == 290_000


@pytest.mark.parametrize(
    ("written", "amount"),
    [("$1,234.5", "1234.5"), ("1.5k", "1500"), ("$12K", "12000"), ("2,000 USD", "2000"), ("$ 7 USD", "7")],
)
def test_amounts_are_read_as_people_write_them(tmp_path: Path, written: str, amount: str) -> None:
    texts = edited('"$1,000"', f'"{written}"', ", daily: 12.50", "")
    (spring,) = load_folder(write_folder(tmp_path, texts)).advertisers[0].campaigns
    assert spring.budget.total == int(Decimal(amount) * BILLION)


def test_numbers_and_dates_serve_as_text_where_text_is_wanted(tmp_path: Path) -> None:
    texts = edited(
        "inventory: {",
        "geo: {include: {metros: [679, 011]}}\n          inventory: {",
        "Oak Savings\ndom",
        "2026\ndom",
    )
    (oak,) = load_folder(write_folder(tmp_path, texts)).advertisers
    assert oak.campaigns[0].line_items[0].targeting.geo.include.metros == ("679", "011")
    assert oak.name == "2026"


def test_an_audience_mapping_is_kept_as_written(tmp_path: Path) -> None:
    texts = edited(
        "audience: homeowners", "audience: {any: [homeowners, not renters], not: {all: [frequent-voters]}}"
    )
    line_item = load_folder(write_folder(tmp_path, texts)).advertisers[0].campaigns[0].line_items[0]
    assert line_item.audience == {"any": ["homeowners", "not renters"], "not": {"all": ["frequent-voters"]}}


def test_anchors_and_aliases_share_a_value(tmp_path: Path) -> None:
    texts = edited("[oak-box, oak-clip]", "&both [oak-box, oak-clip]", "[oak-song, oak-card]", "*both")
    web, radio = load_folder(write_folder(tmp_path, texts)).advertisers[0].campaigns[0].line_items
    assert web.creatives == radio.creatives


def test_the_version_follows_what_is_said_and_not_how(tmp_path: Path) -> None:
    version = load_folder(write_folder(tmp_path / "a")).version
    respaced = edited("even\n", "even   # spread over the day\n\n", '"$1,000"', "1000.00")
    assert load_folder(write_folder(tmp_path / "b", respaced)).version == version
    assert load_folder(write_folder(tmp_path / "c", edited("12.50", "12.51"))).version != version


def test_hidden_files_and_files_of_other_kinds_are_left_alone(tmp_path: Path) -> None:
    write_folder(
        tmp_path, {".git/x.yaml": "[", "README.md": "[", "advertisers/.oak.yaml": "[", "logo.png": "\0"}
    )
    assert load_folder(tmp_path).advertisers


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "engine.yaml").write_bytes(b"# ok\ncurrency: \xff\n")
    (fault,) = faults_of(tmp_path)
    assert (fault.line, fault.column) == (2, 11)
    assert "save the file with the encoding UTF-8" in fault.message


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    write_folder(tmp_path, edited('"$1,000"', "1000"))
    (tmp_path / "engine.yaml").write_bytes(b"\xef\xbb\xbfcurrency: EUR\n")
    assert load_folder(tmp_path).engine.currency == "EUR"


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    (fault,) = faults_of(write_folder(tmp_path, {"engine.yaml": "#" * (CONFIG_FILE_BYTES_MAX + 1)}))
    assert f"larger than {CONFIG_FILE_BYTES_MAX:,} bytes" in fault.message


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "engine.yaml").unlink()
    os.symlink(tmp_path / "engine.yaml", tmp_path / "engine.yaml")
    (fault,) = faults_of(tmp_path)
    assert "can't read this file" in fault.message


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("engine.yaml", "there is no such file"),
        ("segments.yaml", "there is no such file"),
        ("exchanges/plain.yaml", "there is no file in exchanges"),
        ("advertisers/oak.yaml", "there is no file in advertisers"),
    ],
)
def test_a_missing_file(tmp_path: Path, missing: str, message: str) -> None:
    write_folder(tmp_path, edited("          exchanges: [plain]\n", ""))
    (tmp_path / missing).unlink()
    (fault,) = faults_of(tmp_path)
    assert message in fault.message


def test_a_folder_that_is_missing_or_empty_or_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for name, message in (
        ("nowhere", "there is no such folder"),
        ("empty", "this folder holds no config; it needs engine.yaml"),
        ("file", "this is not a folder"),
    ):
        (fault,) = faults_of(tmp_path / name)
        assert message in fault.message


def test_aliases_that_multiply_are_stopped(tmp_path: Path) -> None:
    # Each level names the one above it ten times: ten million values in a few lines.
    levels = ["&l0 {any: [renters]}"] + [
        f"&l{n} {{any: [{', '.join(['*l' + str(n - 1)] * 10)}]}}" for n in range(1, 8)
    ]
    (fault, *_) = faults_of(
        write_folder(tmp_path, edited("audience: homeowners", f"audience: {{all: [{', '.join(levels)}]}}"))
    )
    assert f"more than {CONFIG_NODES_MAX:,} values, aliases followed" in fault.message


def test_an_alias_of_itself_is_stopped(tmp_path: Path) -> None:
    (fault,) = faults_of(write_folder(tmp_path, edited("audience: homeowners", "audience: &me {any: [*me]}")))
    assert "`audience`: nested more than" in fault.message
    assert fault.line == ADVERTISER[: ADVERTISER.index("audience:")].count("\n") + 1


words = st.sampled_from(ADVERTISER.replace("\n", " \n ").split(" "))
scraps = st.one_of(
    words, st.sampled_from(["[", "}", ": ", "\n", "- ", "*a", "&a ", "~", "'", "!!int ", "?", "{}"])
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(ADVERTISER)), st.integers(0, 30), scraps), min_size=1, max_size=4)
)
def test_whatever_is_written_there_is_a_bundle_or_faults_with_places(
    edits: list[tuple[int, int, str]],
) -> None:
    text = ADVERTISER
    for start, length, scrap in edits:
        text = text[:start] + scrap + text[start + length :]
    with TemporaryDirectory() as folder:
        write_folder(Path(folder), {"advertisers/oak.yaml": text})
        try:
            bundle = load_folder(Path(folder))
        except ConfigFaults as error:
            lines = text.count("\n") + 1
            assert all(1 <= fault.line <= lines + 1 and fault.column >= 1 for fault in error.faults)  # noqa: PT017
        else:
            assert decode_bundle(encode_bundle(bundle)) == bundle
