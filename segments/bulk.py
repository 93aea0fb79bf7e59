"""The segments of very many users into Redis, over connections of their own.

    async with BulkConnections.to(client) as bulk:
        await bulk.write(hashes, bits, expiry_day)

The users are cut into chunks of BULK_CHUNK_BYTES_MAX of commands. While a node works on one chunk, the
next is packed beside the event loop: on two cores the client and the server each have one. Memory is
two chunks a node, however many users there are.

On a Cluster each node gets the users whose slots it has; the slot map is read when the connections are
opened. What a node refuses because a slot has moved meanwhile goes through redis-py, command by
command, which knows its way.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import hiredis
import numpy as np
import redis
import redis.asyncio
from numpy.typing import NDArray

from config.limits import BULK_CHUNK_BYTES_MAX, BULK_SECONDS_MAX, STORE_PIPELINE_COMMANDS_MAX
from segments.cluster import ask_slots
from segments.endpoint import Endpoint
from segments.location import BUCKET_SHIFT
from segments.resp import Packed, hset_words, pack_hsets, rows_by_command, rows_per_chunk
from segments.slot_map import bucket_slots
from segments.wire import Fault, Wire

_ELSEWHERE = ("MOVED ", "ASK ", "TRYAGAIN")


class BulkConnections:
    """One connection to each primary, open as long as the block in which it is made."""

    def __init__(
        self, client: "redis.asyncio.Redis", wires: Sequence[Wire], owner_of_bucket: NDArray[np.uint16]
    ) -> None:
        self._client = client
        self._wires = wires
        self._owner_of_bucket = owner_of_bucket

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, client: "redis.asyncio.Redis") -> "AsyncIterator[BulkConnections]":
        """Connect to the servers of a client. Raises redis.RedisError."""
        wires: list[Wire] = []
        try:
            yield cls(client, wires, await _connect(client, wires))
        finally:
            for wire in wires:
                wire.abort()
                await wire.lost.wait()

    async def write(self, hashes: NDArray[np.uint64], bits: NDArray[np.uint64], expiry_day: int) -> None:
        """Replace the segments of n users, uint64[n], with uint64[n, W], good to the end of a day.

        Raises redis.RedisError when a node refuses or does not answer; then some may be written.
        """
        if len(self._wires) == 1:
            await self._write_to(self._wires[0], hashes, bits, expiry_day)
            return
        owners = self._owner_of_bucket[hashes >> np.uint64(BUCKET_SHIFT)]
        shares = [np.flatnonzero(owners == node) for node in range(len(self._wires))]
        outcomes = await asyncio.gather(
            *(
                self._write_to(wire, hashes[share], bits[share], expiry_day)
                for wire, share in zip(self._wires, shares, strict=True)
            ),
            # The others finish before the failure of one is told: what was done is then known.
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def call(self, buckets: Sequence[int], commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Run commands, each on the keys of its bucket, and return their replies in order.

        Raises redis.RedisError for the first that fails; then some may have run.
        """
        replies: list[Any] = [None] * len(commands)
        owners = self._owner_of_bucket[np.asarray(buckets, np.int64)]

        async def run_on(node: int, wire: Wire) -> None:
            own = np.flatnonzero(owners == node).tolist()
            for start in range(0, len(own), STORE_PIPELINE_COMMANDS_MAX):
                part = own[start : start + STORE_PIPELINE_COMMANDS_MAX]
                octets = b"".join([hiredis.pack_command(commands[row]) for row in part])
                for row, reply in zip(part, await _ask(wire, octets, len(part)), strict=True):
                    if isinstance(reply, hiredis.ReplyError):
                        _refuse_unless_elsewhere(reply)
                        reply = await self._elsewhere(commands[row])
                    replies[row] = reply

        await asyncio.gather(*(run_on(node, wire) for node, wire in enumerate(self._wires)))
        return replies

    async def _write_to(
        self, wire: Wire, hashes: NDArray[np.uint64], bits: NDArray[np.uint64], expiry_day: int
    ) -> None:
        rows = rows_per_chunk(bits.shape[1], BULK_CHUNK_BYTES_MAX)
        sent: asyncio.Task[None] | None = None
        try:
            for start in range(0, len(hashes), rows):
                part = hashes[start : start + rows], bits[start : start + rows]
                packed = await asyncio.to_thread(pack_hsets, *part, expiry_day)
                if sent is not None:
                    await sent
                sent = asyncio.create_task(self._send(wire, packed, *part, expiry_day))
            if sent is not None:
                await sent
        except BaseException:
            if sent is not None:
                sent.cancel()
            raise

    async def _send(
        self,
        wire: Wire,
        packed: Packed,
        hashes: NDArray[np.uint64],
        bits: NDArray[np.uint64],
        expiry_day: int,
    ) -> None:
        replies = await _ask(wire, packed.octets, packed.commands)
        if not any(isinstance(reply, hiredis.ReplyError) for reply in replies):
            return
        for rows, reply in zip(rows_by_command(packed, hashes), replies, strict=True):
            if not isinstance(reply, hiredis.ReplyError):
                continue
            _refuse_unless_elsewhere(reply)
            await self._elsewhere(hset_words(hashes[rows], bits[rows], expiry_day))

    async def _elsewhere(self, words: Sequence[Any]) -> Any:
        # redis-py looks for the keys of a command by its name as text.
        name = words[0].decode() if isinstance(words[0], bytes) else words[0]
        return await cast(Any, self._client).execute_command(name, *words[1:])


async def _connect(client: "redis.asyncio.Redis", wires: list[Wire]) -> NDArray[np.uint16]:
    """Connect to every primary; return which of the wires holds each bucket, uint16[buckets]."""
    slots = bucket_slots()
    if not isinstance(cast(Any, client), redis.asyncio.RedisCluster):
        wires.append(await Wire.connected(Endpoint.of(client.connection_pool), BULK_SECONDS_MAX))
        return np.zeros(len(slots), np.uint16)
    cluster = cast(Any, client)
    await cluster.initialize()
    seed = Endpoint.of(cluster.get_random_primary_node())
    slot_map = await ask_slots(seed)
    addresses = sorted(slot_map.addresses)
    for address in addresses:
        wire = await Wire.connected(seed.at(*address), BULK_SECONDS_MAX)
        wires.append(wire)
    number = {address: index for index, address in enumerate(addresses)}
    # A slot that nobody serves is asked for at the first node, whose refusal says so.
    owner_of_slot = np.array([number[address] if address else 0 for address in slot_map.by_slot()], np.uint16)
    return owner_of_slot[slots]


async def _ask(wire: Wire, commands: bytes | memoryview, count: int) -> Sequence[Any]:
    if not wire.open:
        raise redis.ConnectionError("the connection to Redis was lost")
    replies, fault = await wire.ask(commands, count)
    if fault is Fault.TIMEOUT:
        raise redis.TimeoutError(f"Redis did not take a batch of users within {BULK_SECONDS_MAX} seconds")
    if fault is Fault.DOWN:
        raise redis.ConnectionError("the connection to Redis was lost in a batch of users")
    return replies


def _refuse_unless_elsewhere(reply: hiredis.ReplyError) -> None:
    """Raise what a node answered, unless it says that another node has the slot."""
    said = str(reply)
    if not said.startswith(_ELSEWHERE):
        raise redis.OutOfMemoryError(said) if said.startswith("OOM") else redis.ResponseError(said)
