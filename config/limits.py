"""Every limit of the engine, by name, and the relations between them.

A limit that a person may want to move is a setting (`config.settings`); these are the walls.
"""

# The bid port.
BODY_BYTES_MAX = 256 * 1024
"""A bid request larger than this is answered 413. The largest captured real one is under 20 kB."""
BODY_DEFLATED_BYTES_MAX = BODY_BYTES_MAX
"""A gzip body is inflated no further than this."""
HEADER_BYTES_MAX = 16 * 1024
BATCH_REQUESTS_MAX = 256
"""One flush decides at most this many requests; the rest go into the next batch of the same tick."""
IMPS_PER_REQUEST_MAX = 64
"""Impressions past this many in one request are not looked at."""
DEALS_PER_IMP_MAX = 64
PIPELINED_REQUESTS_MAX = 64
"""Unanswered requests on one connection before reading from it pauses."""
IDLE_SECONDS_MAX = 300
"""A bid connection without a request for this long is closed; exchanges ask for at least 150."""
BLOCKS_PER_REQUEST_MAX = 4_096
"""Entries of each of bcat, badv and the seat lists that are read."""
MEDIA_SHAPES_CACHED_MAX = 4_096
"""Distinct media objects whose fitting ads a worker remembers."""

# Campaigns.
LINE_ITEMS_MAX = 100_000
CREATIVES_PER_LINE_ITEM_MAX = 64
SEGMENTS_MAX = 4_096
AUDIENCE_CLAUSES_MAX = 64
"""Clauses of one line item's compiled audience expression."""
AUDIENCE_DEPTH_MAX = 32
ID_CHARS_MAX = 64
"""Exchanges take crid and cid of at most 64 bytes."""

# Users.
CAP_RECORDS_PER_USER_MAX = 64
USER_ID_CHARS_MAX = 512
"""A longer user id is no id."""

# Money in flight.
NOTICE_TIMEOUT_SECONDS_MAX = 900
RESERVATION_SLOTS = 1_024
"""Seconds in a campaign's ring of reservations."""
SYNC_STALE_SECONDS_MAX = 30
"""A worker that has not heard from the ledger for this long stops bidding."""
WORKER_HEARTBEAT_SECONDS_MAX = 5
"""A worker silent for this long, plus the longest notice timeout, has its leases reaped."""

# Notices.
NOTICE_URL_CHARS_MAX = 2_000
STREAM_ENTRIES_MAX = 1_000_000
"""Each event stream is trimmed to about this many entries."""

assert NOTICE_TIMEOUT_SECONDS_MAX + SYNC_STALE_SECONDS_MAX < RESERVATION_SLOTS, (
    "a reservation must leave the ring before its slot comes round again"
)
