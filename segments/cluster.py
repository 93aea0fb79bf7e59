"""The nodes of a Cluster, kept connected, and which of them holds which users.

    cluster = ClusterNodes(seeds, timeout_s)
    await cluster.open()
    node = cluster.route[bucket]            # a list, read for every user: None where nobody serves the slot
    node = cluster.named(redirect.address)  # what a MOVED or ASK names; None when it is new to us
    cluster.hint()                          # something says that the map has changed

One task keeps the map. It asks one node after another, at random, so that a node with an old view of
things does no harm for long. A node that the map no longer has is closed, one that is new in it is
connected before users are sent there.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Sequence

import redis

from config.limits import (
    CLUSTER_MAP_SECONDS_MAX,
    CLUSTER_NODES_MAX,
    LOOKUP_CONNECT_SECONDS_MAX,
    LOOKUP_PROBE_SECONDS,
)
from segments.endpoint import Endpoint
from segments.node import Node
from segments.slot_map import Address, SlotMap, bucket_slots, read_slots
from segments.wire import Fault, Wire

_LOG = logging.getLogger(__name__)
_CLUSTER_SLOTS = b"*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n"


class ClusterNodes:
    """All primaries of one Cluster."""

    def __init__(self, seeds: Sequence[Endpoint], timeout_s: float) -> None:
        """`seeds` are nodes to ask for the others; all are entered as the first one is."""
        self.route: list[Node | None] = []
        """For every bucket of users, the node that holds it."""
        self._seeds = seeds
        self._timeout_s = timeout_s
        self._nodes: dict[Address, Node] = {}
        self._map = SlotMap(())
        self._named: set[Address] = set()
        self._reconnects = 0
        self._hinted = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def nodes(self) -> Sequence[Node]:
        return tuple(self._nodes.values())

    @property
    def reconnects(self) -> int:
        """Times a connection was made anew, those to nodes that have gone included."""
        return self._reconnects + sum(node.reconnects for node in self._nodes.values())

    async def open(self) -> None:
        """Learn the map from a seed and connect the nodes. One that is out is tried again and again.

        Raises redis.AuthenticationError, and redis.ConnectionError when no seed answers, what answers
        is no Cluster, or not one of its nodes can be reached.
        """
        slots = await self._first_map()
        nodes = [Node(self._seeds[0].at(*address), self._timeout_s, self.hint) for address in slots.addresses]
        outcomes = await asyncio.gather(*(node.open() for node in nodes), return_exceptions=True)
        faults = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        self._nodes = {(node.endpoint.host, node.endpoint.port): node for node in nodes}
        for node, outcome in zip(nodes, outcomes, strict=True):
            if isinstance(outcome, redis.ConnectionError):
                node.start()
        if len(faults) == len(nodes) or any(isinstance(fault, redis.AuthenticationError) for fault in faults):
            await self.close()
            raise faults[0]
        self._adopt(slots)
        self._keeper = asyncio.get_running_loop().create_task(self._keep_map())

    def hint(self) -> None:
        """Have the map looked at soon."""
        self._hinted.set()

    def named(self, address: Address) -> Node | None:
        """Return the node that a redirect names; one that is new is connected for the next time."""
        self._named.add(address)
        node = self._nodes.get(address)
        if node is None and len(self._nodes) < CLUSTER_NODES_MAX:
            self._add(address)
        return node

    async def close(self) -> None:
        """Close every connection for good."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        for node in self._nodes.values():
            await node.close()

    async def _first_map(self) -> SlotMap:
        fault: redis.ConnectionError | None = None
        for seed in self._seeds:
            try:
                return await ask_slots(seed)
            except redis.ConnectionError as error:
                fault = error
        raise fault or redis.ConnectionError("no node of the Cluster is named")

    async def _keep_map(self) -> None:
        while True:
            all_well = all(node.well for node in self._nodes.values())
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`, which until Python 3.12 may swallow the cancelling of this task.
                async with asyncio.timeout(CLUSTER_MAP_SECONDS_MAX if all_well else LOOKUP_PROBE_SECONDS):
                    await self._hinted.wait()
            self._hinted.clear()
            with contextlib.suppress(redis.ConnectionError, ValueError):
                await self._follow(await self._ask_any())
            await asyncio.sleep(LOOKUP_PROBE_SECONDS)

    async def _ask_any(self) -> SlotMap:
        well = [node for node in self._nodes.values() if node.well]
        if not well:
            # Perhaps all have moved elsewhere, and a name among the seeds leads there.
            return await ask_slots(random.choice(self._seeds))
        node = random.choice(well)
        assert node.wire is not None
        return await _ask(node.wire, node.endpoint)

    async def _follow(self, slots: SlotMap) -> None:
        new = slots.addresses - self._nodes.keys()
        for address in new:
            self._add(address)
        if new:
            # Until they are connected, users stay where a redirect brings them on.
            await asyncio.sleep(LOOKUP_PROBE_SECONDS)
        self._adopt(slots)
        for address in self._nodes.keys() - slots.addresses - self._named:
            node = self._nodes.pop(address)
            self._reconnects += node.reconnects
            await node.close()
        self._named.clear()

    def _adopt(self, slots: SlotMap) -> None:
        # Laying out the route takes a few milliseconds of the loop: only when something changed.
        if slots == self._map:
            return
        owners = [self._nodes[address] if address else None for address in slots.by_slot()]
        self.route = [owners[slot] for slot in bucket_slots()]
        self._map = slots

    def _add(self, address: Address) -> None:
        _LOG.info("the Cluster has a node at %s:%d", *address)
        node = Node(self._seeds[0].at(*address), self._timeout_s, self.hint)
        self._nodes[address] = node
        node.start()


async def ask_slots(seed: Endpoint) -> SlotMap:
    """Ask one node for the slot map, over a connection for the purpose. Raises redis.ConnectionError."""
    wire = await Wire.connected(seed, LOOKUP_CONNECT_SECONDS_MAX)
    try:
        return await _ask(wire, seed)
    finally:
        wire.abort()
        await wire.lost.wait()


async def _ask(wire: Wire, endpoint: Endpoint) -> SlotMap:
    replies, fault = await wire.ask(_CLUSTER_SLOTS, 1)
    if fault is Fault.ERROR:
        raise redis.ConnectionError(
            f"{endpoint} is no node of a Cluster ({wire.error}); name a server of its own with redis://"
        )
    if fault is not None:
        raise redis.ConnectionError(f"{endpoint} did not say which node of the Cluster has which slots")
    slots = read_slots(replies[0], endpoint.host)
    if not slots.ranges or len(slots.addresses) > CLUSTER_NODES_MAX:
        raise redis.ConnectionError(f"the Cluster of {endpoint} has {len(slots.addresses)} nodes with slots")
    return slots
