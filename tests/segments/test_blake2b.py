"""The hash of a column against hashlib."""

import hashlib

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from segments.identity import COOKIE, Identity
from segments.rows import text_buffers

KEY = bytes(range(32))
# Up to four blocks, with the ends of blocks likely.
LENGTHS = st.one_of(st.integers(0, 40), st.integers(110, 132), st.integers(240, 262), st.integers(0, 600))


@given(st.lists(LENGTHS, max_size=12), st.text(max_size=20), st.binary(min_size=1, max_size=64))
def test_a_column_hashes_as_its_ids_do(lengths: list[int], source: str, key: bytes) -> None:
    ids = [("é" + "x" * length)[:length] for length in lengths]
    identity = Identity(key)
    hashes = identity.hash_column(source, *text_buffers(pa.array(ids, pa.string())))
    assert hashes.tolist() == [identity.hash(source, one) for one in ids]


def test_a_slice_of_a_column_hashes_its_own_ids() -> None:
    column = pa.array([f"cookie-{number}" for number in range(50)]).slice(7, 30)
    identity = Identity(KEY)
    hashes = identity.hash_column(COOKIE, *text_buffers(column))
    assert hashes.tolist() == [identity.hash(COOKIE, f"cookie-{number}") for number in range(7, 37)]


def test_the_digest_is_that_of_the_standard() -> None:
    message = len(COOKIE).to_bytes(4, "big") + COOKIE.encode() + b"abc"
    digest = hashlib.blake2b(message, key=KEY, digest_size=8, person=b"hustings-user").digest()
    (found,) = Identity(KEY).hash_column(COOKIE, np.frombuffer(b"abc", np.uint8), np.array([0, 3]))
    assert int(found) == int.from_bytes(digest, "big")
