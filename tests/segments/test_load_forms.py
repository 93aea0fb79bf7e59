"""The forms a segment file may have, and what is told of lines that have none."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from segments.segment_file import Columns, LoadError
from tests.segments.loading import Audiences, compressed, json_lines, rejects, write_csv, write_parquet

PEOPLE = {"ann": {"a", "b"}, "bob": {"b"}, "cid": set[str](), "dee": {"c"}}


def tsv(people: dict[str, set[str]]) -> str:
    return "segments\tid\n" + "".join(f"{';'.join(sorted(m))}\t{user_id}\n" for user_id, m in people.items())


@pytest.mark.parametrize("codec", ["", ".gz", ".zst"])
@pytest.mark.parametrize("form", [".tsv", ".jsonl", ".ndjson"])
async def test_every_form_and_compression_loads(
    audiences: Audiences, tmp_path: Path, form: str, codec: str
) -> None:
    path = tmp_path / f"people{form}{codec}"
    path.write_bytes(compressed(tsv(PEOPLE) if form == ".tsv" else json_lines(PEOPLE), codec))
    assert (await audiences.load(path, define=True)).cookies == 4
    assert {user_id: await audiences.members(user_id) for user_id in PEOPLE} == PEOPLE


async def test_json_lines_are_rejected_one_by_one(audiences: Audiences, tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    path.write_bytes(
        b'{"id": "good", "segments": ["a"]}\n'
        b"not json\n"
        b"\n"
        b'{"id": 7, "segments": []}\n'
        b'{"segments": ["a"]}\n'
        b'{"id": "bad-\xff", "segments": []}\n'
        b'{"id": "typo", "segments": ["b"]}\n'
        b'{"id": "last", "segments": null, "source": "rival.example"}'
    )
    await audiences.registry.define({"a": ""})
    report = await audiences.load(path)
    assert (report.rows, report.cookies) == (8, 2)
    assert rejects(path) == [
        (2, "the line is no JSON object"),
        (3, "the line is empty"),
        (4, "the line is not of the expected form: Expected `str | null`, got `int` - at `$.id`"),
        (5, "the id is empty"),
        (6, "the line is not valid UTF-8"),
        (7, "segment b is not defined"),
    ]
    assert await audiences.members("good") == {"a"}
    assert await audiences.members("last", "rival.example") == set()


async def test_a_folder_is_loaded_in_the_order_of_its_names(audiences: Audiences, tmp_path: Path) -> None:
    folder = tmp_path / "people"
    folder.mkdir()
    write_csv(folder / "1.csv", {"ann": {"a"}, "bob": {"a"}})
    write_parquet(folder / "2.parquet", {"ann": {"b"}})
    (folder / "3.jsonl").write_text('{"id": "cid", "segments": "nowhere else"}\n')
    (folder / "_SUCCESS").write_text("")
    (folder / "1.csv.rejects.csv").write_text("")
    await audiences.registry.define({"a": "", "b": ""})
    report = await audiences.load(folder)
    assert (report.rows, report.cookies, report.rejected) == (4, 3, 1)
    assert report.rejects_file == str(folder) + ".rejects.csv"
    text = (tmp_path / "people.rejects.csv").read_text()
    assert text.splitlines()[1].startswith("3.jsonl,1,segment nowhere is not defined")
    assert await audiences.members("ann") == {"b"}
    assert audiences.progress[-1][1] == sum(
        (folder / name).stat().st_size for name in ("1.csv", "2.parquet", "3.jsonl")
    )
    (folder / "notes.txt").write_text("")
    with pytest.raises(LoadError, match=r"notes.txt is no segment file"):
        await audiences.load(folder)


async def test_columns_may_have_other_names(audiences: Audiences, tmp_path: Path) -> None:
    columns = Columns(id="user", segments="audience", source="by")
    await audiences.registry.define({"a": ""})
    csv_path, json_path = tmp_path / "people.csv", tmp_path / "people.jsonl"
    csv_path.write_text("by,audience,user,id\n,a,ann,wrong\n")
    json_path.write_text('{"user": "bob", "audience": "a", "by": "rival.example", "id": 5}\n')
    await audiences.load(csv_path, columns=columns)
    await audiences.load(json_path, columns=columns)
    assert await audiences.members("ann") == {"a"}
    assert await audiences.members("bob", "rival.example") == {"a"}
    assert await audiences.members("wrong") is None


async def test_a_dictionary_that_ends_inside_a_row_group(audiences: Audiences, tmp_path: Path) -> None:
    # So many long names that the writer gives its dictionary up, and goes on in plain text.
    path = tmp_path / "people.parquet"
    people = {f"c{number}": {f"{'long-' * 9}{number}"} for number in range(3_000)}
    lists = pa.array([sorted(members) for members in people.values()], pa.list_(pa.string()))
    table = pa.table({"id": list(people), "segments": lists})
    pyarrow.parquet.write_table(table, path, dictionary_pagesize_limit=10_000, data_page_size=1_000)
    assert (await audiences.load(path, define=True)).cookies == 3_000
    for user_id in ("c0", "c1499", "c2999"):
        assert await audiences.members(user_id) == people[user_id]
