"""What the privacy signals of the United States say: the US Privacy String, and sections 6 to 27 of GPP.

    us_privacy_objection("1YYN")                    Cause.US_PRIVACY_SALE
    section_objection(7, "BVVVkkkkkpFY.YA")         Cause.GPP_SALE
    section_objection(7, "BAAAAAAAAABA.QA")         None

These laws let a person opt out, so the question is never whether there is consent but whether anything
speaks against. What can't be read speaks against.

US Privacy String (IAB Tech Lab, "U.S. Privacy String" 1.0): `1`, then three of Y, N and - : notice
given, opted out of sale, covered by the service provider agreement.

GPP sections 7 to 27 (IAB Tech Lab, GPP "Sections/US-National", "Sections/US-States"): a version of six
bits, then fields of two bits each, in the order of `_LAYOUTS`, where a letter stands for a field:

    S H T   notice of the right to opt out of sale, of sharing, of targeted advertising; 2: none was given
    s h t   opted out of sale, of sharing, of targeted advertising; 1: opted out
    c       consent for a known child; 1: none
    - d     of no consequence here: other notices, other consents, the agreement between the parties;
            categories of sensitive data (we deal in none; a postcode is no precise location, which by
            these laws is one of under 2,000 feet)

Segments after a dot carry Global Privacy Control (`01`, then a bit) in most sections. Sections 24 to 27
begin with a segment of their own: the section's id and version, six bits each, and then what follows.
"""

import re

import msgspec

from bidder.openrtb.consent.bits import FILL_BITS_MAX, Unreadable, bit_length, number, unpack
from bidder.openrtb.consent.permissions import Cause

US_PRIVACY_SECTION = 6


_VERSION_BITS = 6
_FIELD_BITS = 2
_OBJECTIONS = {
    "s": (1, Cause.GPP_SALE),
    "h": (1, Cause.GPP_SHARING),
    "t": (1, Cause.GPP_TARGETED_ADVERTISING),
    "c": (1, Cause.GPP_CHILD),
    "S": (2, Cause.GPP_NO_NOTICE),
    "H": (2, Cause.GPP_NO_NOTICE),
    "T": (2, Cause.GPP_NO_NOTICE),
}
"""For each field that matters, the value that speaks against, and as what."""


class _Layout(msgspec.Struct, frozen=True):
    bits: int
    """Of the core segment, without what fills it up."""
    low_bits: int
    """The lower bit of every field: no field has a meaning for 3, which is both of its bits."""
    objections: tuple[tuple[int, int, Cause], ...]
    """Where a field stands, counted from the right, and from _OBJECTIONS."""
    has_gpc: bool
    has_header: bool


def _layout(
    fields: str, sensitive: int, rest: str, has_gpc: bool = True, has_header: bool = False
) -> _Layout:
    fields += "d" * sensitive + rest
    shifts = range(_FIELD_BITS * (len(fields) - 1), -1, -_FIELD_BITS)
    return _Layout(
        bits=_VERSION_BITS + _FIELD_BITS * len(fields),
        low_bits=sum(1 << shift for shift in shifts),
        objections=tuple(
            (shift, *_OBJECTIONS[field])
            for shift, field in zip(shifts, fields, strict=True)
            if field in _OBJECTIONS
        ),
        has_gpc=has_gpc,
        has_header=has_header,
    )


_NATIONAL_AT_FIRST = _layout("-SHT--sht", 12, "cc-" + "---")
"""Section 7 until August 2024: shorter, which is how the two are told apart."""
_LAYOUTS = {
    7: _layout("-SHT--sht", 16, "ccc-" + "---"),  # national
    8: _layout("SH-sh", 9, "cc-" + "---"),  # California
    9: _layout("-STst", 8, "c" + "---", has_gpc=False),  # Virginia
    10: _layout("-STst", 7, "c" + "---"),  # Colorado
    11: _layout("-ST-st", 8, "c" + "---", has_gpc=False),  # Utah
    12: _layout("-STst", 8, "ccc" + "---"),  # Connecticut
    13: _layout("-STst", 8, "ccc-" + "---", has_gpc=False),  # Florida
    14: _layout("-STst", 8, "ccc-" + "---"),  # Montana
    15: _layout("-STst", 11, "ccc-" + "---"),  # Oregon
    16: _layout("-STst", 8, "c-" + "---"),  # Texas
    17: _layout("-STst", 9, "ccccc-" + "---"),  # Delaware
    18: _layout("-ST-st", 8, "c" + "---"),  # Iowa
    19: _layout("-STst", 8, "c-" + "---"),  # Nebraska
    20: _layout("-STst", 8, "ccc-" + "---"),  # New Hampshire
    21: _layout("-STst", 10, "ccccc-" + "---"),  # New Jersey
    22: _layout("-STst", 8, "c-" + "---"),  # Tennessee
    23: _layout("-STst", 8, "c-" + "---"),  # Minnesota
    24: _layout("---STst-", 0, "", has_header=True),  # Maryland
    25: _layout("---STstc-", 0, "", has_gpc=False, has_header=True),  # Indiana
    26: _layout("---STstc-", 0, "", has_gpc=False, has_header=True),  # Kentucky
    27: _layout("---STstc-", 0, "", has_gpc=False, has_header=True),  # Rhode Island
}
US_SECTIONS = frozenset(_LAYOUTS)

_VERSION = 1
_NATIONAL_SECOND_VERSION = 2
_SEGMENTS_MAX = 4
_GPC_SEGMENT = 1

_US_PRIVACY = re.compile(r"1[YN-]([YN-])[YN-]", re.IGNORECASE | re.ASCII)


def us_privacy_objection(text: str) -> Cause | None:
    """Return what a US Privacy String says against the use of a person's data."""
    match = _US_PRIVACY.fullmatch(text)
    if match is None:
        return Cause.US_PRIVACY_UNREADABLE
    return Cause.US_PRIVACY_SALE if match[1] in "Yy" else None


def section_objection(section_id: int, text: str) -> Cause | None:
    """Return the first thing that one of US_SECTIONS says against the use of a person's data."""
    try:
        return _section_objection(_LAYOUTS[section_id], section_id, text)
    except Unreadable:
        return Cause.GPP_SECTION_UNREADABLE


def _section_objection(layout: _Layout, section_id: int, text: str) -> Cause | None:
    segments = text.split(".", _SEGMENTS_MAX)
    if layout.has_header:
        header = unpack(segments.pop(0))
        if number(header, 0, 6) != section_id or number(header, 6, 6) != _VERSION or not segments:
            raise Unreadable
    core, *others = segments
    objection = _core_objection(layout, section_id == 7, core)
    if objection is None and layout.has_gpc:
        for segment in others:
            data = unpack(segment)
            if number(data, 0, 2) == _GPC_SEGMENT and number(data, 2, 1):
                return Cause.GPP_GLOBAL_PRIVACY_CONTROL
    return objection


def _core_objection(layout: _Layout, is_national: bool, core: str) -> Cause | None:
    bits = bit_length(core)
    if is_national and bits < layout.bits:
        layout = _NATIONAL_AT_FIRST
    fill = bits - layout.bits
    if not 0 <= fill <= FILL_BITS_MAX:
        raise Unreadable
    data = unpack(core)
    fill += len(data) * 8 - bits
    filled = int.from_bytes(data, "big")
    value = filled >> fill
    version = value >> (layout.bits - _VERSION_BITS)
    # Under a header these bits are the version of the parties' agreement, which is theirs to choose.
    known = layout.has_header or version == _VERSION or (is_national and version == _NATIONAL_SECOND_VERSION)
    if not known or filled & ((1 << fill) - 1) or value & value >> 1 & layout.low_bits:
        raise Unreadable
    for shift, objectionable, cause in layout.objections:
        if value >> shift & 3 == objectionable:
            return cause
    return None
