"""Who a cookie or device is to us: a keyed 64-bit hash, never the id itself.

    identity = Identity(secrets.identity_key)
    identity.hash(COOKIE, "7f3a...")        # our own cookie
    identity.hash("rival.example", "88")    # an id that another party gave the same browser

The hash is BLAKE2b (RFC 7693), keyed with the installation's secret, of the source and the id, each
source a world of its own. Whoever holds the database but not the key can't tell whose record is
whose, and can't test a guess. 64 bits mean that among a billion users a stranger meets another's
record with a chance of one in 18 billion.

Speed: the key and the source are absorbed once and copied for each id, which leaves one
compression, under a microsecond.
"""

import hashlib

from config.limits import IDENTITY_SOURCES_CACHED_MAX

COOKIE = "cookie"
"""The source of ids that are our own cookies."""


class Identity:
    """Hashes (source, id) pairs with one 32-byte key."""

    def __init__(self, identity_key: bytes) -> None:
        self._keyed = hashlib.blake2b(key=identity_key, digest_size=8, person=b"hustings-user")
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

    def _prepare(self, source: str) -> hashlib.blake2b:
        name = source.encode("utf-8", "surrogatepass")
        prepared = self._keyed.copy()
        # The length in front keeps ("ab", "c") and ("a", "bc") apart.
        prepared.update(len(name).to_bytes(4, "big") + name)
        if len(self._by_source) < IDENTITY_SOURCES_CACHED_MAX:
            self._by_source[source] = prepared
        return prepared
