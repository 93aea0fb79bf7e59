"""Which ads have enough people in their audience, as one row of bits.

Config: `audience_size_min`. The sizes come from the keeper of audiences (`segments.sizes`); an audience
that nobody has counted yet may be too small, so its ads wait. Worked out when the sizes change, off the
path of a request.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from bidder.decision.bitrows import BitRow, bit_row_of_mask, words_for
from bidder.decision.dimensions import Ad
from segments.sizes import audience_digest


class Crowds(msgspec.Struct, frozen=True):
    """What every ad's audience is counted under."""

    digests: tuple[str | None, ...]
    """By ad; None where strangers are in the audience too, or there is none."""
    smallest: int


def compile_crowds(ads: Sequence[Ad], smallest: int) -> Crowds:
    """Read the audiences of ads."""
    if not smallest:
        return Crowds((None,) * len(ads), 0)
    # A line item's ads have one audience, and reading it is work.
    of_line_item = {ad.line_item.id: ad.line_item.audience for ad in ads}
    digests = {id_: audience_digest(audience) for id_, audience in of_line_item.items()}
    return Crowds(tuple(digests[ad.line_item.id] for ad in ads), smallest)


def large_enough(crowds: Crowds, counts: Mapping[str, int]) -> BitRow:
    """Return the row of ads whose audience has enough people; counts are by digest."""
    passes = [digest is None or counts.get(digest, 0) >= crowds.smallest for digest in crowds.digests]
    return bit_row_of_mask(np.array(passes, np.bool_), words_for(len(passes)))
