"""What the kernel reads of a config: plain arrays, one row for each ad, line item, campaign or cap."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bidder.decision.dimensions import Ad
from bidder.decision.floors import FloorClass, floor_class
from bidder.decision.gates import compile_gates
from bidder.decision.pods import dedupe_keys
from bidder.decision.targeting_rows import Rows
from bidder.openrtb.notice_token import FORMATS
from config.audience import parse_audience, to_clauses
from config.calendar import flight_bounds_s
from config.schema import Campaign, FrequencyCap, code_of
from pacing.caps import is_capped, limits_of
from pacing.kernels import LIMITS
from segments.expressions import compile_clauses


class Arrays(NamedTuple):
    """A ads, L line items, W and S words of ads and segments, N clauses, K keys, G gates."""

    bits: npt.NDArray[np.uint64]
    """uint64[rows, W]."""
    ad_line_item: npt.NDArray[np.int64]
    """int64[A]."""
    ad_format: npt.NDArray[np.int64]
    """int64[A]: index in `notice_token.FORMATS`."""
    ad_floor_class: npt.NDArray[np.int64]
    """int64[A]: index in `Snapshot.floor_classes`."""
    ad_seconds: npt.NDArray[np.int64]
    """int64[A]: 0 for what has no length."""
    ad_creative: npt.NDArray[np.int64]
    """int64[A]: the same number for the same creative."""
    ad_keys: npt.NDArray[np.int64]
    """int64[A + 1]: ad i has `keys` [i] to [i + 1]: what two ads of a break may not share."""
    keys: npt.NDArray[np.int64]
    """int64[K]: see `bidder.decision.pods`."""
    line_item_campaign: npt.NDArray[np.int64]
    """int64[L]: the row of its campaign in a lease book."""
    line_item_cpm_micros: npt.NDArray[np.int64]
    """int64[L]: the most it bids."""
    line_item_own_budget: npt.NDArray[np.int64]
    """int64[L]: the row, of a lease book, of a line item with a budget of its own; else -1."""
    line_item_clauses: npt.NDArray[np.int64]
    """int64[L + 1]: line item i has clauses [i] to [i + 1]."""
    clauses: npt.NDArray[np.uint64]
    """uint64[N, 2, S]."""
    gates: npt.NDArray[np.uint64]
    """uint64[G, W]: see `bidder.decision.gates`, as for the two below."""
    gate_row: npt.NDArray[np.int32]
    """int32[64 x S]: the row of a segment's gate; -1 for a segment that opens none."""
    ungated: npt.NDArray[np.uint64]
    """uint64[W]."""
    word_cpm_micros: npt.NDArray[np.int64]
    """int64[W]: the price of a word's dearest ad, its first."""
    line_item_caps: npt.NDArray[np.int64]
    """int64[L, 2]: the rows of a line item's cap and its campaign's in the two below; -1 for none."""
    cap_codes: npt.NDArray[np.int64]
    """int64[caps]: the code that impressions are counted under."""
    cap_limits: npt.NDArray[np.int64]
    """int64[caps, LIMITS]: see `pacing.kernels.impressions_left`."""


def compile_arrays(
    ads: Sequence[Ad],
    line_items: Sequence[tuple[str, str]],
    owners: Sequence[Ad],
    campaigns: Sequence[str],
    segment_indices: Mapping[str, int],
    segment_words: int,
    floor_classes: Sequence[FloorClass],
    rows: Rows,
) -> Arrays:
    """Put the ads, which are sorted, into arrays, when every row is in `rows`.

    `owners` are the first ads of the `line_items`, which are pairs of a campaign's id and their own;
    `campaigns` are ids. Raises what `segments.expressions.compile_clauses` raises.
    """
    line_item_index = {key: index for index, key in enumerate(line_items)}
    campaign_index = {id_: index for index, id_ in enumerate(campaigns)}
    caps = _CapRows()
    line_item_caps = [(caps.of_line_item(ad), caps.of_campaign(ad.campaign)) for ad in owners]
    clauses = [
        compile_clauses(to_clauses(node) if node else (), segment_indices, segment_words)
        for node in (parse_audience(ad.line_item.audience) for ad in owners)
    ]
    ad_line_item = np.array([line_item_index[ad.campaign.id, ad.line_item.id] for ad in ads], np.int64)
    gates = compile_gates(clauses, ad_line_item, rows.words, segment_words)
    creative_index = {id_: index for index, id_ in enumerate(dict.fromkeys(ad.creative.id for ad in ads))}
    class_index = {class_: index for index, class_ in enumerate(floor_classes)}
    keys = dedupe_keys(ads)
    return Arrays(
        bits=np.stack(rows.rows),
        ad_line_item=ad_line_item,
        ad_format=np.array([FORMATS.index(ad.creative.format) for ad in ads], np.int64),
        ad_floor_class=np.array([class_index[floor_class(ad.creative)] for ad in ads], np.int64),
        ad_seconds=np.array([ad.creative.duration_seconds or 0 for ad in ads], np.int64),
        ad_creative=np.array([creative_index[ad.creative.id] for ad in ads], np.int64),
        ad_keys=np.cumsum([0, *(len(part) for part in keys)], dtype=np.int64),
        keys=np.array([key for part in keys for key in part], np.int64),
        line_item_campaign=np.array([campaign_index[ad.campaign.id] for ad in owners], np.int64),
        line_item_own_budget=_own_budgets(line_items, owners, len(campaigns)),
        line_item_cpm_micros=np.array([ad.line_item.cpm_max_micros for ad in owners], np.int64),
        line_item_clauses=np.cumsum([0, *(len(part) for part in clauses)], dtype=np.int64),
        clauses=np.concatenate([np.zeros((0, 2, segment_words), np.uint64), *clauses]),
        gates=gates.rows,
        gate_row=gates.row_of_segment,
        ungated=gates.ungated,
        # A config without ads still has a word.
        word_cpm_micros=np.array([ad.line_item.cpm_max_micros for ad in ads[::64]] or [0], np.int64),
        line_item_caps=np.array(line_item_caps, np.int64).reshape(-1, 2),
        cap_codes=np.array(caps.codes, np.int64),
        cap_limits=np.array(caps.limits, np.int64).reshape(-1, LIMITS),
    )


class _CapRows:
    """Collects the caps there are, each once."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.limits: list[tuple[int, ...]] = []
        self._of_campaign: dict[str, int] = {}

    def of_line_item(self, ad: Ad) -> int:
        zone = ad.campaign.time_zone
        start_s = max(
            flight_bounds_s(flight, zone)[0] for flight in (ad.campaign.flight, ad.line_item.flight)
        )
        return self._row(ad.line_item.id, ad.line_item.frequency_cap, start_s)

    def of_campaign(self, campaign: Campaign) -> int:
        if campaign.id not in self._of_campaign:
            start_s, _ = flight_bounds_s(campaign.flight, campaign.time_zone)
            self._of_campaign[campaign.id] = self._row(campaign.id, campaign.frequency_cap, start_s)
        return self._of_campaign[campaign.id]

    def _row(self, id_: str, cap: FrequencyCap, start_s: int) -> int:
        if not is_capped(cap):
            return -1
        self.codes.append(code_of(id_))
        self.limits.append(limits_of(cap, start_s))
        return len(self.codes) - 1


def _own_budgets(
    line_items: Sequence[tuple[str, str]], owners: Sequence[Ad], first_row: int
) -> npt.NDArray[np.int64]:
    rows = np.full(len(line_items), -1, np.int64)
    with_budget = [index for index, ad in enumerate(owners) if ad.line_item.has_budget]
    rows[with_budget] = np.arange(first_row, first_row + len(with_budget))
    return rows
