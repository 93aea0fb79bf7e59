"""Notice keys: a rotation loses no token, and a key that is over is nobody's."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidder.openrtb.notice_token import TokenReader, TokenSigner
from config.limits import NOTICE_KEY_SECONDS_MAX, NOTICE_KEYS_MAX
from config.notice_keys import KEY_BYTES, KeyFile, Keyring, NoticeKey
from config.settings import SettingsError

SECRET_KEY = bytes(range(32))
FIRST = Keyring((NoticeKey(0, SECRET_KEY, 0),))
DAY_S = 86_400


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "secret", SECRET_KEY)


def fresh(number: int) -> bytes:
    return number.to_bytes(4, "big") * (KEY_BYTES // 4)


def token(key: NoticeKey) -> str:
    return TokenSigner(key.key, key.id).sign(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10).decode()


def test_without_a_file_the_secret_signs(key_file: KeyFile) -> None:
    assert key_file.read() == FIRST
    assert key_file.read_if_changed() is None


def test_what_is_written_is_read_and_seen_as_a_change(key_file: KeyFile, tmp_path: Path) -> None:
    other = KeyFile(tmp_path / "secret", SECRET_KEY)
    other.read()
    ring = FIRST.rotated(1_000, 60, fresh(1))
    key_file.write(ring)
    assert other.read_if_changed() == ring
    assert other.read_if_changed() is None
    assert key_file.path.stat().st_mode & 0o777 == 0o600
    assert SECRET_KEY.hex() not in key_file.path.read_text(), "the secret's own key stays out of the file"


def test_a_new_key_signs_in_its_time_and_the_old_one_counts_until_its_notices_are_over() -> None:
    ring = FIRST.rotated(1_000, 600, fresh(1))
    assert ring.signing(1_599).id == 0
    assert ring.signing(1_600).id == 1
    assert ring.accepted_until_s(ring.keys[0]) == 1_600 + NOTICE_KEY_SECONDS_MAX
    assert ring.accepted_until_s(ring.keys[1]) is None
    reader = TokenReader(ring)
    assert reader.read(token(ring.keys[0])) is not None
    assert reader.read(token(ring.keys[1])) is not None


@given(st.lists(st.integers(1, 40), max_size=60))
def test_whenever_keys_are_rotated_a_token_is_read_as_long_as_its_notices_may_count(days: list[int]) -> None:
    ring, now_s = FIRST, 1_000_000
    signed: list[tuple[int, str]] = [(now_s, token(ring.signing(now_s)))]
    for number, pause in enumerate(days, start=1):
        now_s += pause * DAY_S
        try:
            ring = ring.rotated(now_s, 0, fresh(number))
        except SettingsError:
            assert len(ring.keys) == NOTICE_KEYS_MAX
        signed.append((now_s, token(ring.signing(now_s))))
        reader = TokenReader(ring)
        for signed_s, text in signed:
            if now_s - signed_s <= NOTICE_KEY_SECONDS_MAX:
                assert reader.read(text) is not None
        assert len(ring.keys) <= NOTICE_KEYS_MAX


def test_keys_that_are_over_are_left_out_and_their_numbers_come_again() -> None:
    ring, now_s = FIRST, 1_000
    for number in range(100):
        now_s += 3 * DAY_S
        ring = ring.rotated(now_s, 0, fresh(number))
    assert len(ring.keys) < 13
    assert all(key.key != SECRET_KEY for key in ring.keys)


def test_a_key_that_was_dropped_is_nobodys_and_the_last_one_stays() -> None:
    ring = FIRST.rotated(1_000, 0, fresh(1))
    old = token(ring.keys[0])
    ring = ring.without(0)
    assert TokenReader(ring).read(old) is None
    with pytest.raises(SettingsError, match="the only one"):
        ring.without(1)
    with pytest.raises(SettingsError, match="no key 9"):
        ring.without(9)


def test_a_token_of_one_key_under_the_number_of_another_is_nobodys() -> None:
    ring = FIRST.rotated(1_000, 0, fresh(1))
    forged = token(NoticeKey(1, SECRET_KEY, 0))
    assert TokenReader(ring).read(forged) is None
    for text in ("", "A", "=" * 80, "é" * 80):
        assert TokenReader(ring).read(text) is None


def test_a_second_rotation_waits_for_the_first() -> None:
    ring = FIRST.rotated(1_000, 600, fresh(1))
    with pytest.raises(SettingsError, match="does not sign yet"):
        ring.rotated(1_500, 600, fresh(2))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"keys": []}',
        '{"keys": [{"id": 1, "signs_from_s": 0, "key": "abcd"}]}',
        '{"keys": [{"id": 16, "signs_from_s": 0, "key": "%s"}]}' % ("ab" * 32),
        '{"keys": [{"id": 0, "signs_from_s": 0}, {"id": 0, "signs_from_s": 5}]}',
        '{"keys": [{"id": 1, "signs_from_s": 0}]}',
    ],
)
def test_a_file_that_can_not_be_used_is_named(key_file: KeyFile, text: str) -> None:
    key_file.path.write_text(text)
    key_file.path.chmod(0o600)
    with pytest.raises(SettingsError, match="notice-keys can't be used"):
        key_file.read()


def test_a_file_that_others_may_read_is_refused(key_file: KeyFile) -> None:
    key_file.write(FIRST)
    key_file.path.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        key_file.read()
