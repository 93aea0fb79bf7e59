"""engine.yaml: the settings all advertisers share."""

from typing import Annotated, Literal

from msgspec import Meta

from config.currency import Currencies, ExchangeRate
from config.schema.terms import CurrencyCode, Domain, Model


class ExchangeRates(Model, frozen=True, kw_only=True):
    """What one unit of other currencies is worth in the engine's, as of a day."""

    as_of: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    rates: dict[CurrencyCode, ExchangeRate]


class Engine(Model, frozen=True, kw_only=True):
    """Settings every advertiser shares."""

    currency: CurrencyCode = "USD"
    exchange_rates: ExchangeRates | None = None
    audience_size_min: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    """A line item whose audience has fewer people than this does not bid: it would point at persons."""
    platform_domain: Domain | None = None
    """Of whoever runs the engine: named where a DSA declaration says who chose the audience."""
    gvl_vendor_id: Annotated[int, Meta(ge=1, le=65_535)] | None = None
    """Our id in the Global Vendor List. Without one nobody in Europe can have consented to us."""
    gvl_legitimate_interests: tuple[Literal[2, 7, 8, 9, 10, 11], ...] = ()
    """Purposes that are registered there on legitimate interest: `legIntPurposes` of our entry."""
    gvl_flexible_purposes: tuple[Annotated[int, Meta(ge=2, le=11)], ...] = ()
    """Purposes for which a publisher may demand the other basis: `flexiblePurposes` of our entry."""

    def currencies(self) -> Currencies:
        """Return the currency of the books with the rates of others. Made once for a config, and kept."""
        return Currencies(self.currency, self.exchange_rates.rates if self.exchange_rates else {})
