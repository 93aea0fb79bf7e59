"""Writers of consent strings, bit by bit as the specifications say, for tests and nobody else."""

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence

ON_2026_03_01 = 17_723_232_000
"""In tenths of a second: the first moment at which TCF 2.3 is due."""
ON_2026_09_01 = 17_882_208_000

Ranges = Sequence[tuple[int, int]]
Restriction = tuple[int, int, Ranges]
"""Purpose, type, vendors."""


def text_of(bits: str) -> str:
    """URL-safe base64 of bits, filled up to whole bytes."""
    padded = bits.ljust(-(-len(bits) // 24) * 24, "0")
    chars = urlsafe_b64encode(int(padded or "0", 2).to_bytes(len(padded) // 8, "big")).decode()
    return chars[: -(-(-(-len(bits) // 8) * 8) // 6)]


def uint(value: int, width: int) -> str:
    bits = f"{value:0{width}b}"
    assert len(bits) == width
    return bits


def flags(ids: Iterable[int], count: int) -> str:
    chosen = set(ids)
    return "".join("1" if id_ in chosen else "0" for id_ in range(1, count + 1))


def bit_field(ids: Sequence[int]) -> str:
    highest = max(ids, default=0)
    return uint(highest, 16) + "0" + flags(ids, highest)


def ranges(pairs: Ranges) -> str:
    entries = [
        "0" + uint(first, 16) if first == last else "1" + uint(first, 16) + uint(last, 16)
        for first, last in pairs
    ]
    return uint(len(pairs), 12) + "".join(entries)


def range_list(pairs: Ranges) -> str:
    return uint(max((last for _, last in pairs), default=0), 16) + "1" + ranges(pairs)


def tc_core(
    *,
    vendors: str,
    legitimate_vendors: str,
    purposes: Iterable[int] = (),
    legitimate_purposes: Iterable[int] = (),
    special_features: Iterable[int] = (),
    restrictions: Sequence[Restriction] = (),
    created: int = ON_2026_09_01,
    updated: int | None = None,
    policy_version: int = 5,
    version: int = 2,
    service_specific: bool = True,
    purpose_one_treatment: bool = False,
) -> str:
    """The bits of a European core segment; `vendors` are the bits of a vendor list."""
    return (
        uint(version, 6)
        + uint(created, 36)
        + uint(created if updated is None else updated, 36)
        + uint(31, 12)
        + uint(2, 12)
        + uint(1, 6)
        + uint(ord("E") - 65, 6)
        + uint(ord("N") - 65, 6)
        + uint(200, 12)
        + uint(policy_version, 6)
        + ("1" if service_specific else "0")
        + "0"
        + flags(special_features, 12)
        + flags(purposes, 24)
        + flags(legitimate_purposes, 24)
        + ("1" if purpose_one_treatment else "0")
        + uint(ord("D") - 65, 6)
        + uint(ord("E") - 65, 6)
        + vendors
        + legitimate_vendors
        + uint(len(restrictions), 12)
        + "".join(uint(purpose, 6) + uint(kind, 2) + ranges(pairs) for purpose, kind, pairs in restrictions)
    )


def disclosed_segment(vendors: Sequence[int]) -> str:
    return text_of(uint(1, 3) + bit_field(vendors))


def tc_string(
    vendors: Sequence[int] = (),
    purposes: Iterable[int] = (),
    *,
    legitimate_vendors: Sequence[int] = (),
    legitimate_purposes: Iterable[int] = (),
    special_features: Iterable[int] = (),
    restrictions: Sequence[Restriction] = (),
    disclosed: Sequence[int] | None = None,
    created: int = ON_2026_09_01,
    version: int = 2,
    service_specific: bool = True,
) -> str:
    """A TC string for Europe. `disclosed` None discloses who has a basis; an empty one leaves it out."""
    core = tc_core(
        vendors=bit_field(vendors),
        legitimate_vendors=bit_field(legitimate_vendors),
        purposes=purposes,
        legitimate_purposes=legitimate_purposes,
        special_features=special_features,
        restrictions=restrictions,
        created=created,
        version=version,
        service_specific=service_specific,
    )
    shown = sorted({*vendors, *legitimate_vendors}) if disclosed is None else disclosed
    return text_of(core) + (f".{disclosed_segment(shown)}" if shown else "")


def canada_string(
    vendors: Sequence[int] = (),
    purposes: Iterable[int] = (),
    *,
    implied_vendors: Sequence[int] = (),
    implied_purposes: Iterable[int] = (),
    special_features: Iterable[int] = (),
    not_allowed: Sequence[tuple[int, Sequence[int]]] = (),
) -> str:
    """A string of TCF Canada 1; `not_allowed` are purposes with the vendors they are forbidden to."""
    return text_of(
        uint(1, 6)
        + uint(ON_2026_09_01, 36) * 2
        + uint(31, 12)
        + uint(2, 12)
        + uint(1, 6)
        + uint(ord("E") - 65, 6)
        + uint(ord("N") - 65, 6)
        + uint(200, 12)
        + uint(2, 6)
        + "0"
        + flags(special_features, 12)
        + flags(purposes, 24)
        + flags(implied_purposes, 24)
        + bit_field(vendors)
        + bit_field(implied_vendors)
        + uint(len(not_allowed), 12)
        + "".join(uint(purpose, 6) + "00" + bit_field(ids) for purpose, ids in not_allowed)
    )


def fibonacci(value: int) -> str:
    numbers = [1, 2]
    while numbers[-1] <= value:
        numbers.append(numbers[-1] + numbers[-2])
    bits = ["0"] * len(numbers)
    for index in range(len(numbers) - 1, -1, -1):
        if numbers[index] <= value:
            value -= numbers[index]
            bits[index] = "1"
    return "".join(bits).rstrip("0") + "1"


def gpp_string(sections: dict[int, str]) -> str:
    """A GPP string of these sections; ids that follow each other become one run."""
    ids = sorted(sections)
    runs: list[list[int]] = []
    for id_ in ids:
        if runs and runs[-1][1] == id_ - 1:
            runs[-1][1] = id_
        else:
            runs.append([id_, id_])
    header, before = uint(3, 6) + uint(1, 6) + uint(len(runs), 12), 0
    for first, last in runs:
        header += "1" if last > first else "0"
        header += fibonacci(first - before)
        if last > first:
            header += fibonacci(last - first)
        before = last
    return "~".join([text_of(header), *(sections[id_] for id_ in ids)])


def us_section(fields: str, version: int = 1) -> str:
    """A core segment of a section of the United States: each digit is a field of two bits."""
    return text_of(uint(version, 6) + "".join(uint(int(digit), 2) for digit in fields))
