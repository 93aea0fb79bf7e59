"""A whole config as arrays: what every decision between two config changes reads.

The unit is the **ad**, a line item with one of its creatives. Ads are sorted by their line item's
price, dearest first, so the kernel can stop at the first word of bits that can't beat what it has.
Each targeting value is a row of bits, one bit for each ad that accepts it:

    bits                       ad 0  1  2  3 ...
    row 0   nothing                 .  .  .  .
    device = phone                  X  X  .  X      ads that want phones, or want nothing
    device = anything else          .  X  .  X      ads that want nothing
    anywhere                        X  .  .  X      ads that name no place
    region = USA-IA                 .  X  .  .      ads that name Iowa
    category IAB11                  .  .  X  .      ads a request that blocks IAB11 must not get

A candidate is then a handful of row numbers. `compile_snapshot` builds a new one aside when the config
changes; the owner swaps the reference. Nothing here is changed afterwards but `media`, a cache.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from bidder.decision.bitrows import BitRow, bit_row, words_for
from bidder.decision.dimensions import DIMENSIONS, Ad, Dimension, inventory_keys, met_inventory
from bidder.decision.gates import compile_gates
from bidder.decision.media import MediaRows
from bidder.decision.schedule import Schedule, compile_schedule
from bidder.openrtb.notice_token import FORMATS
from config.audience import parse_audience, to_clauses
from config.schema import Bundle, ExchangeProfile, Places, code_of
from segments.expressions import compile_clauses
from segments.expressions import words_for as segment_words_for

NOTHING_ROW = 0
PLACE_KINDS = ("countries", "regions", "metros", "zips")
"""Fields of `config.schema.Places`, in the order of a candidate's place rows."""


class Arrays(NamedTuple):
    """What the kernel reads. A ads, L line items, C campaigns, X exchanges, W and S words of ads and
    segments, N clauses."""

    bits: npt.NDArray[np.uint64]
    """uint64[rows, W]."""
    ad_line_item: npt.NDArray[np.int64]
    """int64[A]."""
    ad_format: npt.NDArray[np.int64]
    """int64[A]: index in `notice_token.FORMATS`."""
    line_item_campaign: npt.NDArray[np.int64]
    line_item_cpm_micros: npt.NDArray[np.int64]
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
    cap_codes: npt.NDArray[np.uint32]
    """uint32[L + C]: line items, then campaigns; likewise the two below."""
    cap_per_day: npt.NDArray[np.int64]
    cap_per_hour: npt.NDArray[np.int64]


class ValueRows(msgspec.Struct, frozen=True):
    """The rows of one dimension."""

    dimension: Dimension
    rows: Mapping[str, int]
    otherwise: int
    """The row of a value that no ad names."""

    def row_of(self, value: str) -> int:
        """Return the row number of an offered value."""
        row = self.rows.get(value)
        if row is None:
            for met in self.dimension.met_by(value):
                if met in self.rows:
                    return self.rows[met]
            return self.otherwise
        return row


class Snapshot(msgspec.Struct, frozen=True):
    """See the module. Row numbers index `arrays.bits`."""

    version: str
    bundle: Bundle
    exchanges: Mapping[str, ExchangeProfile]
    exchange_index: Mapping[str, int]
    ads: tuple[Ad, ...]
    campaign_codes: tuple[int, ...]
    campaign_bid_max_cpm_micros: tuple[int, ...]
    words: int
    segment_words: int
    segment_names: tuple[str, ...]
    """By bit index; an empty string where a bit is not used by this config."""
    arrays: Arrays
    dimensions: tuple[ValueRows, ...]
    deals: Mapping[str, int]
    open_auction_row: int
    anywhere_row: int
    places: tuple[Mapping[str, int], ...]
    """By PLACE_KINDS: value -> row of the ads that name it."""
    excluded_places: tuple[Mapping[str, int], ...]
    excluded_inventory: Mapping[str, int]
    categories: Mapping[str, int]
    advertiser_domains: Mapping[str, int]
    seats: Mapping[str, int]
    media: MediaRows
    schedule: Schedule


class _Rows:
    """Collects rows and hands out their numbers."""

    def __init__(self, words: int) -> None:
        self.words = words
        self.rows: list[BitRow] = [np.zeros(words, np.uint64)]

    def add(self, ads: Iterable[int], base: BitRow | None = None) -> int:
        row = bit_row(ads, self.words)
        self.rows.append(row if base is None else row | base)
        return len(self.rows) - 1

    def add_each(self, ads_of: Mapping[str, Sequence[int]]) -> dict[str, int]:
        return {value: self.add(ads) for value, ads in ads_of.items()}


def compile_snapshot(bundle: Bundle, segment_indices: Mapping[str, int]) -> Snapshot:
    """Turn a checked bundle into arrays.

    segment_indices: name -> bit index, for at least the segments the audiences name; an unknown one
    raises what `segments.expressions.compile_clauses` raises.
    """
    ads = _ads(bundle)
    words = words_for(len(ads))
    rows = _Rows(words)
    places = [ad.line_item.targeting.geo.include for ad in ads]
    excluded = [ad.line_item.targeting.geo.exclude for ad in ads]
    line_items = list(dict.fromkeys((ad.campaign.id, ad.line_item.id) for ad in ads))
    campaigns = list(dict.fromkeys(ad.campaign.id for ad in ads))
    dearest = {ad.campaign.id: int(ad.line_item.bid_cpm) for ad in reversed(ads)}
    segment_words = segment_words_for(max(segment_indices.values(), default=0) + 1)
    names = [""] * (segment_words * 64)
    for name, index in segment_indices.items():
        names[index] = name
    dimensions = tuple(_value_rows(dimension, ads, rows) for dimension in DIMENSIONS)
    deals = _by_value([ad.line_item.targeting.deals for ad in ads])
    snapshot_rows = {
        "open_auction_row": rows.add(i for i, ad in enumerate(ads) if not ad.line_item.targeting.deals),
        "anywhere_row": rows.add(i for i, place in enumerate(places) if place == Places()),
    }
    return Snapshot(
        version=bundle.version,
        bundle=bundle,
        exchanges={profile.id: profile for profile in bundle.exchanges},
        exchange_index={profile.id: index for index, profile in enumerate(bundle.exchanges)},
        ads=tuple(ads),
        campaign_codes=tuple(code_of(id_) for id_ in campaigns),
        # The ads are sorted: a campaign's first is its dearest.
        campaign_bid_max_cpm_micros=tuple(dearest[id_] for id_ in campaigns),
        words=words,
        segment_words=segment_words,
        segment_names=tuple(names),
        dimensions=dimensions,
        deals=rows.add_each(deals),
        **snapshot_rows,
        places=tuple(rows.add_each(_by_value([getattr(p, kind) for p in places])) for kind in PLACE_KINDS),
        excluded_places=tuple(
            rows.add_each(_by_value([getattr(p, kind) for p in excluded])) for kind in PLACE_KINDS
        ),
        excluded_inventory=rows.add_each(_excluded_inventory(ads)),
        categories=rows.add_each(_by_value([_with_parents(ad.advertiser.categories) for ad in ads])),
        advertiser_domains=rows.add_each(_by_value([_parents(ad.advertiser.domain) for ad in ads])),
        seats=rows.add_each(_by_value([(ad.advertiser.seat,) for ad in ads])),
        media=MediaRows([ad.creative for ad in ads], words),
        schedule=compile_schedule(ads, line_items),
        arrays=_arrays(ads, line_items, campaigns, segment_indices, segment_words, rows),
    )


def _ads(bundle: Bundle) -> list[Ad]:
    ads = []
    for advertiser in bundle.advertisers:
        creatives = {creative.id: creative for creative in advertiser.creatives}
        for campaign in advertiser.campaigns:
            for line_item in campaign.line_items:
                ads += [Ad(advertiser, campaign, line_item, creatives[id_]) for id_ in line_item.creatives]
    # Dearest first; the line item's id keeps its ads together and the order the same everywhere.
    ads.sort(key=lambda ad: (-ad.line_item.bid_cpm, ad.line_item.id, ad.creative.id))
    return ads


def _by_value(values_of_ads: Sequence[Iterable[str]]) -> dict[str, list[int]]:
    ads_of: dict[str, list[int]] = {}
    for ad_index, values in enumerate(values_of_ads):
        for value in values:
            ads_of.setdefault(value, []).append(ad_index)
    return ads_of


def _value_rows(dimension: Dimension, ads: Sequence[Ad], rows: _Rows) -> ValueRows:
    wanted = [tuple(dimension.wanted(ad)) for ad in ads]
    indifferent = [i for i, values in enumerate(wanted) if not values]
    otherwise = rows.add(indifferent)
    ads_of = _by_value(wanted)
    value_rows = {}
    for value in dict.fromkeys((*dimension.values, *ads_of)):
        accepting = [i for met in dimension.met_by(value) for i in ads_of.get(met, ())]
        value_rows[value] = rows.add(accepting, rows.rows[otherwise])
    return ValueRows(dimension, value_rows, otherwise)


def _excluded_inventory(ads: Sequence[Ad]) -> dict[str, list[int]]:
    ads_of = _by_value([inventory_keys(ad.line_item.targeting.inventory.exclude) for ad in ads])
    return {key: [i for met in met_inventory(key) for i in ads_of.get(met, ())] for key in ads_of}


def _with_parents(categories: Iterable[str]) -> set[str]:
    """A blocked category blocks its children: each of ours counts under its parent too."""
    return {form for category in categories for form in (category, category.partition("-")[0])}


def _parents(domain: str) -> list[str]:
    labels = domain.lower().split(".")
    return [".".join(labels[i:]) for i in range(len(labels))]


def _arrays(
    ads: Sequence[Ad],
    line_items: Sequence[tuple[str, str]],
    campaigns: Sequence[str],
    segment_indices: Mapping[str, int],
    segment_words: int,
    rows: _Rows,
) -> Arrays:
    line_item_index = {key: index for index, key in enumerate(line_items)}
    campaign_index = {id_: index for index, id_ in enumerate(campaigns)}
    first_ad = {(ad.campaign.id, ad.line_item.id): ad for ad in reversed(ads)}
    owners = [first_ad[key] for key in line_items]
    campaign_of = {ad.campaign.id: ad.campaign for ad in ads}
    caps = [ad.line_item.frequency_cap for ad in owners]
    caps += [campaign_of[id_].frequency_cap for id_ in campaigns]
    clauses = [
        compile_clauses(to_clauses(node) if node else (), segment_indices, segment_words)
        for node in (parse_audience(ad.line_item.audience) for ad in owners)
    ]
    ad_line_item = np.array([line_item_index[ad.campaign.id, ad.line_item.id] for ad in ads], np.int64)
    gates = compile_gates(clauses, ad_line_item, rows.words, segment_words)
    return Arrays(
        bits=np.stack(rows.rows),
        ad_line_item=ad_line_item,
        ad_format=np.array([FORMATS.index(ad.creative.format) for ad in ads], np.int64),
        line_item_campaign=np.array([campaign_index[ad.campaign.id] for ad in owners], np.int64),
        line_item_cpm_micros=np.array([ad.line_item.bid_cpm for ad in owners], np.int64),
        line_item_clauses=np.cumsum([0, *(len(part) for part in clauses)], dtype=np.int64),
        clauses=np.concatenate([np.zeros((0, 2, segment_words), np.uint64), *clauses]),
        gates=gates.rows,
        gate_row=gates.row_of_segment,
        ungated=gates.ungated,
        # A config without ads still has a word.
        word_cpm_micros=np.array([int(ad.line_item.bid_cpm) for ad in ads[::64]] or [0], np.int64),
        cap_codes=np.array(
            [code_of(id_) for id_ in [ad.line_item.id for ad in owners] + list(campaigns)], np.uint32
        ),
        cap_per_day=np.array([cap.per_day or 0 for cap in caps], np.int64),
        cap_per_hour=np.array([cap.per_hour or 0 for cap in caps], np.int64),
    )
