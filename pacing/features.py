"""What a prediction is told of an impression: a few hashed marks, and the slots of a table they lead to.

A **mark** is a number that stands for one value of one field: of the context (site, device, region ...),
of the hour, or of the ad (campaign, line item, creative). Nothing of it is about a person: no id, no segment,
no address, no postal code. Marks of the context are 24-bit hashes, small enough to travel in a notice's
token, so that an impression, a click and a conversion each say themselves what they were made of, and
nothing needs to be joined.

An **example** is the marks of one impression, in this order:

    region metro site exchange device system slot viewability | hour | campaign line_item creative
    '------------------- CONTEXT_FIELDS ---------------------'

Each example leads to EXAMPLE_SLOTS slots of a table of TABLE_SLOTS weights: one for everything, one for each
mark alone, one for the line item with each of CROSSED, and one for the creative with the site and with the
slot. Learning takes them together (`example_slots`). The bid kernel sums the same slots in parts: those
of marks `alone` are the same for all ads, or for all requests, and are summed once; those of an ad in a
context are what a bid costs (`crossed_sum`). A test holds the two to each other: what is learned is what is
served.

The hour is UTC. Two marks may share a slot: with 2**20 of them, a hundred thousand values meet in one of
ten, and the published experience is that such collisions cost nothing that can be measured
(McMahan et al. 2013).
"""

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.compiled import inlined, kernel

CONTEXT_FIELDS: Final = ("region", "metro", "site", "exchange", "device", "system", "slot", "viewability")
CONTEXT_MARKS: Final = len(CONTEXT_FIELDS)
REGION, METRO, SITE, EXCHANGE, DEVICE, SYSTEM, SLOT, VIEWABILITY = range(CONTEXT_MARKS)
HOUR: Final = CONTEXT_MARKS
CAMPAIGN, LINE_ITEM, CREATIVE = HOUR + 1, HOUR + 2, HOUR + 3
EXAMPLE_MARKS: Final = CREATIVE + 1
MARK_BITS: Final = 24
MARK_BYTES: Final = MARK_BITS // 8
PACKED_BYTES: Final = CONTEXT_MARKS * MARK_BYTES
_CODE_BITS = 32
TABLE_BITS: Final = 20
TABLE_SLOTS: Final = 1 << TABLE_BITS
CROSSED: Final = (REGION, SITE, EXCHANGE, DEVICE, SYSTEM, SLOT)
"""The marks of the context that are crossed with the line item; the hour is besides."""
EXAMPLE_SLOTS: Final = 1 + EXAMPLE_MARKS + len(CROSSED) + 3

_EVERYTHING = (EXAMPLE_MARKS + 1) << _CODE_BITS
_ALONE = 0


def context_mark(field: int, value: str) -> int:
    """Return the mark of a value of CONTEXT_FIELDS[field]; an absent value is an empty string."""
    digest = hashlib.blake2b(value.encode(), digest_size=MARK_BYTES, salt=b"%d" % field).digest()
    return field << MARK_BITS | int.from_bytes(digest, "big")


def ad_mark(field: int, code: int) -> int:
    """Return the mark of a 32-bit code (`config.schema.code_of`); field: CAMPAIGN, LINE_ITEM or CREATIVE."""
    return field << _CODE_BITS | code


@kernel
def hour_mark(now_s: int) -> int:
    """Return the mark of the hour of the day of an epoch second."""
    return HOUR << MARK_BITS | now_s // 3_600 % 24


@inlined
def pack_mark(packed: NDArray[np.uint8], at: int, mark: int) -> None:
    """Write a mark of a context, as a token carries it, to the MARK_BYTES at packed[at]; not its field."""
    packed[at] = mark >> 16 & 0xFF
    packed[at + 1] = mark >> 8 & 0xFF
    packed[at + 2] = mark & 0xFF


def unpack_marks(packed: bytes) -> list[int]:
    """Read CONTEXT_MARKS marks that `pack_mark` wrote, in their order, PACKED_BYTES in all."""
    return [
        field << MARK_BITS | int.from_bytes(packed[MARK_BYTES * field : MARK_BYTES * (field + 1)], "big")
        for field in range(CONTEXT_MARKS)
    ]


@kernel
def table_slot(mark: int, other: int) -> int:
    """Return the slot of two marks together, 0 to TABLE_SLOTS - 1: half of splitmix64's finish of both.

    Most marks are hashes already, and this is done twenty times for a bid.
    """
    x = np.uint64(mark) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(other) * np.uint64(0xD1B54A32D192ED03)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return int(x >> np.uint64(64 - TABLE_BITS))


@kernel
def example_slots(marks: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
    """Write the slots of one example. marks int64[EXAMPLE_MARKS]; slots int64[EXAMPLE_SLOTS], written."""
    slots[0] = table_slot(_EVERYTHING, _ALONE)
    for i in range(EXAMPLE_MARKS):
        slots[1 + i] = table_slot(marks[i], _ALONE)
    for i, crossed in enumerate(CROSSED):
        slots[1 + EXAMPLE_MARKS + i] = table_slot(marks[crossed], marks[LINE_ITEM])
    slots[EXAMPLE_SLOTS - 3] = table_slot(marks[HOUR], marks[LINE_ITEM])
    slots[EXAMPLE_SLOTS - 2] = table_slot(marks[SITE], marks[CREATIVE])
    slots[EXAMPLE_SLOTS - 1] = table_slot(marks[SLOT], marks[CREATIVE])


@inlined
def alone(weights: NDArray[np.int16], mark: int) -> int:
    """Return the weight of a mark alone, in weights int16[TABLE_SLOTS]."""
    return int(weights[table_slot(mark, _ALONE)])


@kernel
def ad_sum(weights: NDArray[np.int16], campaign: int, line_item: int, creative: int) -> int:
    """Return the part of a score that is the same for all requests, from the marks of an ad."""
    total = int(weights[table_slot(_EVERYTHING, _ALONE)])
    return total + alone(weights, campaign) + alone(weights, line_item) + alone(weights, creative)


@inlined
def crossed_sum(
    weights: NDArray[np.int16],
    region: int,
    site: int,
    exchange: int,
    device: int,
    system: int,
    slot: int,
    hour: int,
    line_item: int,
    creative: int,
) -> int:
    """Return the part of a score that is of this ad in this context, from the marks of both."""
    total = int(weights[table_slot(region, line_item)])
    total += int(weights[table_slot(site, line_item)])
    total += int(weights[table_slot(exchange, line_item)])
    total += int(weights[table_slot(device, line_item)])
    total += int(weights[table_slot(system, line_item)])
    total += int(weights[table_slot(slot, line_item)])
    total += int(weights[table_slot(hour, line_item)])
    total += int(weights[table_slot(site, creative)])
    return total + int(weights[table_slot(slot, creative)])
