"""A real Cluster on loopback: the private server's binary, once for each node.

with Cluster.start(tmp_path, primaries=3) as cluster:
    client = redis_client(cluster.url)
    cluster.nodes[0].kill()
"""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis

from config.embedded_server import EmbeddedServer, free_port
from tests.waiting import SECONDS_MAX

SLOTS = 16_384
NODE_TIMEOUT_MS = 2_000
"""After this long without an answer the others call a node failed."""


class Cluster:
    """Primaries that share the slots evenly, and perhaps a replica of each."""

    def __init__(self, nodes: list[EmbeddedServer], primaries: int, password: str) -> None:
        self.nodes = nodes
        """The primaries, then their replicas in the same order."""
        self._primaries = primaries
        self._password = password

    @classmethod
    @contextlib.contextmanager
    def start(cls, folder: Path, primaries: int = 3, replicas: bool = False) -> "Iterator[Cluster]":
        """Start the nodes, introduce them and wait until every slot is served."""
        password = secrets.token_urlsafe(16)
        directives = (
            "cluster-enabled yes",
            f"cluster-node-timeout {NODE_TIMEOUT_MS}",
            # What a dead node held is unreachable; the rest must go on.
            "cluster-require-full-coverage no",
            f"masterauth {password}",
            "repl-diskless-sync-delay 0",
            # A node that has just come back refuses everything for two seconds, but with this it reads.
            "cluster-allow-reads-when-down yes",
            # What a node took is in its file when it is killed: with syncs, a slow one would hold it up.
            "appendfsync no",
        )
        with contextlib.ExitStack() as closing:
            nodes = []
            for number in range(primaries * (1 + replicas)):
                own = (*directives, f"cluster-port {free_port()}")
                server = EmbeddedServer.start(folder / f"node-{number}", password=password, directives=own)
                nodes.append(closing.enter_context(server))
            cluster = cls(nodes, primaries, password)
            cluster._form()
            yield cluster

    @property
    def url(self) -> str:
        """The URL that names every node."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"redis+cluster://:{self._password}@{hosts}"

    def call(self, node: int, *words: str | int | bytes) -> Any:
        """Run one command on one node."""
        with redis.Redis.from_url(self.nodes[node].url) as client:
            return client.execute_command(*words)

    def id_of(self, node: int) -> str:
        """Return the name that the nodes have for one of them."""
        return str(_text(self.call(node, "CLUSTER MYID")))

    def owners(self) -> list[int]:
        """Return which node serves each slot, as node 0 sees it."""
        owners = [-1] * SLOTS
        ports = {node.port: number for number, node in enumerate(self.nodes)}
        for (start, end), port in _ranges(self.call(0, "CLUSTER SLOTS")):
            owners[start : end + 1] = [ports[port]] * (end + 1 - start)
        return owners

    def until_whole(self) -> None:
        """Wait until every node serves and takes writes, after one has come back."""
        self.until(lambda: all(self._serves(node) for node in range(len(self.nodes))))

    def move(self, slot: int, source: int, target: int) -> None:
        """Move a slot with all its keys."""
        self.begin_move(slot, source, target)
        self.move_keys(slot, source, target)
        self.end_move(slot, source, target)

    def begin_move(self, slot: int, source: int, target: int) -> None:
        """Begin to move a slot: what is not at the source any more is asked for at the target."""
        self.call(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        self.call(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))

    def move_keys(self, slot: int, source: int, target: int, count_max: int = 1_000) -> int:
        """Move keys of a slot that is being moved; return how many."""
        keys = self.call(source, "CLUSTER", "GETKEYSINSLOT", slot, count_max)
        if keys:
            with redis.Redis.from_url(self.nodes[source].url) as client:
                options = ("0", "5000", "AUTH", self._password, "KEYS", *keys)
                client.execute_command("MIGRATE", "127.0.0.1", self.nodes[target].port, "", *options)
        return len(keys)

    def end_move(self, slot: int, source: int, target: int) -> None:
        """Give the slot to the target; the others learn it from it."""
        for node in (target, source):
            self.call(node, "CLUSTER", "SETSLOT", slot, "NODE", self.id_of(target))

    def _form(self) -> None:
        share = SLOTS // self._primaries
        for node in range(self._primaries):
            end = SLOTS if node == self._primaries - 1 else share * (node + 1)
            self.call(node, "CLUSTER", "ADDSLOTSRANGE", share * node, end - 1)
            self.call(node, "CLUSTER", "SET-CONFIG-EPOCH", node + 1)
        for server in self.nodes[1:]:
            bus = _directive(server, "cluster-port")
            self.call(0, "CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        count = len(self.nodes)
        self.until(lambda: all(self._knows(node, count) for node in range(count)))
        for replica in range(self._primaries, count):
            self.call(replica, "CLUSTER", "REPLICATE", self.id_of(replica - self._primaries))
        self.until(lambda: all(self._serves(node) for node in range(count)))
        self.until(lambda: all(self._follows(node) for node in range(self._primaries, count)))

    def until(self, condition: Callable[[], bool]) -> None:
        """Ask again and again until something is true of the nodes."""
        deadline_s = time.monotonic() + SECONDS_MAX
        while not condition():
            assert time.monotonic() < deadline_s, "the cluster did not get ready"
            time.sleep(0.02)

    def _knows(self, node: int, count: int) -> bool:
        return f"cluster_known_nodes:{count}" in _words(self.call(node, "CLUSTER INFO"))

    def _serves(self, node: int) -> bool:
        words = _words(self.call(node, "CLUSTER INFO"))
        return "cluster_state:ok" in words and f"cluster_slots_ok:{SLOTS}" in words

    def _follows(self, node: int) -> bool:
        role = self.call(node, "ROLE")
        return [_text(role[0]), _text(role[3])] == ["slave", "connected"]


def _directive(server: EmbeddedServer, name: str) -> str:
    with redis.Redis.from_url(server.url) as client:
        return str(client.config_get(name)[name])


def _words(info: Any) -> list[str]:
    if isinstance(info, dict):
        return [f"{key}:{value}" for key, value in info.items()]
    return str(_text(info)).split()


def _ranges(shown: Any) -> Iterator[tuple[tuple[int, int], int]]:
    if isinstance(shown, dict):
        for ends, who in shown.items():
            yield ends, who["primary"][1]
    else:
        for start, end, primary, *_ in shown:
            yield (start, end), primary[1]


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
