"""What is asked of Redis about each user of a batch, as bytes: every length is known, so one `%` makes it.

    HGET s:<bucket> <rest of the hash>              the segments          (`segments.store`)
    GET  f:{s:<bucket>}<rest of the hash>           the frequency caps    (`pacing.caps`)

A reply has a number: user 0 has replies 0 and 1, user 1 has 2 and 3, and so on.
"""

import struct
from collections.abc import Sequence

from config import redis_keys
from segments.location import BUCKET_SHIFT, FIELD, caps_key, location

REPLIES_A_USER = 2

_HASH = struct.Struct(">Q")


def _templates() -> tuple[bytes, bytes]:
    """HGET and GET of one user in RESP, each for `% (bucket, rest of the hash)`."""
    key, field = location(0)
    parts = ((len(key), redis_keys.SEGMENT_BUCKET), (len(field), b"%b"))
    hget = b"".join(b"$%d\r\n%b\r\n" % part for part in parts)
    get = b"$%d\r\n%b\r\n" % (len(caps_key(0)), redis_keys.CAPS)
    return b"*3\r\n$4\r\nHGET\r\n" + hget, b"*2\r\n$3\r\nGET\r\n" + get


_ONE = _templates()
_BOTH = b"".join(_ONE)

assert redis_keys.segment_bucket(7) == redis_keys.SEGMENT_BUCKET % 7, "the pattern makes the key"


def user_commands(user_hashes: Sequence[int]) -> bytes:
    """Return the commands of these users, REPLIES_A_USER each."""
    return b"".join(
        [
            _BOTH % (bucket := user_hash >> BUCKET_SHIFT, rest := _HASH.pack(user_hash)[FIELD], bucket, rest)
            for user_hash in user_hashes
        ]
    )


def one_command(user_hash: int, which: int) -> bytes:
    """Return the command whose reply is number `which`, 0 or 1, of a user."""
    return _ONE[which] % (user_hash >> BUCKET_SHIFT, _HASH.pack(user_hash)[FIELD])
