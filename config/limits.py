"""Every limit of the engine, by name, and the relations between them.

A limit that a person may want to move is a setting (`config.settings`); these are the walls.
"""

# The bid port.
BODY_BYTES_MAX = 256 * 1024
"""A bid request larger than this is answered 413. The largest captured real one is under 20 kB."""
BODY_DEFLATED_BYTES_MAX = BODY_BYTES_MAX
"""A gzip body is inflated no further than this."""
HEADER_BYTES_MAX = 16 * 1024
PATHS_CACHED_MAX = 256
"""Paths whose exchange a worker remembers. A path is at most HEADER_BYTES_MAX long."""
BATCH_REQUESTS_MAX = 512
"""One flush takes on at most this many requests, some 20 ms of work; the rest get a 204 at once."""
ADMISSION_REQUESTS_MIN = 16
"""An overloaded worker still takes on this many requests a flush."""
ADMISSION_LAG_MS_MAX = 15
"""An event loop that is later than this for its timers, twice running, makes a worker take on less."""
HEARTBEAT_MS = 5
"""How often a worker measures its event loop's lag."""
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
AUDIENCE_NAMES_MAX = 1_024
"""Segment names written in one line item's audience, repeats counted."""
ID_CHARS_MAX = 64
"""Exchanges take crid and cid of at most 64 bytes."""

# Config files.
CONFIG_FILES_MAX = 10_000
CONFIG_FILE_BYTES_MAX = 4 * 1024 * 1024
"""One YAML file; some 30,000 line items. A larger advertiser is split in two files."""
CONFIG_NODES_MAX = 500_000
"""Values read from one file with every alias followed, so that aliases of aliases can't explode."""

# Users.
CAP_RECORDS_PER_USER_MAX = 64
USER_ID_CHARS_MAX = 512
"""A longer user id is no id."""
SEGMENT_BUCKET_BITS = 16
"""How many leading bits of a user's hash name the Redis hash that holds the user's segments. Changing
it orphans what is stored: load the audiences again. `segments.store` shows what it means for memory."""
SEGMENT_TTL_DAYS_MAX = 730
"""How long a segment file may keep a cookie in its audiences."""
LOAD_BATCH_ROWS_MAX = 16_384
"""Rows of a segment file, and cookies of a sample, held in memory at once."""
STORE_PIPELINE_COMMANDS_MAX = 4_096
"""Commands a segment load or count sends before it waits for their answers."""

# The look-up connection.
LOOKUP_OWED_REPLIES_MAX = 131_072
"""Replies Redis may owe one look-up connection (two a user); past it a look-up fails at once."""
LOOKUP_CONNECT_SECONDS_MAX = 5
LOOKUP_STALLED_SECONDS_MAX = 5
"""A connection that is owed late replies and stays silent for this long is dropped and made anew."""
LOOKUP_RECONNECT_SECONDS_MAX = 2
"""The longest pause between two attempts to reach a Redis that went away."""
IDENTITY_SOURCES_CACHED_MAX = 1_024
"""Distinct id sources whose prepared digest a process remembers."""

# Money in flight.
NOTICE_TIMEOUT_SECONDS_MAX = 900
RESERVATION_SLOTS = 1_024
"""Seconds in a campaign's ring of reservations."""
LEASE_STALE_SECONDS_MAX = 2.5
"""A worker whose last sync with the ledger began longer ago than this stops bidding. Its leases are
taken back when, besides, its last notices can't come any more (`pacing.ledger`)."""
LEASE_EXCHANGE_SECONDS_MAX = 1.5
"""How long one sync may take. Together with the pause between two it is shorter than the above."""
PLAN_STALE_SECONDS_MAX = 30
"""A worker that has seen no new pacing plan for this long stops bidding."""
WORKER_HEARTBEAT_SECONDS_MAX = 5
"""A worker that has not synced for this long is not counted as ready."""

# Notices.
NOTICE_URL_CHARS_MAX = 2_000
STREAM_ENTRIES_MAX = 1_000_000
"""Each event stream is trimmed to about this many entries."""
NOTICE_BODY_BYTES_MAX = 64 * 1024
"""A notice sent by POST says everything in its URL; a larger body is refused, a smaller one ignored."""
SYNC_URL_CHARS_MAX = 8_000
"""Cookie-sync URLs carry consent strings, which run to kilobytes."""
LOSS_MEMORY_SECONDS_MAX = 3_600
"""A loss notice repeated within this long is known for a repeat."""
CONVERSION_MEMORY_SECONDS_MAX = 30 * 24 * 3_600
"""A conversion repeated within this long is known for a repeat."""
NOTICE_TAKEN_SECONDS_MAX = 2 * 3_600
"""A notice that comes later than this after its bid is taken for a repeat, whatever it says."""
SEEN_SECONDS = NOTICE_TAKEN_SECONDS_MAX + 600
"""How long it is remembered which notices came; the excess allows for clocks that disagree."""
BIDS_PER_MINUTE_MAX = 1 << 22
"""Sequence numbers of one worker's minute: half a byte each in a campaign's bits of that minute."""

assert NOTICE_TIMEOUT_SECONDS_MAX < NOTICE_TAKEN_SECONDS_MAX, "a notice in time must not be refused as old"
_RING_SECONDS = NOTICE_TIMEOUT_SECONDS_MAX + LEASE_STALE_SECONDS_MAX + LEASE_EXCHANGE_SECONDS_MAX
assert _RING_SECONDS < RESERVATION_SLOTS, "a reservation must leave its slot before that comes round again"

# The path of a request, in time.
LOOKUP_TIMEOUT_MS = 20
"""Users not found within this are decided on context alone."""
TIME_LEFT_MS_MIN = 5
"""A request with less time than this, after the exchange's network allowance, gets an immediate 204."""
