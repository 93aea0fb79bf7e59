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
`contexts` and `places` remember of the requests they met.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from bidder.decision.bitrows import BitRow, bit_row, words_for
from bidder.decision.blocks import BlockRows, ValueRowsOfAds, declared
from bidder.decision.contexts import Contexts, ValueRows
from bidder.decision.crowds import Crowds, compile_crowds
from bidder.decision.dimensions import DIMENSIONS, Ad, Dimension, inventory_keys, met_inventory
from bidder.decision.exchange_rows import DsaRows, GoogleRows, PoliticalRows
from bidder.decision.exchange_rules import refusal
from bidder.decision.facts import Facts
from bidder.decision.floors import NO_LENGTH, FloorClass, floor_class
from bidder.decision.gates import compile_gates
from bidder.decision.media import MediaRows
from bidder.decision.places import PLACE_KINDS, PlaceRows
from bidder.decision.pods import dedupe_keys
from bidder.decision.schedule import Schedule, compile_schedule
from bidder.decision.values import Values, compile_values
from bidder.openrtb.notice_token import FORMATS
from bidder.openrtb.suspicion import Suspicion, suspicion_of
from config.audience import parse_audience, to_clauses
from config.calendar import flight_bounds_s
from config.categories import parent
from config.currency import Currencies
from config.schema import (
    Bundle,
    Campaign,
    ExchangeProfile,
    Format,
    FrequencyCap,
    Places,
    account_code,
    code_of,
)
from pacing.caps import is_capped, limits_of
from pacing.kernels import LIMITS
from segments.expressions import compile_clauses
from segments.expressions import words_for as segment_words_for

EXCHANGE = [dimension.name for dimension in DIMENSIONS].index("exchange")


class Arrays(NamedTuple):
    """What the kernel reads. A ads, L line items, C campaigns, X exchanges, W and S words of ads and
    segments, N clauses."""

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
    line_item_cpm_micros: npt.NDArray[np.int64]
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
    exchange_index: Mapping[str, int]
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
    facts: Facts | None
    """None where no value depends on more than the person."""
    learns: tuple[bool, ...]
    """By ad: whether its bids say what they were made of, for predictions to learn from."""
    currencies: Currencies
    suspicion: Suspicion | None
    """What to think of a request before it is decided; None when no list says anything."""


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
    # The ads are sorted: the first of an account is its dearest.
    dearest = {code_of(ad.campaign.id): ad.line_item.cpm_max_micros for ad in reversed(ads)}
    dearest |= {
        account_code(ad.campaign.id, ad.line_item.id): ad.line_item.cpm_max_micros
        for ad in ads
        if ad.line_item.has_budget
    }
    own_accounts = [code for code in (account_code(*key) for key in line_items) if code in dearest]
    accounts = (*(code_of(id_) for id_ in campaigns), *own_accounts)
    exchange_ids = tuple(profile.id for profile in bundle.exchanges)
    segment_words = segment_words_for(max(segment_indices.values(), default=0) + 1)
    names = [""] * (segment_words * 64)
    for name, index in segment_indices.items():
        names[index] = name
    dimensions = tuple(
        _value_rows(dimension, ads, rows, exchange_ids if index == EXCHANGE else dimension.values)
        for index, dimension in enumerate(DIMENSIONS)
    )
    _take_out_refused(bundle.exchanges, ads, dimensions[EXCHANGE], rows)
    deals = rows.add_each(_by_value([ad.line_item.targeting.deals for ad in ads]))
    open_auction_row = rows.add(i for i, ad in enumerate(ads) if not ad.line_item.targeting.deals)
    anywhere_row = rows.add(i for i, place in enumerate(places) if place == Places())
    named_rows, excluded_rows = (
        tuple(rows.add_each(_by_value([getattr(p, kind) for p in named])) for kind in PLACE_KINDS)
        for named in (places, excluded)
    )
    owners = _owners(ads, line_items)
    values = compile_values(ads, owners, segment_indices, segment_words)
    exchange_index = {id_: index for index, id_ in enumerate(exchange_ids)}
    facts = Facts(exchange_index, values.zip_numbers) if values.need_facts else None
    contexts = Contexts(dimensions, rows.add_each(_excluded_inventory(ads)), facts, exchange_index)
    declared_rows = _values_of_ads(bundle, ads, rows)
    place_rows = PlaceRows(anywhere_row, named_rows, excluded_rows, PoliticalRows(ads, rows.add), facts)
    dsa = DsaRows(ads, rows.add)
    google = {
        profile.id: GoogleRows(profile, ads, rows.add)
        for profile in bundle.exchanges
        if profile.extensions == "google"
    }
    floor_classes = tuple(dict.fromkeys([NO_LENGTH, *(floor_class(ad.creative) for ad in ads)]))
    # Every row is there: the table of them can be made.
    arrays = _arrays(ads, line_items, owners, campaigns, segment_indices, segment_words, floor_classes, rows)
    return Snapshot(
        version=bundle.version,
        bundle=bundle,
        exchanges={profile.id: profile for profile in bundle.exchanges},
        exchange_index=exchange_index,
        ads=tuple(ads),
        bid_labels=_bid_labels(ads),
        campaigns=bundle.campaigns_by_code(),
        account_codes=accounts,
        account_bid_max_cpm_micros=tuple(dearest[code] for code in accounts),
        words=words,
        segment_words=segment_words,
        segment_names=tuple(names),
        arrays=arrays,
        contexts=contexts,
        deals=deals,
        open_auction_row=open_auction_row,
        places=place_rows,
        blocks=BlockRows(declared_rows, arrays.bits),
        dsa=dsa,
        google=google,
        media=MediaRows([(ad.creative, ad.line_item.targeting.slot) for ad in ads], words),
        floor_classes=floor_classes,
        schedule=compile_schedule(ads, line_items),
        crowds=compile_crowds(ads, bundle.engine.audience_size_min),
        values=values.arrays,
        facts=facts,
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


def _by_value(values_of_ads: Sequence[Iterable[str]]) -> dict[str, list[int]]:
    ads_of: dict[str, list[int]] = {}
    for ad_index, values in enumerate(values_of_ads):
        for value in values:
            ads_of.setdefault(value, []).append(ad_index)
    return ads_of


def _value_rows(dimension: Dimension, ads: Sequence[Ad], rows: _Rows, offered: Sequence[str]) -> ValueRows:
    """Make a row of each value that ads name, and of each in `offered`."""
    wanted = [tuple(dimension.wanted(ad)) for ad in ads]
    indifferent = [i for i, values in enumerate(wanted) if not values]
    otherwise = rows.add(indifferent)
    ads_of = _by_value(wanted)
    value_rows = {}
    for value in dict.fromkeys((*offered, *ads_of)):
        accepting = [i for met in dimension.met_by(value) for i in ads_of.get(met, ())]
        value_rows[value] = rows.add(accepting, rows.rows[otherwise])
    return ValueRows(dimension, value_rows, otherwise)


def _take_out_refused(
    exchanges: Sequence[ExchangeProfile], ads: Sequence[Ad], exchange_rows: ValueRows, rows: _Rows
) -> None:
    """Clear the bits of the ads that an exchange refuses, in its own row."""
    for exchange in exchanges:
        refused = bit_row(
            (i for i, ad in enumerate(ads) if refusal(ad, exchange) is not None), words_for(len(ads))
        )
        rows.rows[exchange_rows.rows[exchange.id]] &= ~refused


def _seats(bundle: Bundle, ads: Sequence[Ad], rows: _Rows) -> dict[str, dict[str, int]]:
    # Most advertisers have one seat everywhere: exchanges that know them alike share rows.
    known: dict[tuple[str, ...], dict[str, int]] = {}
    seats = {}
    for exchange in bundle.exchanges:
        by_advertiser = tuple(advertiser.seat_at(exchange.id) for advertiser in bundle.advertisers)
        if by_advertiser not in known:
            by_seat = _by_value([(ad.advertiser.seat_at(exchange.id),) for ad in ads])
            known[by_advertiser] = rows.add_each(by_seat)
        seats[exchange.id] = known[by_advertiser]
    return seats


def _excluded_inventory(ads: Sequence[Ad]) -> dict[str, list[int]]:
    ads_of = _by_value([inventory_keys(ad.line_item.targeting.inventory.exclude) for ad in ads])
    return {key: [i for met in met_inventory(key) for i in ads_of.get(met, ())] for key in ads_of}


def _values_of_ads(bundle: Bundle, ads: Sequence[Ad], rows: _Rows) -> ValueRowsOfAds:
    categories = [declared(ad) for ad in ads]
    return ValueRowsOfAds(
        # A blocked category blocks its children: each of ours counts under its parent too.
        categories=rows.add_each(
            _by_value([{form for key in keys for form in (key, parent(key))} for keys in categories])
        ),
        declared=rows.add_each(_by_value(categories)),
        domains=rows.add_each(_by_value([_parents(ad.advertiser.domain) for ad in ads])),
        apps=rows.add_each(_by_value([_said(ad.creative.app_bundle) for ad in ads])),
        languages=rows.add_each(_by_value([_said(ad.creative.language) for ad in ads])),
        seats=_seats(bundle, ads, rows),
    )


def _said(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


def _parents(domain: str) -> list[str]:
    labels = domain.lower().split(".")
    return [".".join(labels[i:]) for i in range(len(labels))]


def _arrays(
    ads: Sequence[Ad],
    line_items: Sequence[tuple[str, str]],
    owners: Sequence[Ad],
    campaigns: Sequence[str],
    segment_indices: Mapping[str, int],
    segment_words: int,
    floor_classes: Sequence[FloorClass],
    rows: _Rows,
) -> Arrays:
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
