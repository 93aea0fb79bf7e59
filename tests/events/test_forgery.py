"""Tokens as a forger would make them: from a genuine one, by changing whatever he likes."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from hypothesis import given
from hypothesis import strategies as st

from bidder.openrtb.notice_token import TOKEN_CHARS, TokenSigner
from tests.events.factories import OWNER, SIGNER, token

GENUINE = token(1, user_hash=2**63 + 5)
RAW = urlsafe_b64decode(GENUINE)


def test_the_genuine_token_is_read() -> None:
    notice = SIGNER.read(GENUINE)
    assert notice is not None
    assert (notice.owner, notice.sequence, notice.user_hash) == (OWNER, 1, 2**63 + 5)


@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_no_byte_of_it_can_be_changed(at: int, flip: int) -> None:
    changed = RAW[:at] + bytes([RAW[at] ^ flip]) + RAW[at + 1 :]
    assert SIGNER.read(urlsafe_b64encode(changed).decode()) is None


@given(st.text(max_size=2 * TOKEN_CHARS) | st.text(min_size=TOKEN_CHARS, max_size=TOKEN_CHARS))
def test_no_text_is_one(text: str) -> None:
    assert SIGNER.read(text) is None


@given(st.binary(min_size=32, max_size=32))
def test_another_installations_token_is_none_of_ours(key: bytes) -> None:
    if key != bytes(range(32)):
        assert TokenSigner(key).read(GENUINE) is None
