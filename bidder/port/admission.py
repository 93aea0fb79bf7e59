"""How many requests a worker takes on when more come than it can decide.

Problem: an exchange that is answered late counts a time-out, and sends less; one that is answered 204 at
once counts a no-bid. So whatever can't be decided in time is refused at once, unread. But a queue in
front of the event loop can't be seen: requests wait in the sockets' buffers until the loop comes round.
What can be seen is the loop itself being late for a timer.

    admission = Admission()
    decided, refused = waiting[:admission.requests_max], waiting[admission.requests_max:]
    admission.admitted(len(decided))         # in every flush
    admission.beat(lag_ns)                   # every few milliseconds, by a timer that was lag_ns late

The rule is that of a TCP window (Chiu and Jain 1989), up gently and down steeply: while the loop is on
time the limit grows by an eighth and one; late twice running, it becomes three quarters of the largest
batch since the last beat. Twice, because a single late beat is a stall (a config swap, a busy
neighbour), and its backlog is decided faster than it came. Under twice the load that a worker can
decide, the loop then turns in about ADMISSION_LAG_MS_MAX; once the load is gone the limit is back at
its most within 40 beats.

Rejected: a limit on the time a request has waited (it starts when the request is read, after the
wait); a limit on requests in flight (the right one differs tenfold between machines and configs);
refusing by deadline alone (a queue as long as the deadline makes every answer late).
"""

from config.limits import ADMISSION_LAG_MS_MAX, ADMISSION_REQUESTS_MIN, BATCH_REQUESTS_MAX

_LAG_NS_MAX = ADMISSION_LAG_MS_MAX * 1_000_000


class Admission:
    """The limit on the requests of one flush."""

    def __init__(self) -> None:
        self.requests_max = BATCH_REQUESTS_MAX
        self._largest = 0
        self._was_late = False

    def admitted(self, requests: int) -> None:
        """Note a flush that took on so many requests."""
        if requests > self._largest:
            self._largest = requests

    def beat(self, lag_ns: int) -> None:
        """Set the limit anew, knowing how late the event loop was for a timer."""
        late = lag_ns > _LAG_NS_MAX
        if not late:
            self.requests_max = min(BATCH_REQUESTS_MAX, self.requests_max + self.requests_max // 8 + 1)
        elif self._was_late and self._largest:
            limit = min(self.requests_max, self._largest) * 3 // 4
            self.requests_max = max(ADMISSION_REQUESTS_MIN, limit)
        self._was_late = late
        self._largest = 0
