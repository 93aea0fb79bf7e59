"""Many buckets unpacked at once: the same as unpacking value by value."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segments.bitsets import is_live, unpack_users, unpack_value
from segments.cookies import unpack_buckets, unpack_values

TODAY = 20_000
WORDS = 2
days = st.integers(TODAY - 2, TODAY + 2) | st.sampled_from([0, 255, 256, 65_535])
values = st.builds(lambda day, octets: day.to_bytes(2, "big") + octets, days, st.binary(max_size=20))
# A value cut short is nobody's; no writer makes one.
buckets = st.lists(st.lists(values | st.sampled_from([b"", b"\xff"]), max_size=4), max_size=5)


@given(buckets)
def test_buckets_unpack_as_their_values_do_one_by_one(stored: list[list[bytes]]) -> None:
    cookies = unpack_buckets(stored, WORDS, TODAY)
    assert cookies.starts[0] == 0
    assert len(cookies.bits) == len(cookies.last_days) == cookies.starts[-1]
    for bucket, start, end in zip(stored, cookies.starts[:-1], cookies.starts[1:], strict=True):
        live = [value for value in bucket if len(value) >= 2 and is_live(value, TODAY)]
        assert cookies.bits[start:end].tolist() == unpack_users(live, WORDS, TODAY).tolist()
        assert cookies.last_days[start:end].tolist() == [unpack_value(value, WORDS)[1] for value in live]


@given(buckets)
def test_the_kernel_does_what_its_python_does(stored: list[list[bytes]]) -> None:
    flat = [value for bucket in stored for value in bucket]
    octets = np.frombuffer(bytearray().join(flat), np.uint8)
    ends = np.cumsum(np.array([len(value) for value in flat], np.int64))
    bucket_ends = np.cumsum(np.array([len(bucket) for bucket in stored], np.int64))
    bits, last_days = np.zeros((len(flat), WORDS), np.uint64), np.zeros(len(flat), np.int64)
    starts = np.zeros(len(stored) + 1, np.int64)
    live = unpack_values.py_func(octets, ends, bucket_ends, TODAY, bits, last_days, starts)
    cookies = unpack_buckets(stored, WORDS, TODAY)
    assert cookies.bits.tolist() == bits[:live].tolist()
    assert cookies.last_days.tolist() == last_days[:live].tolist()
    assert cookies.starts.tolist() == starts.tolist()
