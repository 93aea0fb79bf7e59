"""The keyed hash of an id."""

from hypothesis import given
from hypothesis import strategies as st

from config.limits import IDENTITY_SOURCES_CACHED_MAX
from segments.identity import COOKIE, Identity

KEY = bytes(range(32))
EXPECTED = 0xBFD8F8AAED187B8E
texts = st.text(st.characters(), max_size=30)


@given(texts, texts)
def test_a_hash_is_64_bits_and_never_nobody(source: str, user_id: str) -> None:
    assert 0 < Identity(KEY).hash(source, user_id) < 2**64


@given(st.lists(st.tuples(texts, texts), unique=True, max_size=20))
def test_different_users_have_different_hashes(users: list[tuple[str, str]]) -> None:
    identity = Identity(KEY)
    assert len({identity.hash(source, user_id) for source, user_id in users}) == len(users)


def test_source_and_id_do_not_run_into_each_other() -> None:
    identity = Identity(KEY)
    assert len({identity.hash("ab", "c"), identity.hash("a", "bc"), identity.hash("", "abc")}) == 3


def test_the_hash_is_the_same_in_every_process_and_for_no_other_key() -> None:
    # Stored audiences hang on this number: a change of it orphans them all.
    assert Identity(KEY).hash(COOKIE, "demo-000000001") == EXPECTED
    assert Identity(bytes(32)).hash(COOKIE, "demo-000000001") != EXPECTED


def test_text_that_no_encoding_has_still_hashes() -> None:
    assert Identity(KEY).hash(COOKIE, "\udcff") != Identity(KEY).hash(COOKIE, "\udcfe")


def test_more_sources_than_are_remembered_hash_the_same() -> None:
    identity = Identity(KEY)
    for number in range(IDENTITY_SOURCES_CACHED_MAX + 10):
        source = f"{number}.example"
        assert identity.hash(source, "x") == identity.hash(source, "x") == Identity(KEY).hash(source, "x")
