"""Line items written once: what templates become, and where their faults are told."""

from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.faults import ConfigFaults
from config.limits import TEMPLATE_COPIES_MAX
from config.load import load_folder
from config.schema import LineItem
from tests.config.folder import ADVERTISER, edited, write_folder
from tests.config.spoilt import HERE, the_fault_of

TEMPLATE = """\
templates:
  who:
    id: who-<who>
    name: Meant for <who>
    bid_cpm: 4
    audience: <who> and not frequent-voters
    targeting: {operating_systems: [ios], devices: [phone]}
    creatives: [oak-box]
campaigns:
"""


def with_line_items(text: str) -> dict[str, str]:
    """The sound folder with a template, and more line items."""
    return edited("campaigns:\n", TEMPLATE, "      - id: spring-radio", f"{text}      - id: spring-radio")


def line_items(folder: Path, text: str) -> dict[str, LineItem]:
    bundle = load_folder(write_folder(folder, with_line_items(text)))
    return {item.id: item for item in bundle.advertisers[0].campaigns[0].line_items}


def test_a_template_becomes_a_line_item_for_each(tmp_path: Path) -> None:
    items = line_items(tmp_path, "      - {template: who, for_each: {who: [homeowners, renters]}}\n")
    assert list(items) == ["spring-web", "who-homeowners", "who-renters", "spring-radio"]
    renters = items["who-renters"]
    assert (renters.name, renters.audience) == ("Meant for renters", "renters and not frequent-voters")
    assert renters.bid_cpm == 4_000_000
    assert renters.targeting.devices == ("phone",)
    own = {name: getattr(renters, name) for name in ("id", "name", "audience")}
    assert msgspec.structs.replace(items["who-homeowners"], **own) == renters


def test_what_a_line_item_says_itself_goes_before_its_template(tmp_path: Path) -> None:
    text = """\
      - template: who
        id: own-<who>
        bid_cpm: <bid>
        creatives: <show>
        targeting: {}
        for_each:
          - {who: homeowners, bid: 5.25, show: [oak-card, oak-box]}
          - {who: renters, bid: $2, show: [oak-song]}
      - {template: who, id: plain, name: Plain, audience: renters}
      - {id: alone-<n>, bid_cpm: 1, creatives: [oak-box], for_each: {n: [1, 2]}}
"""
    items = line_items(tmp_path, text)
    assert items["own-homeowners"].creatives == ("oak-card", "oak-box")
    assert [items[f"own-{who}"].bid_cpm for who in ("homeowners", "renters")] == [5_250_000, 2_000_000]
    # As a whole, and not key by key.
    assert items["own-renters"].targeting.devices == ()
    assert items["plain"].bid_cpm == 4_000_000
    assert {"alone-1", "alone-2"} <= items.keys()


@given(st.sets(st.integers(1, 99), min_size=1, max_size=8), st.data())
def test_a_copy_is_the_same_whatever_stands_beside_it(numbers: set[int], data: st.DataObject) -> None:
    def copies(chosen: set[int]) -> dict[str, LineItem]:
        own = "template: who, name: <n>, audience: renters, id: n-<n>"
        text = f"      - {{{own}, for_each: {{n: {sorted(chosen)}}}}}\n"
        with TemporaryDirectory() as folder:
            return line_items(Path(folder), text)

    fewer = data.draw(st.sets(st.sampled_from(sorted(numbers)), min_size=1))
    all_of_them = copies(numbers)
    assert copies(fewer).items() <= all_of_them.items()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"- template: {HERE}how\n", "there is no template `how` in this file; did you mean `who`?"),
        (f"- {{template: who, for_each: {HERE}[]}}\n", "needs a name and what it stands for"),
        (f"- {{template: who, for_each: {HERE}{{who: renters}}}}\n", "needs a name and what it stands for"),
        (f"- {{template: who, for_each: {HERE}{{Who: [renters]}}}}\n", "names are small letters"),
        (
            f"- {{template: who, id: {HERE}same, for_each: {{who: [renters, homeowners]}}}}\n",
            "every copy would have the id `same`; put <who> into it",
        ),
        (
            f"- {{template: who, for_each: [{{who: renters, b: 1}}, {HERE}{{who: homeowners}}]}}\n",
            "`b` is not in every entry",
        ),
        # In a value that was put in whole, the entry is what is wrong.
        (
            f"- {{template: who, bid_cpm: <b>, for_each: [{{who: renters, b: {HERE}lots}}]}}\n",
            "`bid_cpm`: 'lots' is not a",
        ),
        # What all copies have wrong is told once.
        (
            f"- {{template: who, pacing: {HERE}3, for_each: {{who: [renters, homeowners]}}}}\n".replace(
                f"pacing: {HERE}3", f"{HERE}pacing: 3"
            ),
            "`pacing` is not a key of a line item",
        ),
        (
            f"- {{template: who, bid_cpm: {HERE}lots, for_each: {{who: [renters, homeowners]}}}}\n",
            "write it like 12.50 or $12,500 (in the copies for `homeowners` and `renters`)",
        ),
        (
            f"- {{template: who, name: {HERE}<x>, for_each: {{who: [renters]}}}}\n",
            "`<x>` stands for nothing: it is not in `for_each`; it has who (in the copy for `renters`)",
        ),
        (
            f"- {{template: who, name: a <x>, for_each: [{{who: renters, x: {HERE}[1]}}]}}\n",
            "`<x>` is put inside a text, and so must be text",
        ),
    ],
)
def test_each_fault_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    fault, place = the_fault_of(tmp_path, with_line_items(f"      {text}"))
    assert message in fault.message
    assert f"{fault.file}:{fault.line}:{fault.column}" == place


def test_a_fault_of_a_template_is_told_in_the_template(tmp_path: Path) -> None:
    texts = with_line_items("      - {template: who, for_each: {who: [rentrs]}}\n")
    fault, _ = the_fault_of(tmp_path, texts)
    line = texts["advertisers/oak.yaml"].splitlines()[fault.line - 1]
    assert line == "    audience: <who> and not frequent-voters"
    assert fault.message.endswith("did you mean `renters`? (in the copy for `rentrs`)")


def test_two_copies_of_one_name_are_told_apart_from_nothing(tmp_path: Path) -> None:
    texts = with_line_items("      - {template: who, for_each: {who: [renters, renters]}}\n")
    fault, _ = the_fault_of(tmp_path, texts)
    assert fault.message == "`renters` is in `for_each` already; take one of the two out"


def test_copies_are_bounded(tmp_path: Path) -> None:
    many = ", ".join(map(str, range(TEMPLATE_COPIES_MAX + 1)))
    texts = with_line_items(f"      - {{template: who, for_each: {{who: [{many}]}}}}\n")
    fault, _ = the_fault_of(tmp_path, texts)
    assert f"at most {TEMPLATE_COPIES_MAX:,} are made" in fault.message
    # Aliases that multiply do not multiply the work of a copy.
    levels = "".join(f"          - &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 9))
    texts = with_line_items(
        "      - template: who\n        for_each: {who: [renters]}\n"
        "        creatives:\n          - &l0 [<who>]\n" + levels
    )
    with pytest.raises(ConfigFaults):
        load_folder(write_folder(tmp_path / "b", texts))


words = st.sampled_from(
    [*TEMPLATE.split(), "<who>", "<x>", "&a", "*a", "[]", "{}", "for_each:", "template: who"]
)


@given(st.lists(st.tuples(st.integers(0, len(TEMPLATE)), st.integers(0, 9), words), min_size=1, max_size=3))
def test_whatever_is_written_there_is_a_bundle_or_faults(edits: list[tuple[int, int, str]]) -> None:
    text = TEMPLATE
    for start, length, word in edits:
        text = text[:start] + word + text[start + length :]
    items = "      - {template: who, for_each: {who: [homeowners, renters]}}\n      - id: spring-radio"
    text = ADVERTISER.replace("campaigns:\n", text).replace("      - id: spring-radio", items)
    with TemporaryDirectory() as folder:
        write_folder(Path(folder), {"advertisers/oak.yaml": text})
        try:
            load_folder(Path(folder))
        except ConfigFaults as error:
            assert all(fault.line >= 1 and fault.column >= 1 for fault in error.faults)  # noqa: PT017
