"""Where a user is: the bucket and the field that the user's hash names.

    hash 0x3fa107c2d59e6b44      key s:07f42      field 07 c2 d5 9e 6b 44

`segments.store` says why.
"""

from config import redis_keys
from config.limits import SEGMENT_BUCKET_BITS

BUCKETS = 1 << SEGMENT_BUCKET_BITS
BUCKET_SHIFT = 64 - SEGMENT_BUCKET_BITS
FIELD = slice(SEGMENT_BUCKET_BITS // 8, 8)
"""The bytes of a hash that are the field: those that hold a bit which the bucket does not."""
FIELD_BYTES = FIELD.stop - FIELD.start


def location(user_hash: int) -> tuple[bytes, bytes]:
    """Return (key, field) of the value that holds a user's segments."""
    return redis_keys.segment_bucket(user_hash >> BUCKET_SHIFT), user_hash.to_bytes(8, "big")[FIELD]


def caps_key(user_hash: int) -> bytes:
    """Return the key of a user's frequency-cap records."""
    return redis_keys.caps(user_hash.to_bytes(8, "big"))
