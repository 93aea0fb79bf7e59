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
ADMISSION_LAG_MS_MAX = 10
"""An event loop that is later than this for its timers, twice running, makes a worker take on less."""
HEARTBEAT_MS = 5
"""How often a worker measures its event loop's lag."""
IMPS_PER_REQUEST_MAX = 64
"""Impressions past this many in one request are not looked at."""
DEALS_PER_IMP_MAX = 64
PIPELINED_REQUESTS_MAX = 64
"""Unanswered requests on one connection before reading from it pauses."""
IDLE_SECONDS_MAX = 300
"""A connection of any port whose latest request began this long ago is closed, read or unread, whole or not;
exchanges ask for at least 150."""
BID_CONNECTIONS_MAX = 8_192
"""Connections of one worker; one more is closed at once. Exchanges keep some hundreds open to a host."""
EVENTS_CONNECTIONS_MAX = 8_192
"""Likewise of the events process, whose callers come through a proxy that keeps connections open."""
ADMIN_CONNECTIONS_MAX = 256
BLOCKS_PER_REQUEST_MAX = 4_096
"""Entries of each of bcat, badv and the seat lists that are read."""
MEDIA_SHAPES_CACHED_MAX = 4_096
"""Distinct media objects a worker remembers, and so many rows of the ads that fit them."""
MATCH_ROWS_BYTES_MAX = 64 * 1024 * 1024
"""Memory of each kind of such rows; of 100,000 ads a row takes 12.5 kB."""
CONTEXTS_CACHED_MAX = 16_384
"""Combinations of exchange, device, system and site or app whose rows a worker remembers."""
PLACES_CACHED_MAX = 16_384
"""Combinations of exchange, country, region, metro and postal code likewise."""
PART_BYTES_CACHED_MAX = 8 * 1024
"""A larger media object, deal list or block list is read anew each time."""

BIDS_PER_RESPONSE_MAX = 64
"""Bids in one response, where a profile does not say less (`bids_max`)."""
BIDS_PER_IMP_MAX = 16
"""The most bids on one imp that a profile can allow (`bids_per_imp_max`)."""

USER_AGENTS_CACHED_MAX = 16_384
CHAINS_CACHED_MAX = 4_096
"""Distinct user agents and supply chains of which a worker remembers what it thinks."""
POLITICAL_PLACES_CACHED_MAX = 4_096
"""Places whose political rules a worker remembers."""

# Consent strings. A hostile one costs no more than these allow: some tenths of a millisecond.
TC_STRING_CHARS_MAX = 4_096
"""A TC string, of TCF Europe or Canada. One that lists 1,500 vendors three times takes under 1,000."""
TC_STRING_SEGMENTS_MAX = 8
TC_STRING_ENTRIES_MAX = 512
"""Ranges of a TC string, in all its lists. A list of more than 90 is shorter as bits."""
TC_STRING_RESTRICTIONS_MAX = 72
"""A restriction of each type for each of the 24 purposes."""
GPP_STRING_CHARS_MAX = 6_144
GPP_HEADER_CHARS_MAX = 64
"""The section ids of a GPP string; all that exist take 12 characters or fewer."""
GPP_SECTIONS_MAX = 32
"""Sections of a GPP string, and entries of `gpp_sid`, that are looked at."""
CONSENT_ANSWERS_CACHED_MAX = 2_048
"""Distinct privacy signals whose permissions a process remembers: at worst some 20 MB of strings."""

# Campaigns.
LINE_ITEMS_MAX = 100_000
CREATIVES_PER_LINE_ITEM_MAX = 64
SEGMENTS_MAX = 4_096
AUDIENCE_CLAUSES_MAX = 64
"""Clauses of one line item's compiled audience expression."""
AUDIENCE_DEPTH_MAX = 32
AUDIENCE_NAMES_MAX = 1_024
"""Segment names written in one line item's audience, repeats counted."""
EVENT_PRICE_MAX = 1_000_000 * 1_000_000_000
"""The most a click, conversion or completed view may pay: a million currency units, in billionths."""
ADJUSTMENT_MIN_MILLIONTHS, ADJUSTMENT_MAX_MILLIONTHS = 100_000, 10_000_000
"""A bid adjustment, and all of one impression together, multiply a value by 0.1 to 10."""
CALIBRATION_CELLS_MAX = 4_096
"""Campaigns on exchanges whose predictions are calibrated apart; 3 kB each in the trainer."""
SEGMENT_ADJUSTMENTS_MAX = 64
"""Segments that one line item may adjust its bid for."""
ZIP_ADJUSTMENTS_MAX = 45_000
"""Postal codes likewise; the United States have some 41,700."""
ZIP_ADJUSTMENTS_IN_ALL_MAX = 1_000_000
"""Postal codes of all line items whose adjustments differ; 24 bytes each in every worker."""
HTML_CHARS_MAX = 32 * 1024
"""A creative's own HTML; it travels in every bid."""
ID_CHARS_MAX = 64
"""Exchanges take crid and cid of at most 64 bytes."""
DOMAIN_CHARS_MAX = 128
"""Index Exchange takes an adomain of at most 128 characters (kb.indexexchange.com, DSP fields)."""
DISCLAIMER_CHARS_MAX = 500
DSA_NAME_CHARS_MAX = 100
"""`behalf` and `paid` of a bid's DSA object (IAB OpenRTB extension, dsa_transparency)."""

# Config files.
CONFIG_FILES_MAX = 10_000
CONFIG_FILE_BYTES_MAX = 4 * 1024 * 1024
"""One YAML file; some 30,000 line items. A larger advertiser is split in two files."""
BUNDLES_KEPT_MAX = 30
"""Bundles that can be gone back to, the live one among them. One of 1,000 line items takes some 50 kB."""
BUNDLE_BYTES_MAX = 256 * 1024 * 1024
"""A bundle from the history is inflated no further than this."""
REFUSED_EDIT_SECONDS_MAX = 60
"""The record of a refused edit that nobody renews is then out of date."""
TEMPLATE_COPIES_MAX = 10_000
"""Line items that one template may become in one place."""
FLOOR_DAYS = 7
"""How long it is remembered which floors exchanges asked."""
YAML_DEPTH_MAX = 100
"""Lists and mappings inside one another in one file."""
CONFIG_NODES_MAX = 500_000
"""Values read from one file with every alias followed, so that aliases of aliases can't explode."""

# Users.
CAP_ROWS_PER_USER_MAX = 128
"""Rows of 12 bytes that one person's frequency-cap records take; one with a week or a flight takes two."""
CAP_FLIGHT_DAYS_MAX = 400
"""A cap on the flight remembers somebody who has seen nothing for this long no more."""
CAP_FLIGHT_SPARE_DAYS = 31
"""It remembers so long after the flight's end as well, in case the flight is extended."""
CAP_COUNT_MAX = 255
"""Impressions a cap on the hour or the day may allow: what a byte counts to."""
CAP_LONG_COUNT_MAX = 10_000
"""Likewise on the week or the flight; two bytes hold it."""
CAP_GAP_MINUTES_MAX = 7 * 24 * 60
PENDING_CAP_BUCKETS = 1 << 16
"""Buckets of eight in a worker's table of bids that frequency caps count (`pacing.pending`): 8 MB."""
USER_ID_CHARS_MAX = 512
"""A longer user id is no id."""
SEGMENT_BUCKET_BITS = 17
"""How many leading bits of a user's hash name the Redis hash that holds the user's segments. Changing
it orphans what is stored: load the audiences again. `segments.store` shows what it means for memory."""
SEGMENT_TTL_DAYS_MAX = 730
"""How long a segment file may keep a cookie in its audiences."""
RULE_DAYS_PER_USER_MAX = 256
"""Segments with a day of their own that one person can be in; those that end first make room."""
RETIRED_SETTLE_SECONDS = 3_600
"""A sweep frees a retired segment's bit when it begins this long after: a writer whose knowledge of the
registry is older must not write."""
LOAD_BATCH_ROWS_MAX = 262_144
"""Rows of a segment file held in memory at once."""
SEGMENTS_COMPARED_MAX = 40
"""Segments whose overlaps are shown at once."""
SEGMENT_COUNTS_MAX = 400
"""Countings of all segments that are remembered, to see them grow: the latest SEGMENT_COUNTS_RECENT_MAX,
and of the days before them the last of each. With 200 segments they take 2 MB of Redis."""
SEGMENT_COUNTS_RECENT_MAX = 35
ESTIMATE_COOKIES = 200_000
"""Cookies that an estimate looks at, a quarter of a second's work; where there are fewer it is exact."""
ESTIMATE_PILOT_BUCKETS = 512
"""Buckets that every estimate looks at: enough to know how they differ."""
INBOX_ENTRIES_MAX = 100_000
"""Entries that may wait in one advertiser's inbox; the oldest of more are dropped."""
INBOX_BYTES_MAX = 32 * 1024 * 1024
"""Memory that one advertiser's inbox may take in Redis; the older half of a larger one is dropped, until it
fits."""
INBOX_ENTRY_USERS_MAX = 1_000
"""People that one entry of an inbox may change."""
INBOX_ENTRY_BYTES_MAX = 1024 * 1024
"""One entry; with 1,000 people in 40 segments each it has some 600 kB."""
INBOX_TURN_ENTRIES_MAX = 100
"""Entries that are applied of one inbox before the next has its turn: three seconds' work, if each changes
1,000 people."""
INBOX_FAULTS_MAX = 10_000
"""Refusals that are kept for an advertiser to read."""
INBOX_WAIT_SECONDS_MAX = 120
"""How long a loader waits for its inbox to be emptied."""
LOAD_LINE_BYTES_MAX = 1 << 20
"""One line of a segment file."""
LOAD_FILES_MAX = 10_000
"""Files of one folder that is loaded."""
STORE_PIPELINE_COMMANDS_MAX = 4_096
"""Commands a segment count or sweep sends before it waits for their answers."""
BULK_CHUNK_BYTES_MAX = 4 * 1024 * 1024
"""Commands of a segment load that are sent together; two such chunks a node are in memory."""
BULK_SECONDS_MAX = 30
"""A Redis that takes longer over one chunk counts as gone."""

# The look-up connections.
LOOKUP_OWED_REPLIES_MAX = 131_072
"""Replies Redis may owe one look-up connection (two a user); past it a look-up fails at once."""
LOOKUP_BREAKER_TIMEOUTS = 4
"""Look-ups in a row that a server did not answer in time. Then nothing is asked of it but whether it is
well again: whoever it would know is a stranger at once, not after the time-out."""
LOOKUP_PROBE_SECONDS = 0.1
"""Between two such questions, and between two looks at a Cluster's slot map while a node is out."""
LOOKUP_CONNECT_SECONDS_MAX = 5
"""For the first connection, when the engine starts."""
LOOKUP_RECONNECT_SECONDS_MAX = 0.75
"""An attempt to reach a Redis that went away may take this long."""
LOOKUP_RECONNECT_PAUSE_SECONDS_MAX = 0.2
"""The longest pause before the next attempt."""
LOOKUP_STALLED_SECONDS_MAX = 1
"""A connection that is owed late replies and stays silent for this long is dropped and made anew."""
LOOKUP_RECOVERY_SECONDS_MAX = 1
"""From a Redis being well again to look-ups using it."""
CLUSTER_MAP_SECONDS_MAX = 10
"""The slot map of a Cluster is looked at this often when nothing hints at a change."""
CLUSTER_REDIRECTS_MAX = 3
"""How often one look-up follows a slot that moved."""
CLUSTER_NODES_MAX = 1_000
"""Nodes of a Cluster that are kept connected; Redis advises no more."""

assert LOOKUP_RECONNECT_SECONDS_MAX + LOOKUP_RECONNECT_PAUSE_SECONDS_MAX < LOOKUP_RECOVERY_SECONDS_MAX
assert LOOKUP_PROBE_SECONDS < LOOKUP_RECOVERY_SECONDS_MAX
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
SHORT_SECONDS = 3
"""An account that a worker called short counts as short for so long."""
SHORT_ACCOUNTS_MAX = 1_000
"""Accounts that are called short at a time; of more, the ones called last."""
PLAN_STALE_SECONDS_MAX = 30
"""A worker that has seen no new pacing plan for this long stops bidding; one that starts and finds a
plan older than this does not begin."""
TRAFFIC_REPORT_SECONDS = 15
"""How often a worker reports how much traffic its campaigns matched."""
TRAFFIC_COUNTS_SECONDS = 2 * 86_400
"""How long an hour's counts wait for a controller to learn from them. Some 20 bytes a campaign and hour."""
STOP_SECONDS_MAX = 1
"""From `hustings budget stop` to the last bid of a worker that reaches Redis."""
WORKER_HEARTBEAT_SECONDS_MAX = 5
"""A worker that has not synced for this long is not counted as ready."""
LINE_ITEM_BUDGETS_MAX = 10_000
"""Line items with a budget of their own. Each takes 8 kB of every worker's memory, as a campaign does."""
ADJUSTMENTS_PER_CAMPAIGN_MAX = 100_000
"""Corrections of what a campaign has spent that are remembered, so that none is made twice."""
ADJUSTMENT_REASON_CHARS_MAX = 500

# What campaigns delivered.
DELIVERED_SECONDS = 400 * 86_400
"""How long a day's sums are kept, and a campaign's reach after its last impression. A day takes some 700
bytes and 130 for each line item that bid; reach 12 kB for the campaign and each line item."""
DELIVERED_HOURS_SECONDS = 62 * 86_400
"""Likewise the sums of a day's hours, some 7 kB a day."""
FREQUENCY_SAMPLE_PEOPLE = 256
"""People of a campaign whose impressions are counted one by one, to see how frequencies are distributed.
With so many a share of one half is told to within 6 points."""
DELIVERY_CALLS_PER_TICK_MAX = 64
"""Line items whose bids a worker reports at a time; the others wait for the next half second."""

# Notices.
NOTICE_URL_CHARS_MAX = 2_000
STREAM_ENTRIES_MAX = 1_000_000
"""Each event stream is trimmed to about this many entries."""
CHANGES_MAX = 100_000
"""Changes of budgets, pauses and flights that are remembered."""
CHANGE_TEXT_CHARS_MAX = 500
"""A name, a reason or a value in the log of changes is cut there."""
BILLS_PAGE_ENTRIES = 2_000
"""Bills that are read from a stream at a time."""
REPORT_BYTES_MAX = 256 * 1024 * 1024
REPORT_ROWS_MAX = 1_000_000
"""Rows of an exchange's report that is compared."""
NOTICE_BODY_BYTES_MAX = 64 * 1024
"""A notice sent by POST says everything in its URL; a larger body is refused, a smaller one ignored."""
SYNC_URL_CHARS_MAX = 8_000
"""Cookie-sync URLs carry consent strings, which run to kilobytes."""
SYNC_REDIRECT_FIELDS_MAX = 64
"""Query fields of the address a sync is asked to redirect to."""
LINK_DAYS_MIN, LINK_DAYS_MAX = 14, 60
"""How long a partner's id stays linked to ours: the life of a sync (OpenRTB 2.6, appendix C)."""
LINKS_PER_PERSON_MAX = 64
"""Partners' ids that are one person; a newer one takes the place of the oldest."""
LINK_MEMORY_SECONDS = 30
"""A worker asks again after at most twice this who a partner's id is."""
LINK_MEMORY_IDS_MAX = 1 << 18
"""Partners' ids a worker remembers, found or not; some 30 MB."""
LOSS_MEMORY_SECONDS_MAX = 3_600
"""A loss notice repeated within this long is known for a repeat."""
CONVERSION_MEMORY_SECONDS_MAX = 30 * 24 * 3_600
"""A conversion repeated within this long is known for a repeat."""
NOTICE_TAKEN_SECONDS_MAX = 2 * 3_600
"""A notice that comes later than this after its bid is taken for a repeat, whatever it says."""
NOTICE_KEYS_MAX = 16
"""Keys whose tokens are accepted at one time: four bits of a token say which."""
NOTICE_KEY_SECONDS_MAX = CONVERSION_MEMORY_SECONDS_MAX + 86_400
"""How long after its last token a key is kept: conversions are the last to come."""
NOTICE_CLOCK_SECONDS_MAX = 600
"""How far the clocks of an exchange, of Redis and ours may disagree."""
SEEN_SECONDS = NOTICE_TAKEN_SECONDS_MAX + NOTICE_CLOCK_SECONDS_MAX
"""How long it is remembered which notices came."""
SPOOL_BYTES_MAX = 128 * 1024 * 1024
"""One events process's notices that wait for Redis, some 500,000. Past it they are answered 503."""
SPOOL_RECORD_BYTES_MAX = 4 * 1024
SPOOL_FILES_MAX = 64
"""Events processes that may share one data folder."""
RECENT_SECONDS = 3
"""An events process remembers the notices that Redis took so lately, for a server that loses its newest
writes: those of a second, of two where its disk stalls."""
RECENT_NOTICES_MAX = 50_000
"""... and at most this many of them, some 25 MB."""
SPOOL_SECONDS_MAX = 7 * 86_400
"""A bill that came in time is booked from the spool until so long after its bid."""
MULTIPLIER_MAX = 1_000_000
"""One play on a public screen counts for at most this many impressions."""
BIDS_PER_MINUTE_MAX = 1 << 22
"""Sequence numbers of one worker's minute: half a byte each in a campaign's bits of that minute."""

assert NOTICE_URL_CHARS_MAX < SPOOL_RECORD_BYTES_MAX // 2, "a record has a notice's text in UTF-8"
assert NOTICE_TAKEN_SECONDS_MAX < SPOOL_SECONDS_MAX
assert NOTICE_TIMEOUT_SECONDS_MAX < NOTICE_TAKEN_SECONDS_MAX, "a notice in time must not be refused as old"
_RING_SECONDS = NOTICE_TIMEOUT_SECONDS_MAX + LEASE_STALE_SECONDS_MAX + LEASE_EXCHANGE_SECONDS_MAX
assert _RING_SECONDS < RESERVATION_SLOTS, "a reservation must leave its slot before that comes round again"

# The path of a request, in time.
LOOKUP_TIMEOUT_MS = 20
"""Users not found within this are decided on context alone."""
TIME_LEFT_MS_MIN = 5
"""A request with less time than this, after the exchange's network allowance, gets an immediate 204."""

# What is said on stderr.
LOG_LINES_MAX = 20
"""Lines that one place in the code may write in LOG_WINDOW_SECONDS; the rest are counted."""
LOG_WINDOW_SECONDS = 60
LOG_PLACES_MAX = 1_024
"""Places whose lines are counted."""

# Stopping.
DRAIN_SECONDS_DEFAULT = 1.0
"""A process that stops keeps idle connections open for so long, and answers what was on its way on them."""
DRAIN_SECONDS_MAX = 10.0
"""The longest `--drain-seconds`, and how long what was taken may need besides to be answered."""
