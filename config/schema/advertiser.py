"""advertisers/<id>.yaml: campaigns and their line items, who bids how much, for whom, out of which budget."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from config.limits import CAP_COUNT_MAX, CAP_GAP_MINUTES_MAX, CAP_LONG_COUNT_MAX, ID_CHARS_MAX
from config.money import CpmMicros, Money
from config.schema.creative import Creative, Dsa, Political
from config.schema.targeting import Daypart, Flight, Targeting
from config.schema.terms import Category, Domain, Id, Model, Pacing, Taxonomy, Weekday, Zip
from config.value import PRICE_FIELDS, Factor, Price, Rate


class FrequencyCap(Model, frozen=True, kw_only=True):
    """At most this many impressions for one person, and at least so many minutes between two of them.

    Clock hours, days and weeks, which begin on Monday, are UTC.
    """

    per_day: Annotated[int, Meta(ge=1, le=CAP_COUNT_MAX)] | None = None
    per_hour: Annotated[int, Meta(ge=1, le=CAP_COUNT_MAX)] | None = None
    per_week: Annotated[int, Meta(ge=1, le=CAP_LONG_COUNT_MAX)] | None = None
    per_flight: Annotated[int, Meta(ge=1, le=CAP_LONG_COUNT_MAX)] | None = None
    gap_minutes: Annotated[int, Meta(ge=1, le=CAP_GAP_MINUTES_MAX)] | None = None


class Budget(Model, frozen=True, kw_only=True):
    """What a campaign may spend, in all, and on one day and in one clock hour of its time zone."""

    total: Money
    daily: Money | None = None
    hourly: Money | None = None


class LineItemBudget(Model, frozen=True, kw_only=True):
    """What of its campaign's money a line item may spend, in all and on one day."""

    total: Money | None = None
    daily: Money | None = None


class BidAdjustments(Model, frozen=True, kw_only=True):
    """Factors on the value of an impression, all that apply multiplied (`config.value`)."""

    segments: dict[Id, Factor] = {}
    """For a person who is in the segment."""
    zips: dict[Zip, Factor] = {}


class Goal(Model, frozen=True, kw_only=True):
    """What a campaign's clicks or conversions may cost on average: its bids are lowered until they do."""

    type: Literal["cpc", "cpa"]
    target: Money


class LineItem(Model, frozen=True, kw_only=True):
    """One audience, one price, some creatives.

    It has one of the five prices (`config.value`); `config.check` sees to that.
    """

    id: Id
    name: str = ""
    bid_cpm: CpmMicros | None = None
    bid_vcpm: CpmMicros | None = None
    bid_cpc: Money | None = None
    bid_cpa: Money | None = None
    bid_cpcv: Money | None = None
    bid_cpm_max: CpmMicros | None = None
    """The most it bids, whatever an impression is worth; without one, `bid_cpm`."""
    expected_rate: Rate | None = None
    """How often an impression brings what is paid for, as long as little is known of the line item."""
    bid_adjustments: BidAdjustments = BidAdjustments()
    audience: str | dict[str, Any] | None = None
    targeting: Targeting = Targeting()
    creatives: tuple[Id, ...]
    budget: LineItemBudget = LineItemBudget()
    flight: Flight = Flight()
    frequency_cap: FrequencyCap = FrequencyCap()
    paused: bool = False

    @property
    def has_budget(self) -> bool:
        """Whether it has a budget of its own, within its campaign's."""
        return self.budget != LineItemBudget()

    @property
    def uses_segments(self) -> bool:
        """Whether what is known of a person decides about its bids: by its audience, or an adjustment."""
        return self.audience is not None or bool(self.bid_adjustments.segments)

    @property
    def price(self) -> Price:
        """What it pays, and for what."""
        field, event = next(
            ((name, event) for name, event in PRICE_FIELDS.items() if getattr(self, name) is not None),
            ("bid_cpm_max", "impression"),
        )
        return Price(event, int(getattr(self, field) or 0))

    @property
    def cpm_max_micros(self) -> int:
        """The most it bids, in CPM micros."""
        stated = self.bid_cpm if self.bid_cpm_max is None else self.bid_cpm_max
        return int(stated or 0)


class PacingWeight(Model, frozen=True, kw_only=True):
    """Hours of the campaign's local week whose traffic is worth more, or less, of the money than other."""

    days: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    from_hour: Annotated[int, Meta(ge=0, le=23)] = 0
    to_hour: Annotated[int, Meta(ge=1, le=24)] = 24
    percent: Annotated[int, Meta(ge=1, le=1_000)]

    @property
    def hours(self) -> Daypart:
        """The hours it is of."""
        return Daypart(days=self.days, from_hour=self.from_hour, to_hour=self.to_hour)


class Campaign(Model, frozen=True, kw_only=True):
    """A budget, and the line items that may spend it."""

    id: Id
    name: str = ""
    time_zone: str = "UTC"
    budget: Budget
    pacing: Pacing = "even"
    pacing_weights: tuple[PacingWeight, ...] = ()
    """Of several that cover an hour, the last counts."""
    flight: Flight = Flight()
    goal: Goal | None = None
    frequency_cap: FrequencyCap = FrequencyCap()
    political: Political | None = None
    paused: bool = False
    line_items: tuple[LineItem, ...]

    @property
    def learns(self) -> bool:
        """Whether its bids go by what impressions bring, or its goal does, so that this is learned from."""
        return self.goal is not None or any(
            line_item.price.event in ("click", "conversion", "completion") for line_item in self.line_items
        )


class Advertiser(Model, frozen=True, kw_only=True):
    """A customer. Nothing in one advertiser's file can name anything of another's."""

    id: Id
    name: str = ""
    domain: Domain
    seat: str = "hustings"
    seats: dict[Id, Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX)]] = {}
    billing_ids: dict[Id, Annotated[int, Meta(ge=1, le=2**63 - 1)]] = {}
    categories: tuple[Category, ...]
    other_categories: dict[Taxonomy, tuple[str, ...]] = {}
    dsa: Dsa | None = None
    audiences: dict[Id, str | dict[str, Any]] = {}
    """Audiences that line items may name as they name segments (`config.named_audiences`)."""
    campaigns: tuple[Campaign, ...]
    creatives: tuple[Creative, ...]

    def seat_at(self, exchange_id: str) -> str:
        """Return the seat an exchange knows the advertiser by."""
        return self.seats.get(exchange_id, self.seat)
