"""The house rules that an exchange's profile implies, for the validator to judge our bids by."""

from config.currency import rate_text
from config.schema import Engine, ExchangeProfile, RequiredField
from loadtest.house import House, PricePlace
from loadtest.markup import AUDIO, BANNER, NATIVE, VIDEO

EVERY_MTYPE = (BANNER, VIDEO, AUDIO, NATIVE)
_FIELDS: dict[RequiredField, tuple[str, tuple[int, ...]]] = {
    "iurl": ("iurl", EVERY_MTYPE),
    "banner_iurl": ("iurl", (BANNER,)),
    "attr": ("attr", EVERY_MTYPE),
    "language": ("language", EVERY_MTYPE),
    "ext_protocol": ("ext.protocol", (VIDEO, AUDIO)),
    "billing_id": ("ext.billing_id", EVERY_MTYPE),
}


def house_of(profile: ExchangeProfile, engine: Engine) -> House:
    """Return what the exchange of a profile demands of a bid."""
    places: list[PricePlace] = []
    if profile.markup == "adm" and "markup" in profile.price_macro_in:
        places.append("adm")
    if profile.billing_event == "burl" and "burl" in profile.price_macro_in:
        places.append("burl")
    if (profile.billing_event == "nurl" or "nurl" in profile.notices) and "nurl" in profile.price_macro_in:
        places.append("nurl")
    rates = {engine.currency: "1"}
    if engine.exchange_rates is not None:
        rates |= {currency: rate_text(rate) for currency, rate in engine.exchange_rates.rates.items()}
    return House(
        price_macro=profile.price_macro,
        price_places=tuple(places),
        price_in_vast_impression="vast_impression" in profile.price_macro_in,
        takes_markup=profile.markup == "adm",
        bids_max=profile.bids_max,
        bids_per_imp_max=profile.bids_per_imp_max,
        required_fields=dict(_FIELDS[field] for field in profile.requires if field in _FIELDS),
        numeric_seats="numeric_seat" in profile.requires,
        secure_only="https" in profile.requires,
        google_extensions=profile.extensions == "google",
        exchange_rates=rates,
    )
