"""Every wall of the load test, by name. What a person may move is an option of the command."""

# What may be asked for.
RATE_MAX = 20_000
"""Requests a second; one Python process does not reach it, so it only stops slips of the finger."""
SECONDS_MAX = 86_400
CONNECTIONS_MAX = 1_024
REPLAY_REQUESTS_MAX = 100_000
"""Lines of a replay file that are kept in memory."""
REPLAY_LINE_BYTES_MAX = 256 * 1024

# Bid requests.
TMAX_DEFAULT_MS = 100
"""For a replayed request that names no deadline."""
ANSWER_SECONDS_MAX = 5.0
"""A bidder silent for this long is given up on, and its connection closed."""
ANSWER_BYTES_MAX = 1024 * 1024
BIDS_PER_ANSWER_MAX = 256
LAUNCHES_PER_TURN_MAX = 32
"""Overdue requests started before the answers get a turn of the event loop."""
STOP_CHECK_SECONDS = 0.25
"""The longest sleep between two looks at the stop signal."""

# Notices.
NOTICE_CONNECTIONS = 64
NOTICE_SECONDS_MAX = 5.0
BILLING_ATTEMPTS_MAX = 3
BILLING_RETRY_SECONDS = 0.3
OPEN_REQUESTS_MAX = 20_000
"""Requests whose notices are still to come; above it sending pauses, and the report shows the lag."""
DRAIN_SECONDS_MAX = 30.0
"""After the last request, notices get this long; what is left then is an error."""

# What is kept.
CAMPAIGNS_MAX = 10_000
PROBLEMS_KEPT_MAX = 20
"""Different faults of answers that are told apart."""
TIMELINE_SECONDS_MAX = SECONDS_MAX

assert BILLING_ATTEMPTS_MAX * (NOTICE_SECONDS_MAX + BILLING_RETRY_SECONDS) < DRAIN_SECONDS_MAX, (
    "a billing notice must be able to use all its attempts before the drain ends"
)
