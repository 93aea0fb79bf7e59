"""Which node of a Cluster holds which users: 16,384 slots, and the slot of each bucket of users.

slots = read_slots(reply, "10.0.0.1")           # of CLUSTER SLOTS
slots.address_of(redis_keys.segment_bucket(7))  # ("10.0.0.1", 6379), or None

A user's segments and caps are in one slot (`config.redis_keys`), so a bucket's slot says all. A slot is
CRC-16 (XMODEM) of the key, or of its tag, modulo 16,384 (Redis Cluster specification, "Key
distribution model").
"""

import binascii
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from config import redis_keys
from config.limits import SEGMENT_BUCKET_BITS

SLOTS = 16_384

Address = tuple[str, int]
"""Host and port, as the nodes name them."""


class SlotMap(msgspec.Struct, frozen=True):
    """Who serves what: ranges of slots, first and last, and the address of each one's primary."""

    ranges: tuple[tuple[int, int, Address], ...]

    @property
    def addresses(self) -> set[Address]:
        """Return the nodes that hold any slot."""
        return {address for _, _, address in self.ranges}

    def by_slot(self) -> list[Address | None]:
        """Return the address for every slot; None where nobody serves it."""
        owners: list[Address | None] = [None] * SLOTS
        for first, last, address in self.ranges:
            owners[first : last + 1] = [address] * (last + 1 - first)
        return owners


class Redirect(msgspec.Struct, frozen=True):
    """Where else to ask: `asking` for this one command, otherwise from now on."""

    asking: bool
    address: Address


def read_slots(reply: Sequence[Any], asked_host: str) -> SlotMap:
    """Read the reply of CLUSTER SLOTS; a node that does not know its own host is where it was asked.

    Raises ValueError when it is something else.
    """
    try:
        return SlotMap(
            tuple(
                (int(first), int(last), ((primary[0] or b"").decode() or asked_host, int(primary[1])))
                for first, last, primary, *_ in reply
            )
        )
    except (TypeError, IndexError, AttributeError, ValueError) as error:
        raise ValueError(f"no reply of CLUSTER SLOTS: {error}") from None


def read_redirect(error: str, asked_host: str) -> Redirect | None:
    """Read an error reply such as ``MOVED 3999 10.0.0.2:6379``; None when it is another error."""
    words = error.split()
    if len(words) != 3 or words[0] not in ("MOVED", "ASK"):
        return None
    host, _, port = words[2].rpartition(":")
    if not port.isdigit():
        return None
    return Redirect(words[0] == "ASK", (host or asked_host, int(port)))


def slot_of(key: bytes) -> int:
    """Return the slot of a key that has no tag, or of a tag."""
    return binascii.crc_hqx(key, 0) % SLOTS


@cache
def bucket_slots() -> list[int]:
    """Return the slot of every bucket of users, by its number."""
    return [slot_of(redis_keys.segment_bucket(bucket)) for bucket in range(1 << SEGMENT_BUCKET_BITS)]
