"""The Transparency and Consent Framework's string: what one person allows one vendor.

    read_europe("CPx...", vendor_id)        TCF 2.0 to 2.3, also section 2 of a GPP string
    read_canada("BPS...", vendor_id)        TCF Canada 1, section 5 of a GPP string

A string says yes or no to thousands of vendors. We are one of them, so only the bits of one vendor
are looked up, and no list is ever expanded. The layout (IAB Tech Lab, "Consent string and vendor list
formats v2"), bits from the left:

    Europe   Canada
    0        0        version: 2, and 1 in Canada
    6, 42    6, 42    created, last updated: 36 bits each, tenths of a second since 1970
    132      132      policy version, 6 bits
    138      -        service specific: always 1, a string of the old global scope is invalid
    140      139      special features opted in to, 12 bits
    152      151      purposes consented to (Canada: expressly), 24 bits
    176      175      purposes with legitimate interest (Canada: implied consent), 24 bits
    213      199      vendors consented to, a vendor list
    ...               vendors with legitimate interest, a vendor list
    ...               publisher restrictions: a count (12), and for each the purpose (6), the type (2)
                      and whom it is for: ranges in Europe, a vendor list in Canada

    vendor list       highest id (16), 0 and a bit for each vendor, or 1 and ranges
    ranges            a count (12), and for each 0 and an id (16), or 1 and two ids, both included

    after a dot       more segments, told apart by their first three bits. 1 is the vendors that the person
                      was shown ("disclosed"): a vendor list. The others are the publisher's business.

Canada's specification calls its vendor lists Fibonacci ranges, but the IAB's own encoders write them as
above (IABTechLab, iabgpp). What does not end where the text ends is Unreadable, so a string in the
other encoding is a no, not a misunderstanding.

Bounded work: a text is at most TC_STRING_CHARS_MAX characters; all its ranges are at most
TC_STRING_ENTRIES_MAX, each read once; restrictions at most TC_STRING_RESTRICTIONS_MAX; the rest is a fixed
number of steps.
"""

import msgspec

from bidder.openrtb.consent.bits import FILL_BITS_MAX, Unreadable, bit_length, unpack
from config.limits import (
    TC_STRING_CHARS_MAX,
    TC_STRING_ENTRIES_MAX,
    TC_STRING_RESTRICTIONS_MAX,
    TC_STRING_SEGMENTS_MAX,
)

PURPOSES = 24
SPECIAL_FEATURES = 12

_HEAD_BYTES = 27
"""The fields in front of the vendor lists, in one integer."""
_MOMENT, _PURPOSE_BITS, _FEATURE_BITS = (1 << 36) - 1, (1 << PURPOSES) - 1, (1 << SPECIAL_FEATURES) - 1
_DISCLOSED_VENDORS = frozenset("IJKLMNOP")
"""What a segment begins with whose first three bits are 001."""
_COUNT_BITS = 12
"""Early encoders of Canada's string leave out the count of its restrictions, so a text may lack it."""
_SLACK = bytes(5)
"""Zeros behind the text, so that the last fields of a list can be read like the others."""


class TcString(msgspec.Struct, frozen=True, gc=False):
    """What a string says of one vendor. Purposes are sets of bits, purpose p being `purpose_bit(p)`."""

    updated_s: int
    """When it was made or last changed, whichever is later; unix time."""
    special_features: int
    """12 bits, feature 1 the highest."""
    purposes_consent: int
    purposes_legitimate: int
    vendor_consent: bool
    vendor_legitimate: bool
    disclosed: bool | None
    """Whether the person was shown the vendor; None when the string does not say whom it showed."""
    not_allowed: int
    """Purposes that the publisher forbids the vendor."""
    require_consent: int
    """Purposes for which the publisher accepts consent only."""
    require_legitimate: int
    """Purposes for which the publisher accepts legitimate interest only."""


class _Layout(msgspec.Struct, frozen=True):
    version: int
    features: int
    """Where the special features begin; the purposes follow them."""
    vendors: int
    service_specific: int
    """The bit that must be set; 0 for none."""
    restrictions_are_lists: bool


_EUROPE = _Layout(2, features=140, vendors=213, service_specific=138, restrictions_are_lists=False)
_CANADA = _Layout(1, features=139, vendors=199, service_specific=0, restrictions_are_lists=True)


def read_europe(text: str, vendor_id: int) -> TcString:
    """Read a TC string for one vendor; raises Unreadable, also for any version but 2."""
    return _read(text, vendor_id, _EUROPE)


def read_canada(text: str, vendor_id: int) -> TcString:
    """Read TCF Canada's string for one vendor; raises Unreadable, also for any version but 1."""
    return _read(text, vendor_id, _CANADA)


def purpose_bit(purpose: int) -> int:
    """Return the bit of a purpose, 1 to 24: the first from the left is purpose 1."""
    return 1 << (PURPOSES - purpose)


def _read(text: str, vendor_id: int, layout: _Layout) -> TcString:
    if len(text) > TC_STRING_CHARS_MAX:
        raise Unreadable
    core, *others = text.split(".", TC_STRING_SEGMENTS_MAX)
    data = unpack(core)
    if len(data) < _HEAD_BYTES:
        raise Unreadable
    head = int.from_bytes(data[:_HEAD_BYTES], "big")
    end = _HEAD_BYTES * 8
    if head >> (end - 6) != layout.version or not (
        layout.service_specific == 0 or head >> (end - 1 - layout.service_specific) & 1
    ):
        raise Unreadable
    lists = _Lists(data, bit_length(core), layout.vendors, vendor_id, TC_STRING_ENTRIES_MAX)
    vendor_consent = lists.vendor_list()
    vendor_legitimate = lists.vendor_list()
    restricted = lists.restrictions(layout.restrictions_are_lists)
    lists.must_have_ended()
    features_end = layout.features + SPECIAL_FEATURES
    return TcString(
        updated_s=max(head >> (end - 42) & _MOMENT, head >> (end - 78) & _MOMENT) // 10,
        special_features=head >> (end - features_end) & _FEATURE_BITS,
        purposes_consent=head >> (end - features_end - PURPOSES) & _PURPOSE_BITS,
        purposes_legitimate=head >> (end - features_end - 2 * PURPOSES) & _PURPOSE_BITS,
        vendor_consent=vendor_consent,
        vendor_legitimate=vendor_legitimate,
        disclosed=_disclosed(others, vendor_id, lists.entries_left) if others else None,
        not_allowed=restricted[0],
        require_consent=restricted[1],
        require_legitimate=restricted[2],
    )


def _disclosed(segments: list[str], vendor_id: int, entries_max: int) -> bool | None:
    disclosed: bool | None = None
    for segment in segments:
        if segment[:1] not in _DISCLOSED_VENDORS:
            continue
        if disclosed is not None:
            raise Unreadable
        lists = _Lists(unpack(segment), bit_length(segment), 3, vendor_id, entries_max)
        disclosed = lists.vendor_list()
        lists.must_have_ended()
    return disclosed


class _Lists:
    """Reads the lists of one segment, one after the other, for one vendor.

    Reading past the end gives zeros; each list looks where it has ended before its answer is used.
    """

    def __init__(self, data: bytes, end: int, start: int, vendor_id: int, entries_max: int) -> None:
        self._data = data + _SLACK
        self._end = end
        self._position = start
        self._vendor_id = vendor_id
        self.entries_left = entries_max

    def vendor_list(self) -> bool:
        """Tell whether the vendor is in a list."""
        position, data = self._position, self._data
        first, offset = position >> 3, position & 7
        # The highest id and the flag are 17 bits, so three bytes hold them wherever they begin.
        window = int.from_bytes(data[first : first + 3], "big")
        if window >> (7 - offset) & 1:
            self._position = position + 17
            return self._ranges()
        highest = window >> (8 - offset) & 0xFFFF
        self._position = position + 17 + highest
        if self._position > self._end:
            raise Unreadable
        bit = position + 16 + self._vendor_id
        return self._vendor_id <= highest and bool(data[bit >> 3] >> (7 - (bit & 7)) & 1)

    def restrictions(self, are_lists: bool) -> list[int]:
        """Return the restricted purposes of the vendor for each of the four types."""
        restricted = [0, 0, 0, 0]
        if self._end - self._position < _COUNT_BITS:
            # Strings of the specification's own examples end here, but for the zeros that fill them up.
            return restricted
        count = self._take(_COUNT_BITS)
        if count > TC_STRING_RESTRICTIONS_MAX:
            raise Unreadable
        for _ in range(count):
            purpose = self._take(6)
            kind = self._take(2)
            concerned = self.vendor_list() if are_lists else self._ranges()
            if concerned and 1 <= purpose <= PURPOSES:
                restricted[kind] |= purpose_bit(purpose)
        return restricted

    def must_have_ended(self) -> None:
        """Raise Unreadable if anything is left but the few zeros that fill up a text."""
        if not 0 <= self._end - self._position <= FILL_BITS_MAX:
            raise Unreadable
        rest = self._data[self._position >> 3 :]
        if int.from_bytes(rest, "big") & ((1 << (len(rest) * 8 - (self._position & 7))) - 1):
            raise Unreadable

    def _ranges(self) -> bool:
        count = self._take(_COUNT_BITS)
        self.entries_left -= count
        if self.entries_left < 0:
            raise Unreadable
        data, position, vendor_id = self._data, self._position, self._vendor_id
        found = False
        for _ in range(count):
            # An entry of 17 or 33 bits, of which the first byte may lack up to 7: five bytes hold it.
            first, offset = position >> 3, position & 7
            window = int.from_bytes(data[first : first + 5], "big")
            start = end = window >> (23 - offset) & 0xFFFF
            if window >> (39 - offset) & 1:
                end = window >> (7 - offset) & 0xFFFF
                position += 33
            else:
                position += 17
            found = found or start <= vendor_id <= end
        self._position = position
        if position > self._end:
            raise Unreadable
        return found

    def _take(self, width: int) -> int:
        """Return the next bits, at most 17 of them, as a number."""
        first, offset = self._position >> 3, self._position & 7
        self._position += width
        window = int.from_bytes(self._data[first : first + 3], "big")
        return window >> (24 - offset - width) & ((1 << width) - 1)
