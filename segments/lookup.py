"""The users of a batch of bid requests, from Redis, in one round trip: the hot path of the store.

    lookup = await UserLookup.connect("redis://127.0.0.1:6379/0", timeout_ms=20)
    lookup.fetch(user_hashes, done)            # returns at once

    def done(values, missing):                 # once, when everything is in
        users = unpack_users(values[::2], words, today)
        caps = values[1::2]
        known[list(missing)] = False           # positions of users that nobody could answer for

Problem: a general client spends 12 to 60 microseconds of Python on each command, for connection
pools, futures and retries; a whole bid takes 24. Here a user costs two commands, whose every length is
known beforehand, so both are one template filled by one `%`, and a batch is one write:

    HGET s:<bucket> <rest of the hash>              the segments          (`segments.store`)
    GET  f:{s:<bucket>}<rest of the hash>           the frequency caps    (`pacing.caps`)

On a Cluster a user's two keys are in one slot, a batch is one write to each node that holds some of its
users, and `segments.slot_map` says which. A slot that moved is followed (MOVED, ASK) within the
batch's time. What a node can't answer, because it is gone, or too slow (`segments.node`), or in the
middle of a failover, makes strangers of its users and of nobody else; the engine bids on context there.

    people    a  b  c  d  e                       node 1 <- a c e      node 2 <- b d (time-out)
    values    A  -  C  -  E     missing (1, 3)

The slot map is looked at when a reply or a lost connection hints that it changed, every
LOOKUP_PROBE_SECONDS while a node is out, and now and then anyway.

Measured at batches of 64 users: 0.3 microseconds of Python a key (0.2 to ask, 0.1 to read), and 0.5 to 0.8
with what the sockets cost; a batch of one pays for its two system calls alone. A Cluster of three nodes
costs about half as much again, for each gets a smaller part of the batch.

Rejected: redis-py's pipeline (12 microseconds a command); MGET (reads keys only, and the segments live in
hashes); a Lua script or a transaction (one reply to parse, but it blocks the server, and the keys
live in different slots); a timer for each batch (they share a timeout, so one timer serves the oldest).
"""

from collections.abc import Sequence

import hiredis
import redis

from config.redis_address import RedisAddress, RedisAddressError
from segments.cluster import ClusterNodes
from segments.cluster_batch import ClusterBatch, Found, Tally, Values
from segments.endpoint import Endpoint
from segments.node import Node
from segments.user_commands import REPLIES_A_USER, user_commands
from segments.wire import Fault, Replies

__all__ = ["UserLookup", "Values"]


class UserLookup:
    """The connections to Redis for look-ups, kept up. `tally` counts what did not go straight."""

    def __init__(self, servers: "Node | ClusterNodes", timeout_ms: int) -> None:
        self.tally = Tally()
        self._servers = servers
        self._timeout_s = timeout_ms / 1_000

    @classmethod
    async def connect(cls, url: str, timeout_ms: int) -> "UserLookup":
        """Connect to the URL of `--redis` (`config.redis_address`).

        Raises redis.AuthenticationError when the password is refused or missing and
        redis.ConnectionError for anything else.
        """
        try:
            address = RedisAddress.read(url)
        except RedisAddressError as error:
            raise redis.ConnectionError(f"the Redis URL can't be used: {error}") from None
        endpoints = [Endpoint.from_url(node_url) for node_url in address.urls]
        servers: Node | ClusterNodes
        if address.is_cluster:
            servers = ClusterNodes(endpoints, timeout_ms / 1_000)
        else:
            servers = Node(endpoints[0], timeout_ms / 1_000, lambda: None)
        await servers.open()
        return cls(servers, timeout_ms)

    @property
    def reconnects(self) -> int:
        """Times a connection was made anew."""
        return self._servers.reconnects

    @property
    def nodes_out(self) -> int:
        """How many servers are not asked at the moment: lost, or too slow."""
        nodes = (self._servers,) if isinstance(self._servers, Node) else self._servers.nodes
        return sum(not node.well for node in nodes)

    def fetch(self, user_hashes: Sequence[int], done: Found) -> None:
        """Ask for the segments and caps of these users and return; `done` is called exactly once.

        When all is known beforehand (no connection, a breaker open, too much in flight), or there is
        no user to ask for, `done` is called before `fetch` returns; else later, from the event loop. It
        must not raise.
        """
        servers = self._servers
        if isinstance(servers, ClusterNodes):
            ClusterBatch(servers, user_hashes, self._timeout_s, self.tally, done).send()
            return
        if not user_hashes:
            done([], ())
            return

        def answer(replies: Replies, fault: Fault | None) -> None:
            if fault is None:
                done(replies, ())  # type: ignore[arg-type] # a list of what HGET and GET reply
            else:
                self.tally.faults[fault] += 1
                done(*_without_errors(replies, len(user_hashes)))

        unsent = servers.send(user_commands(user_hashes), REPLIES_A_USER * len(user_hashes), answer)
        if unsent is not None:
            answer((), unsent)

    async def close(self) -> None:
        """Close the connections for good; what waits is answered for nobody."""
        await self._servers.close()


def _without_errors(replies: Replies, users: int) -> tuple[Values, Sequence[int]]:
    """Return the values, and the positions of users who lack one: their two are None."""
    values: Values = list(replies) or [None] * (REPLIES_A_USER * users)
    missing = [
        position
        for position in range(users)
        if not replies
        or isinstance(values[REPLIES_A_USER * position], hiredis.ReplyError)
        or isinstance(values[REPLIES_A_USER * position + 1], hiredis.ReplyError)
    ]
    for position in missing:
        values[REPLIES_A_USER * position] = values[REPLIES_A_USER * position + 1] = None
    return values, missing
