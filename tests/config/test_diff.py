"""What changed between two folders, in the manager's words."""

from pathlib import Path

from config.diff import Change, diff
from config.load import load_folder
from config.schema import Bundle
from tests.config.folder import SEGMENTS, edited, write_folder


def bundle_of(folder: Path, texts: dict[str, str] | None = None) -> Bundle:
    return load_folder(write_folder(folder, texts))


def changes(tmp_path: Path, texts: dict[str, str]) -> tuple[Change, ...]:
    return diff(bundle_of(tmp_path / "old"), bundle_of(tmp_path / "new", texts))


def test_the_same_folder_has_no_changes(tmp_path: Path) -> None:
    assert changes(tmp_path, {}) == ()


def test_fields_that_changed_come_with_before_and_after(tmp_path: Path) -> None:
    texts = edited(
        "12.50", "20",
        "pacing: even", "pacing: asap",
        "2026-01-01, end: 2031-01-01", "2026-01-02",
        "bid_cpm: 4.50", "bid_cpm: 5",
        "audience: homeowners", "audience: {any: [homeowners, renters]}",
        "[oak-box, oak-clip]", "[oak-clip, oak-box]",
        "{per_day: 3}", "{per_day: 3, per_hour: 1}",
        "from_hour: 8", "from_hour: 9",
        "w: 640", "w: 480",
    )  # fmt: skip
    assert list(map(str, changes(tmp_path, texts))) == [
        "changed campaign `spring`: budget.daily $12.50 -> $20.00",
        "changed campaign `spring`: pacing even -> asap",
        "changed campaign `spring`: flight.start 2026-01-01 -> 2026-01-02",
        "changed campaign `spring`: flight.end 2031-01-01 -> nothing",
        "changed line item `spring-web`: bid_cpm 4.5 -> 5",
        "changed line item `spring-web`: audience homeowners -> {any: [homeowners, renters]}",
        "changed line item `spring-web`: targeting.dayparts {days: mon, from_hour: 8, to_hour: 20}"
        " -> {days: mon, from_hour: 9, to_hour: 20}",
        "changed line item `spring-web`: creatives oak-box, oak-clip -> oak-clip, oak-box",
        "changed line item `spring-web`: frequency_cap.per_hour nothing -> 1",
        "changed creative `oak-clip`: media_files {url: https://cdn.oak.example/a.mp4, mime: video/mp4, "
        "w: 640, h: 360, delivery: progressive} -> "
        "{url: https://cdn.oak.example/a.mp4, mime: video/mp4, w: 480, h: 360, delivery: progressive}",
    ]


def test_things_added_and_removed_are_told_as_wholes(tmp_path: Path) -> None:
    texts = edited("id: spring-radio", "id: spring-song")
    texts["segments.yaml"] = SEGMENTS.replace("renters", "movers")
    added_item, added_segment = (
        Change("added", "line item", "spring-song", after="owner spring, bid_cpm 3"),
        Change("added", "segment", "movers", after=""),
    )
    assert set(changes(tmp_path, texts)) == {
        added_item,
        added_segment,
        Change("removed", "line item", "spring-radio", before="owner spring, bid_cpm 3"),
        Change("removed", "segment", "renters", before=""),
    }
    assert str(added_item) == "added line item `spring-song`: owner spring, bid_cpm 3"
    assert str(added_segment) == "added segment `movers`"


def test_a_line_item_that_moves_keeps_its_identity(tmp_path: Path) -> None:
    texts = edited(
        "      - id: spring-radio",
        "  - id: summer\n    budget: {total: 5}\n    line_items:\n      - id: spring-radio",
    )
    assert changes(tmp_path, texts) == (
        Change("added", "campaign", "summer", after="owner oak, budget.total $5.00"),
        Change("changed", "line item", "spring-radio", "owner", "spring", "summer"),
    )


def test_the_order_of_things_is_no_change(tmp_path: Path) -> None:
    lines = SEGMENTS.splitlines(keepends=True)
    assert changes(tmp_path, {"segments.yaml": "".join([lines[0], *lines[3:], *lines[1:3]])}) == ()


def test_with_nothing_live_everything_is_added(tmp_path: Path) -> None:
    found = diff(None, bundle_of(tmp_path))
    assert {change.action for change in found} == {"added"}
    assert [change.kind for change in found].count("creative") == 4


def test_amounts_are_shown_in_the_currency(tmp_path: Path) -> None:
    before = edited('"$1,000"', "1000")
    after = edited('"$1,000"', "1000", "12.50", "20") | {"engine.yaml": "currency: EUR\n"}
    made = diff(bundle_of(tmp_path / "old", before), bundle_of(tmp_path / "new", after))
    found = {(change.kind, change.field): change for change in made}
    assert found["engine", "currency"].after == "EUR"
    assert found["campaign", "budget.daily"].after == "20.00 EUR"
