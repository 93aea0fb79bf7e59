"""Segment files into a real server, and back out of it through the kernel."""

import gzip
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from config.audience import holds, parse_audience, to_clauses
from config.limits import SEGMENT_TTL_DAYS_MAX
from segments import segment_file
from segments.expressions import compile_clauses, words_for
from segments.kernels import count_matching
from segments.registry import RegistryError
from segments.segment_file import LoadError, read_rows
from tests.segments.loading import TODAY, Audiences, rejects, write_csv, write_parquet

NAMES = [f"segment-{number}" for number in range(168)]


@pytest.mark.parametrize("name", ["people.csv.gz", "people.parquet"])
async def test_twenty_thousand_cookies_come_back_exactly(
    audiences: Audiences, tmp_path: Path, name: str
) -> None:
    rng = random.Random(name)
    people = {f"cookie-{n}": set(rng.sample(NAMES, rng.randint(0, 24))) for n in range(20_000)}
    path = tmp_path / name
    (write_parquet if name.endswith("parquet") else write_csv)(path, people)
    indices = await audiences.registry.define(dict.fromkeys(NAMES, ""))
    report = await audiences.load(path)
    assert (report.rows, report.cookies, report.rejected, report.rejects_file) == (20_000, 20_000, 0, None)
    assert audiences.progress == sorted(audiences.progress)
    assert audiences.progress[-1] == (20_000, path.stat().st_size)

    words = words_for(len(indices))
    users = np.concatenate([users async for users in audiences.store.scan(words, TODAY)])
    assert len(users) == 20_000
    for text in (
        "segment-0",
        "not segment-1 and (segment-64 or segment-167)",
        "not (segment-5 or segment-6)",
    ):
        node = parse_audience(text)
        assert node is not None
        clauses = compile_clauses(to_clauses(node), indices, words)
        assert count_matching(users, clauses) == sum(holds(node, members) for members in people.values())
    for user_id in rng.sample(sorted(people), 50):
        assert await audiences.members(user_id) == people[user_id]


async def test_each_bad_row_is_rejected_with_its_line_and_the_others_load(
    audiences: Audiences, tmp_path: Path
) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(
        b"\xef\xbb\xbfsource,id,ignored,segments\n"
        b",good-1,,gardeners | hikers|\n"
        b",,,hikers\n"
        b"\n"
        b",typo,1,gardener\n"
        b",short\n"
        b"rival.example,good-2,,hikers;gardeners\n"
        b",bad-\xff,,hikers\n"
        b',"' + b"x" * 513 + b'",,hikers\n'
        b",bad-segments,,hik\xffers\n"
        b",strange,,hikers|(all)\n"
        b",too,many,columns,here\n"
        b",nobody's,,\n"
    )
    await audiences.registry.define({"gardeners": "", "hikers": ""})
    report = await audiences.load(path)
    assert (report.rows, report.cookies, report.rejected) == (12, 3, 9)
    assert report.rejects_file == str(path) + ".rejects.csv"
    assert rejects(path) == [
        (3, "the id is empty"),
        (4, "the id is empty"),
        (5, "segment gardener is not defined; the nearest is gardeners"),
        (6, "expected 4 columns and found 2"),
        (8, "the id column is not valid UTF-8"),
        (9, "the id is longer than 512 characters"),
        (10, "the segments column is not valid UTF-8"),
        (11, rejects(path)[7][1]),
        (12, "expected 4 columns and found 5"),
    ]
    assert rejects(path)[7][1].startswith("'(all)' can't be a segment's name")
    assert await audiences.members("good-1") == {"gardeners", "hikers"}
    assert await audiences.members("good-2", "rival.example") == {"gardeners", "hikers"}
    assert await audiences.members("good-2") is None
    assert await audiences.members("nobody's") == set()
    assert await audiences.members("typo") is None


async def test_lines_are_right_far_into_a_long_file(
    audiences: Audiences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_file, "_BLOCK_BYTES", 1 << 16)
    monkeypatch.setattr(segment_file, "LOAD_BATCH_ROWS_MAX", 500)
    path = tmp_path / "long.csv"
    lines = ["id,segments"]
    expected = []
    # Many blocks of the reader, and many batches, with broken lines at their borders too.
    for number in range(2, 12_000):
        if number % 500 in (1, 2) or number > 11_996:
            lines.append("broken")
            expected.append((number, "expected 2 columns and found 1"))
        elif number % 512 == 0:
            lines.append(f"cookie-{number},nowhere")
            expected.append((number, "segment nowhere is not defined; the nearest is here"))
        else:
            lines.append(f"cookie-{number}-with-a-long-name-to-fill-the-block-of-the-reader,here")
    path.write_text("\n".join(lines))
    assert path.stat().st_size > 8 << 16
    await audiences.registry.define({"here": ""})
    report = await audiences.load(path)
    assert rejects(path) == expected
    assert report.rows == len(lines) - 1
    assert report.cookies == report.rows - len(expected)


async def test_a_file_of_broken_lines_only(audiences: Audiences, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,segments\nx\ny\n")
    report = await audiences.load(path)
    assert (report.rows, report.cookies, report.rejected) == (2, 0, 2)
    assert [line for line, _ in rejects(path)] == [2, 3]


async def test_parquet_rows_are_rejected_alike(audiences: Audiences, tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    ids = pa.array([b"good", None, b"bad-\xff", b"typo", b"null", b"empty"], pa.binary())
    lists = pa.array([["here", None], ["here"], ["here"], ["hare"], None, []], pa.large_list(pa.string()))
    pyarrow.parquet.write_table(pa.table({"segments": lists, "id": ids}), path)
    await audiences.registry.define({"here": ""})
    report = await audiences.load(path)
    assert (report.rows, report.cookies) == (6, 3)
    assert rejects(path) == [
        (2, "the id is empty"),
        (3, "the id column is not valid UTF-8"),
        (4, "segment hare is not defined; the nearest is here"),
    ]
    assert await audiences.members("good") == {"here"}
    assert await audiences.members("null") == await audiences.members("empty") == set()


async def test_parquet_takes_categories_and_separated_text(audiences: Audiences, tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    text = pa.array(["a|b", "b", "a|b"]).dictionary_encode()
    pyarrow.parquet.write_table(pa.table({"id": ["1", "2", "3"], "segments": text}), path)
    report = await audiences.load(path, define=True)
    assert report.cookies == 3
    assert [await audiences.members(user_id) for user_id in "123"] == [{"a", "b"}, {"b"}, {"a", "b"}]


async def test_a_row_replaces_what_the_cookie_was_in_and_lives_its_days(
    audiences: Audiences, tmp_path: Path
) -> None:
    path = tmp_path / "people.csv"
    await audiences.registry.define({"a": "", "b": "", "c": ""})
    path.write_text("id,segments\nx,a|b\ny,a\nx,c\n")
    assert (await audiences.load(path, ttl_days=2)).cookies == 3
    assert await audiences.members("x") == {"c"}
    path.write_text("id,segments\nx,b\n")
    await audiences.load(path, ttl_days=1)
    assert await audiences.members("x", today=TODAY + 1) == {"b"}
    assert await audiences.members("x", today=TODAY + 2) is None
    assert await audiences.members("y", today=TODAY + 2) == {"a"}


async def test_define_defines_what_is_new_and_only_good_names(audiences: Audiences, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,segments\nx,a|b\ny,not|b\nz,c\n")
    report = await audiences.load(path, define=True)
    assert (report.cookies, report.rejected) == (2, 1)
    assert set(await audiences.registry.indices()) == {"a", "b", "c"}
    assert rejects(path) == [(3, "'not' can't be a segment's name: audiences use the word")]


async def test_define_says_when_there_is_no_room(audiences: Audiences, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,segments\n" + "".join(f"x,s{number}\n" for number in range(5_000)))
    with pytest.raises(
        RegistryError, match="there is room for 4096 segments, and these would be 904 too many"
    ):
        await audiences.load(path, define=True)


async def test_rejects_of_an_earlier_load_are_gone(audiences: Audiences, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,segments\nx,a\n")
    await audiences.load(path)
    assert rejects(path)
    report = await audiences.load(path, define=True)
    assert report.rejects_file is None
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["people.csv"]  # noqa: ASYNC240 a test may


def _gz(text: bytes) -> bytes:
    return gzip.compress(text)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("absent.csv", None, "absent.csv can't be read: No such file or directory"),
        ("absent.parquet", None, "absent.parquet can't be read: No such file or directory"),
        ("people.txt", b"id,segments\n", "must end in .csv, .tsv, .jsonl, "),
        ("empty.csv", b"", "empty.csv is empty"),
        ("empty.csv.gz", _gz(b""), "empty.csv.gz is empty"),
        ("header.csv", b"id,segments\n", "header.csv holds no rows"),
        (
            "columns.csv",
            b"user,audience\n1,a\n",
            "its columns are user, audience. If one of them is the id, say",
        ),
        ("columns.csv", b"id,audience\n1,a\n", "no column named segments; its columns are id, audience"),
        ("twice.csv", b"id,id,segments\n1,2,a\n", "more than one column named id"),
        ("binary.csv", bytes(range(256)), "no column named id"),
        ("not.parquet", b"id,segments\n1,a\n", "not.parquet can't be read: .*[Pp]arquet"),
        (
            "not.csv.gz",
            b"id,segments\n1,a\n",
            "can't be read: zlib inflate failed: incorrect header check",
        ),
        ("cut.csv.gz", _gz(b"id,segments\n" + b"x,a\n" * 9_999)[:-30], "cut.csv.gz can't be read: "),
    ],
)
async def test_a_fault_of_the_file_is_one_sentence(
    audiences: Audiences, tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(LoadError, match=sentence) as raised:
        await audiences.load(tmp_path / name)
    assert "\n" not in str(raised.value)


async def test_columns_of_the_wrong_type_are_named(audiences: Audiences, tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    pyarrow.parquet.write_table(pa.table({"id": [1], "segments": ["a"]}), path)
    with pytest.raises(LoadError, match="column id must be text, and is int64"):
        await audiences.load(path)
    pyarrow.parquet.write_table(pa.table({"id": ["1"], "segments": [[1]]}), path)
    with pytest.raises(
        LoadError, match="segments must be a list of strings, or text, and is list<element: int64>"
    ):
        await audiences.load(path)


async def test_a_file_damaged_half_way_keeps_what_came_before(
    audiences: Audiences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_file, "_BLOCK_BYTES", 1 << 16)
    path = tmp_path / "people.csv.gz"
    rng = random.Random(1)
    rows = "".join(f"cookie-{number}-{rng.getrandbits(300):x},a\n" for number in range(20_000))
    whole = gzip.compress(f"id,segments\n{rows}".encode(), 1)
    path.write_bytes(whole[: len(whole) * 2 // 3])
    await audiences.registry.define({"a": ""})
    with pytest.raises(LoadError, match=r"can't be read after [\d,]+ rows, which are loaded: ") as raised:
        await audiences.load(path)
    loaded = int(str(raised.value).split(" after ")[1].split(" rows")[0].replace(",", ""))
    assert loaded == audiences.progress[-1][0]
    assert await audiences.cookies() == loaded


@pytest.mark.parametrize("ttl_days", [0, SEGMENT_TTL_DAYS_MAX + 1])
async def test_days_out_of_range_are_refused(audiences: Audiences, tmp_path: Path, ttl_days: int) -> None:
    with pytest.raises(LoadError, match="segments are kept for 1 to 730 days"):
        await audiences.load(tmp_path / "people.csv", ttl_days=ttl_days)


@pytest.mark.parametrize("name", ["people.csv", "people.jsonl", "people.parquet"])
def test_no_batch_is_larger_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(segment_file, "LOAD_BATCH_ROWS_MAX", 1_000)
    path = tmp_path / name
    if name == "people.parquet":
        write_parquet(path, {f"c{number}": set() for number in range(2_500)})
    else:
        line = "x,\n" if name == "people.csv" else '{"id": "x"}\n'
        path.write_text(("id,segments\n" if name == "people.csv" else "") + line * 2_500)
    batches = list(read_rows(path))
    assert [len(batch.lines) for batch in batches] == [1_000, 1_000, 500]
    assert [batch.rows_done for batch in batches] == [1_000, 2_000, 2_500]
