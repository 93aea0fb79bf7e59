"""A whole config as one value, and that value as bytes."""

import msgspec

from config.currency import ExchangeRate, parse_rate
from config.money import CpmMicros, Money, parse_cpm, parse_money
from config.schema.advertiser import Advertiser, Campaign, LineItem
from config.schema.codes import account_code, code_of
from config.schema.engine import Engine
from config.schema.exchange import ExchangeProfile
from config.schema.segments import Segment
from config.schema.terms import Model, When
from config.schema.traffic import Traffic
from config.value import Factor, Rate, parse_factor, parse_share


class Bundle(Model, frozen=True, kw_only=True):
    """A whole checked config folder: the unit that is versioned, published and swapped."""

    version: str
    read_from: str = ""
    """`config.folder_state` of its folder as it was read; empty when that is not known."""
    engine: Engine
    traffic: Traffic = Traffic()
    exchanges: tuple[ExchangeProfile, ...]
    segments: tuple[Segment, ...]
    advertisers: tuple[Advertiser, ...]

    def campaigns_by_code(self) -> "dict[int, Campaign]":
        """Return every campaign by its code, in the order of the files."""
        return {
            code_of(campaign.id): campaign
            for advertiser in self.advertisers
            for campaign in advertiser.campaigns
        }

    def line_items_by_account(self) -> "dict[int, tuple[Campaign, LineItem]]":
        """Return every line item with a budget of its own, by the code of its account."""
        return {
            account_code(campaign.id, line_item.id): (campaign, line_item)
            for advertiser in self.advertisers
            for campaign in advertiser.campaigns
            for line_item in campaign.line_items
            if line_item.has_budget
        }


def decode_hook(type_: type, value: object) -> object:
    """Build our own scalar types (`Money`, `CpmMicros`, `When` ...) for msgspec; ValueError says why not.

    An int for Money or CpmMicros is already in billionths or micros, and so on: YAML numbers reach
    this hook only through `config.load`, which hands them over as text.
    """
    if type_ is Money:
        return Money(value) if type(value) is int else parse_money(value)
    if type_ is CpmMicros:
        return CpmMicros(value) if type(value) is int else parse_cpm(value)
    if type_ is ExchangeRate:
        return ExchangeRate(value) if type(value) is int else parse_rate(value)
    if type_ is Rate:
        return Rate(value) if type(value) is int else parse_share(value)
    if type_ is Factor:
        return Factor(value) if type(value) is int else parse_factor(value)
    if type_ is When:
        return When(str(value))
    raise NotImplementedError(f"no decoder for {type_.__name__}")


def _encode_hook(value: object) -> object:
    if isinstance(value, (Money, CpmMicros, ExchangeRate, Rate, Factor)):
        return int(value)
    if isinstance(value, When):
        return str(value)
    raise NotImplementedError(f"no encoder for {type(value).__name__}")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_encode_hook)
_DECODER = msgspec.msgpack.Decoder(Bundle, dec_hook=decode_hook)


def encode_bundle(bundle: Bundle) -> bytes:
    """Write a bundle as MessagePack."""
    return _ENCODER.encode(bundle)


def decode_bundle(data: bytes) -> Bundle:
    """Read what `encode_bundle` wrote; raises msgspec.ValidationError on anything else."""
    return _DECODER.decode(data)
