"""What line items pay, as arrays: prices of events, first guesses of their rates, adjustments.

A line item of a flat price and no adjustments is *plain*: its value is its highest bid, and the kernel
looks no further. For others `bidder.decision.value_kernels` works it out:

    amount × rate, × factors of the person's segments and the postal code, at most the highest bid

Factors for segments are few: a mask of the adjusted segments says in a word or two whether any applies,
and only then the list is walked, in the order it is written in. Those for postal codes may be tens of
thousands: they stand in one table of open addressing, by line item and code together, at most half full,
so that a look-up is one or two reads whatever the size.

    zip_keys      ... | 3 · 2**32 + 17 |  -1  | 0 · 2**32 + 4 | ...      set of factors, number of the code
    zip_factors   ... |      1,250,000 |   0  |       800,000 | ...

Rejected: a row of factors for each line item and code. At 40,000 codes and 100 line items with factors it
takes 32 MB a worker, the table 1.3 MB where they name 400 each.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bidder.decision.dimensions import Ad
from config.compiled import kernel
from config.schema import LineItem
from config.value import EVENTS
from pacing.prediction import prior_billionths

EMPTY_KEY = -1
NOT_ADJUSTED = -1


TERMS = np.dtype(
    [
        ("amount", np.int64),  # billionths for an event
        ("prior", np.int64),  # `pacing.prediction.prior_billionths`
        ("event", np.int32),  # index in `config.value.EVENTS`
        ("segment_set", np.int32),  # the row of its factors for segments; or NOT_ADJUSTED
        ("zip_set", np.int32),  # the number of its factors in the keys; or NOT_ADJUSTED
    ],
    align=True,
)
"""What an ad's line item pays: together, because they are read together, and of one ad in a hundred."""


class Values(NamedTuple):
    """What the kernel reads of prices. A ads, L line items, S words of segments."""

    plain: npt.NDArray[np.bool_]
    """bool[L]."""
    terms: npt.NDArray[np.void]
    """TERMS[A]."""
    segment_masks: npt.NDArray[np.uint64]
    """uint64[R, S]: the adjusted segments of each set."""
    segment_starts: npt.NDArray[np.int64]
    """int64[R + 1]: row r has the entries [r] to [r + 1] of the two below."""
    segments: npt.NDArray[np.int64]
    segment_factors: npt.NDArray[np.int64]
    """Bit indices, and millionths."""
    zip_keys: npt.NDArray[np.int64]
    """int64[a power of two]: see the module."""
    zip_factors: npt.NDArray[np.int64]
    """int64[likewise]: millionths."""


class CompiledValues(NamedTuple):
    """The arrays, and what finds a way into them."""

    arrays: Values
    zip_numbers: Mapping[str, int]
    learns: tuple[bool, ...]
    """By ad: whether its campaign pays for what is predicted, or has a goal of it."""


@kernel
def first_place(key: int, size: int) -> int:
    """Return where the search for a key begins in a table of `size`, a power of two: Fibonacci hashing."""
    return int((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & (size - 1)


def compile_values(
    ads: Sequence[Ad], owners: Sequence[Ad], segment_indices: Mapping[str, int], segment_words: int
) -> CompiledValues:
    """Arrange what line items pay. `owners`: the first ad of each line item, in their order."""
    items = [ad.line_item for ad in owners]
    segment_sets = _numbered([_of_segments(item) for item in items])
    zip_sets = _numbered([_of_zips(item) for item in items])
    zip_numbers: dict[str, int] = {}
    entries = {}
    for factors, number in zip_sets.items():
        for zip_code, factor in factors:
            entries[number << 32 | zip_numbers.setdefault(zip_code, len(zip_numbers))] = factor
    zip_keys, zip_factors = _hashed(entries)
    segments = [(segment_indices[name], int(factor)) for factors in segment_sets for name, factor in factors]
    masks = np.zeros((len(segment_sets), segment_words), np.uint64)
    for row, factors in enumerate(segment_sets):
        for name, _ in factors:
            masks[row, segment_indices[name] // 64] |= np.uint64(1 << segment_indices[name] % 64)
    plain = [
        item.price.event == "impression"
        and item.price.amount == item.cpm_max_micros
        and not item.bid_adjustments.segments
        and not item.bid_adjustments.zips
        for item in items
    ]
    arrays = Values(
        plain=np.array(plain, np.bool_),
        terms=_terms(ads, owners, segment_sets, zip_sets),
        segment_masks=masks,
        segment_starts=np.cumsum([0, *(len(factors) for factors in segment_sets)], dtype=np.int64),
        segments=np.array([segment for segment, _ in segments], np.int64),
        segment_factors=np.array([factor for _, factor in segments], np.int64),
        zip_keys=zip_keys,
        zip_factors=zip_factors,
    )
    learning = {campaign.id: campaign.learns for campaign in (ad.campaign for ad in owners)}
    learns = tuple(learning[ad.campaign.id] for ad in ads)
    return CompiledValues(arrays, zip_numbers, learns)


_Factors = tuple[tuple[str, int], ...]


def _of_segments(item: LineItem) -> _Factors:
    return tuple(item.bid_adjustments.segments.items())


def _of_zips(item: LineItem) -> _Factors:
    return tuple(sorted(item.bid_adjustments.zips.items()))


def _terms(
    ads: Sequence[Ad],
    owners: Sequence[Ad],
    segment_sets: Mapping[_Factors, int],
    zip_sets: Mapping[_Factors, int],
) -> npt.NDArray[np.void]:
    of_line_item = {}
    for ad in owners:
        item = ad.line_item
        of_line_item[ad.campaign.id, item.id] = (
            item.price.amount,
            EVENTS.index(item.price.event),
            segment_sets.get(_of_segments(item), NOT_ADJUSTED),
            zip_sets.get(_of_zips(item), NOT_ADJUSTED),
        )
    terms = np.empty(len(ads), TERMS)
    for row, ad in enumerate(ads):
        amount, event, segment_set, zip_set = of_line_item[ad.campaign.id, ad.line_item.id]
        prior = prior_billionths(ad.line_item, ad.creative.format)
        terms[row] = amount, prior, event, segment_set, zip_set
    return terms


def _numbered(of_items: Sequence[_Factors]) -> dict[_Factors, int]:
    """Number the different sets of factors; line items with the same ones share a number."""
    different = dict.fromkeys(factors for factors in of_items if factors)
    return {factors: number for number, factors in enumerate(different)}


def _hashed(entries: Mapping[int, int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    size = 2
    while size < 2 * len(entries):
        size *= 2
    keys = np.full(size, EMPTY_KEY, np.int64)
    factors = np.zeros(size, np.int64)
    with np.errstate(over="ignore"):
        for key, factor in entries.items():
            place = first_place(key, size)
            while keys[place] != EMPTY_KEY:
                place = (place + 1) & (size - 1)
            keys[place], factors[place] = key, factor
    return keys, factors
