"""Who a cookie or device is to us: a keyed 64-bit hash, never the id itself.

    identity = Identity(secrets.identity_key)
    identity.hash(COOKIE, "7f3a...")        # our own cookie
    identity.hash("rival.example", "88")    # an id that another party gave the same browser
    identity.hash_column(COOKIE, octets, offsets)      # a column of a file, without an object for each

The hash is BLAKE2b (RFC 7693), keyed with the installation's secret, of the source and the id, each
source a world of its own. Whoever holds the database but not the key can't tell whose record is
whose, and can't test a guess; whoever holds the key but can't read the database (an advertiser's
loader, `segments.inbox`) learns nothing from it. 64 bits mean that among a billion users a stranger
meets another's record with a chance of one in 18 billion.

Speed: the key and the source are absorbed once and copied for each id, which leaves one
compression, under a microsecond; a column takes a third of one for each id.
"""

import hashlib
import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.limits import IDENTITY_SOURCES_CACHED_MAX
from segments.blake2b import hash_column, keyed_state

COOKIE = "cookie"
"""The source of ids that are our own cookies."""
_PERSON = b"hustings-user"
_DIGEST_BYTES = 8


class IdentityKeyError(Exception):
    """A key of ids can't be used; the message says which, why, and how to mend it."""


class Identity:
    """Hashes (source, id) pairs with one 32-byte key."""

    def __init__(self, identity_key: bytes) -> None:
        self._keyed = hashlib.blake2b(key=identity_key, digest_size=_DIGEST_BYTES, person=_PERSON)
        self._key = identity_key
        self._by_source: dict[str, hashlib.blake2b] = {}

    def hash(self, source: str, user_id: str) -> int:
        """Return the user's hash, from 1 to 2**64 - 1; 0 means nobody and is never returned."""
        prepared = self._by_source.get(source)
        if prepared is None:
            prepared = self._prepare(source)
        digest = prepared.copy()
        # Text that came through a lenient decoder may hold lone surrogates; those hash too.
        digest.update(user_id.encode("utf-8", "surrogatepass"))
        return int.from_bytes(digest.digest(), "big") or 1

    def hash_column(
        self, source: str, octets: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> NDArray[np.uint64]:
        """Return uint64[n], the hashes of ids in UTF-8: id i is octets[offsets[i]:offsets[i + 1]]."""
        hashes = np.empty(len(offsets) - 1, np.uint64)
        prefix = np.frombuffer(_prefix(source), np.uint8)
        hash_column(keyed_state(self._key, _PERSON, _DIGEST_BYTES), prefix, octets, offsets, hashes)
        return hashes

    def _prepare(self, source: str) -> hashlib.blake2b:
        prepared = self._keyed.copy()
        prepared.update(_prefix(source))
        if len(self._by_source) < IDENTITY_SOURCES_CACHED_MAX:
            self._by_source[source] = prepared
        return prepared


def write_key_file(path: Path, key: bytes) -> None:
    """Write a key for `read_key_file`, for its owner alone. Raises IdentityKeyError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(key.hex() + "\n")
    except OSError as error:
        raise IdentityKeyError(f"can't write {path}: {error.strerror}") from None


def read_key_file(path: Path) -> bytes:
    """Read a key of ids. Raises IdentityKeyError also when others may read it."""
    try:
        text, mode = path.read_bytes().strip(), path.stat().st_mode
    except OSError as error:
        raise IdentityKeyError(f"can't read {path}: {error.strerror}") from None
    if mode & 0o077:
        raise IdentityKeyError(f"{path} is open to other users; run `chmod 600 {path}`")
    if not re.fullmatch(rb"[0-9a-f]{64}", text):
        raise IdentityKeyError(f"{path} holds no key of ids; `hustings segments acl` writes one")
    return bytes.fromhex(text.decode())


def _prefix(source: str) -> bytes:
    """The length in front keeps ("ab", "c") and ("a", "bc") apart."""
    name = source.encode("utf-8", "surrogatepass")
    return len(name).to_bytes(4, "big") + name
