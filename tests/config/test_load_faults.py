"""Every fault of a spoilt config folder, told with its place."""

from pathlib import Path

import pytest
from msgspec import inspect

from config.json_schema import FILES
from config.wording import PATTERN_WORDS
from tests.config.folder import SEGMENTS, edited, write_folder
from tests.config.spoilt import HERE, faults_of, the_fault_of


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
