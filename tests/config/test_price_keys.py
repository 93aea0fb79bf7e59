"""`config.price_keys`: which files of keys are taken, and what is said of the others."""

import json
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path

import pytest

from config.price_keys import PriceKeys, load_price_keys, require_price_keys, without_keys
from config.schema import ExchangeProfile
from config.settings import SettingsError

ENCRYPTION, INTEGRITY = bytes(range(224, 256)), bytes(range(32))
PROFILES = (
    ExchangeProfile(id="plain"),
    ExchangeProfile(id="adx", price_encryption="google"),
    ExchangeProfile(id="later", price_encryption="openx", paused=True),
)


def keys_file(folder: Path, content: object, mode: int = 0o600) -> str:
    path = folder / "price-keys.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("encryption", "integrity"),
    [
        (b64encode(ENCRYPTION).decode(), b64encode(INTEGRITY).decode()),
        (urlsafe_b64encode(ENCRYPTION).decode().rstrip("="), f" {b64encode(INTEGRITY).decode()}\n"),
        (ENCRYPTION.hex(), INTEGRITY.hex().upper()),
    ],
)
def test_keys_are_read_as_exchanges_write_them(tmp_path: Path, encryption: str, integrity: str) -> None:
    path = keys_file(tmp_path, {"adx": {"encryption_key": encryption, "integrity_key": integrity}})
    assert load_price_keys(path) == {"adx": PriceKeys(ENCRYPTION, INTEGRITY)}
    require_price_keys(PROFILES, path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "write one JSON object like"),
        ("\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "write one JSON object like"),
        ({"adx": {"encryption_key": ENCRYPTION.hex()}}, "integrity_key"),
        ({"adx": {"encryption_key": ENCRYPTION.hex(), "integrity_key": "short"}}, "the integrity_key of adx"),
        (
            {"adx": {"encryption_key": "ü" * 64, "integrity_key": INTEGRITY.hex()}},
            "the encryption_key of adx",
        ),
        ({}, "adx encrypts its prices, and the price-keys file"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        require_price_keys(PROFILES, keys_file(tmp_path, content))
    assert said in str(caught.value)
    assert ENCRYPTION.hex() not in str(caught.value)


def test_a_file_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="chmod 600"):
        load_price_keys(keys_file(tmp_path, {}, mode=0o644))
    with pytest.raises(SettingsError, match="can't read the price-keys file"):
        load_price_keys(str(tmp_path / "absent.json"))


def test_without_a_file_only_exchanges_that_encrypt_are_missed() -> None:
    require_price_keys(PROFILES[:1], "")
    with pytest.raises(SettingsError, match="no price-keys file is named"):
        require_price_keys(PROFILES, "")
    assert without_keys(PROFILES, {}) == ["adx"]
    assert without_keys(PROFILES, {"adx": PriceKeys(ENCRYPTION, INTEGRITY)}) == []
