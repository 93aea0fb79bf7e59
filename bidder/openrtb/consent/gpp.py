"""The Global Privacy Platform's string: a header that says which sections follow, then the sections.

    gpp = GppString("DBACNYA~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YNN")
    gpp.section(6)      "1YNN"
    gpp.section(7)      None: the string has no such section

The header (IAB Tech Lab, "Global Privacy Platform String"), bits from the left: type 3 and version 1, six
bits each; a count (12); and for each entry 0 and an id, or 1, an id and how many more follow it.
Ids are written as the distance from the one before, in Fibonacci code: ascending Fibonacci numbers
from 1, a bit each, ended by a second 1 in a row. For example 1011 is 1 + 3 = 4.

Of `DBACNYA`: 000011 000001 000000000010 0 011 0 1011 0...: two entries, 2 and 2 + 4 = 6.
"""

from bidder.openrtb.consent.bits import Unreadable, bit_length, number, unpack
from config.limits import GPP_HEADER_CHARS_MAX, GPP_SECTIONS_MAX, GPP_STRING_CHARS_MAX

_TYPE_AND_VERSION = 3 << 6 | 1
_FIBONACCI = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144)


class GppString:
    """The sections of one string by their ids; making it raises Unreadable."""

    def __init__(self, text: str) -> None:
        if len(text) > GPP_STRING_CHARS_MAX:
            raise Unreadable
        header, *self._sections = text.split("~", GPP_SECTIONS_MAX)
        self._runs = _runs(header)

    def section(self, section_id: int) -> str | None:
        """Return a section as it stands, or None; raises Unreadable when the header promises too much."""
        index = 0
        for first, last in self._runs:
            if first <= section_id <= last:
                index += section_id - first
                if index >= len(self._sections):
                    raise Unreadable
                return self._sections[index]
            index += last - first + 1
        return None


def _runs(header: str) -> list[tuple[int, int]]:
    """Return the section ids of a header as (first, last), in order."""
    if len(header) > GPP_HEADER_CHARS_MAX:
        raise Unreadable
    data = unpack(header)
    if number(data, 0, 12) != _TYPE_AND_VERSION:
        raise Unreadable
    count = number(data, 12, 12)
    if count > GPP_SECTIONS_MAX:
        raise Unreadable
    bits = f"{int.from_bytes(data, 'big'):0{len(data) * 8}b}"[: bit_length(header)]
    position, before = 24, 0
    runs = []
    for _ in range(count):
        is_run = bits[position : position + 1] == "1"
        distance, position = _fibonacci(bits, position + 1)
        first = last = before + distance
        if is_run:
            more, position = _fibonacci(bits, position)
            last += more
        runs.append((first, last))
        before = last
    return runs


def _fibonacci(bits: str, start: int) -> tuple[int, int]:
    """Return the number whose code starts there, and where the code ends."""
    end = bits.find("11", start, start + len(_FIBONACCI) + 1)
    if end < 0:
        raise Unreadable
    code = bits[start : end + 1]
    value = sum(value for value, bit in zip(_FIBONACCI, code, strict=False) if bit == "1")
    return value, end + 2
