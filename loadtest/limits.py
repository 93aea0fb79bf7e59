"""Every wall of the load test, by name. What a person may move is an option of the command."""

# What may be asked for.
RATE_MAX = 20_000
"""Requests a second; one Python process does not reach it, so it only stops slips of the finger."""
SECONDS_MAX = 86_400
WARM_UP_SECONDS_MAX = 3_600
CONNECTIONS_MAX = 1_024
"""To all targets together."""
TARGETS_MAX = 8
FILES_BESIDE_CONNECTIONS = 64
"""Open files that the process needs for anything else."""
USERS_MAX = 10_000_000
"""Eight bytes each."""
SHAPE_BYTES_MAX = 16 * 1024 * 1024
LANDSCAPE_BYTES_MAX = 16 * 1024 * 1024
LANDSCAPE_BINS_MAX = 100_000
REPLAY_REQUESTS_MAX = 100_000
"""Lines of a replay file that are kept in memory."""
REPLAY_BYTES_MAX = 256 * 1024 * 1024
"""Of these lines together, unpacked."""
REPLAY_LINE_BYTES_MAX = 256 * 1024

# Bid requests.
TMAX_DEFAULT_MS = 100
"""For a replayed request that names no deadline."""
ANSWER_SECONDS_MAX = 5.0
"""A bidder silent for this long is given up on, and its connection closed."""
ANSWER_BYTES_MAX = 1024 * 1024
"""Head included."""
CONNECT_SECONDS_MAX = 5.0
SWEEP_SECONDS = 0.1
"""Between two looks for who has been silent too long; so much later they may be found."""
BIDS_PER_ANSWER_MAX = 256
LAUNCHES_PER_TURN_MAX = 32
"""Overdue requests started before the answers get a turn of the event loop."""
STOP_CHECK_SECONDS = 0.25
"""The longest sleep between two looks at the stop signal."""

# Notices.
NOTICE_CONNECTIONS = 128
"""To each origin that answers name."""
NOTICE_ORIGINS_MAX = 32
NOTICE_SECONDS_MAX = 5.0
"""For a connection to be free, and then again for the answer."""
NOTICE_DELAY_SECONDS_MAX = 600
BILLING_ATTEMPTS_MAX = 3
BILLING_RETRY_SECONDS = 0.3
OPEN_REQUESTS_MAX = 20_000
"""Requests to one target whose answer or notices are still to come; above it none is sent, and the report
says so."""
DRAIN_SECONDS_MAX = 40.0
"""After the last request, notices get this long, and longer where some are delayed on purpose; what is left
then is an error."""

# The client itself. Beyond any of these it is the bottleneck, and says so.
LATE_MS_MAX = 5.0
"""How late 1 % of the requests may go out, and how long 1 % of the turns of the event loop may take."""
CPU_SHARE_MAX = 0.9
"""Of one core; an event loop cannot use more."""
LOOP_LOOK_SECONDS = 0.02
CPU_LOOK_SECONDS = 1.0

# What is kept.
CAMPAIGNS_MAX = 10_000
PROBLEMS_KEPT_MAX = 20
"""Different faults of answers that are told apart."""
TIMELINE_SECONDS_MAX = SECONDS_MAX

assert BILLING_ATTEMPTS_MAX * (2 * NOTICE_SECONDS_MAX + BILLING_RETRY_SECONDS) < DRAIN_SECONDS_MAX, (
    "a billing notice must be able to use all its attempts before the drain ends"
)
