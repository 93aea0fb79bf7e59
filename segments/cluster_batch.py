"""One batch of users on its way to the nodes of a Cluster that hold them, and back.

    ClusterBatch(cluster, user_hashes, timeout_s, tally, done).send()

Each node gets one write. What comes back is put where it belongs, and `done` is called when the last
node has answered or was given up. A key that a node says is elsewhere (MOVED: for good; ASK: this once,
while its slot is on its way) is asked for there, in the time that is left of the batch's.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import hiredis

from config.limits import CLUSTER_REDIRECTS_MAX
from segments.cluster import ClusterNodes
from segments.location import BUCKET_SHIFT
from segments.node import Node
from segments.slot_map import Redirect, read_redirect
from segments.user_commands import REPLIES_A_USER, one_command, user_commands
from segments.wire import Fault, Replies

Values = list[bytes | None]
Found = Callable[[Values, Sequence[int]], None]
"""Called with [segments, caps, segments, caps, ...] in the order of the users, None for what is absent,
and the positions of the users about whom nothing could be learnt."""

_ASKING = b"*1\r\n$6\r\nASKING\r\n"


class Tally:
    """What did not go straight since the last `take`.

    faults: batches, or a node's part of one, that were not answered for everybody, by what was wrong.
    redirects: keys that were asked for again where a node said they are.
    """

    def __init__(self) -> None:
        self.faults: Counter[Fault] = Counter()
        self.redirects = 0

    def take(self) -> tuple[dict[Fault, int], int]:
        """Return (faults, redirects) and count from nothing again."""
        taken = dict(self.faults), self.redirects
        self.faults.clear()
        self.redirects = 0
        return taken


class ClusterBatch:
    """One look-up of some users."""

    def __init__(
        self,
        cluster: ClusterNodes,
        user_hashes: Sequence[int],
        timeout_s: float,
        tally: Tally,
        done: Found,
    ) -> None:
        self._cluster = cluster
        self._user_hashes = user_hashes
        self._tally = tally
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._deadline_s = self._loop.time() + timeout_s
        self._expiry: asyncio.TimerHandle | None = None
        self._values: Values = [None] * (REPLIES_A_USER * len(user_hashes))
        self._missing: set[int] = set()
        # By number: the positions of the users in each part that is out. Part 0 is the sending itself.
        self._out: dict[int, Sequence[int]] = {0: ()}
        self._parts = 1
        self._over = False

    def send(self) -> None:
        """Ask every node for its users; `done` is called once, perhaps before this returns."""
        hashes, route = self._user_hashes, self._cluster.route
        positions_at: defaultdict[Node | None, list[int]] = defaultdict(list)
        for position, user_hash in enumerate(hashes):
            positions_at[route[user_hash >> BUCKET_SHIFT]].append(position)
        for node, positions in positions_at.items():
            commands = user_commands([hashes[position] for position in positions])
            part = self._begin(positions)
            answer = partial(self._take, part, node, positions)
            unsent = (
                Fault.DOWN if node is None else node.send(commands, REPLIES_A_USER * len(positions), answer)
            )
            if unsent is not None:
                answer((), unsent)
        self._end(0)

    def _take(
        self, part: int, node: Node | None, positions: Sequence[int], replies: Replies, fault: Fault | None
    ) -> None:
        if self._over:
            return
        if fault is None:
            values = self._values
            for position, segments, caps in zip(positions, replies[::2], replies[1::2], strict=True):
                values[REPLIES_A_USER * position] = segments
                values[REPLIES_A_USER * position + 1] = caps
        elif node is None or not replies:
            self._lose(positions, fault)
        else:
            numbers = [REPLIES_A_USER * position + which for position in positions for which in (0, 1)]
            self._sort_out(node, numbers, replies, 0)
        self._end(part)

    def _sort_out(self, node: Node, numbers: Sequence[int], replies: Replies, hops: int) -> None:
        """Keep the values among replies, by number, and ask again for what is elsewhere."""
        elsewhere: defaultdict[Redirect, list[int]] = defaultdict(list)
        lost = []
        for number, reply in zip(numbers, replies, strict=True):
            if not isinstance(reply, hiredis.ReplyError):
                self._values[number] = reply
                continue
            redirect = read_redirect(str(reply), node.endpoint.host)
            if redirect is not None and hops < CLUSTER_REDIRECTS_MAX:
                elsewhere[redirect].append(number)
            else:
                lost.append(number // REPLIES_A_USER)
        if lost:
            self._lose(lost, Fault.ERROR)
            self._cluster.hint()
        for redirect, moved in elsewhere.items():
            self._ask_again(redirect, moved, hops + 1)

    def _ask_again(self, redirect: Redirect, numbers: Sequence[int], hops: int) -> None:
        self._tally.redirects += len(numbers)
        if not redirect.asking:
            self._cluster.hint()
        if self._expiry is None:
            self._expiry = self._loop.call_at(self._deadline_s, self._expire)
        node = self._cluster.named(redirect.address)
        prefix = _ASKING if redirect.asking else b""
        commands = b"".join(
            prefix + one_command(self._user_hashes[number // REPLIES_A_USER], number % REPLIES_A_USER)
            for number in numbers
        )
        part = self._begin([number // REPLIES_A_USER for number in numbers])
        answer = partial(self._take_again, part, node, numbers, redirect.asking, hops)
        unsent = node.send(commands, len(numbers) * (1 + redirect.asking), answer) if node else Fault.DOWN
        if unsent is not None:
            answer((), unsent)

    def _take_again(
        self,
        part: int,
        node: Node | None,
        numbers: Sequence[int],
        asking: bool,
        hops: int,
        replies: Replies,
        fault: Fault | None,
    ) -> None:
        if self._over:
            return
        if node is None or not replies:
            self._lose(self._out[part], fault or Fault.DOWN)
        else:
            self._sort_out(node, numbers, replies[1::2] if asking else replies, hops)
        self._end(part)

    def _begin(self, positions: Sequence[int]) -> int:
        part = self._parts
        self._parts += 1
        self._out[part] = positions
        return part

    def _end(self, part: int) -> None:
        del self._out[part]
        if not self._out:
            self._finish()

    def _lose(self, positions: Sequence[int], fault: Fault) -> None:
        self._tally.faults[fault] += 1
        self._missing.update(positions)

    def _expire(self) -> None:
        for positions in self._out.values():
            self._lose(positions, Fault.TIMEOUT)
        self._finish()

    def _finish(self) -> None:
        self._over = True
        if self._expiry is not None:
            self._expiry.cancel()
        for position in self._missing:
            # Half of what there is to know about a person is not enough to bid on.
            self._values[REPLIES_A_USER * position] = self._values[REPLIES_A_USER * position + 1] = None
        self._done(self._values, sorted(self._missing))
