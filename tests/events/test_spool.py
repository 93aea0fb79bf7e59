"""The spool's file: what is promised is there after any crash, and what is damaged costs only itself."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidder.events import spool as spool_module
from bidder.events.spool import Spool, SpoolError, SpoolTakenError, open_spools
from tests.events.processes import REPOSITORY


async def filled(path: Path, *payloads: bytes) -> Spool:
    spool = Spool(path)
    for number, payload in enumerate(payloads):
        await spool.append(payload, number)
    return spool


def waiting(spool: Spool) -> list[bytes]:
    return [entry.payload for entry in spool.waiting()]


async def test_entries_wait_in_order_over_restarts_until_they_are_done(tmp_path: Path) -> None:
    path = tmp_path / "a.spool"
    spool = await filled(path, b"one", b"two", b"three")
    spool.done(next(spool.waiting()), 0)
    spool.close()
    again = Spool(path)
    assert (again.waiting_count, waiting(again)) == (2, [b"two", b"three"])
    await again.append(b"four", 4)
    for key, entry in enumerate(again.waiting(), 1):
        again.done(entry, key)
    again.tidy()
    assert (waiting(again), path.stat().st_size) == ([], 0)
    await again.append(b"five", 5)
    assert waiting(again) == [b"five"]
    assert path.stat().st_mode & 0o777 == 0o600
    again.close()


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), st.data())
def test_a_file_cut_anywhere_keeps_every_whole_record(payloads: list[bytes], data: st.DataObject) -> None:
    with spool_file(payloads) as (path, ends):
        cut = data.draw(st.integers(0, ends[-1]))
        os.truncate(path, cut)
        spool = Spool(path)
        whole = [payload for payload, end in zip(payloads, ends, strict=True) if end <= cut]
        assert waiting(spool) == whole
        asyncio.run(spool.append(b"next", -1))
        assert waiting(spool) == [*whole, b"next"]
        spool.close()


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), st.data())
def test_a_damaged_byte_costs_at_most_its_record(payloads: list[bytes], data: st.DataObject) -> None:
    with spool_file(payloads) as (path, ends):
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        hit = next(index for index, end in enumerate(ends) if at < end)
        spool = Spool(path)
        found = waiting(spool)
        assert found in ([*payloads[:hit], *payloads[hit + 1 :]], payloads)
        spool.close()


async def test_a_burst_shares_its_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    real = os.fdatasync if hasattr(os, "fdatasync") else os.fsync

    def counted(file: int) -> None:
        syncs.append(file)
        real(file)

    monkeypatch.setattr(spool_module, "_sync", counted)
    spool = Spool(tmp_path / "a.spool")
    await asyncio.gather(*(spool.append(b"%d" % number, number) for number in range(1_000)))
    assert waiting(spool) == [b"%d" % number for number in range(1_000)]
    # All of them are asked for in one turn of the loop; the thread of the first may have begun.
    assert len(syncs) <= 2
    spool.close()


async def test_what_says_the_same_is_kept_once_while_it_waits(tmp_path: Path) -> None:
    spool = await filled(tmp_path / "a.spool", b"another")
    await asyncio.gather(*(spool.append(b"same", 7) for _ in range(50)))
    await spool.append(b"same", 7)
    assert waiting(spool) == [b"another", b"same"]
    spool.done(list(spool.waiting())[1], 7)
    await spool.append(b"same", 7)
    assert waiting(spool) == [b"another", b"same"]
    spool.close()


async def test_at_its_limit_it_refuses_and_what_is_kept_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.spool", bytes_max=100)
    await spool.append(b"x" * 60, 1)
    with pytest.raises(SpoolError, match="limit of 100 bytes"):
        await spool.append(b"y" * 60, 2)
    assert waiting(spool) == [b"x" * 60]
    spool.close()


async def test_a_full_disk_is_an_error_for_everybody_who_waits_and_heals(tmp_path: Path) -> None:
    path = tmp_path / "a.spool"
    spool = await filled(path, b"kept")
    with files_end_at(path.stat().st_size + 10):
        appends = (spool.append(b"z" * 50, number) for number in range(10, 13))
        results = await asyncio.gather(*appends, return_exceptions=True)
    assert [type(result) for result in results] == [SpoolError] * 3
    assert waiting(spool) == [b"kept"]
    await spool.append(b"z" * 50, 10)
    spool.close()
    again = Spool(path)
    assert waiting(again) == [b"kept", b"z" * 50]
    again.close()


async def test_what_a_full_disk_does_not_let_be_marked_is_done_all_the_same(tmp_path: Path) -> None:
    """A disk that copies what is written in place needs room for that, too."""
    path = tmp_path / "a.spool"
    spool = await filled(path, b"one", b"two", b"three")
    with files_end_at(0):
        for key, entry in zip(range(2), spool.waiting(), strict=False):
            spool.done(entry, key)
        assert (spool.waiting_count, waiting(spool)) == (1, [b"three"])
        with pytest.raises(OSError, match="too large"):
            spool.tidy()
    spool.tidy()
    spool.close()
    again = Spool(path)
    assert (again.waiting_count, waiting(again)) == (1, [b"three"])
    again.close()


@contextmanager
def files_end_at(octets: int) -> Iterator[None]:
    """Let this process write no file beyond that, which is to a write what a full disk is."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


async def test_each_process_has_a_file_of_its_own_and_takes_over_those_left_behind(tmp_path: Path) -> None:
    (first,) = open_spools(tmp_path)
    (second,) = open_spools(tmp_path)
    with pytest.raises(SpoolTakenError):
        Spool(tmp_path / "notices-0.spool")
    await second.append(b"left", 1)
    second.close()
    first.close()
    both = open_spools(tmp_path)
    assert [waiting(spool) for spool in both] == [[], [b"left"]]
    for spool in both:
        spool.close()


def test_what_was_promised_survives_a_kill(tmp_path: Path) -> None:
    """A process appends without end, saying which entries it was promised, and is killed."""
    code = """
import asyncio, sys
from pathlib import Path
from bidder.events.spool import Spool
async def main():
    spool = Spool(Path(sys.argv[1]))
    number = 0
    while True:
        await asyncio.gather(*(spool.append(b"%d" % n, n) for n in range(number, number + 20)))
        number += 20
        print(number, flush=True)
asyncio.run(main())
"""
    path = tmp_path / "a.spool"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        for _ in range(5):
            line = process.stdout.readline()
        process.kill()
        promised = int((line + process.stdout.read()).split()[-1])
    spool = Spool(path)
    found = waiting(spool)
    assert len(found) >= promised >= 100
    assert found == [b"%d" % number for number in range(len(found))]
    spool.close()


@contextmanager
def spool_file(payloads: list[bytes]) -> Iterator[tuple[Path, list[int]]]:
    """A file of entries in a folder of its own, and where each record ends."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.spool"
        spool = asyncio.run(filled(path, *payloads))
        ends = [entry.end for entry in spool.waiting()]
        spool.close()
        yield path, ends
