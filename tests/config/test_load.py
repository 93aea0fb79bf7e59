"""Reading a config folder: what a sound one becomes, and every fault of a spoilt one with its place."""

import os
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

from config.faults import ConfigFaults, Fault
from config.json_schema import FILES
from config.limits import CONFIG_FILE_BYTES_MAX, CONFIG_NODES_MAX
from config.load import load_folder
from config.money import BILLION, CpmMicros, Money
from config.schema import When, decode_bundle, encode_bundle
from config.wording import PATTERN_WORDS
from tests.config.folder import ADVERTISER, SEGMENTS, edited, write_folder

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


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        # Keys.
        (edited("pacing:", f"{HERE}pacin:"), "`pacin` is not a key of a campaign; did you mean `pacing`?"),
        (
            edited("currency", f"{HERE}zzz", name="engine.yaml"),
            "`zzz` is not a key of an engine; it can have currency",
        ),
        (
            edited("{include: {dom", f"{{{HERE}includ: {{dom"),
            "`includ` is not a key of `inventory`; did you mean `include`?",
        ),
        (
            edited("  - id: oak-box\n    format", f"  - {HERE}format"),
            "item 1 of `creatives` needs the key `id`",
        ),
        (
            edited("        bid_cpm: 3\n", "", "- id: spring-radio", f"- {HERE}id: spring-radio"),
            "the line item `spring-radio` has no price; give it one of `bid_cpm`, `bid_vcpm`",
        ),
        (
            edited("budget: {", f"budget: {{{HERE}totl: 5, "),
            "`totl` is not a key of `budget`; did you mean `total`?",
        ),
        (
            edited("even\n", f"even\n    {HERE}pacing: asap\n"),
            "`pacing` is written twice here; keep one of the two",
        ),
        (edited("even\n", f"even\n    {HERE}<<: {{}}\n"), "`<<` is not read here"),
        (edited("even\n", f"even\n    ? {HERE}[a]\n    : b\n"), "a key must be one plain word"),
        (
            edited("audience: homeowners", f"audience: {{not: renters, {HERE}not: homeowners}}"),
            "`not` is written twice here",
        ),
        (edited('"$1,000"', f"$1,{HERE}000", ", daily: 12.50", ""), "an amount with a comma needs quotes"),
        # Values.
        (
            edited("12.50", f"{HERE}12 EUR"),
            "`daily`: `12 EUR` is in EUR, and engine.yaml says USD; convert it",
        ),
        (edited("cpm: 3", f"cpm: {HERE}€3"), "`bid_cpm`: `€3` is in €, and engine.yaml says USD; convert it"),
        (edited("12.50", f"{HERE}1M"), "`daily`: '1M' is not an amount of money"),
        (edited("12.50", f"{HERE}1.234.50"), "`daily`: '1.234.50' is not an amount of money"),
        (
            edited("id: spring\n", f"id: {HERE}spring sale\n"),
            "`id` is `spring sale`; it needs letters, digits, `.`, `_` and `-`",
        ),
        (
            edited("https://oak.example/\n  - id: oak-clip", f"{HERE}oak.example\n  - id: oak-clip"),
            "`landing_url` is `oak.example`; it needs a web address",
        ),
        (
            edited("domain: oak", f"domain: {HERE}https://oak"),
            "it needs a domain in small letters, like brand.example",
        ),
        (
            edited("IAB13", f"{HERE}Finance"),
            "item 1 of `categories` is `Finance`; it needs an IAB content category",
        ),
        (
            edited("even", f"{HERE}evn"),
            "`pacing` is `evn`; it needs one of ahead, asap, even; did you mean `even`?",
        ),
        (
            edited("per_day: 3", f"per_day: {HERE}300"),
            "`per_day` is `300`; it needs a whole number from 1 to 255",
        ),
        (
            edited("per_day: 3", f"per_day: {HERE}'3'"),
            "`per_day` is `3`; it needs a whole number from 1 to 255, without quotes",
        ),
        (edited("per_day: 3", f"per_day: {HERE}2.5"), "`per_day` is `2.5`; it needs a whole number"),
        (edited("even\n", f"even\n    paused: {HERE}maybe\n"), "`paused` is `maybe`; it needs true or false"),
        (
            edited("name: Oak Savings\ndomain", f"name: {HERE}true\ndomain"),
            "`name` is `true`; put it in quotes if it is meant as text",
        ),
        (edited("cpm: 3", f"cpm: {HERE}three"), "`bid_cpm`: 'three' is not"),
        (edited("cpm: 3", f"cpm: {HERE}-3"), "`bid_cpm`: '-3' is not"),
        (edited("cpm: 3", f"cpm: {HERE}0.1234567"), "has more than six decimals"),
        (edited("12.50", f"{HERE}[12.50]"), "`daily` needs an amount of money, like 12.50, not a list"),
        (edited("[IAB13]", f"{HERE}IAB13"), "`categories` needs a list; write [IAB13]"),
        (
            edited("[{days: [mon], from_hour: 8, to_hour: 20}]", f"{HERE}{{days: [mon]}}"),
            "`dayparts` needs a list; write `- ` before each item",
        ),
        (
            edited('{total: "$1,000", daily: 12.50}', f"{HERE}1000"),
            "`budget` needs keys under it (total, daily, hourly)",
        ),
        (edited("pacing: even", f"{HERE}pacing:"), "`pacing` has no value; give it one, or take it out"),
        (edited("Oak Savings\ndomain", f"Oak Savings\n{HERE}seat:\ndomain"), "`seat` has no value"),
        (
            edited("https://cdn.oak.example/box.png", f"{HERE}https://cdn.oak.example/{'x' * 2_000}"),
            "it is 2024 characters long; at most 2000",
        ),
        # Files.
        (
            edited("id: plain", f"id: {HERE}plane", name="exchanges/plain.yaml"),
            "the id is `plane` and the file is exchanges/plain.yaml; give both the same name",
        ),
        ({"advertisers/oak.yml": HERE}, "nothing reads this file"),
        ({"campaigns.yaml": HERE}, "nothing reads this file"),
        ({"advertisers/iowa/elm.yaml": HERE}, "nothing reads this file"),
        (
            {"engine.yaml": f"currency: [USD{HERE}"},
            "not valid YAML: while parsing a flow sequence, expected ',' or ']'",
        ),
        ({"engine.yaml": f"a: b{HERE}: c"}, "put text that holds `: ` in quotes"),
        ({"engine.yaml": f"currency:\n{HERE}\t- USD\n"}, "indent with spaces, not tabs"),
        ({"engine.yaml": f"currency: {HERE}*money\n"}, "needs an anchor"),
        ({"engine.yaml": f"currency: USD\n{HERE}---\ncurrency: USD\n"}, "a file holds one document"),
        ({"engine.yaml": f"currency: 'U{HERE}"}, "a quote is not closed"),
        ({"engine.yaml": f"# a bell\ncurrency: ¢{HERE}\x07USD"}, "a control character; delete it"),
        ({"engine.yaml": f"{HERE}- USD"}, "this file needs keys under it (currency, "),
        ({"engine.yaml": "- " * 100 + HERE + "- " * 2_900}, "nested too deep"),
        ({"engine.yaml": "[" * 100 + HERE + "[" * 500_000}, "nested too deep"),
        ({"exchanges/empty.yaml": f"{HERE}# nothing yet\n"}, "there is nothing in this file; save again"),
        (
            edited("    pacing: even\n", f"{HERE}<<<<<<< HEAD\n    pacing: even\n=======\n>>>>>>> theirs\n"),
            "a merge that was not finished; keep one of its two sides",
        ),
        (
            edited("    pacing: even\n    flight:", f"\u00a0   pacing: even\n    flight{HERE}:"),
            "line 9 has a no-break space at column 1, type a plain space there",
        ),
        (
            edited("audience: homeowners", f"audience: {HERE}homeowners and ren\u200bters"),
            "and found `\u200b`, which nobody sees; delete it",
        ),
        (
            edited('total: "$1,000"', f"total: {HERE}12.500"),
            "`12.500` can be read in two ways; write 12,500 or 12.5000",
        ),
        (
            edited('total: "$1,000"', f"total: {HERE}$912.500"),
            "`$912.500` can be read in two ways; write $912,500 or $912.5000",
        ),
        (edited("days: [mon]", f"days: [{HERE}Monday]"), "sat, sun; did you mean `mon`?"),
        (edited("days: [mon]", f"days: {HERE}mon-fri"), "needs a list; write [mon, tue, wed, thu, fri]"),
        (edited("days: [mon]", f'days: {HERE}"mon, sun"'), "needs a list; write [mon, sun]"),
        (edited("days: [mon]", f"days: {HERE}workdays"), "needs a list; write [mon, tue], or others of mon,"),
    ],
)
def test_each_fault_is_told_with_its_place(tmp_path: Path, texts: dict[str, str], message: str) -> None:
    fault, place = the_fault_of(tmp_path, texts)
    assert message in fault.message
    assert f"{fault.file}:{fault.line}:{fault.column}" == place


def test_every_fault_of_every_file_comes_at_once(tmp_path: Path) -> None:
    texts = edited("even", "evn", "cpm: 3", "cpm: 0", "homeowners", "home-owners and (", "[ios]", "[iOS]")
    texts |= {
        "engine.yaml": "curency: USD\n",
        "exchanges/x.yaml": "id: [",
        "segments.yaml": SEGMENTS + "  - nam: x\n",
    }
    faults = faults_of(write_folder(tmp_path, texts))
    assert [(fault.file, fault.line) for fault in faults] == [
        ("advertisers/oak.yaml", 9),
        ("advertisers/oak.yaml", 14),
        ("advertisers/oak.yaml", 16),
        ("advertisers/oak.yaml", 24),
        ("engine.yaml", 1),
        ("exchanges/x.yaml", 1),
        ("segments.yaml", 6),
    ]
    assert str(faults[4]) == "engine.yaml:1:1: `curency` is not a key of an engine; did you mean `currency`?"


def test_what_rests_on_a_refused_value_is_not_reported_too(tmp_path: Path) -> None:
    # The format is unknown, so nobody can say what the creative needs; the total, so neither if it is less.
    texts = edited("format: banner", "format: baner", '"$1,000"', "'a lot'", "America/Chicago", "[Chicago]")
    messages = [fault.message for fault in faults_of(write_folder(tmp_path, texts))]
    assert len(messages) == 3
    # With segments.yaml unreadable, no name can be called unknown.
    for number, text in enumerate(("segments: [", "- name: homeowners", "", "segments: homeowners")):
        (fault,) = faults_of(write_folder(tmp_path / f"b{number}", {"segments.yaml": text}))
        assert fault.file == "segments.yaml"


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


def test_every_pattern_of_the_schema_has_words_for_a_person() -> None:
    patterns: set[str] = set()

    def collect(type_: inspect.Type) -> None:
        match type_:
            case inspect.StructType(fields=fields):
                for field in fields:
                    collect(field.type)
            case inspect.VarTupleType(item_type=item):
                collect(item)
            case inspect.DictType(key_type=key, value_type=value):
                collect(key)
                collect(value)
            case inspect.UnionType(types=types):
                for member in types:
                    collect(member)
            case inspect.StrType(pattern=str(pattern)):
                patterns.add(pattern)

    for struct in FILES:
        collect(inspect.type_info(struct))
    assert patterns == set(PATTERN_WORDS)
