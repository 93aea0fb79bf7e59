"""Audiences with a name: what line items that name them become, and what can be wrong with them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.audience import All, Any, Name, Node, Not, holds, parse_audience
from config.load import load_folder
from config.named_audiences import put_in, written
from tests.config.folder import edited, write_folder
from tests.config.spoilt import HERE, the_fault_of


def with_audiences(text: str, audience: str = "homeowners") -> dict[str, str]:
    return edited(
        "campaigns:\n", f"audiences: {text}\ncampaigns:\n", "audience: homeowners", f"audience: {audience}"
    )


def test_a_line_item_means_what_the_name_stands_for(tmp_path: Path) -> None:
    texts = with_audiences(
        "{movers: not homeowners, fresh: movers and not renters}", "fresh or frequent-voters"
    )
    bundle = load_folder(write_folder(tmp_path, texts))
    assert bundle.advertisers[0].audiences == {}
    found = parse_audience(bundle.advertisers[0].campaigns[0].line_items[0].audience)
    wanted = parse_audience("not homeowners and not renters or frequent-voters")
    assert found is not None
    assert wanted is not None
    people = [{"homeowners"}, {"renters"}, {"frequent-voters", "renters"}, set()]
    assert [holds(found, person) for person in people] == [holds(wanted, person) for person in people]


def test_an_audience_that_names_none_stays_as_it_is_written(tmp_path: Path) -> None:
    texts = with_audiences("{movers: not homeowners}", "{any: [homeowners, not renters]}")
    item = load_folder(write_folder(tmp_path, texts)).advertisers[0].campaigns[0].line_items[0]
    assert item.audience == {"any": ["homeowners", "not renters"]}


@pytest.mark.parametrize(
    ("text", "audience", "message"),
    [
        (f"{{movers: {HERE}not homeowner}}", "movers", "no segment `homeowner` in segments.yaml"),
        (f"{{movers: {HERE}not homeowners and}}", "movers", "the audience `movers`: "),
        (f"{{a: {HERE}a or renters}}", "renters", "the audience `a`: it is made of itself"),
        (f"{{renters: {HERE}homeowners}}", "homeowners", "`renters` is a segment in segments.yaml"),
        (f"{{not: {HERE}homeowners}}", "homeowners", "`not` means something in an audience"),
        ("{movers: not homeowners}", f"{HERE}mover", "`mover` in segments.yaml; did you mean `movers`?"),
        (f"{{{HERE}a b: homeowners}}", "homeowners", "`a b` can't be a key here"),
    ],
)  # fmt: skip
def test_each_fault_is_told_once_with_its_place(
    tmp_path: Path, text: str, audience: str, message: str
) -> None:
    fault, place = the_fault_of(tmp_path, with_audiences(text, audience))
    assert message in fault.message
    assert f"{fault.file}:{fault.line}:{fault.column}" == place


def test_what_grows_too_large_through_names_is_refused(tmp_path: Path) -> None:
    doubled = ", ".join(f"a{n}: not a{n - 1} or a{n - 1}" for n in range(1, 40))
    fault, _ = the_fault_of(tmp_path, with_audiences(f"{{a0: homeowners, {doubled}}}"))
    assert "it names more than 1,024 segments" in fault.message


names = st.sampled_from("abc")
nodes: st.SearchStrategy[Node] = st.recursive(
    st.builds(Name, names),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(lambda items: All(tuple(items)), st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda items: Any(tuple(items)), st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=8,
)


@given(nodes, nodes, st.sets(names))
def test_putting_in_what_a_name_stands_for_means_asking_for_it(node: Node, a: Node, person: set[str]) -> None:
    meant = (person - {"a"}) | ({"a"} if holds(a, person) else set())
    whole = put_in(node, {"a": a})
    assert holds(whole, person) == holds(node, meant)
    again = parse_audience(written(whole))
    assert again is not None
    assert holds(again, person) == holds(whole, person)
