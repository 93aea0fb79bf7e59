"""Slots and redirects against redis-py, and against replies that are none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from config import redis_keys
from segments.location import BUCKETS
from segments.slot_map import SLOTS, Redirect, bucket_slots, read_redirect, read_slots, slot_of


@given(st.binary(min_size=1).filter(lambda key: b"{" not in key))
def test_a_slot_is_what_redis_says(key: bytes) -> None:
    assert slot_of(key) == key_slot(key)


@given(st.integers(0, BUCKETS - 1))
def test_every_bucket_has_its_slot(bucket: int) -> None:
    assert len(bucket_slots()) == BUCKETS
    assert bucket_slots()[bucket] == key_slot(redis_keys.segment_bucket(bucket))


def test_a_map_gives_each_slot_its_primary() -> None:
    replica = [b"10.0.0.9", 7009, b"id", []]
    reply = [
        [0, 99, [b"10.0.0.1", 7001, b"id-1", []], replica],
        [200, SLOTS - 1, [b"", 7002, b"id-2", []]],
    ]
    slots = read_slots(reply, "asked.example")
    owners = slots.by_slot()
    assert owners[:100] == [("10.0.0.1", 7001)] * 100
    assert owners[100:200] == [None] * 100
    assert owners[200:] == [("asked.example", 7002)] * (SLOTS - 200)
    assert slots.addresses == {("10.0.0.1", 7001), ("asked.example", 7002)}


@pytest.mark.parametrize("reply", [[1], [[1, 2]], [[0, 1, b"host"]], [[b"x", 1, [b"host", 1]]]])
def test_what_is_no_map_is_refused(reply: Any) -> None:
    with pytest.raises(ValueError, match="no reply of CLUSTER SLOTS"):
        read_slots(reply, "asked.example")


@pytest.mark.parametrize(
    ("error", "redirect"),
    [
        ("MOVED 3999 10.0.0.2:7002", Redirect(False, ("10.0.0.2", 7002))),
        ("ASK 3999 fe80::1:7002", Redirect(True, ("fe80::1", 7002))),
        ("MOVED 3999 :7002", Redirect(False, ("asked.example", 7002))),
        ("MOVED 3999 nowhere", None),
        ("CLUSTERDOWN Hash slot not served", None),
        ("WRONGTYPE Operation against a key", None),
    ],
)
def test_a_redirect_says_where_else_to_ask(error: str, redirect: Redirect | None) -> None:
    assert read_redirect(error, "asked.example") == redirect
