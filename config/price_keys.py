"""The keys with which exchanges encrypt winning prices: a file beside the installation's secret.

One JSON object by exchange id. Each key is 32 bytes, written as hex digits or as base64 in either
alphabet, the way exchanges hand them out:

    {"adx": {"encryption_key": "sIxwz7yw62yrfo...", "integrity_key": "v3fsVcMBMMHYzR..."}}

They are never in the campaign folder: that is published to every process and read by many people.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from config.schema import ExchangeProfile
from config.settings import PRICE_KEYS_ENV, SettingsError, read_private

KEY_BYTES = 32


class PriceKeys(msgspec.Struct, frozen=True):
    """The two keys of one exchange (`bidder.openrtb.price_encryption`)."""

    encryption: bytes
    integrity: bytes


class _Pair(msgspec.Struct, forbid_unknown_fields=True):
    encryption_key: str
    integrity_key: str


def load_price_keys(path: str) -> dict[str, PriceKeys]:
    """Read the file, by exchange id; an empty path is a file with none.

    Raises SettingsError when it can't be read, is open to other users, or is not what is shown above.
    """
    if not path:
        return {}
    content = read_private(Path(path), "the price-keys file")
    try:
        pairs = msgspec.json.decode(content, type=dict[str, _Pair])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the price-keys file {path} can't be used ({error}); write one JSON object like "
            '{"adx": {"encryption_key": "...", "integrity_key": "..."}}'
        ) from None
    keys = {}
    for exchange_id, pair in pairs.items():
        encryption, integrity = _key(pair.encryption_key), _key(pair.integrity_key)
        if encryption is None or integrity is None:
            which = "encryption_key" if encryption is None else "integrity_key"
            raise SettingsError(
                f"the {which} of {exchange_id} in the price-keys file {path} is not {KEY_BYTES} bytes as "
                f"{2 * KEY_BYTES} hex digits or in base64; copy it again from the exchange"
            )
        keys[exchange_id] = PriceKeys(encryption, integrity)
    return keys


def without_keys(profiles: Iterable[ExchangeProfile], keys: Mapping[str, PriceKeys]) -> list[str]:
    """Return the ids of exchanges whose prices are encrypted and for which there are no keys."""
    encrypting = (x.id for x in profiles if x.price_encryption != "none" and not x.paused)
    return [exchange_id for exchange_id in encrypting if exchange_id not in keys]


def require_price_keys(profiles: Iterable[ExchangeProfile], path: str) -> None:
    """Raise SettingsError when the file can't be used, or lacks the keys of one of these exchanges."""
    missing = without_keys(profiles, load_price_keys(path))
    if missing:
        where = f"the price-keys file {path} has no keys" if path else "no price-keys file is named"
        raise SettingsError(
            f"{', '.join(missing)} encrypts its prices, and {where}: put the exchange's encryption_key and "
            f"integrity_key in a file, `chmod 600` it, and name it with --price-keys or {PRICE_KEYS_ENV}"
        )


def _key(text: str) -> bytes | None:
    text = text.strip()
    try:
        if len(text) == 2 * KEY_BYTES:
            key = bytes.fromhex(text)
        else:
            bare = text.replace("-", "+").replace("_", "/").rstrip("=")
            key = b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (Base64Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None
