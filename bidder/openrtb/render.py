"""Bid responses as bytes, from parts prepared once.

Everything of a bid that depends only on its ad and on the shape of the slot is rendered once, escaped,
and cut where the notice token goes. A bid is then a join of those parts with its token, and a
response a few more joins: nothing is escaped or encoded twice on the hot path but the ids that the
exchange chose. What an exchange wants in a bid and what it does without is its profile's to say
(`config.schema.ExchangeProfile`).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import orjson

from bidder.decision.dimensions import Ad
from bidder.decision.exchange_rules import can_answer_dsa, categories, preview_url
from bidder.decision.media import shown_attributes, vast_protocol
from bidder.decision.snapshot import Snapshot
from bidder.openrtb import markup
from bidder.openrtb.notice_token import (
    DEVICE_SHIFT,
    FLAG_BILLED_ON_IMPRESSION,
    FLAG_FROM_LINE_ITEM,
    FLAG_NOT_PROFILED,
    FORMATS,
    TokenSigner,
)
from bidder.openrtb.notice_urls import TOKEN, NoticeUrls
from bidder.openrtb.opportunity import DealOffer, DsaTerms, GoogleTerms, MediaOffer, Opportunity, Slot
from config.currency import Currencies
from config.limits import BIDS_PER_MINUTE_MAX
from config.money import MICROS, cpm_text, play_cost
from config.schema import ExchangeProfile, code_of
from pacing.cells import device_index
from pacing.price_grid import ANY_BAND

PREPARED_ADS_MAX = 16_384
"""Prepared ads kept; past it all are forgotten and made anew as they are needed."""
_PRICE_TEXTS_MAX = 16_384
CATEGORY_TAXONOMY = 1
"""`cattax` of the categories a config names: IAB Content Category Taxonomy 1.0 (AdCOM)."""
_ANY_POSITION = 0
"""`slotinpod` of a bid on a dynamic imp, the only kind it is said of (AdCOM "Slot Position in Pod")."""
_DSA_PROFILING, _DSA_CONTEXT = 1, 2
"""`dsaparams`: an audience chose the ad, or what the request says of the moment."""


class Bid(NamedTuple):
    """A decided bid: `ad` is an index in the snapshot's ads."""

    slot: Slot
    deal: DealOffer | None
    ad: int
    price_cpm_micros: int
    marks: bytes = b""
    """What its token says of the context, for predictions to learn from."""
    value_band: int = ANY_BAND
    """Of its value, for the price landscape."""

    @property
    def price_max_cpm_micros(self) -> int:
        """The most that can be billed: out of home, one play is several impressions, or part of one."""
        return play_cost(self.price_cpm_micros, self.slot.multiplier_millionths)

    def price_there(self, currencies: Currencies, currency: str) -> int:
        """Return the price in another currency, in CPM micros."""
        if self.deal is not None and self.deal.fixed_there_cpm_micros:
            return self.deal.fixed_there_cpm_micros
        return max(1, currencies.in_currency(self.price_cpm_micros, currency))


class _PreparedAd(NamedTuple):
    seat_opening: bytes
    """The seat's JSON up to its bids."""
    opening: bytes
    """The bid's JSON from its brace into its id, which minute and sequence complete."""
    parts: list[bytes]
    """The bid's JSON from `,"adid"` to the closing brace, cut at the token."""
    flags: int
    codes: tuple[int, int, int, int]
    """Line item, campaign, creative, exchange, as a token has them."""
    hold_s: int
    """How long the reservation waits for its notice."""


class BidSequence:
    """Numbers the bids of each campaign within a minute.

    (owner, campaign, minute, sequence) is unique for ever. Counting by campaign keeps the ledger's
    bit strings of notices already seen as short as the campaign's own bids.
    """

    def __init__(self) -> None:
        self._minute = 0
        self._last: dict[int, int] = {}

    def next(self, campaign_code: int, now_s: int) -> tuple[int, int]:
        """Return (minute, sequence). A clock set back goes on in the later minute."""
        minute = now_s // 60
        if minute > self._minute:
            self._minute = minute
            self._last.clear()
        sequence = self._last.get(campaign_code, 0) + 1
        assert sequence < BIDS_PER_MINUTE_MAX, "more bids than one process can make"
        self._last[campaign_code] = sequence
        return self._minute, sequence


class ResponseRenderer:
    """Renders the bids of one worker (`owner`) on one snapshot."""

    def __init__(
        self,
        snapshot: Snapshot,
        events_url: str,
        signer: TokenSigner,
        owner: int,
        sequence: BidSequence,
    ) -> None:
        self._snapshot = snapshot
        self._events_url = events_url.rstrip("/")
        self._signer = signer
        self._owner = owner
        self._sequence = sequence
        self._formats = [ad.creative.format for ad in snapshot.ads]
        self._prepared: dict[tuple[object, ...], _PreparedAd] = {}

    def render(self, opportunity: Opportunity, bids: Sequence[Bid], now_s: int) -> bytes:
        """Return the JSON of a bid response with at least one bid (OpenRTB 2.6, 4.2)."""
        prepared = self._prepare(opportunity, bids[0])
        seats = prepared.seat_opening + self._bid(opportunity, bids[0], prepared, now_s)
        if len(bids) > 1:
            by_seat = {prepared.seat_opening: seats}
            for bid in bids[1:]:
                prepared = self._prepare(opportunity, bid)
                opening = prepared.seat_opening
                before = by_seat[opening] + b"," if opening in by_seat else opening
                by_seat[opening] = before + self._bid(opportunity, bid, prepared, now_s)
            seats = b"]},".join(by_seat.values())
        return b'{"id":%b,"seatbid":[%b]}],"cur":"%b"}' % (
            orjson.dumps(opportunity.request_id),
            seats,
            opportunity.currency.encode(),
        )

    def _bid(self, opportunity: Opportunity, bid: Bid, prepared: _PreparedAd, now_s: int) -> bytes:
        flags, codes = prepared.flags, prepared.codes
        minute, sequence = self._sequence.next(codes[1], now_s)
        if not opportunity.permissions.profile:
            flags |= FLAG_NOT_PROFILED
        price_cpm_micros = bid.price_cpm_micros
        multiplied = bid.slot.multiplier_millionths != MICROS
        if bid.deal is None and not multiplied:
            # A deal has prices of its own, and of a play that several see the bid is not in the notice.
            flags |= device_index(opportunity.device_type) + 1 << DEVICE_SHIFT
        price_max_cpm_micros = bid.price_max_cpm_micros if multiplied else price_cpm_micros
        token = self._signer.sign(
            flags,
            *codes,
            self._owner,
            minute,
            sequence,
            now_s + prepared.hold_s,
            price_max_cpm_micros,
            opportunity.user_hash,
            marks=bid.marks,
            value_band=bid.value_band,
        )
        currencies = self._snapshot.currencies
        if opportunity.currency != currencies.own:
            price_cpm_micros = bid.price_there(currencies, opportunity.currency)
            token += b".%d" % play_cost(price_cpm_micros, bid.slot.multiplier_millionths)
        return b'%b%x-%x","impid":%b,"price":%b%b%b' % (
            prepared.opening,
            minute,
            sequence,
            orjson.dumps(bid.slot.imp_id),
            _price_text(price_cpm_micros),
            b"" if bid.deal is None else b',"dealid":' + orjson.dumps(bid.deal.id),
            token.join(prepared.parts),
        )

    def _prepare(self, opportunity: Opportunity, bid: Bid) -> _PreparedAd:
        slot = bid.slot
        shape = _shape_that_matters(slot.media, self._formats[bid.ad])
        multiplied = slot.multiplier_millionths != MICROS
        dynamic = slot.pod is not None and slot.pod.seconds > 0
        key = (bid.ad, opportunity.exchange_id, shape, opportunity.dsa, slot.google, multiplied, dynamic)
        prepared = self._prepared.get(key)
        if prepared is None:
            if len(self._prepared) >= PREPARED_ADS_MAX:
                self._prepared.clear()
            exchange = self._snapshot.exchanges[opportunity.exchange_id]
            urls = NoticeUrls(self._events_url, exchange, multiplied)
            prepared = self._prepared[key] = self._render_ad(bid, exchange, urls, opportunity.dsa)
        return prepared

    def _render_ad(
        self, bid: Bid, exchange: ExchangeProfile, urls: NoticeUrls, dsa: DsaTerms | None
    ) -> _PreparedAd:
        ad = self._snapshot.ads[bid.ad]
        flags = FORMATS.index(ad.creative.format) << 1
        if exchange.billing_event != "burl":
            flags |= FLAG_BILLED_ON_IMPRESSION
        if ad.line_item.has_budget:
            flags |= FLAG_FROM_LINE_ITEM
        campaign_code = code_of(ad.campaign.id)
        fields = self._fields(ad, bid.slot, exchange, urls, dsa)
        return _PreparedAd(
            seat_opening=b'{"seat":%b,"bid":[' % orjson.dumps(ad.advertiser.seat_at(exchange.id)),
            opening=b'{"id":"%x-%x-' % (self._owner, campaign_code),
            parts=(b"," + orjson.dumps(fields)[1:]).split(TOKEN.encode()),
            flags=flags,
            codes=(code_of(ad.line_item.id), campaign_code, code_of(ad.creative.id), code_of(exchange.id)),
            hold_s=exchange.notice_timeout_seconds,
        )

    def _fields(
        self, ad: Ad, slot: Slot, exchange: ExchangeProfile, urls: NoticeUrls, dsa: DsaTerms | None
    ) -> dict[str, object]:
        """What is said of the ad in a bid (OpenRTB 2.6, 4.2.3)."""
        creative = ad.creative
        approval = creative.approvals.get(exchange.id)
        fields: dict[str, object] = {
            "adid": (approval and approval.id) or creative.id,
            "crid": creative.id,
            "cid": ad.campaign.id,
            "adomain": [ad.advertiser.domain],
            "cat": categories(ad),
            "cattax": CATEGORY_TAXONOMY,
            "mtype": FORMATS.index(creative.format) + 1,
            "exp": exchange.notice_timeout_seconds,
        }
        shape = _shape_that_matters(slot.media, creative.format)
        attributes = shown_attributes(shape, creative)
        if attributes or "attr" in exchange.requires:
            fields["attr"] = attributes
        if creative.language:
            fields["language"] = creative.language
        if creative.apis:
            fields["apis"] = creative.apis
        if creative.app_bundle:
            fields["bundle"] = creative.app_bundle
        if slot.pod is not None and slot.pod.seconds:
            fields["slotinpod"] = _ANY_POSITION
        wants_preview = "banner_iurl" if creative.format == "banner" else "iurl"
        if "iurl" in exchange.requires or wants_preview in exchange.requires:
            fields["iurl"] = preview_url(creative)
        fields |= _media_fields(ad, slot.media, urls)
        if exchange.markup == "registered":
            del fields["adm"]
        fields |= urls.notices()
        extension = self._extension(ad, exchange, slot.google, dsa)
        if "ext_protocol" in exchange.requires and "protocol" in fields:
            extension["protocol"] = fields["protocol"]
        if extension:
            fields["ext"] = extension
        return fields

    def _extension(
        self, ad: Ad, exchange: ExchangeProfile, google: GoogleTerms | None, dsa: DsaTerms | None
    ) -> dict[str, object]:
        extension: dict[str, object] = {}
        if google is not None:
            billing_id = ad.advertiser.billing_ids.get(exchange.id)
            if billing_id in google.billing_ids:
                extension["billing_id"] = billing_id
            if ad.creative.restricted_categories:
                extension["restricted_category"] = ad.creative.restricted_categories
        # A declaration nobody requires is still dropped with its bid when both sides would show it, or none.
        declaration = ad.advertiser.dsa
        if dsa is not None and declaration is not None and can_answer_dsa(dsa, ad.creative):
            chosen_by = [_DSA_PROFILING, _DSA_CONTEXT] if ad.line_item.uses_segments else [_DSA_CONTEXT]
            platform = self._snapshot.bundle.engine.platform_domain
            extension["dsa"] = {
                "behalf": declaration.behalf,
                "paid": declaration.paid,
                "transparency": [{"domain": platform, "dsaparams": chosen_by}],
                "adrender": int(ad.creative.shows_dsa_notice),
            }
        return extension


def _title(ad: Ad) -> str:
    return ad.line_item.name or ad.line_item.id


def _media_fields(ad: Ad, offer: MediaOffer, urls: NoticeUrls) -> dict[str, object]:
    creative = ad.creative
    if creative.format == "banner":
        return {"w": creative.w, "h": creative.h, "adm": markup.banner_html(creative, urls)}
    if creative.format == "native":
        assert offer.native is not None
        return {"adm": markup.native_json(creative, offer.native, _title(ad), urls)}
    shape = offer.video if creative.format == "video" else offer.audio
    assert shape is not None
    protocol = vast_protocol(shape, creative)
    assert protocol is not None
    return {
        "dur": creative.duration_seconds,
        "protocol": protocol,
        "adm": markup.vast(creative, shape, protocol, _title(ad), urls),
    }


def _shape_that_matters(offer: MediaOffer, format_: str) -> object:
    """What of an imp's offer shows in the markup: nothing, for a banner."""
    return None if format_ == "banner" else getattr(offer, format_)


@lru_cache(_PRICE_TEXTS_MAX)
def _price_text(cpm_micros: int) -> bytes:
    return cpm_text(cpm_micros).encode()
