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
    exchange = rivermarket          X  .  X  X      ads it may have: what it refuses is not in it

A candidate is then a handful of row numbers. `compile_snapshot` builds a new one aside when the config
changes; the owner swaps the reference. Nothing here is changed afterwards but what `media`, `blocks`,
`contexts` and `places` remember of the requests they met, and what the live model says of those.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bidder.decision.arrays import Arrays, compile_arrays
from bidder.decision.bitrows import words_for
from bidder.decision.blocks import BlockRows
from bidder.decision.contexts import Contexts
from bidder.decision.crowds import Crowds, compile_crowds
from bidder.decision.dimensions import DIMENSIONS, Ad
from bidder.decision.exchange_rows import DsaRows, GoogleRows, PoliticalRows
from bidder.decision.floors import NO_LENGTH, FloorClass, floor_class
from bidder.decision.media import MediaRows
from bidder.decision.places import PLACE_KINDS, PlaceRows
from bidder.decision.schedule import Schedule, compile_schedule
from bidder.decision.targeting_rows import (
    Rows,
    by_value,
    declared_rows,
    excluded_inventory,
    take_out_refused,
    value_rows,
)
from bidder.decision.values import Values, compile_values
from bidder.openrtb.suspicion import Suspicion, suspicion_of
from config.currency import Currencies
from config.schema import Bundle, Campaign, ExchangeProfile, Format, Places, account_code, code_of
from segments.expressions import words_for as segment_words_for

EXCHANGE = [dimension.name for dimension in DIMENSIONS].index("exchange")


class BidLabel(NamedTuple):
    """What bids are counted by."""

    format: Format
    campaign_code: int
    line_item_code: int


class Snapshot(msgspec.Struct, frozen=True):
    """See the module. Row numbers index `arrays.bits`."""

    version: str
    bundle: Bundle
    exchanges: Mapping[str, ExchangeProfile]
    ads: tuple[Ad, ...]
    bid_labels: tuple[BidLabel, ...]
    """By ad; those of one line item and format are one object."""
    campaigns: Mapping[int, Campaign]
    """By code."""
    account_codes: tuple[int, ...]
    """The rows of a lease book: campaigns, then line items with a budget of their own."""
    account_bid_max_cpm_micros: tuple[int, ...]
    words: int
    segment_words: int
    segment_names: tuple[str, ...]
    """By bit index; an empty string where a bit is not used by this config."""
    arrays: Arrays
    contexts: Contexts
    deals: Mapping[str, int]
    open_auction_row: int
    places: PlaceRows
    blocks: BlockRows
    dsa: DsaRows
    google: Mapping[str, GoogleRows]
    """Exchanges with Google's extensions."""
    media: MediaRows
    floor_classes: tuple[FloorClass, ...]
    schedule: Schedule
    crowds: Crowds
    values: Values
    scorings: Iterator[int]
    """Numbers for the scorings compiled for it (`bidder.decision.scoring`), from 1."""
    learns: tuple[bool, ...]
    """By ad: whether its bids say what they were made of, for predictions to learn from."""
    currencies: Currencies
    suspicion: Suspicion | None
    """What to think of a request before it is decided; None when no list says anything."""


def compile_snapshot(bundle: Bundle, segment_indices: Mapping[str, int]) -> Snapshot:
    """Turn a checked bundle into arrays.

    segment_indices: name -> bit index, for at least the segments the audiences name; an unknown one
    raises what `segments.expressions.compile_clauses` raises.
    """
    ads = _ads(bundle)
    words = words_for(len(ads))
    rows = Rows(words)
    places = [ad.line_item.targeting.geo.include for ad in ads]
    excluded = [ad.line_item.targeting.geo.exclude for ad in ads]
    line_items = list(dict.fromkeys((ad.campaign.id, ad.line_item.id) for ad in ads))
    campaigns = list(dict.fromkeys(ad.campaign.id for ad in ads))
    bid_max_of_accounts = _accounts(ads)
    exchange_ids = tuple(profile.id for profile in bundle.exchanges)
    segment_words = segment_words_for(max(segment_indices.values(), default=0) + 1)
    dimensions = tuple(
        value_rows(dimension, ads, rows, exchange_ids if index == EXCHANGE else dimension.values)
        for index, dimension in enumerate(DIMENSIONS)
    )
    take_out_refused(bundle.exchanges, ads, dimensions[EXCHANGE], rows)
    deals = rows.add_each(by_value([ad.line_item.targeting.deals for ad in ads]))
    open_auction_row = rows.add(i for i, ad in enumerate(ads) if not ad.line_item.targeting.deals)
    anywhere_row = rows.add(i for i, place in enumerate(places) if place == Places())
    named_rows, excluded_rows = (
        tuple(rows.add_each(by_value([getattr(p, kind) for p in named])) for kind in PLACE_KINDS)
        for named in (places, excluded)
    )
    owners = _owners(ads, line_items)
    values = compile_values(ads, owners, segment_indices, segment_words)
    exchange_index = {id_: index for index, id_ in enumerate(exchange_ids)}
    contexts = Contexts(dimensions, rows.add_each(excluded_inventory(ads)), exchange_index)
    block_rows = declared_rows(bundle, ads, rows)
    political = PoliticalRows(ads, rows.add)
    place_rows = PlaceRows(anywhere_row, named_rows, excluded_rows, political, values.zip_numbers)
    dsa = DsaRows(ads, rows.add)
    google = {
        profile.id: GoogleRows(profile, ads, rows.add)
        for profile in bundle.exchanges
        if profile.extensions == "google"
    }
    floor_classes = tuple(dict.fromkeys([NO_LENGTH, *(floor_class(ad.creative) for ad in ads)]))
    # Every row is there: the table of them can be made.
    arrays = compile_arrays(
        ads, line_items, owners, campaigns, segment_indices, segment_words, floor_classes, rows
    )
    return Snapshot(
        version=bundle.version,
        bundle=bundle,
        exchanges={profile.id: profile for profile in bundle.exchanges},
        ads=tuple(ads),
        bid_labels=_bid_labels(ads),
        campaigns=bundle.campaigns_by_code(),
        account_codes=tuple(bid_max_of_accounts),
        account_bid_max_cpm_micros=tuple(bid_max_of_accounts.values()),
        words=words,
        segment_words=segment_words,
        segment_names=_segment_names(segment_indices, segment_words),
        arrays=arrays,
        contexts=contexts,
        deals=deals,
        open_auction_row=open_auction_row,
        places=place_rows,
        blocks=BlockRows(block_rows, arrays.bits),
        dsa=dsa,
        google=google,
        media=MediaRows([(ad.creative, ad.line_item.targeting.slot) for ad in ads], words),
        floor_classes=floor_classes,
        schedule=compile_schedule(ads, line_items),
        crowds=compile_crowds(ads, bundle.engine.audience_size_min),
        values=values.arrays,
        scorings=itertools.count(1),
        learns=values.learns,
        currencies=bundle.engine.currencies(),
        suspicion=suspicion_of(bundle.traffic),
    )


def _ads(bundle: Bundle) -> list[Ad]:
    ads = []
    for advertiser in bundle.advertisers:
        creatives = {creative.id: creative for creative in advertiser.creatives}
        for campaign in advertiser.campaigns:
            for line_item in campaign.line_items:
                ads += [Ad(advertiser, campaign, line_item, creatives[id_]) for id_ in line_item.creatives]
    # Dearest first; the line item's id keeps its ads together and the order the same everywhere.
    ads.sort(key=lambda ad: (-ad.line_item.cpm_max_micros, ad.line_item.id, ad.creative.id))
    return ads


def _accounts(ads: Sequence[Ad]) -> dict[int, int]:
    """The highest price of each account, by code: campaigns, then line items with a budget of their own."""
    campaigns: dict[int, int] = {}
    line_items: dict[int, int] = {}
    for ad in ads:
        # The ads are sorted: the first of an account is its dearest.
        campaigns.setdefault(code_of(ad.campaign.id), ad.line_item.cpm_max_micros)
        if ad.line_item.has_budget:
            own = account_code(ad.campaign.id, ad.line_item.id)
            line_items.setdefault(own, ad.line_item.cpm_max_micros)
    return campaigns | line_items


def _segment_names(segment_indices: Mapping[str, int], segment_words: int) -> tuple[str, ...]:
    names = [""] * (segment_words * 64)
    for name, index in segment_indices.items():
        names[index] = name
    return tuple(names)


def _bid_labels(ads: Sequence[Ad]) -> tuple[BidLabel, ...]:
    labels: dict[BidLabel, BidLabel] = {}
    found = []
    for ad in ads:
        label = BidLabel(ad.creative.format, code_of(ad.campaign.id), code_of(ad.line_item.id))
        found.append(labels.setdefault(label, label))
    return tuple(found)


def _owners(ads: Sequence[Ad], line_items: Sequence[tuple[str, str]]) -> list[Ad]:
    """The first ad of each line item."""
    first_ad = {(ad.campaign.id, ad.line_item.id): ad for ad in reversed(ads)}
    return [first_ad[key] for key in line_items]
